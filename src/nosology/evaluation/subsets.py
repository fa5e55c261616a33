"""Parts of an evaluation: some of the codes, or some of the encounters, under a stable name.

A subset's name goes before its figures: ``band.1-10.micro.f1``, ``chapter.I00-I99.map``, ``length.q1.p@5``,
``service.cardiology.micro.f1``. On a part of the codes, ranks are counted among those codes alone and every encounter
stays; figures that need gold codes run over the encounters that have one in the part.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from nosology.codes.formats import SYSTEMS, has_code_shape
from nosology.codes.frequency import FrequencyBands
from nosology.codes.systems import CodeSystem
from nosology.errors import ConfigError
from nosology.evaluation.judgements import Bools, Judgements
from nosology.types import Encounter

UNKNOWN = "unknown"
"""The part of codes that no table knows, and of encounters that lack a column's value."""


@dataclass(frozen=True, slots=True)
class Subset:
    """Some of the codes, some of the encounters, or both.

    Args:
        by: what the data are parted by ("band", "chapter", "length", a metadata column).
        value: which part ("1-10").
        codes: its codes; ``None`` for all.
        encounters: the ids of its encounters; ``None`` for all.
        title: for people.
    """

    by: str
    value: str
    codes: frozenset[str] | None = None
    encounters: frozenset[str] | None = None
    title: str = ""

    @property
    def name(self) -> str:
        return f"{self.by}.{self.value}"

    def masks(self, judged: Judgements) -> tuple[Bools, Bools]:
        """Which encounters and which labels belong to it."""
        return _mask(judged.encounter_ids, self.encounters), _mask(judged.labels, self.codes)

    def of(self, judged: Judgements) -> Judgements:
        """The judgements of this part."""
        rows, labels = self.masks(judged)
        chosen = judged if labels.all() else judged.restrict(labels)
        return chosen if rows.all() else chosen.select_encounters(rows)


def _mask(names: Sequence[str], chosen: frozenset[str] | None) -> Bools:
    if chosen is None:
        return np.ones(len(names), dtype=np.bool_)
    return np.array([name in chosen for name in names], dtype=np.bool_)


def split_name(figure: str, known: Collection[str]) -> tuple[str, str]:
    """A dotted name as (subset, figure inside it); the subset is empty for figures of the whole.

    Args:
        figure: "band.1-10.micro.f1".
        known: the subsets' names.

    Raises:
        ConfigError: the name begins like a subset's, but none of the known ones.
    """
    prefix = max((name for name in known if figure.startswith(name + ".")), key=len, default="")
    if prefix:
        return prefix, figure[len(prefix) + 1 :]
    by = figure.partition(".")[0]
    of_its_kind = sorted(name for name in known if name.startswith(by + "."))
    if of_its_kind:
        raise ConfigError(f"no subset of figure {figure!r}; there are: {', '.join(of_its_kind)}")
    return "", figure


# --- parts of the codes ---------------------------------------------------------------------------------------------


def band_subsets(codes: Iterable[str], train_counts: Mapping[str, int], bands: FrequencyBands) -> tuple[Subset, ...]:
    """By training frequency, rare bands first; a code that training does not mention has count 0.

    Args:
        codes: every code that is gold, a candidate or in the label space (``Judgements.labels``).
        train_counts: code -> number of training encounters that carry it.
        bands: the bands' edges.
    """
    names = list(codes)
    band_of = bands.bands_of(np.array([train_counts.get(code, 0) for code in names], dtype=np.int64))
    parts: list[set[str]] = [set() for _ in bands.names]
    for code, band in zip(names, band_of.tolist(), strict=True):
        parts[band].add(code)
    return tuple(
        Subset("band", name, frozenset(part), title="never seen" if name == "0" else f"seen {name} times")
        for name, part in zip(bands.names, parts, strict=True)
    )


def systems_of(
    codes: Iterable[str],
    encounters: Iterable[Encounter],
    systems: Sequence[str],
    tables: Mapping[str, CodeSystem] | None = None,
) -> dict[str, str]:
    """The code system of each code: that of the gold code, else the one that has it, else one whose codes look like it.

    Args:
        codes: every code that is gold, a candidate or in the label space.
        encounters: those evaluated; their gold codes name their systems.
        systems: the corpus's; the first that fits is taken, the first of all where none does.
        tables: code system -> its table.
    """
    known = {gold.code: gold.system for encounter in encounters for gold in encounter.codes or ()}
    if len(systems) < 2:
        return {code: known.get(code) or (systems or [UNKNOWN])[0] for code in codes}
    return {code: known.get(code) or _likely_system(code, systems, tables or {}) for code in codes}


