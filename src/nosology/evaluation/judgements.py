"""Gold codes and ranked candidates as integer pairs: what every metric is computed from, never a dense matrix.

A pair is (encounter, label). Candidates are stored encounter by encounter, best first; gold pairs encounter by
encounter. Memory grows with the pairs that exist, not with encounters x labels.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Sequence
from dataclasses import dataclass
from typing import TypeAlias

import numpy as np
from numpy.typing import NDArray

Ints: TypeAlias = NDArray[np.int64]
Floats: TypeAlias = NDArray[np.float64]
Bools: TypeAlias = NDArray[np.bool_]


@dataclass(frozen=True, slots=True, eq=False)
class Judgements:
    """Candidates judged against gold codes.

    Args:
        encounter_ids: row names.
        labels: column names; every code that is gold, a candidate, or in the label space.
        encounter: row of each candidate, ascending; within a row the best candidate comes first.
        label: column of each candidate.
        score: score of each candidate.
        assigned: whether the coder assigned it.
        is_gold: whether the gold standard has it.
        gold_encounter: row of each gold pair, ascending.
        gold_label: column of each gold pair, ascending inside a row.
        gold_rank: 1-based position of each gold pair in its row's list of candidates; 0 where it is not listed.
    """

    encounter_ids: tuple[str, ...]
    labels: tuple[str, ...]
    encounter: Ints
    label: Ints
    score: Floats
    assigned: Bools
    is_gold: Bools
    gold_encounter: Ints
    gold_label: Ints
    gold_rank: Ints

    @property
    def n_encounters(self) -> int:
        return len(self.encounter_ids)

    @property
    def n_labels(self) -> int:
        return len(self.labels)

    def gold_per_encounter(self) -> Ints:
        return np.bincount(self.gold_encounter, minlength=self.n_encounters)

    def gold_per_label(self) -> Ints:
        return np.bincount(self.gold_label, minlength=self.n_labels)

    def assigned_per_label(self) -> Ints:
        return np.bincount(self.label[self.assigned], minlength=self.n_labels)

    def restrict(self, keep: Bools, *, drop_encounters_without_gold: bool = False) -> Judgements:
        """The same judgements on some of the labels, ranks counted among those alone.

        Args:
            keep: one flag a label.
            drop_encounters_without_gold: also leave out rows that have no gold code among the labels kept.
        """
        gold = keep[self.gold_label]
        rows = np.ones(self.n_encounters, dtype=np.bool_)
        if drop_encounters_without_gold:
            rows = np.bincount(self.gold_encounter[gold], minlength=self.n_encounters) > 0
        listed, gold = keep[self.label] & rows[self.encounter], gold & rows[self.gold_encounter]
        new_row, new_label = np.cumsum(rows) - 1, np.cumsum(keep) - 1
        return judge(
            _select(self.encounter_ids, rows),
            _select(self.labels, keep),
            candidates=(new_row[self.encounter[listed]], new_label[self.label[listed]]),
            score=self.score[listed],
            assigned=self.assigned[listed],
            gold=(new_row[self.gold_encounter[gold]], new_label[self.gold_label[gold]]),
        )


def _select(names: tuple[str, ...], keep: Bools) -> tuple[str, ...]:
    return tuple(names[i] for i in np.flatnonzero(keep))


def judge(
    encounter_ids: tuple[str, ...],
    labels: tuple[str, ...],
    *,
    candidates: tuple[Ints, Ints],
    score: Floats,
    assigned: Bools,
    gold: tuple[Ints, Ints],
) -> Judgements:
    """Match candidates with gold pairs.

    Args:
        encounter_ids: row names.
        labels: column names.
        candidates: rows (ascending; best first inside a row) and columns, no pair twice.
        score: one a candidate.
        assigned: one a candidate.
        gold: rows and columns of the gold pairs, in any order, no pair twice.
    """
    encounter, label = candidates
    keys = encounter * len(labels) + label
    gold_keys = np.sort(gold[0] * len(labels) + gold[1])
    is_gold, where = _look_up(keys, gold_keys)
    first = np.searchsorted(encounter, encounter)  # index of each row's first candidate
    gold_rank = np.zeros(len(gold_keys), dtype=np.int64)
    gold_rank[where[is_gold]] = (np.arange(len(keys)) - first + 1)[is_gold]
    width = max(len(labels), 1)
    return Judgements(
        encounter_ids, labels, encounter, label, score, assigned, is_gold,
        gold_keys // width, gold_keys % width, gold_rank,
    )  # fmt: skip


def _look_up(keys: Ints, sorted_keys: Ints) -> tuple[Bools, Ints]:
    """Which keys occur among the sorted ones, and at which index (meaningless where they do not)."""
    if not len(sorted_keys):
        return np.zeros(len(keys), dtype=np.bool_), np.zeros(len(keys), dtype=np.int64)
    where = np.minimum(np.searchsorted(sorted_keys, keys), len(sorted_keys) - 1)
    return sorted_keys[where] == keys, where


def judge_codes(
    encounter_ids: Sequence[str],
    gold: Sequence[Collection[str]],
    candidates: Iterable[Sequence[tuple[str, float, bool]]],
    *,
    label_space: Iterable[str] = (),
) -> Judgements:
    """Judge candidate codes given as strings.

    Args:
        encounter_ids: row names.
        gold: the gold codes of each row.
        candidates: for each row (code, score, assigned), best first; read once, so a generator will do.
        label_space: further labels that no row mentions (codes seen in training).
    """
    index: dict[str, int] = {}
    for code in label_space:
        index.setdefault(code, len(index))
    gold_rows = [
        (row, index.setdefault(code, len(index))) for row, codes in enumerate(gold) for code in sorted(set(codes))
    ]
    rows: list[int] = []
    columns: list[int] = []
    scores: list[float] = []
    flags: list[bool] = []
    for row, listed in enumerate(candidates):
        for code, score, assigned in listed:
            rows.append(row)
            columns.append(index.setdefault(code, len(index)))
            scores.append(score)
            flags.append(assigned)
    pairs = np.array(gold_rows, dtype=np.int64).reshape(-1, 2)
    return judge(
        tuple(encounter_ids),
        tuple(index),
        candidates=(np.array(rows, dtype=np.int64), np.array(columns, dtype=np.int64)),
        score=np.array(scores, dtype=np.float64),
        assigned=np.array(flags, dtype=np.bool_),
        gold=(pairs[:, 0], pairs[:, 1]),
    )


def judge_dense(gold: NDArray[np.integer | np.bool_], score: Floats, assigned: Bools) -> Judgements:
    """Judge dense arrays of one shape, (encounter, label): every label is a candidate of every encounter.

    Args:
        gold: 0 or 1.
        score: higher is better; among equal scores the label that comes first is ranked first.
        assigned: what the coder assigned.
    """
    n_encounters, n_labels = gold.shape
    order = np.argsort(-score, axis=1, kind="stable")
    rows = np.repeat(np.arange(n_encounters), n_labels)
    columns = order.ravel().astype(np.int64)
    gold_rows, gold_columns = np.nonzero(gold)
    return judge(
        tuple(str(i) for i in range(n_encounters)),
        tuple(str(i) for i in range(n_labels)),
        candidates=(rows, columns),
        score=score[rows, columns].astype(np.float64),
        assigned=assigned[rows, columns],
        gold=(gold_rows.astype(np.int64), gold_columns.astype(np.int64)),
    )
