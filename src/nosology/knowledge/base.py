"""The knowledge base: which wordings stand for which code, in which language, and where each comes from."""

from __future__ import annotations

import zipfile
import zlib
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from enum import StrEnum
from functools import cached_property
from itertools import chain
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from nosology.errors import ModelError
from nosology.knowledge.string_table import StringTable
from nosology.preprocessing.languages import words_of

FILE_NAME = "knowledge.npz"


class Source(StrEnum):
    """Where an expression comes from."""

    CODE_TABLE = "code table"
    TITLE_VARIANT = "title variant"
    INCLUSION_TERM = "inclusion term"
    TERM_LIST = "term list"
    MINED_EVIDENCE = "mined evidence"
    MINED_ASSOCIATION = "mined association"


_SOURCES = tuple(Source)


@dataclass(frozen=True, slots=True)
class Expression:
    """A wording of a code.

    Args:
        text: as its source writes it.
        code: formatted as its system writes it.
        system: the code system's name.
        source: where it comes from.
        language: ISO 639-1.
    """

    text: str = field(repr=False)  # mined ones are words of notes
    code: str
    system: str
    source: Source
    language: str = "en"


class KnowledgeBase:
    """An immutable collection of expressions; none with the same words, code, system and source is there twice.

    It is kept as arrays, and expressions become objects when asked for. ``phrases`` holds each distinct wording once,
    in normalised words; ``phrase_ids`` leads from an expression to it (and ``with_phrase`` back), so that a matcher
    built on ``phrases`` gives phrase ids.

    Args:
        expressions: in any order; those without a letter or digit are left out.
    """

    def __init__(self, expressions: Iterable[Expression] = ()) -> None:
        kept, phrases = _distinct(expressions)
        phrase_table, self._phrase_ids = _numbered(phrases)
        code_table, self._code_ids = _numbered([expression.code for expression in kept])
        system_table, self._system_ids = _numbered([expression.system for expression in kept])
        language_table, self._language_ids = _numbered([expression.language for expression in kept])
        self._source_ids = np.array([_SOURCES.index(expression.source) for expression in kept], dtype=np.int32)
        self._texts = StringTable.of(expression.text for expression in kept)
        self._phrases = StringTable.of(phrase_table)
        self._codes = StringTable.of(code_table)
        self._systems = tuple(system_table)
        self._languages = tuple(language_table)

    def __len__(self) -> int:
        return len(self._texts)

    def __iter__(self) -> Iterator[Expression]:
        codes = list(self._codes)
        columns = (self._code_ids, self._system_ids, self._source_ids, self._language_ids)
        rows = zip(*(column.tolist() for column in columns), strict=True)
        for text, (code, system, source, language) in zip(self._texts, rows, strict=True):
            yield Expression(text, codes[code], self._systems[system], _SOURCES[source], self._languages[language])

    def __getitem__(self, index: int) -> Expression:
        return Expression(
            self._texts[index],
            self._codes[int(self._code_ids[index])],
            self._systems[self._system_ids[index]],
            _SOURCES[self._source_ids[index]],
            self._languages[self._language_ids[index]],
        )

    @cached_property
    def codes(self) -> tuple[str, ...]:
        """Every code that has an expression, in the order of their first ones."""
        return tuple(self._codes)

    @cached_property
    def _code_numbers(self) -> dict[str, int]:
        return {code: number for number, code in enumerate(self.codes)}

    @property
    def phrases(self) -> StringTable:
        """The distinct wordings, as normalised words joined by single spaces."""
        return self._phrases

    @property
    def phrase_ids(self) -> NDArray[np.int32]:
        """Of each expression: the index of its wording in ``phrases``."""
        return self._phrase_ids

    @cached_property
    def sources(self) -> dict[Source, int]:
        """How many expressions each source gave."""
        counts = np.bincount(self._source_ids, minlength=len(_SOURCES)).tolist()
        return {source: count for source, count in zip(_SOURCES, counts, strict=True) if count}

    def of_code(self, code: str, system: str | None = None) -> tuple[Expression, ...]:
        """The expressions of one code; of one system only where two systems share a code."""
        number = self._code_numbers.get(code, -1)
        found = (self[int(index)] for index in np.flatnonzero(self._code_ids == number))
        return tuple(expression for expression in found if system in (None, expression.system))

    def with_phrase(self, phrase_id: int) -> tuple[Expression, ...]:
        """The expressions that are written in these words, whatever their codes."""
        order, starts = self._by_phrase
        return tuple(self[int(index)] for index in order[starts[phrase_id] : starts[phrase_id + 1]])

    @cached_property
    def _by_phrase(self) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
        order = np.argsort(self._phrase_ids, kind="stable")
        return order, np.searchsorted(self._phrase_ids[order], np.arange(len(self._phrases) + 1))

    def with_expressions(self, *more: Iterable[Expression]) -> KnowledgeBase:
        """This knowledge base and further expressions; what is there already stays as it is."""
        return KnowledgeBase(chain(self, *more))

    def describe(self) -> dict[str, dict[str, int]]:
        """Counts by source, then by language, for a model card."""
        counts = Counter(zip(self._source_ids.tolist(), self._language_ids.tolist(), strict=True))
        table = dict[str, dict[str, int]]()
        for (source, language), count in sorted(counts.items()):
            table.setdefault(str(_SOURCES[source]), {})[self._languages[language]] = count
        return table

    def arrays(self) -> tuple[dict[str, NDArray[np.generic]], dict[str, list[str]]]:
        """Everything as plain arrays and short lists of strings."""
        arrays: dict[str, NDArray[np.generic]] = {
            "code_ids": self._code_ids,
            "phrase_ids": self._phrase_ids,
            "system_ids": self._system_ids.astype(np.uint8),
            "source_ids": self._source_ids.astype(np.uint8),
            "language_ids": self._language_ids.astype(np.uint8),
        }
        for name, table in (("text", self._texts), ("phrase", self._phrases), ("code", self._codes)):
            arrays[f"{name}_bytes"], arrays[f"{name}_ends"] = table.blob, table.ends
        strings = {"systems": list(self._systems), "languages": list(self._languages), "sources": list(_SOURCES)}
        return arrays, {name: [str(value) for value in values] for name, values in strings.items()}

    @classmethod
    def from_arrays(
        cls, arrays: Mapping[str, NDArray[np.generic]], strings: Mapping[str, Sequence[str]]
    ) -> KnowledgeBase:
        """What ``arrays`` described.

        Raises:
            KeyError, ValueError: an array is missing, or they do not fit together.
        """
        base = cls()
        base._texts, base._phrases, base._codes = (_table(arrays, name) for name in ("text", "phrase", "code"))
        base._systems, base._languages = tuple(strings["systems"]), tuple(strings["languages"])
        known = np.array([_SOURCES.index(Source(name)) for name in strings["sources"]], dtype=np.int32)
        count = len(base._texts)
        base._code_ids = _ids(arrays["code_ids"], count, len(base._codes))
        base._phrase_ids = _ids(arrays["phrase_ids"], count, len(base._phrases))
        base._system_ids = _ids(arrays["system_ids"], count, len(base._systems))
        base._language_ids = _ids(arrays["language_ids"], count, len(base._languages))
        base._source_ids = known[_ids(arrays["source_ids"], count, len(known))]
        return base

    def save(self, folder: str | Path) -> None:
        """Write one file, ``knowledge.npz``, into a folder that exists."""
        arrays, strings = self.arrays()
        for name, values in strings.items():
            table = StringTable.of(values)
            arrays[f"{name}_bytes"], arrays[f"{name}_ends"] = table.blob, table.ends
        np.savez_compressed(Path(folder) / FILE_NAME, **arrays)  # pyright: ignore[reportArgumentType]

    @classmethod
    def load(cls, folder: str | Path) -> KnowledgeBase:
        """Read what ``save`` wrote.

        Raises:
            ModelError: the file is missing, truncated or not what ``save`` writes.
        """
        path = Path(folder) / FILE_NAME
        try:
            with np.load(path, allow_pickle=False) as file:
                arrays: dict[str, NDArray[np.generic]] = {name: file[name] for name in file.files}
            strings = {name: list(_table(arrays, name)) for name in ("systems", "languages", "sources")}
            return cls.from_arrays(arrays, strings)
        except FileNotFoundError:
            problem = f"this model has no {FILE_NAME}; train it again"
        except (OSError, EOFError, ValueError, KeyError, IndexError, zipfile.BadZipFile, zlib.error):
            problem = "the knowledge base cannot be read; copy the model again or train it again"
        raise ModelError(problem, path=path)


