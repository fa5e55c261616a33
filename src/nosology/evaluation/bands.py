"""Scores by how often a code was seen in training: what an average hides, rare and unseen codes first."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np

from nosology.codes.frequency import FrequencyBands
from nosology.evaluation.judgements import Ints, Judgements
from nosology.evaluation.metrics import Counts, MacroDefinition, Scores, counts_by_label, macro, micro
from nosology.evaluation.ranking_metrics import candidate_recall


@dataclass(frozen=True, slots=True)
class BandScores:
    """The scores of the codes of one frequency band.

    Args:
        band: its name, the training counts it spans ("0", "2-4", "10+").
        labels: distinct codes of the band among the gold codes.
        gold: gold pairs.
        assigned: assigned pairs whose code is of the band.
        micro: pooled over the band's pairs; its precision is that of the band's assigned codes.
        macro_f1: mean F1 over the band's codes with gold.
        candidate_recall: share of the gold pairs that are listed as candidates.
    """

    band: str
    labels: int
    gold: int
    assigned: int
    micro: Scores
    macro_f1: float
    candidate_recall: float

    def figures(self) -> dict[str, float]:
        """The scores under their dotted names, without the band's."""
        return {
            "micro.precision": self.micro.precision,
            "micro.recall": self.micro.recall,
            "micro.f1": self.micro.f1,
            f"macro.f1.{MacroDefinition.LABELS_IN_SPLIT}": self.macro_f1,
            "candidate_recall": self.candidate_recall,
        }


def label_bands(judged: Judgements, train_counts: Mapping[str, int], bands: FrequencyBands) -> Ints:
    """The band of each label; a code that training does not mention has count 0.

    Args:
        judged: names the labels.
        train_counts: code -> number of training encounters that carry it.
        bands: the bands' edges.
    """
    return bands.bands_of(np.array([train_counts.get(code, 0) for code in judged.labels], dtype=np.int64))


def scores_by_band(
    judged: Judgements, train_counts: Mapping[str, int], bands: FrequencyBands
) -> tuple[BandScores, ...]:
    """One entry a band, from rare to frequent; a band without any pair has zeros.

    Args:
        judged: candidates judged against gold.
        train_counts: code -> number of training encounters that carry it.
        bands: the bands' edges.
    """
    band_of = label_bands(judged, train_counts, bands)
    counts = counts_by_label(judged)
    return tuple(_score_band(judged, band_of, i, name, counts) for i, name in enumerate(bands.names))


def _score_band(judged: Judgements, band_of: Ints, index: int, name: str, all_counts: Counts) -> BandScores:
    labels = band_of == index
    counts = all_counts.select(labels)
    gold = counts.tp + counts.fn
    return BandScores(
        band=name,
        labels=int((gold > 0).sum()),
        gold=int(gold.sum()),
        assigned=int((counts.tp + counts.fp).sum()),
        micro=micro(counts),
        macro_f1=macro(counts, MacroDefinition.LABELS_IN_SPLIT).f1,
        candidate_recall=candidate_recall(judged, labels),
    )
