"""The thresholds above which codes are assigned: one for all codes, one a frequency band, or one a code.

Each maximises F1 = 2 TP / (assigned + gold) over what it is for: all pairs (exactly, over every score, as MSMN does),
the pairs of a band, the pairs of a code. A code's own optimum rests on few encounters, so it is drawn toward the one
for all codes:

    t_code = (n t* + k t) / (n + k)

with t* the code's own optimum, t the one for all codes, n the gold encounters that the code has in the split tuned on,
and k the shrinkage: the count at which both weigh the same. A code without gold there has t.

Thresholds that are judged on the encounters they were tuned on look too good. They therefore remember the split they
were tuned on, and ``refuse_tuned_on`` says no; ``cross_fit_thresholds`` tunes on parts of one split and decides each
part by what the others say.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, field, replace
from enum import StrEnum

import numpy as np
from numpy.typing import NDArray

from nosology.calibration.probabilities import best_threshold
from nosology.codes.frequency import FrequencyBands
from nosology.errors import ConfigError
from nosology.evaluation.judgements import Bools, Floats, Ints, Judgements
from nosology.types import CodedEncounter

DEFAULT_SHRINKAGE = 20.0


class ThresholdKind(StrEnum):
    """What has a threshold of its own."""

    GLOBAL = "global"
    BANDS = "bands"
    LABELS = "labels"


@dataclass(frozen=True, slots=True)
class Thresholds:
    """A threshold for every code.

    Args:
        kind: what they were tuned for.
        whole: for all codes together.
        otherwise: for codes that ``of_code`` does not name.
        of_code: for single codes.
        of_band: for people: the threshold of each frequency band.
        tuned_on: the splits they were tuned on.
        corpus: of which corpus.
        shrinkage: k, for ``labels``.
    """

    kind: ThresholdKind
    whole: float
    otherwise: float
    of_code: Mapping[str, float] = field(default_factory=dict[str, float])
    of_band: Mapping[str, float] = field(default_factory=dict[str, float])
    tuned_on: tuple[str, ...] = ()
    corpus: str = ""
    shrinkage: float = DEFAULT_SHRINKAGE

    def threshold(self, code: str) -> float:
        """The threshold of a code."""
        return self.of_code.get(code, self.otherwise)

    def apply(self, judged: Judgements) -> Judgements:
        """The same candidates, assigned where the score reaches the threshold."""
        return judged.assigning_from(np.array([self.threshold(code) for code in judged.labels], dtype=np.float64))

    def decide(self, coded: CodedEncounter) -> CodedEncounter:
        """The same encounter, codes assigned where the probability reaches the threshold."""
        codes = tuple(replace(one, assigned=one.probability >= self.threshold(one.code)) for one in coded.codes)
        return replace(coded, codes=codes)

    def describe(self) -> str:
        """For people, in one line."""
        what = {"global": f"one threshold ({self.whole:.3f})", "bands": "one threshold a frequency band"}
        shrunk = f"one threshold a code, shrunk toward {self.whole:.3f} by {self.shrinkage:g} encounters"
        where = f", tuned on {'+'.join(self.tuned_on)}" if self.tuned_on else ""
        return what.get(self.kind.value, shrunk) + where


@dataclass(frozen=True, slots=True)
class CrossFitted:
    """Thresholds for each fold of a split, tuned on the other folds.

    Args:
        folds: the thresholds that decide each fold.
        fold_of: encounter id -> fold.
    """

    folds: tuple[Thresholds, ...]
    fold_of: Mapping[str, int]

    def apply(self, judged: Judgements) -> Judgements:
        """The same candidates, each encounter assigned by the thresholds of its fold.

        Raises:
            ConfigError: the scores are dense.
        """
        if judged.dense is not None:
            raise ConfigError("cross-fitted thresholds decide sparse candidates; list the best codes of each encounter")
        fold_of = np.array([self.fold_of[name] for name in judged.encounter_ids], dtype=np.int64)
        assigned = np.zeros(len(judged.label), dtype=np.bool_)
        for fold, thresholds in enumerate(self.folds):
            assigned |= thresholds.apply(judged).assigned & (fold_of[judged.encounter] == fold)
        return replace(judged, assigned=assigned)

    def decide(self, coded: CodedEncounter) -> CodedEncounter:
        """The same encounter, decided by the thresholds of its fold."""
        return self.folds[self.fold_of[coded.encounter_id]].decide(coded)

    def describe(self) -> str:
        """For people, in one line."""
        first, values = self.folds[0], [fold.whole for fold in self.folds]
        what = {"global": "one threshold", "bands": "one threshold a frequency band", "labels": "one threshold a code"}
        return (
            f"{what[first.kind.value]}, cross-fitted in {len(self.folds)} folds "
            f"(overall {min(values):.3f} to {max(values):.3f})"
        )


def tune_thresholds(
    judged: Judgements,
    kind: ThresholdKind = ThresholdKind.GLOBAL,
    *,
    train_counts: Mapping[str, int] | None = None,
    bands: FrequencyBands | None = None,
    shrinkage: float = DEFAULT_SHRINKAGE,
    tuned_on: Collection[str] = (),
    corpus: str = "",
) -> Thresholds:
    """Choose thresholds by F1.

    Args:
        judged: candidates of the split to tune on, judged against gold.
        kind: what has a threshold of its own.
        train_counts: code -> number of training encounters that carry it; needed for bands.
        bands: the frequency bands; by default the published ones.
        shrinkage: k, 0 or more.
        tuned_on: the name of the split.
        corpus: the name of the corpus.

    Raises:
        ConfigError: bands without training counts, or a shrinkage below 0.
    """
    scored = ScoredLabels(judged.labels, *_candidates(judged), judged.gold_per_label())
    found = tune_scored(scored, kind, train_counts=train_counts, bands=bands, shrinkage=shrinkage)
    return replace(found, tuned_on=tuple(sorted(tuned_on)), corpus=corpus)


@dataclass(frozen=True, slots=True)
class ScoredLabels:
    """Candidates of some encounters, without saying whose they are.

    Args:
        labels: every code that is a candidate or gold.
        label: of each candidate, its place in ``labels``.
        score, is_gold: of each candidate.
        gold: encounters that carry each label.
    """

    labels: Sequence[str]
    label: Ints
    score: Floats
    is_gold: Bools
    gold: Ints


def tune_scored(
    scored: ScoredLabels,
    kind: ThresholdKind,
    *,
    train_counts: Mapping[str, int] | None = None,
    bands: FrequencyBands | None = None,
    shrinkage: float = DEFAULT_SHRINKAGE,
) -> Thresholds:
    """As ``tune_thresholds``, of candidates and counts alone; says nothing of a split."""
    if not shrinkage >= 0:
        raise ConfigError(f"shrinkage is {shrinkage:g}; it must be 0 or more")
    gold = scored.gold
    whole = best_threshold(scored.score, scored.is_gold, int(gold.sum()))
    found = Thresholds(kind, whole, whole, shrinkage=shrinkage)
    if kind is ThresholdKind.LABELS:
        own = _best_by_label(scored.label, scored.score, scored.is_gold, gold)
        shrunk = (gold * own + shrinkage * whole) / np.maximum(gold + shrinkage, 1e-300)
        with_gold: list[int] = np.flatnonzero(gold).tolist()
        return replace(found, of_code={scored.labels[i]: float(shrunk[i]) for i in with_gold})
    if kind is ThresholdKind.BANDS:
        if train_counts is None:
            raise ConfigError("thresholds by frequency band need the training counts of the codes (train_counts)")
        return _by_band(found, scored, train_counts, bands or FrequencyBands.named("published"))
    return found


def cross_fit_thresholds(
    judged: Judgements,
    groups: Sequence[str],
    kind: ThresholdKind = ThresholdKind.GLOBAL,
    *,
    folds: int = 5,
    seed: int = 0,
    train_counts: Mapping[str, int] | None = None,
    bands: FrequencyBands | None = None,
    shrinkage: float = DEFAULT_SHRINKAGE,
) -> CrossFitted:
    """Thresholds for each part of a split from its other parts; a group (patient, article) is never in two.

    Args:
        judged: candidates of the split, judged against gold.
        groups: the group of each encounter.
        folds: how many parts, 2 or more.
        seed: of the parts.
        kind, train_counts, bands, shrinkage: as for ``tune_thresholds``.

    Raises:
        ConfigError: fewer groups than folds, or as ``tune_thresholds``.
    """
    names, group_of = np.unique(np.array(groups, dtype=np.str_), return_inverse=True)
    if not 2 <= folds <= len(names):
        raise ConfigError(f"cannot cross-fit {len(names)} groups in {folds} folds; take 2 to {max(len(names), 2)}")
    fold_of_group = np.random.default_rng(seed).permutation(len(names)) % folds
    fold_of = fold_of_group[group_of]
    tuned = tuple(
        tune_thresholds(
            judged.select_encounters(fold_of != fold), kind,
            train_counts=train_counts, bands=bands, shrinkage=shrinkage,
        )
        for fold in range(folds)
    )  # fmt: skip
    return CrossFitted(tuned, dict(zip(judged.encounter_ids, fold_of.tolist(), strict=True)))


def refuse_tuned_on(
    tuned_on: Collection[str], corpus: str, judged_corpus: str, judged_splits: Collection[str], *, allow: bool = False
) -> None:
    """Refuse to judge thresholds on a split they were tuned on.

    Args:
        tuned_on: the splits they were tuned on.
        corpus: of which corpus; empty if that is not known.
        judged_corpus: the corpus to judge them on.
        judged_splits: its splits to judge them on.
        allow: say nothing.

    Raises:
        ConfigError: one split is in both.
    """
    same = sorted(set(tuned_on) & set(judged_splits)) if corpus in ("", judged_corpus) or not judged_corpus else []
    if same and not allow:
        raise ConfigError(
            f"the thresholds were tuned on {'+'.join(same)}, which is to be evaluated: the scores would be too good; "
            "tune on another split, use --cross-fit, or give --allow-tuned-on"
        )


def _candidates(judged: Judgements) -> tuple[Ints, Floats, Bools]:
    """Label, score and outcome of every candidate."""
    if judged.dense is None:
        return judged.label, judged.score, judged.is_gold
    is_gold = np.zeros(judged.dense.shape, dtype=np.bool_)
    is_gold[judged.gold_encounter, judged.gold_label] = True
    label = np.tile(np.arange(judged.n_labels), judged.n_encounters)
    return label, judged.dense.ravel().astype(np.float64), is_gold.ravel()


def _by_band(
    found: Thresholds, scored: ScoredLabels, train_counts: Mapping[str, int], bands: FrequencyBands
) -> Thresholds:
    label, score, is_gold, gold = scored.label, scored.score, scored.is_gold, scored.gold
    counts = np.array([train_counts.get(code, 0) for code in scored.labels], dtype=np.int64)
    band_of = bands.bands_of(counts)
    of_band = dict[str, float]()
    for band, name in enumerate(bands.names):
        inside, n_gold = band_of[label] == band, int(gold[band_of == band].sum())
        of_band[name] = best_threshold(score[inside], is_gold[inside], n_gold) if n_gold else found.whole
    named = {code: of_band[bands.names[bands.band_of(count)]] for code, count in train_counts.items() if count > 0}
    return replace(found, otherwise=of_band[bands.names[0]], of_code=named, of_band=of_band)


def _best_by_label(label: Ints, score: Floats, is_gold: Bools, gold: Ints) -> Floats:
    """``best_threshold`` of every label at once; any value for labels without candidates."""
    order = np.lexsort((-score, label))
    label, score, is_gold = label[order], score[order], is_gold[order]
    starts = np.searchsorted(label, np.arange(len(gold) + 1))
    first = starts[label]
    rank = np.arange(len(label)) - first + 1
    hits = np.cumsum(is_gold)
    before = np.concatenate([[0], hits])[first]
    f1 = 2.0 * (hits - before) / (rank + gold[label])
    ends = np.append(label[1:] != label[:-1], True) if len(label) else np.zeros(0, dtype=np.bool_)
    following = np.where(ends, 0.0, np.append(score[1:], 0.0))
    last_of_tie = ends | (following < score)
    f1 = np.where(last_of_tie, f1, -1.0)
    best = _first_of_highest(f1, label, starts)
    middle = (score + following) / 2.0
    found = np.full(len(gold), 1.0)
    listed = np.flatnonzero(np.diff(starts))
    found[listed] = middle[best[listed]]
    return found


def _first_of_highest(values: Floats, segment: Ints, starts: NDArray[np.integer]) -> Ints:
    """For sorted segments: the index of the first entry that has its segment's highest value."""
    best = np.zeros(len(starts) - 1, dtype=np.int64)
    order = np.lexsort((np.arange(len(values)), -values, segment))
    filled = np.diff(starts) > 0
    best[filled] = order[starts[:-1][filled]]
    return best
