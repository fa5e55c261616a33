"""What the CodiEsp experiment measures, as plain data: the page and the JSON file show these."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import Literal

from nosology.evaluation import BootstrapPlan
from nosology.experiments.figures import Figure
from nosology.experiments.runs import RunFacts

Track = Literal["D", "P", "X"]
ONE_MODEL, TWO_MODELS = "one model of both", "the D and the P model, pooled"
"""The two ways to CodiEsp X."""


@dataclass(frozen=True, slots=True)
class TrackResult:
    """One recipe on CodiEsp D or P; all means are over seeds.

    Args:
        recipe: its name.
        track, language: what it codes.
        encounters: scored.
        gold: gold pairs in them.
        figures: ``map`` and ``micro_f1`` by the official definitions, ``micro_precision``, ``micro_recall``,
            ``candidate_recall``.
        map_assigned: MAP of the assigned codes alone.
        map_as_scripted: the official script's MAP, over the documents with predictions.
        new_articles: how many of the encounters are of articles that train lacks.
        on_new_articles: ``figures`` on these alone.
        unseen: ``figures`` of the codes that train lacks.
        bands: by training frequency; means of the fields of ``BandScores``.
        ladder: by distance of the evidence from training's; ``None`` without evidence.
        calibration: ``expected_calibration_error`` and ``brier`` over all candidates, and ``error_above_0.1``.
        runs: one a seed.
    """

    recipe: str
    track: Track
    language: str
    encounters: int
    gold: int
    figures: Mapping[str, Figure]
    map_assigned: Figure
    map_as_scripted: float
    new_articles: int
    on_new_articles: Mapping[str, Figure]
    unseen: Mapping[str, Figure]
    bands: Mapping[str, Mapping[str, float]]
    ladder: Mapping[str, Mapping[str, float]] | None
    calibration: Mapping[str, float]
    runs: tuple[RunFacts, ...]


@dataclass(frozen=True, slots=True)
class ExplainedResult:
    """CodiEsp X by one way to get at it.

    Args:
        way: ``ONE_MODEL`` or ``TWO_MODELS``.
        figures: ``micro_precision``, ``micro_recall``, ``micro_f1`` by the official definition.
        on_new_articles: the same on encounters of articles that train lacks.
        runs: of the one model; empty for two, whose runs stand in their own results.
    """

    way: str
    figures: Mapping[str, Figure]
    on_new_articles: Mapping[str, Figure]
    runs: tuple[RunFacts, ...]


@dataclass(frozen=True, slots=True)
class CodiespResults:
    """Everything the page shows.

    Args:
        version: of this package.
        code: the first characters of a digest of the package's code; every run was made by this code.
        seeds: of the trainings.
        plan: of the intervals.
        train_encounters, scored_encounters: in the two splits.
        shared_articles: articles of both splits.
        tracks: D and P.
        explained: X.
        pooled_minus_one: X of two models minus X of one; ``None`` unless both are there.
    """

    version: str
    code: str
    seeds: tuple[int, ...]
    plan: BootstrapPlan
    train_encounters: int
    scored_encounters: int
    shared_articles: int
    tracks: tuple[TrackResult, ...]
    explained: tuple[ExplainedResult, ...]
    pooled_minus_one: Figure | None

    def to_dict(self) -> dict[str, object]:
        """Plain dicts, lists, numbers and strings."""
        return asdict(self)
