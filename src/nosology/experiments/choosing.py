"""One of several settings for each arm, chosen within the training split: the same budget for every method."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from hashlib import blake2b
from pathlib import Path

from nosology.evaluation import evaluate_judged, judge_predictions
from nosology.experiments.declaration import Arm
from nosology.experiments.grid import Row, run_grid
from nosology.experiments.overrides import override
from nosology.experiments.runs import Material, Progress
from nosology.types import Corpus, Encounter

_PARTS = 5
"""Every fifth group of the training split, drawn by its name, judges the choices."""
_MOST = 2500
"""Encounters that choices are tried on, both parts together: a large split is sampled, by the groups' names."""
_FIGURE = "micro.f1"

Chosen = Mapping[str, Mapping[str, object]]
"""What was chosen, by the arm's name."""


def choose_settings(
    arms: Sequence[Arm],
    rows: Sequence[Row],
    seed: int,
    *,
    work: Path,
    progress: Progress,
    tell: Callable[[str], None],
) -> tuple[list[Row], dict[str, Mapping[str, object]]]:
    """Try the choices of every arm that has some on a part of the training split that is held out from them.

    The part that is scored in the end is never looked at. Trials are runs like any others, and kept as such.

    Args:
        arms: of an experiment.
        rows: theirs, without any choice made.
        seed: of the trials.
        work: the folder that keeps finished runs.
        progress, tell: as for ``run_grid``.

    Returns:
        The rows with the choices of the highest micro-F1, the first of equals, and these choices.

    Raises:
        ConfigError: a choice is wrong, or ``work`` cannot be written.
    """
    inner = dict[str, Material]()
    trials = dict[str, list[Row]]()
    for arm, row in zip(arms, rows, strict=True):
        if arm.choices:
            material = inner.setdefault(row.material.digest, _within(row.material.train))
            trials[arm.name] = [
                Row(f"{row.name}-choice{number}", override(row.recipe, choice, f"arm {arm.method!r}"), material)
                for number, choice in enumerate(arm.choices)
            ]
    flat = [trial for found in trials.values() for trial in found]
    figures = _figures(flat, seed, work=work, progress=progress, tell=tell)
    settled, chosen = list[Row](), dict[str, Mapping[str, object]]()
    for arm, row in zip(arms, rows, strict=True):
        if arm.choices:
            best = max(range(len(arm.choices)), key=lambda number: figures[trials[arm.name][number].name])
            chosen[arm.name] = arm.choices[best]
            row = replace(row, recipe=trials[arm.name][best].recipe)
        settled.append(row)
    return settled, chosen


def _figures(
    rows: Sequence[Row], seed: int, *, work: Path, progress: Progress, tell: Callable[[str], None]
) -> dict[str, float]:
    runs = run_grid(rows, [seed], work=work, progress=progress, tell=tell) if rows else {}
    found = dict[str, float]()
    for row in rows:
        judged = judge_predictions(row.material.scored, runs[row.name][0].predictions())
        found[row.name] = evaluate_judged(judged, row.material.scored, intervals=False).figures()[_FIGURE]
    return found


def _within(train: Corpus) -> Material:
    """Learn from four fifths of the groups, judge on the rest; of a large split, both from a sample."""
    drawn = [(_lot(encounter), encounter) for encounter in train]
    share = min(1.0, _MOST / max(1, len(drawn)))
    kept = [(lot, encounter) for lot, encounter in drawn if (lot >> 8) / (1 << 56) < share]
    parts = [[one for lot, one in kept if ((lot & 255) % _PARTS == 0) is wanted] for wanted in (False, True)]
    return Material(*(train.with_encounters(part) for part in parts))


def _lot(encounter: Encounter) -> int:
    """64 bits from the group's name: the lowest 8 say which part it is in, the others whether it is in the sample."""
    name = encounter.group_id or encounter.encounter_id
    digest = blake2b(name.encode("utf-8", "surrogatepass"), digest_size=8).digest()
    return int.from_bytes(digest[1:] + digest[:1], "big")
