"""Predictions brought together with the encounters they are for: checked, and judged against gold."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import replace
from difflib import get_close_matches
from pathlib import Path

import numpy as np

from nosology.codes.formats import printable
from nosology.errors import CorpusError, PredictionsError
from nosology.evaluation.judgements import Judgements, judge, judge_codes
from nosology.evaluation.prediction_lines import ScoredLine, check_coded
from nosology.evaluation.predictions import Predictions, iter_scores
from nosology.types import CodedEncounter, Corpus, Encounter

IsKnown = Callable[[str], bool]
"""Whether a code that is neither gold nor in the label space may be predicted."""


def count_codes(encounters: Iterable[Encounter]) -> dict[str, int]:
    """Code -> number of encounters that carry it: the ``train_counts`` of ``evaluate``, from a training split."""
    counts: dict[str, int] = {}
    for encounter in encounters:
        for gold in encounter.codes or ():  # no code twice
            counts[gold.code] = counts.get(gold.code, 0) + 1
    return counts


def groups_of(encounters: Iterable[Encounter]) -> list[str]:
    """The group of each encounter: patient or article, or the encounter itself where it has none."""
    return [encounter.group_id or encounter.encounter_id for encounter in encounters]


def judge_predictions(
    encounters: Corpus | Sequence[Encounter],
    predictions: Predictions | Iterable[CodedEncounter],
    *,
    train_counts: Mapping[str, int] | None = None,
) -> Judgements:
    """Check predictions against encounters and bring both into the form that metrics and bootstraps take.

    Args and Raises: as ``evaluate``.
    """
    checked = checked_encounters(encounters)
    return judge_aligned(checked, aligned(checked, predictions), train_counts)


def judge_aligned(
    encounters: Sequence[Encounter], coded: Sequence[CodedEncounter], train_counts: Mapping[str, int] | None
) -> Judgements:
    """Judge predictions that stand in the order of their encounters."""
    judged = judge_codes(
        [e.encounter_id for e in encounters],
        [e.code_set for e in encounters],
        ([(s.code, s.probability, s.assigned) for s in c.codes] for c in coded),
        label_space=() if train_counts is None else sorted(train_counts),
    )
    return replace(judged, failed=frozenset(c.encounter_id for c in coded if c.failed))


def judge_file(
    path: str | Path,
    encounters: Corpus | Sequence[Encounter],
    *,
    train_counts: Mapping[str, int] | None = None,
    is_known: IsKnown | None = None,
    others: Iterable[str] = (),
) -> Judgements:
    """Judge a predictions file line by line, without holding its lines: figures need no evidence.

    Args:
        path: the file.
        encounters: those to judge, all coded by people.
        train_counts: code -> number of training encounters that carry it: the label space.
        is_known: whether a code that is neither gold nor in ``train_counts`` may be predicted; any may by default.
        others: ids of encounters that the file may hold beside those to judge; their lines are passed over.

    Raises:
        CorpusError: there is no encounter, or one has no gold standard.
        PredictionsError: a line breaks the format; an encounter is unknown, comes twice, or has no line; a code is
            unknown. Names file, line and id.
    """
    checked = checked_encounters(encounters)
    row_of = {encounter.encounter_id: row for row, encounter in enumerate(checked)}
    columns = _Columns(checked, train_counts or {}, is_known, str(path))
    passed_over = frozenset(others)
    found = dict[int, tuple[np.ndarray, ScoredLine]]()
    for scored in iter_scores(path):
        row = row_of.get(scored.encounter_id)
        if row is not None:
            found[row] = columns.of(scored), scored
        elif scored.encounter_id not in passed_over:
            raise _unknown_encounter(scored.encounter_id, path, scored.line)
    _check_complete(checked, {checked[row].encounter_id for row in found}, path)
    ordered = [found[row] for row in range(len(checked))]
    sizes = [len(numbers) for numbers, _ in ordered]
    gold = [(row, columns.index[code]) for row, e in enumerate(checked) for code in e.code_set]
    pairs = np.array(gold, dtype=np.int64).reshape(-1, 2)
    judged = judge(
        tuple(row_of),
        tuple(columns.index),
        candidates=(np.repeat(np.arange(len(checked)), sizes), np.concatenate([numbers for numbers, _ in ordered])),
        score=np.concatenate([scored.probabilities for _, scored in ordered]),
        assigned=np.concatenate([scored.assigned for _, scored in ordered]),
        gold=(pairs[:, 0], pairs[:, 1]),
    )
    return replace(judged, failed=frozenset(scored.encounter_id for _, scored in ordered if scored.failed))


class _Columns:
    """The column of each code; a code that comes up first in the file must be known."""

    def __init__(
        self, encounters: Sequence[Encounter], train_counts: Mapping[str, int], is_known: IsKnown | None, path: str
    ) -> None:
        gold = sorted({code for encounter in encounters for code in encounter.code_set})
        self.index = {code: i for i, code in enumerate(dict.fromkeys([*sorted(train_counts), *gold]))}
        self._is_known, self._path = is_known, path

    def of(self, scored: ScoredLine) -> np.ndarray:
        index = self.index
        try:
            return np.array([index[code] for code in scored.codes], dtype=np.int64)
        except KeyError:
            return np.array([self._column(code, scored) for code in scored.codes], dtype=np.int64)

    def _column(self, code: str, scored: ScoredLine) -> int:
        if code not in self.index and self._is_known is not None and not self._is_known(code):
            near = get_close_matches(code.upper(), list(self.index), n=1)
            hint = f"did you mean {near[0]!r}?" if near else "write codes as the corpus does, with dots"
            raise PredictionsError(
                f"unknown code {printable(code)}: no label of the corpus and in no table of its code systems; {hint}",
                path=self._path,
                line=scored.line,
                record_id=scored.encounter_id,
            )
        return self.index.setdefault(code, len(self.index))


def checked_encounters(corpus: Corpus | Sequence[Encounter]) -> tuple[Encounter, ...]:
    """The encounters, at least one, all of them coded by people.

    Raises:
        CorpusError: there is none, or one has no gold standard.
    """
    encounters = tuple(corpus)
    if not encounters:
        raise CorpusError("nothing to evaluate: there is no encounter; choose a split that has some")
    unlabelled = [e.encounter_id for e in encounters if e.codes is None]
    if unlabelled:
        raise CorpusError(
            f"no gold codes to evaluate against ({len(unlabelled)} of {len(encounters)} encounters have none); "
            "choose a split that people have coded",
            record_id=unlabelled[0],
        )
    return encounters


def aligned(
    encounters: Sequence[Encounter],
    predictions: Predictions | Iterable[CodedEncounter],
    *,
    others: Iterable[str] = (),
) -> tuple[CodedEncounter, ...]:
    """One coded encounter for each encounter, in their order.

    Args:
        encounters: those to judge.
        predictions: in any order.
        others: ids of encounters that there may be predictions for beside; they are passed over.

    Raises:
        PredictionsError: an encounter lacks a prediction, has two, or is unknown; a list of candidates is broken.
    """
    path = predictions.path if isinstance(predictions, Predictions) else None
    wanted, passed_over = {e.encounter_id for e in encounters}, frozenset(others)
    by_id: dict[str, CodedEncounter] = {}
    for coded, line in _with_lines(predictions):
        if coded.encounter_id in passed_over and coded.encounter_id not in wanted:
            continue
        if coded.encounter_id not in wanted:
            raise _unknown_encounter(coded.encounter_id, path, line)
        if coded.encounter_id in by_id:
            raise PredictionsError("duplicate id; keep one", path=path, line=line, record_id=coded.encounter_id)
        check_coded(coded, path=path, line=line)
        by_id[coded.encounter_id] = coded
    _check_complete(encounters, by_id, path)
    return tuple(by_id[e.encounter_id] for e in encounters)


def _with_lines(predictions: Predictions | Iterable[CodedEncounter]) -> Iterator[tuple[CodedEncounter, int | None]]:
    for index, coded in enumerate(predictions):
        yield coded, predictions.line_of(index) if isinstance(predictions, Predictions) else None


def _unknown_encounter(encounter_id: str, path: str | Path | None, line: int | None) -> PredictionsError:
    problem = "no such encounter in the split evaluated; evaluate the split that was coded"
    return PredictionsError(problem, path=path, line=line, record_id=encounter_id)


def _check_complete(encounters: Sequence[Encounter], found: Iterable[str], path: str | Path | None) -> None:
    have = set(found)
    missing = [e.encounter_id for e in encounters if e.encounter_id not in have]
    if missing:
        raise PredictionsError(
            f"no predictions for {len(missing)} of {len(encounters)} encounters, this one first; "
            "code the whole split (an encounter without candidates is a line with an empty list)",
            path=path,
            record_id=missing[0],
        )
