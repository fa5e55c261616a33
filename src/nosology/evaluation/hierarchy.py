"""Credit for near misses: figures over codes and their ancestors, and where wrong codes leave the right path.

Hierarchical precision, recall and F1: both the assigned and the gold codes of an encounter are augmented with all their
ancestors in the code tables (category, block, chapter; the root, which every code shares, is left out), and pairs
(encounter, node) are counted as usual: hP = sum |A' and G'| / sum |A'|, hR = sum |A' and G'| / sum |G'|.

Reference: Kiritchenko, Matwin, Nock & Famili, 2006, Canadian AI, section 3 (doi:10.1007/11766247_34).
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from nosology.codes.entries import CodeEntry
from nosology.codes.systems import CodeSystem
from nosology.evaluation.judgements import Bools, Ints, Judgements
from nosology.evaluation.metrics import Counts, Scores, micro

MORE_GENERAL, MORE_SPECIFIC, ELSEWHERE, NO_GOLD = "more general", "more specific", "elsewhere", "no gold code"
LEVELS = (MORE_GENERAL, MORE_SPECIFIC, "stem", "category", "block", "chapter", ELSEWHERE, NO_GOLD)
"""Where wrong codes stand, from near to far; see ``Divergence``."""

_CHUNK = 50_000  # wrong codes whose gold neighbours are looked at together
_MOST = 200  # confused pairs that are kept


@dataclass(frozen=True, slots=True)
class Divergence:
    """How many wrong codes part from the nearest gold code of their encounter at one level.

    Args:
        level: the lowest node that the two share: "stem" (below the category), "category", "block", "chapter", or
            "elsewhere" if they share none; "more general" if the wrong code stands above a gold code, "more specific"
            if below one; "no gold code" if the encounter has none.
        wrong: assigned pairs that are not gold.
        share: of all of them.
    """

    level: str
    wrong: int
    share: float


@dataclass(frozen=True, slots=True)
class Confusion:
    """A code assigned where its sibling was gold and missed: a code below the same parent, inside one category.

    Args:
        gold: the code missed.
        assigned: the code assigned instead.
        encounters: in how many.
        gold_title: its title, empty if no table has it.
        assigned_title: likewise.
    """

    gold: str
    assigned: str
    encounters: int
    gold_title: str
    assigned_title: str


@dataclass(frozen=True, slots=True)
class HierarchyScores:
    """What ``score_hierarchy`` measures.

    Args:
        scores: hierarchical precision, recall and F1, pooled over pairs of encounters and nodes.
        divergences: of wrong codes, from near to far; they sum to all wrong codes.
        confusions: the commonest pairs of siblings.
        codes_without_table: gold or assigned codes that no table knows; each is a tree of its own.
    """

    scores: Scores
    divergences: tuple[Divergence, ...]
    confusions: tuple[Confusion, ...]
    codes_without_table: int

    def figures(self) -> dict[str, float]:
        """The scores under their dotted names."""
        scores = self.scores
        named = {"precision": scores.precision, "recall": scores.recall, "f1": scores.f1}
        shares = {f"hierarchy.wrong.{d.level.replace(' ', '_')}": d.share for d in self.divergences}
        return {f"hierarchy.{name}": value for name, value in named.items()} | shares


def score_hierarchy(
    judged: Judgements, systems: Mapping[str, str], tables: Mapping[str, CodeSystem]
) -> HierarchyScores:
    """Score assigned codes in their tables' trees.

    Args:
        judged: candidates judged against gold.
        systems: code -> code system.
        tables: code system -> its table; a code of another system has no ancestors.
    """
    tree = _Tree.of(judged, systems, tables)
    wrong = judged.assigned & ~judged.is_gold
    return HierarchyScores(
        scores=_augmented(judged, tree),
        divergences=_divergences(judged, tree, wrong),
        confusions=_confusions(judged, tree, wrong),
        codes_without_table=tree.unknown,
    )


@dataclass(frozen=True, slots=True, eq=False)
class _Tree:
    """The path of each label from the top down to itself, as node numbers padded with -1; ``[label, depth]``."""

    paths: Ints
    depths: Ints
    kinds: tuple[str, ...]
    titles: Mapping[str, str]
    unknown: int

    @classmethod
    def of(cls, judged: Judgements, systems: Mapping[str, str], tables: Mapping[str, CodeSystem]) -> _Tree:
        used = np.flatnonzero(judged.gold_per_label() + judged.assigned_per_label())
        builder = _Builder(tables)
        paths = {int(label): builder.path(judged.labels[label], systems[judged.labels[label]]) for label in used}
        width = max((len(path) for path in paths.values()), default=1)
        matrix = np.full((judged.n_labels, width), -1, dtype=np.int64)
        for label, path in paths.items():
            matrix[label, : len(path)] = path
        return cls(matrix, (matrix >= 0).sum(axis=1), tuple(builder.kinds), builder.titles, builder.unknown)


class _Builder:
    """Numbers the nodes as they come up."""

    def __init__(self, tables: Mapping[str, CodeSystem]) -> None:
        self._tables = tables
        self._numbers = dict[tuple[str, str], int]()
        self.kinds = list[str]()
        self.titles = dict[str, str]()
        self.unknown = 0

    def path(self, code: str, system: str) -> list[int]:
        table = self._tables.get(system)
        entry = None if table is None else table.nearest(code)
        if table is None or entry is None:
            self.unknown += 1
            return [self._number(system, code, "code")]
        above = [found for name in reversed(table.ancestors(entry.code)) if (found := table.get(name)) is not None]
        line = [*above, entry]
        kinds = zip(line, _kinds([node.kind for node in line]), strict=True)
        numbers = [self._number(system, node.code, kind) for node, kind in kinds]
        return numbers if entry.code == code else [*numbers, self._leaf(system, code, entry)]

    def _leaf(self, system: str, code: str, nearest: CodeEntry) -> int:
        """A code that no table has, below the longest beginning of it that one has."""
        self.titles.setdefault(code, nearest.description)
        return self._number(system, code, "code")

    def _number(self, system: str, code: str, kind: str) -> int:
        number = self._numbers.setdefault((system, code), len(self.kinds))
        if number == len(self.kinds):
            self.kinds.append(kind)
            if system in self._tables:
                self.titles.setdefault(code, self._tables[system].description(code))
        return number


def _kinds(kinds: list[str]) -> list[str]:
    """The kinds of a line of nodes; in a table of one's own, which has no chapters, told by their depth."""
    own = kinds[0] != "chapter" and len(kinds) > 1
    return ["chapter", "category", *("stem" for _ in kinds[2:])] if own else kinds


