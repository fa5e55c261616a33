"""The ordered set of codes that a coder can assign: one column a code, with its training count."""

from __future__ import annotations

import hashlib
import json
import os
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING

from nosology.codes.formats import printable
from nosology.errors import CodeError, ModelError
from nosology.types import Corpus

if TYPE_CHECKING:  # numpy is imported where it is used: `nosology codes` starts without it
    import numpy as np
    import numpy.typing as npt

_FORMAT = 1


@dataclass(frozen=True, slots=True)
class Label:
    """One column: a code, its system, and how many training encounters carry it."""

    code: str
    system: str
    count: int = 0


@dataclass(frozen=True, slots=True)
class LabelSpace:
    """Labels in a fixed order. Most frequent first when built from a corpus.

    Args:
        labels: no code twice, not even in two systems.

    Raises:
        CodeError: a code stands twice, or in two systems.
    """

    labels: tuple[Label, ...]
    _positions: dict[str, int] = field(init=False, repr=False, compare=False)

    def __post_init__(self) -> None:
        positions: dict[str, int] = {}
        for position, label in enumerate(self.labels):
            first = positions.setdefault(label.code, position)
            if first != position:
                raise _duplicate(self.labels[first], label)
        object.__setattr__(self, "_positions", positions)

    @classmethod
    def from_corpus(cls, corpus: Corpus) -> LabelSpace:
        """The codes of a corpus, by falling count, then by code; encounters without codes count nothing."""
        counts: Counter[tuple[str, str]] = Counter()
        for encounter in corpus:
            counts.update({(gold.code, gold.system) for gold in encounter.codes or ()})
        ordered = sorted(counts.items(), key=lambda item: (-item[1], item[0]))
        return cls(tuple(Label(code, system, count) for (code, system), count in ordered))

    @classmethod
    def from_codes(cls, codes: Sequence[str], system: str) -> LabelSpace:
        """Codes of one system in the given order, with count 0."""
        return cls(tuple(Label(code, system) for code in codes))

    def __len__(self) -> int:
        return len(self.labels)

    def __iter__(self) -> Iterator[Label]:
        return iter(self.labels)

    def __contains__(self, code: object) -> bool:
        return code in self._positions

    @property
    def codes(self) -> tuple[str, ...]:
        return tuple(label.code for label in self.labels)

    @property
    def counts(self) -> npt.NDArray[np.int64]:
        """Training counts, one a column."""
        import numpy as np

        return np.array([label.count for label in self.labels], dtype=np.int64)

    def index(self, code: str) -> int:
        """The column of a code; raises ``CodeError`` if it has none."""
        try:
            return self._positions[code]
        except KeyError:
            raise CodeError(f"the label space of {len(self)} codes has no {printable(code)}") from None

    def code(self, index: int) -> str:
        """The code of a column, counted from 0."""
        if not 0 <= index < len(self.labels):
            raise CodeError(f"label index {index} is outside 0..{len(self) - 1}")
        return self.labels[index].code

    def fingerprint(self) -> str:
        """A hash of codes, systems and order: equal where columns mean the same (counts may differ)."""
        columns = "\n".join(f"{label.system}\t{label.code}" for label in self.labels)
        return hashlib.sha256(columns.encode()).hexdigest()[:16]

    def save(self, path: str | Path) -> None:
        """Write as JSON; a reader never sees half a file."""
        rows = [[label.code, label.system, label.count] for label in self.labels]
        content = {"format": _FORMAT, "fingerprint": self.fingerprint(), "labels": rows}
        target = Path(path)
        temporary = target.with_name(f"{target.name}.{os.getpid()}.tmp")
        temporary.write_text(json.dumps(content, ensure_ascii=False, indent=0) + "\n", encoding="utf-8")
        os.replace(temporary, target)

    @classmethod
    def load(cls, path: str | Path) -> LabelSpace:
        """Read what ``save`` wrote; raises ``ModelError`` where the file is missing, broken or was changed."""
        try:
            content = json.loads(Path(path).read_text(encoding="utf-8"))
            if content["format"] != _FORMAT:
                raise ModelError(f"label space of format {content['format']}, expected {_FORMAT}", path=path)
            labels = tuple(Label(str(code), str(system), int(count)) for code, system, count in content["labels"])
            stored = content["fingerprint"]
        except OSError as error:
            raise ModelError(f"cannot read the label space: {error.strerror}", path=path) from None
        except (ValueError, KeyError, TypeError):
            raise ModelError(
                "not a label space (broken JSON or missing keys); save the model again", path=path
            ) from None
        space = cls(labels)
        if space.fingerprint() != stored:
            raise ModelError("the label space does not match its fingerprint: the file was changed", path=path)
        return space


def _duplicate(first: Label, second: Label) -> CodeError:
    if first.system == second.system:
        return CodeError(f"{printable(first.code)} ({first.system}) stands twice in the label space")
    return CodeError(
        f"{printable(first.code)} is in two code systems ({first.system}, {second.system}); code them as separate tasks"
    )
