"""What ``nosology evaluate`` scores: candidates of a model or a file, decided by their own or by tuned thresholds."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Iterator, Mapping
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING

from nosology.cli.data import OnError, choose_splits, read_corpus, recipe_with_data, tell
from nosology.config import Recipe, load_recipe
from nosology.errors import ConfigError

if TYPE_CHECKING:
    from nosology.calibration import CrossFitted, Thresholds
    from nosology.coder import Coder
    from nosology.codes import CodeSystem, FrequencyBands
    from nosology.evaluation import Judgements, PredictionsHeader
    from nosology.evaluation.alignment import IsKnown
    from nosology.evaluation.codiesp import CodiespScores
    from nosology.types import CodedEncounter, Corpus


@dataclass(frozen=True, slots=True)
class Wanted:
    """What to score, as the options say: a model, or a file and the recipe of its corpus."""

    model: Path | None
    file: Path | None
    recipe: str | None
    data: Path | None
    train_split: str
    on_error: OnError
    check_codes: bool


@dataclass(frozen=True, slots=True)
class Choice:
    """How codes come to be assigned, as the options say; ``None`` everywhere: as predicted."""

    tune_on: str | None
    folds: int | None
    file: Path | None
    kind: str
    shrinkage: float
    keep: Path | None
    allow_tuned_on: bool
    seed: int

    def __post_init__(self) -> None:
        ways = [option for option in (self.tune_on, self.folds, self.file) if option is not None]
        if len(ways) > 1:
            raise ConfigError("choose one of --tune-threshold, --cross-fit and --threshold-file")
        if self.kind != "global" and self.tune_on is None and self.folds is None:
            raise ConfigError(f"--thresholds {self.kind} needs --tune-threshold SPLITS or --cross-fit FOLDS")
        if self.keep is not None and self.tune_on is None:
            raise ConfigError("--save-thresholds keeps what --tune-threshold chooses; give both")


@dataclass(frozen=True, slots=True)
class Opened:
    """A corpus and where its candidates come from.

    Args:
        recipe: of the corpus.
        corpus: all of its splits.
        train_counts: code -> number of training encounters that carry it.
        system: what made the candidates, for people.
        coder: codes the encounters; ``None`` if ``file`` has them.
        file: a predictions file.
        header: what the file says of itself.
        check_codes: whether codes that no table knows are refused.
    """

    recipe: Recipe
    corpus: Corpus
    train_counts: Mapping[str, int]
    system: str
    coder: Coder | None = None
    file: Path | None = None
    header: PredictionsHeader | None = None
    check_codes: bool = True

    def coded(self, part: Corpus, others: Collection[str] = ()) -> tuple[CodedEncounter, ...]:
        """Predictions for a part of the corpus, evidence included."""
        from nosology.cli.progress import tracked
        from nosology.evaluation.alignment import aligned

        if self.coder is not None:
            found = tuple(tracked(self.coder.code_many(part), "coding", len(part)))
            if self.coder.coding_remark:
                tell(self.coder.coding_remark)
            return found
        return aligned(part.encounters, self.listed(), others=others)

    def listed(self) -> Iterator[CodedEncounter]:
        """The lines of the file."""
        from nosology.evaluation import iter_predictions

        return (coded for _, coded in iter_predictions(self.file or ""))

    def judged(self, part: Corpus, others: Collection[str]) -> tuple[Judgements, tuple[CodedEncounter, ...] | None]:
        """Candidates judged against gold, and the predictions where they are held."""
        from nosology.evaluation.alignment import judge_aligned, judge_file

        if self.file is not None:  # checks codes and names lines, whatever else is read
            known = self._is_known() if self.check_codes else None
            found = judge_file(self.file, part, train_counts=self.train_counts, is_known=known, others=others)
            return found, self.coded(part, others) if self.corpus.name == "codiesp" else None
        coded = self.coded(part)
        return judge_aligned(part.encounters, coded, self.train_counts), coded

    def tables(self) -> dict[str, CodeSystem]:
        """The tables of the corpus's code systems, as far as there are any."""
        from nosology.knowledge.building import open_systems

        return {system.name: system for system in open_systems(self.corpus.systems, self.recipe)}

    def own_tables(self) -> Mapping[str, CodeSystem] | None:
        """The tables, if some system is not among the installed ones."""
        from nosology.codes import SYSTEMS

        return None if set(self.corpus.systems) <= set(SYSTEMS) else self.tables()

    def _is_known(self) -> IsKnown | None:
        """Whether any of the corpus's tables has a code; ``None`` if a system has no table."""
        tables = self.tables()
        if not set(self.corpus.systems) <= set(tables):
            return None

        @cache
        def is_known(code: str) -> bool:
            return any((entry := table.get(code)) is not None and entry.code == code for table in tables.values())

        return is_known


