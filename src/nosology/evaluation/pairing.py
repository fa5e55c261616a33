"""Judgements of several systems or seeds on the same encounters, brought to one set of labels."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from dataclasses import replace

import numpy as np

from nosology.errors import ConfigError, PredictionsError
from nosology.evaluation.judgements import Bools, Judgements


def paired(first: Sequence[Judgements], second: Sequence[Judgements]) -> list[tuple[Judgements, Judgements]]:
    """Two systems' judgements seed by seed, all with the same labels.

    Raises:
        PredictionsError: they do not share encounters and gold codes.
        ConfigError: different numbers of seeds, or none.
    """
    if len(first) != len(second) or not first:
        raise ConfigError(f"compare systems with one number of seeds, at least one; got {len(first)} and {len(second)}")
    for judged in (*first, *second):
        check_same_gold(first[0], judged)
    labels = _union([*first, *second])
    both = [[with_labels(judged, labels) for judged in seeds] for seeds in (first, second)]
    return list(zip(*both, strict=True))


def _union(every: Sequence[Judgements]) -> Sequence[str]:
    """One order of labels for all: the one they share, or else every label, sorted."""
    shared = {judged.labels for judged in every}
    return every[0].labels if len(shared) == 1 else sorted({label for labels in shared for label in labels})


def with_labels(judged: Judgements, labels: Sequence[str]) -> Judgements:
    """The same judgements with other columns, which must hold all of theirs.

    Args:
        judged: candidates judged against gold.
        labels: the new columns, no name twice.

    Raises:
        PredictionsError: scores are dense and the columns differ: what the others scored is not known.
    """
    if list(judged.labels) == list(labels):
        return judged
    if judged.dense is not None:
        if set(judged.labels) != set(labels):
            raise PredictionsError("dense scores are compared on one set of labels; give both systems the same columns")
        raise PredictionsError("dense scores are compared with sorted columns; sort the labels before judging")
    place = {label: i for i, label in enumerate(labels)}
    new = np.array([place[label] for label in judged.labels], dtype=np.int64)
    gold_label = new[judged.gold_label]
    order = np.lexsort((gold_label, judged.gold_encounter))
    return replace(
        judged,
        labels=tuple(labels),
        label=new[judged.label],
        gold_encounter=judged.gold_encounter[order],
        gold_label=gold_label[order],
        gold_rank=judged.gold_rank[order],
    )


def shared_space(every: Sequence[Judgements], label_space: Collection[str]) -> Bools:
    """The codes that are gold or assigned anywhere or in ``label_space``; one flag a label, which all share."""
    names = set(label_space)
    mentioned = sum((judged.gold_per_label() + judged.assigned_per_label() for judged in every), start=np.int64(0))
    return (mentioned > 0) | np.array([label in names for label in every[0].labels], dtype=np.bool_)


def check_same_gold(first: Judgements, second: Judgements) -> None:
    """Refuse judgements of different encounters or gold codes.

    Raises:
        PredictionsError: they differ.
    """
    if first.encounter_ids != second.encounter_ids:
        raise PredictionsError("the two coders' predictions cover different encounters; evaluate both on one split")
    if first.labels == second.labels:
        same = np.array_equal(first.gold_encounter, second.gold_encounter) and np.array_equal(
            first.gold_label, second.gold_label
        )
    else:
        same = _gold_pairs(first) == _gold_pairs(second)
    if not same:
        raise PredictionsError("the two coders' predictions were judged against different gold codes; use one corpus")


def _gold_pairs(judged: Judgements) -> set[tuple[int, str]]:
    rows, columns = judged.gold_encounter.tolist(), judged.gold_label.tolist()
    return {(row, judged.labels[column]) for row, column in zip(rows, columns, strict=True)}