def _augmented(judged: Judgements, tree: _Tree) -> Scores:
    assigned = _nodes(judged.encounter[judged.assigned], judged.label[judged.assigned], tree)
    gold = _nodes(judged.gold_encounter, judged.gold_label, tree)
    both = len(np.intersect1d(assigned, gold, assume_unique=True))
    return micro(Counts(*(np.array([count]) for count in (both, len(assigned) - both, len(gold) - both))))


def _nodes(encounter: Ints, label: Ints, tree: _Tree) -> Ints:
    """The distinct (encounter, node) pairs of codes and their ancestors, as keys."""
    paths = tree.paths[label]
    keys = encounter[:, None] * max(len(tree.kinds), 1) + paths
    return np.unique(keys[paths >= 0])


# --- where wrong codes diverge --------------------------------------------------------------------------------------


def _divergences(judged: Judgements, tree: _Tree, wrong: Bools) -> tuple[Divergence, ...]:
    found: dict[str, int] = dict.fromkeys(LEVELS, 0)
    encounter, label = judged.encounter[wrong], judged.label[wrong]
    for start in range(0, len(label), _CHUNK):
        for level in _levels(judged, tree, encounter[start : start + _CHUNK], label[start : start + _CHUNK]):
            found[level] += 1
    total = max(len(label), 1)
    return tuple(Divergence(level, count, count / total) for level, count in found.items())