def open_source(wanted: Wanted) -> Opened:
    """Open the model, or the file and its corpus.

    Raises:
        ConfigError: neither or both are given, or the file's corpus is not.
        ModelError, CorpusError, PredictionsError: something cannot be read.
    """
    if (wanted.model is None) == (wanted.file is None):
        raise ConfigError("give a model folder, or a predictions file with --from (and not both)")
    return _open_model(wanted.model, wanted) if wanted.model is not None else _open_file(wanted)


def _open_model(model: Path, wanted: Wanted) -> Opened:
    if wanted.recipe is not None:
        raise ConfigError("--corpus goes with --from; a model knows its corpus (--data says where it lies)")
    from nosology.coder import Coder

    coder = Coder.from_pretrained(model)
    recipe = recipe_with_data(coder.recipe, wanted.data)
    return Opened(recipe, read_corpus(recipe, wanted.on_error), coder.label_counts, model.name, coder=coder)


def _open_file(wanted: Wanted) -> Opened:
    from nosology.evaluation import count_codes, read_header
    from nosology.shipped_recipes import find_recipe

    if wanted.file is None or wanted.recipe is None:
        raise ConfigError("--from needs --corpus RECIPE: the corpus whose encounters the file is about")
    header = read_header(wanted.file)
    recipe = recipe_with_data(load_recipe(find_recipe(wanted.recipe)), wanted.data)
    corpus = read_corpus(recipe, wanted.on_error)
    has_train = wanted.train_split == "all" or set(wanted.train_split.split("+")) & {e.split for e in corpus}
    counts = count_codes(choose_splits(corpus, wanted.train_split)) if has_train else {}
    return Opened(
        recipe, corpus, counts, (header and header.system) or wanted.file.name,
        file=wanted.file, header=header, check_codes=wanted.check_codes,
    )  # fmt: skip


# --- decisions --------------------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Decided:
    """Candidates of the evaluated encounters with final decisions.

    Args:
        judged: judged against gold.
        coded: the predictions, where they are held.
        rule: the thresholds that decided; ``None``: as predicted.
        tuned_on: the splits that the decisions were tuned on.
        how: for people.
        codiesp: CodiEsp's official scores, for CodiEsp.
    """

    judged: Judgements
    coded: tuple[CodedEncounter, ...] | None
    rule: Thresholds | CrossFitted | None
    tuned_on: tuple[str, ...]
    how: str
    codiesp: CodiespScores | None