def _likely_system(code: str, systems: Sequence[str], tables: Mapping[str, CodeSystem]) -> str:
    holding = (system for system in systems if system in tables and tables[system].get(code) is not None)
    fitting = (system for system in systems if system in SYSTEMS and has_code_shape(code, system))
    return next(holding, None) or next(fitting, None) or systems[0]


def system_subsets(systems: Mapping[str, str]) -> tuple[Subset, ...]:
    """Diagnoses and procedures, or whatever code systems there are.

    Args:
        systems: code -> system, see ``systems_of``.
    """
    return _grouped("system", {code: (system, system) for code, system in systems.items()})


def level_subsets(systems: Mapping[str, str], tables: Mapping[str, CodeSystem], level: str) -> tuple[Subset, ...]:
    """By chapter or block of the code's own system.

    Args:
        systems: code -> system.
        tables: system -> its table; codes of other systems are unknown.
        level: "chapter" or "block".
    """
    found = dict[str, tuple[str, str]]()
    for code, system in systems.items():
        found[code] = _heading(tables[system], code, level) if system in tables else (UNKNOWN, "")
    return _grouped(level, found)


def _heading(table: CodeSystem, code: str, level: str) -> tuple[str, str]:
    """The (range, title) of the chapter or block that a code stands in.

    A table of one's own has no such kinds: there the chapter is what stands at the top, the block what stands below it.
    """
    nearest = table.nearest(code)
    if nearest is None:
        return UNKNOWN, ""
    line = [table.require(name) for name in reversed(table.ancestors(nearest.code))] + [nearest]
    named = [entry for entry in line if entry.kind == level]
    own = [] if line[0].kind == "chapter" else line[slice(*((0, 1) if level == "chapter" else (1, 2)))]
    found = (named or own or [None])[0]
    return (UNKNOWN, "") if found is None else (found.code, found.description)


def _grouped(by: str, found: Mapping[str, tuple[str, str]]) -> tuple[Subset, ...]:
    parts = dict[tuple[str, str], set[str]]()
    for code, group in found.items():
        parts.setdefault(group, set()).add(code)
    ordered = sorted(parts.items(), key=lambda item: (item[0][0] == UNKNOWN, item[0]))
    return tuple(Subset(by, value, frozenset(part), title=title) for (value, title), part in ordered)


# --- parts of the encounters ----------------------------------------------------------------------------------------


def length_subsets(encounters: Sequence[Encounter], n_bins: int = 4) -> tuple[Subset, ...]:
    """By number of words (runs without white space) of all notes of an encounter, in bins of as many encounters each.

    A bin's edges are quantiles; encounters on an edge belong to the lower bin, and bins that would be empty are left
    out. The title states the edges.

    Args:
        encounters: those evaluated.
        n_bins: 4 for quartiles.
    """
    words = np.array([sum(len(note.text.split()) for note in e.notes) for e in encounters], dtype=np.int64)
    edges = np.quantile(words, np.arange(1, n_bins) / n_bins) if len(words) else np.zeros(0)
    bin_of = np.searchsorted(edges, words, side="left")
    found = list[Subset]()
    for index in range(n_bins):
        chosen = bin_of == index
        if chosen.any():
            ids = frozenset(e.encounter_id for e, inside in zip(encounters, chosen.tolist(), strict=True) if inside)
            title = f"{words[chosen].min():,} to {words[chosen].max():,} words"
            found.append(Subset("length", f"q{index + 1}", encounters=ids, title=title))
    return tuple(found)


def metadata_subsets(encounters: Sequence[Encounter], column: str) -> tuple[Subset, ...]:
    """By the values of a column of ``Encounter.metadata``; encounters without a value are ``unknown``.

    Args:
        encounters: those evaluated.
        column: its name.

    Raises:
        ConfigError: no encounter has the column.
    """
    known = sorted({name for encounter in encounters for name in encounter.metadata})
    if column not in known:
        raise ConfigError(
            f"cannot part encounters by {column!r}: this corpus has {', '.join(known) or 'no metadata columns'}; "
            "besides there are band, chapter, block, system and length"
        )
    parts = dict[str, set[str]]()
    for encounter in encounters:
        parts.setdefault(encounter.metadata.get(column) or UNKNOWN, set()).add(encounter.encounter_id)
    ordered = sorted(parts.items(), key=lambda item: (item[0] == UNKNOWN, item[0]))
    return tuple(Subset(column, value, encounters=frozenset(ids), title=value) for value, ids in ordered)