def _levels(judged: Judgements, tree: _Tree, encounter: Ints, label: Ints) -> Iterator[str]:
    first = np.searchsorted(judged.gold_encounter, encounter, "left")
    n_gold = np.searchsorted(judged.gold_encounter, encounter, "right") - first
    which, gold = _expand(first, n_gold)
    gold_label = judged.gold_label[gold]
    common = _common_depth(tree, label[which], gold_label)
    best = np.zeros(len(label), dtype=np.int64)
    np.maximum.at(best, which, common)
    at_best = common == best[which]
    specific = np.zeros(len(label), dtype=np.bool_)
    specific[which[at_best & (tree.depths[gold_label] == common)]] = True
    rows = zip(label.tolist(), best.tolist(), specific.tolist(), n_gold.tolist(), strict=True)
    for code, depth, below_gold, neighbours in rows:
        yield _level(tree, code, depth, below_gold) if neighbours else NO_GOLD


def _level(tree: _Tree, label: int, common: int, below_gold: bool) -> str:
    if common == 0:
        return ELSEWHERE
    if common == tree.depths[label]:
        return MORE_GENERAL
    if below_gold:
        return MORE_SPECIFIC
    kind = tree.kinds[tree.paths[label, common - 1]]
    return kind if kind in LEVELS else "stem"


def _common_depth(tree: _Tree, a: Ints, b: Ints) -> Ints:
    """How many nodes two paths share from the top."""
    same = (tree.paths[a] == tree.paths[b]) & (tree.paths[a] >= 0)
    return np.cumprod(same, axis=1).sum(axis=1).astype(np.int64)


def _expand(first: NDArray[np.integer], counts: NDArray[np.integer]) -> tuple[Ints, Ints]:
    """For ranges given by first index and length: the range each member is of, and the members."""
    which = np.repeat(np.arange(len(counts)), counts)
    ends = np.cumsum(counts)
    members = np.arange(ends[-1] if len(ends) else 0) - np.repeat(ends - counts, counts) + np.repeat(first, counts)
    return which.astype(np.int64), members.astype(np.int64)


# --- siblings that are confused -------------------------------------------------------------------------------------


def _confusions(judged: Judgements, tree: _Tree, wrong: Bools) -> tuple[Confusion, ...]:
    missed = _missed(judged)
    assigned, assigned_key = _with_parent(tree, judged.encounter[wrong], judged.label[wrong])
    gold, gold_key = _with_parent(tree, judged.gold_encounter[missed], judged.gold_label[missed])
    order = np.argsort(gold_key, kind="stable")
    gold, gold_key = gold[order], gold_key[order]
    first = np.searchsorted(gold_key, assigned_key, "left")
    which, members = _expand(first, np.searchsorted(gold_key, assigned_key, "right") - first)
    pairs, counts = np.unique(gold[members] * judged.n_labels + assigned[which], return_counts=True)
    chosen = np.lexsort((pairs, -counts))[:_MOST]
    return tuple(
        _confusion(judged, tree, divmod(pair, judged.n_labels), count)
        for pair, count in zip(pairs[chosen].tolist(), counts[chosen].tolist(), strict=True)
    )


def _confusion(judged: Judgements, tree: _Tree, pair: tuple[int, int], encounters: int) -> Confusion:
    gold, assigned = (judged.labels[label] for label in pair)
    return Confusion(gold, assigned, encounters, tree.titles.get(gold, ""), tree.titles.get(assigned, ""))


def _missed(judged: Judgements) -> Bools:
    """Which gold pairs are not assigned."""
    width = max(judged.n_labels, 1)
    hit = judged.assigned & judged.is_gold
    found = judged.encounter[hit] * width + judged.label[hit]
    return ~np.isin(judged.gold_encounter * width + judged.gold_label, found)


def _with_parent(tree: _Tree, encounter: Ints, label: Ints) -> tuple[Ints, Ints]:
    """Labels that have a parent inside a category, and keys that agree where encounter and parent do."""
    headings = np.array([kind in ("chapter", "block") for kind in tree.kinds], dtype=np.bool_)
    parents = tree.paths[label, tree.depths[label] - 2]
    below = (tree.depths[label] > 1) & ~headings[parents]
    encounter, label = encounter[below], label[below]
    parent = tree.paths[label, tree.depths[label] - 2]
    return label, encounter * max(len(tree.kinds), 1) + parent
