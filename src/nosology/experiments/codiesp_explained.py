"""CodiEsp X, codes with their evidence, by one model of both tracks and by the models of D and P together."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace

from nosology.evaluation import BootstrapPlan
from nosology.experiments.codiesp_results import ONE_MODEL, TWO_MODELS, ExplainedResult
from nosology.experiments.codiesp_trained import Trained, aligned, groups_of, of_new_articles
from nosology.experiments.figures import ExplainedCounts, Figure, explained_difference, explained_figures
from nosology.experiments.runs import RunFacts
from nosology.types import CodedEncounter, Encounter


@dataclass(frozen=True, eq=False)
class _Way:
    """One way to CodiEsp X: the encounters with the codes of both tracks, and what was said of them with each seed."""

    name: str
    encounters: Sequence[Encounter]
    coded: Sequence[Sequence[CodedEncounter]]
    runs: tuple[RunFacts, ...]

    def counts(self) -> list[ExplainedCounts]:
        return [ExplainedCounts.of(self.encounters, one) for one in self.coded]

    def only(self, ids: set[str]) -> _Way:
        encounters = [encounter for encounter in self.encounters if encounter.encounter_id in ids]
        return replace(self, encounters=encounters, coded=[aligned(encounters, one) for one in self.coded])


def explain(trained: Sequence[Trained], plan: BootstrapPlan) -> tuple[tuple[ExplainedResult, ...], Figure | None]:
    """CodiEsp X by each way that the Spanish recipes allow, and the second minus the first where both are there."""
    spanish = {one.track: one for one in trained if one.language == "es"}
    ways = list[_Way]()
    if "X" in spanish:
        ways.append(_one_model(spanish["X"]))
    if "D" in spanish and "P" in spanish:
        ways.append(_two_models(spanish["D"], spanish["P"]))
    fresh = {encounter.encounter_id for one in spanish.values() for encounter in of_new_articles(one)}
    results = tuple(_result(way, fresh, plan) for way in ways)
    if len(ways) < 2:
        return results, None
    one, two = ways
    return results, explained_difference(two.counts(), one.counts(), groups_of(one.encounters), plan)


def _one_model(both: Trained) -> _Way:
    encounters = both.scored.encounters
    coded = [aligned(encounters, run.predictions()) for run in both.runs]
    return _Way(ONE_MODEL, encounters, coded, tuple(run.facts for run in both.runs))


def _two_models(diagnoses: Trained, procedures: Trained) -> _Way:
    encounters = _with_both(diagnoses.scored, procedures.scored)
    coded = [
        _pooled(aligned(encounters, first.predictions()), aligned(encounters, second.predictions()))
        for first, second in zip(diagnoses.runs, procedures.runs, strict=True)
    ]
    return _Way(TWO_MODELS, encounters, coded, ())


def _with_both(first: Iterable[Encounter], second: Iterable[Encounter]) -> list[Encounter]:
    other = {encounter.encounter_id: encounter.codes or () for encounter in second}
    return [replace(one, codes=(*(one.codes or ()), *other[one.encounter_id])) for one in first]


def _pooled(first: Iterable[CodedEncounter], second: Iterable[CodedEncounter]) -> list[CodedEncounter]:
    return [
        CodedEncounter(one.encounter_id, tuple(sorted((*one.codes, *two.codes), key=lambda code: -code.probability)))
        for one, two in zip(first, second, strict=True)
    ]


def _result(way: _Way, fresh: set[str], plan: BootstrapPlan) -> ExplainedResult:
    return ExplainedResult(way.name, _figures(way, plan), _figures(way.only(fresh), plan) if fresh else {}, way.runs)


def _figures(way: _Way, plan: BootstrapPlan) -> dict[str, Figure]:
    return explained_figures(way.counts(), groups_of(way.encounters), plan)