def decide(opened: Opened, evaluated: Corpus, choice: Choice, bands: FrequencyBands) -> Decided:
    """Judge the evaluated encounters and assign codes as the options say.

    Raises:
        ConfigError: thresholds would be judged on what they were tuned on.
        PredictionsError: predictions are broken or incomplete.
    """
    from nosology.calibration import ThresholdKind, Thresholds, cross_fit_thresholds
    from nosology.evaluation.alignment import groups_of

    fixed = _fixed_rule(opened, evaluated, choice, bands)
    judged, coded = opened.judged(evaluated, _ids(opened.corpus))
    rule = fixed
    if choice.folds is not None:
        rule = cross_fit_thresholds(
            judged, groups_of(evaluated), ThresholdKind(choice.kind), folds=choice.folds, seed=choice.seed,
            train_counts=opened.train_counts, bands=bands, shrinkage=choice.shrinkage,
        )  # fmt: skip
    if rule is None:
        how, tuned_on = (opened.header.thresholds, opened.header.tuned_on) if opened.header else ("", ())
    else:
        judged, how = rule.apply(judged), rule.describe()
        coded = None if coded is None else tuple(rule.decide(one) for one in coded)
        tuned_on = rule.tuned_on if isinstance(rule, Thresholds) else ()
    if set(tuned_on) & {e.split for e in evaluated}:
        how += ": the split evaluated, so the scores are too good"
    return Decided(judged, coded, rule, tuned_on, how, _codiesp(opened.corpus, evaluated, coded))


def _fixed_rule(opened: Opened, evaluated: Corpus, choice: Choice, bands: FrequencyBands) -> Thresholds | None:
    """Thresholds that do not come from the evaluated encounters, unless that is allowed."""
    from nosology.calibration import (
        ThresholdKind,
        read_thresholds,
        refuse_tuned_on,
        tune_thresholds,
        write_thresholds,
    )

    splits, allow = sorted({e.split for e in evaluated}), choice.allow_tuned_on
    if choice.tune_on is not None:
        tuning = choose_splits(opened.corpus, choice.tune_on)
        _refuse_overlap(tuning, evaluated, choice)
        judged, _ = opened.judged(tuning, _ids(opened.corpus))
        found = tune_thresholds(
            judged, ThresholdKind(choice.kind), train_counts=opened.train_counts, bands=bands,
            shrinkage=choice.shrinkage, tuned_on=sorted({e.split for e in tuning}), corpus=opened.corpus.name,
        )  # fmt: skip
        if choice.keep is not None:
            write_thresholds(choice.keep, found)
        return found
    if choice.file is not None:
        found = read_thresholds(choice.file)
        refuse_tuned_on(found.tuned_on, found.corpus, opened.corpus.name, splits, allow=allow)
        return found
    header = opened.header
    if choice.folds is None and header is not None:
        refuse_tuned_on(header.tuned_on, header.corpus, opened.corpus.name, splits, allow=allow)
    return None


def _refuse_overlap(tuning: Corpus, evaluated: Corpus, choice: Choice) -> None:
    """Names are not enough: a corpus without splits has none."""
    from nosology.calibration import refuse_tuned_on

    if not choice.allow_tuned_on and _ids(tuning) & _ids(evaluated):
        splits = choice.tune_on or ""
        refuse_tuned_on([splits], "", "", [splits])


def _ids(corpus: Corpus) -> frozenset[str]:
    return frozenset(encounter.encounter_id for encounter in corpus)


def _codiesp(corpus: Corpus, evaluated: Corpus, coded: Iterable[CodedEncounter] | None) -> CodiespScores | None:
    from nosology.evaluation.codiesp import score_codiesp

    if corpus.name != "codiesp" or coded is None:
        return None
    return score_codiesp(evaluated.encounters, coded, corpus.systems)


def write_decided(path: Path, opened: Opened, evaluated: Corpus, decided: Decided) -> None:
    """Write the predictions with their final decisions, and a header that says where these come from."""
    from nosology.evaluation import PredictionsHeader, write_predictions

    header = PredictionsHeader(
        system=opened.system,
        corpus=opened.corpus.name,
        splits=tuple(sorted({e.split for e in evaluated if e.split})),
        tuned_on=decided.tuned_on,
        thresholds=decided.how,
    )
    write_predictions(path, _final(opened, evaluated, decided), header)


def _final(opened: Opened, evaluated: Corpus, decided: Decided) -> Iterator[CodedEncounter]:
    if decided.coded is not None:
        yield from decided.coded
        return
    wanted, rule = _ids(evaluated), decided.rule
    for coded in opened.listed():
        if coded.encounter_id in wanted:
            yield coded if rule is None else rule.decide(coded)
