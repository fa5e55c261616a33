"""Codes that no table of their system has: kept as labels, counted, never dropped."""

from __future__ import annotations

from collections import Counter
from collections.abc import Container, Mapping
from dataclasses import replace

from nosology.codes import SYSTEMS, open_code_system
from nosology.types import Corpus


def with_unknown_codes(corpus: Corpus, systems: Mapping[str, Container[str]] | None = None) -> Corpus:
    """The corpus with ``unknown_codes`` filled in.

    Args:
        corpus: any corpus; its encounters and codes stay as they are.
        systems: code systems by name, for systems of your own or a chosen release; the others are opened. A system of
            your own that is not given has no table, so none of its codes counts as unknown.

    Returns:
        The corpus, its unknown codes most frequent first with the number of encounters each.

    Raises:
        CodeError: a table cannot be built.
    """
    counts = Counter((gold.system, gold.code) for encounter in corpus for gold in encounter.codes or ())
    tables = {name: table for name in {system for system, _ in counts} if (table := _table(name, systems)) is not None}
    unknown: Counter[str] = Counter()
    for (system, code), count in counts.items():
        if system in tables and code not in tables[system]:
            unknown[code] += count
    return replace(corpus, unknown_codes=dict(sorted(unknown.items(), key=_most_frequent_first)))


def _table(name: str, systems: Mapping[str, Container[str]] | None) -> Container[str] | None:
    if systems is not None and name in systems:
        return systems[name]
    return open_code_system(name) if name in SYSTEMS else None


def _most_frequent_first(item: tuple[str, int]) -> tuple[int, str]:
    return -item[1], item[0]