def _distinct(expressions: Iterable[Expression]) -> tuple[list[Expression], list[str]]:
    """The expressions without repetitions, and each one's normalised words."""
    kept, phrases = list[Expression](), list[str]()
    known = set[tuple[str, str, str, Source]]()
    for expression in expressions:
        phrase = " ".join(words_of(expression.text))
        key = (phrase, expression.code, expression.system, expression.source)
        if phrase and key not in known:
            known.add(key)
            kept.append(expression)
            phrases.append(phrase)
    return kept, phrases


def _numbered(values: list[str]) -> tuple[list[str], NDArray[np.int32]]:
    """The distinct values in their first order, and of each value its number."""
    numbers = dict[str, int]()
    ids = [numbers.setdefault(value, len(numbers)) for value in values]
    return list(numbers), np.array(ids, dtype=np.int32)


def _table(arrays: Mapping[str, NDArray[np.generic]], name: str) -> StringTable:
    return StringTable(
        arrays[f"{name}_bytes"].astype(np.uint8, copy=False), arrays[f"{name}_ends"].astype(np.int64, copy=False)
    )


def _ids(values: NDArray[np.generic], count: int, limit: int) -> NDArray[np.int32]:
    ids = values.astype(np.int32)
    if ids.shape != (count,) or bool(np.any((ids < 0) | (ids >= limit))):
        raise ValueError("the arrays of a knowledge base do not fit together")
    return ids
