"""Gold codes and ranked candidates as integer pairs: what every metric is computed from.

A pair is (encounter, label). Candidates are stored encounter by encounter, best first; gold pairs encounter by
encounter. Memory grows with the pairs that exist, not with encounters x labels. Where a score is known for every pair
(``judge_dense``), the array of scores is kept as it came and only assigned and gold pairs are listed beside it.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Sequence
from dataclasses import dataclass, replace
from typing import TypeAlias

import numpy as np
from numpy.typing import NDArray

from nosology.errors import PredictionsError

Ints: TypeAlias = NDArray[np.int64]
Floats: TypeAlias = NDArray[np.float64]
Bools: TypeAlias = NDArray[np.bool_]
Scores2D: TypeAlias = NDArray[np.float32] | NDArray[np.float64]


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
        dense: the scores of all pairs, ``[encounter, label]``, if every pair is a candidate; the arrays above then list
            the assigned and the gold pairs only. ``None`` for sparse candidates.
        failed: ids of encounters that could not be coded; they have no candidates.
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
    dense: Scores2D | None = None
    failed: frozenset[str] = frozenset()

    @property
    def n_encounters(self) -> int:
        return len(self.encounter_ids)

    @property
    def n_labels(self) -> int:
        return len(self.labels)

    @property
    def n_candidates(self) -> int:
        """How many pairs are candidates, assigned or not."""
        return len(self.label) if self.dense is None else self.dense.size

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
        rows = np.ones(self.n_encounters, dtype=np.bool_)
        if drop_encounters_without_gold:
            rows = np.bincount(self.gold_encounter[keep[self.gold_label]], minlength=self.n_encounters) > 0
        return self._part(rows, keep)

    def select_encounters(self, rows: Bools) -> Judgements:
        """The same judgements on some of the encounters; every label stays.

        Args:
            rows: one flag an encounter.
        """
        return self._part(rows, np.ones(self.n_labels, dtype=np.bool_))

    def assigning_from(self, thresholds: Floats) -> Judgements:
        """The same candidates, assigned where the score is at least the threshold of the label.

        Args:
            thresholds: one a label.
        """
        if self.dense is None:
            return replace(self, assigned=self.score >= thresholds[self.label])
        assigned = _nonzero(self.dense >= thresholds)
        return _judge_all(self.encounter_ids, self.labels, self.dense, assigned, (self.gold_encounter, self.gold_label))

    def _part(self, rows: Bools, keep: Bools) -> Judgements:
        gold = keep[self.gold_label] & rows[self.gold_encounter]
        listed = keep[self.label] & rows[self.encounter]
        new_row, new_label = np.cumsum(rows) - 1, np.cumsum(keep) - 1
        names = _select(self.encounter_ids, rows), _select(self.labels, keep)
        gold_pairs = new_row[self.gold_encounter[gold]], new_label[self.gold_label[gold]]
        candidates = new_row[self.encounter[listed]], new_label[self.label[listed]]
        if self.dense is not None:
            values = self.dense if rows.all() else self.dense[rows]
            values = values if keep.all() else values[:, keep]
            marked = self.assigned[listed]
            return _judge_all(*names, values, (candidates[0][marked], candidates[1][marked]), gold_pairs)
        part = judge(
            *names,
            candidates=candidates,
            score=self.score[listed],
            assigned=self.assigned[listed],
            gold=gold_pairs,
        )
        return replace(part, failed=self.failed.intersection(names[0])) if self.failed else part


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


def judge_dense(
    gold: NDArray[np.integer | np.bool_],
    score: Scores2D,
    assigned: Bools,
    *,
    encounter_ids: Sequence[str] | None = None,
    labels: Sequence[str] | None = None,
) -> Judgements:
    """Judge dense arrays of one shape, (encounter, label): every label is a candidate of every encounter.

    The scores are not copied; single precision stays single.

    Args:
        gold: 0 or 1.
        score: higher is better; among equal scores the label that comes first is ranked first.
        assigned: what the coder assigned.
        encounter_ids: row names; by default their numbers.
        labels: column names; by default their numbers.

    Raises:
        PredictionsError: the shapes differ, or a score is not a finite number.
    """
    n_encounters, n_labels = gold.shape
    ids = tuple(map(str, range(n_encounters)) if encounter_ids is None else encounter_ids)
    names = tuple(map(str, range(n_labels)) if labels is None else labels)
    shapes = {gold.shape, score.shape, assigned.shape, (len(ids), len(names))}
    if len(shapes) > 1:
        raise PredictionsError(f"gold, scores, decisions and names must have one shape; got {sorted(shapes)}")
    _check_finite(score, ids, names)
    return _judge_all(ids, names, score, _nonzero(assigned), _nonzero(gold))


def _check_finite(score: Scores2D, ids: Sequence[str], labels: Sequence[str]) -> None:
    if not score.size or (np.isfinite(score.min()) and np.isfinite(score.max())):  # both are NaN if any score is
        return
    row, column = (int(found[0]) for found in np.nonzero(~np.isfinite(score)))
    raise PredictionsError(
        f"the score of code {labels[column]!r} is {score[row, column]}; scores must be finite", record_id=ids[row]
    )


def _nonzero(array: NDArray[np.integer | np.bool_]) -> tuple[Ints, Ints]:
    rows, columns = np.nonzero(array)
    return rows.astype(np.int64), columns.astype(np.int64)


def _judge_all(
    ids: tuple[str, ...],
    labels: tuple[str, ...],
    values: Scores2D,
    assigned: tuple[Ints, Ints],
    gold: tuple[Ints, Ints],
) -> Judgements:
    """Judgements whose candidates are all pairs; ``assigned`` and ``gold`` are rows and columns."""
    width = max(len(labels), 1)
    gold_keys = np.sort(gold[0] * width + gold[1])
    assigned_keys = np.sort(assigned[0] * width + assigned[1])
    keys: Ints = np.unique(np.concatenate([gold_keys, assigned_keys]))
    rows, columns = keys // width, keys % width
    score = values[rows, columns].astype(np.float64)
    order = np.lexsort((-score, rows))
    keys = keys[order]
    gold_rows, gold_columns = gold_keys // width, gold_keys % width
    return Judgements(
        ids, labels, rows[order], columns[order], score[order],
        _look_up(keys, assigned_keys)[0], _look_up(keys, gold_keys)[0],
        gold_rows, gold_columns, _ranks_in_rows(values, gold_rows, gold_columns), values,
    )  # fmt: skip


def _ranks_in_rows(values: Scores2D, rows: Ints, columns: Ints) -> Ints:
    """The 1-based rank of chosen pairs (sorted by row) in their rows; equal scores rank by column."""
    ranks = np.zeros(len(rows), dtype=np.int64)
    starts = np.searchsorted(rows, np.arange(len(values) + 1))
    for row in np.unique(rows):
        chosen = slice(starts[row], starts[row + 1])
        whole, places = values[row], columns[chosen]
        ordered, wanted = np.sort(whole), whole[places]
        least, most = np.searchsorted(ordered, wanted, "left"), np.searchsorted(ordered, wanted, "right")
        ranks[chosen] = len(whole) - most + 1
        for i in np.flatnonzero(most - least > 1):
            ranks[starts[row] + i] += np.count_nonzero(whole[: places[i]] == wanted[i])
    return ranks
