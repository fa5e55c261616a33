"""The code tables of MIMIC: rows of (admission, position, code), codes formatted, none dropped uncounted."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from numpy.typing import NDArray

from nosology.codes import format_code
from nosology.corpora.preparation.layout import import_compute
from nosology.corpora.preparation.raw_tables import RawTable
from nosology.errors import CodeError, CorpusError

_LAST = np.iinfo(np.int64).max


@dataclass(slots=True)
class Vocabulary:
    """Codes by number, in the order of their first use.

    Args:
        codes: the formatted code of each number.
        systems: its code system.
    """

    codes: list[str] = field(default_factory=list[str])
    systems: list[str] = field(default_factory=list[str])
    _numbers: dict[tuple[str, str], int] = field(default_factory=dict[tuple[str, str], int])

    def __len__(self) -> int:
        return len(self.codes)

    def number(self, code: str, system: str) -> int:
        """The number of a code; a new one if it has none yet."""
        number = self._numbers.setdefault((code, system), len(self.codes))
        if number == len(self.codes):
            self.codes.append(code)
            self.systems.append(system)
        return number


@dataclass(frozen=True, slots=True)
class CodeRows:
    """Rows of one or several code tables.

    Args:
        hadm: the admission of each row; -1 where it is blank.
        position: the row's place among the admission's codes; the largest number where it is blank.
        code: the code's number in the vocabulary; -1 where it is blank.
    """

    hadm: NDArray[np.int64]
    position: NDArray[np.int64]
    code: NDArray[np.int32]

    def __len__(self) -> int:
        return len(self.hadm)

    def where(self, chosen: NDArray[np.bool_]) -> CodeRows:
        """Some of the rows, in order."""
        return CodeRows(self.hadm[chosen], self.position[chosen], self.code[chosen])

    @staticmethod
    def joined(parts: Sequence[CodeRows]) -> CodeRows:
        """One after the other."""
        empty = CodeRows(np.empty(0, np.int64), np.empty(0, np.int64), np.empty(0, np.int32))
        parts = parts or [empty]
        return CodeRows(
            np.concatenate([part.hadm for part in parts]),
            np.concatenate([part.position for part in parts]),
            np.concatenate([part.code for part in parts]),
        )


def read_code_rows(
    table: RawTable,
    columns: Mapping[str, str],
    systems: Mapping[str, str],
    vocabulary: Vocabulary,
    malformed: Counter[str],
) -> CodeRows:
    """Read a code table.

    Args:
        table: with the columns named in ``columns``.
        columns: the names of "hadm", "position", "code" and, in MIMIC-IV, "version".
        systems: the code system of each version ("9", "10"; "" where the table has no versions).
        vocabulary: gets the codes.
        malformed: counts rows whose code does not have the shape of its system.

    Raises:
        CorpusError: like ``RawTable.records``; a number that is none; a version that is neither 9 nor 10.
    """
    parts = list[CodeRows]()
    formatted: dict[str, int] = {}
    for records in table.records():
        position = records.numbers(columns["position"])
        cells = _versioned(records.columns[columns["code"]], records.columns.get(columns.get("version", "")))
        encoded = cells.dictionary_encode()
        words = encoded.dictionary.to_pylist()
        indices = encoded.indices.to_numpy(zero_copy_only=False)
        for place, word in enumerate(words):
            version = word.partition(":")[0].strip()
            if version not in systems:
                line = records.line(int(np.argmax(indices == place)))
                problem = f"{columns['version']} is neither 9 nor 10; restore the release's file"
                raise CorpusError(problem, path=table.path, line=line)
            if word not in formatted:
                formatted[word] = _number(word, systems[version], vocabulary, malformed)
        numbers = np.array([formatted[word] for word in words], dtype=np.int32)
        parts.append(
            CodeRows(records.numbers(columns["hadm"]), np.where(position < 0, _LAST, position), numbers[indices])
        )
    return CodeRows.joined(parts)


def _versioned(codes: Any, versions: Any) -> Any:
    """``version:code``, so that the same letters in two systems stay two codes."""
    compute = import_compute()
    return compute.binary_join_element_wise("" if versions is None else versions, codes, ":")


def _number(word: str, system: str, vocabulary: Vocabulary, malformed: Counter[str]) -> int:
    raw = word.partition(":")[2].strip().upper()
    if not raw:
        return -1
    return vocabulary.number(formatted_code(raw, system, malformed), system)


def formatted_code(raw: str, system: str, malformed: Counter[str]) -> str:
    """The code with its dot; one that has not the shape of its system is kept as it is written, and counted."""
    try:
        return format_code(raw, system)
    except CodeError:
        malformed[raw] += 1
        return raw


def read_known_codes(
    table: RawTable, vocabulary: Vocabulary, systems: Mapping[str, str], code: str, version: str = ""
) -> set[tuple[str, str]]:
    """The codes of a vocabulary that the release's own table of titles lists, as (formatted code, system).

    Args:
        table: D_ICD_DIAGNOSES, D_ICD_PROCEDURES, or their kin of MIMIC-IV.
        vocabulary: the codes that occur.
        systems: the system of each version that is wanted; of "" where the table has no versions.
        code: the column of codes.
        version: the column of versions; empty if there is none.
    """
    occurring = {name.replace(".", "") for name in vocabulary.codes}
    known = set[tuple[str, str]]()
    for records in table.records():
        versions = records.columns[version].to_pylist() if version else [""] * len(records)
        for cell, its_version in zip(records.columns[code].to_pylist(), versions, strict=True):
            raw, system = cell.strip().upper(), systems.get(its_version.strip())
            if system is not None and raw in occurring:
                known.add((formatted_code(raw, system, Counter()), system))
    return known
