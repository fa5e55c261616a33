"""Where candidates come from: each source reads an encounter and gives codes with numbers about them.

A source learns from training encounters and is then fixed. Cross-fitting calls ``fit`` once for every fold with the
encounters of the other folds, so a training note never meets what was learnt from itself, whatever a source counts.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from itertools import chain
from typing import Any, NamedTuple, Protocol

import numpy as np
from numpy.typing import NDArray

from nosology.knowledge.base import Source
from nosology.knowledge.stream import TokenStream
from nosology.types import GoldCode

Arrays = dict[str, NDArray[Any]]
"""Arrays by name, of any type that npz files hold without pickle."""


class Mention(NamedTuple):
    """Words of a stream that speak for a code, how strongly, and which expression was found in them.

    Args:
        words: word indices, rising; not all words from the first to the last need be among them.
        strength: orders the mentions of one code, the strongest first; it is no probability.
        expression: what was looked for, in normalised words.
    """

    words: tuple[int, ...]
    strength: float
    expression: str

    def __repr__(self) -> str:
        return f"Mention(words={self.words}, strength={self.strength:.3g})"  # the expression is note text


@dataclass(frozen=True, slots=True)
class TrainingExample:
    """A coded encounter, ready for a source to learn from.

    Args:
        stream: its words.
        codes: its gold codes, with evidence where people marked it.
        group_id: the patient or article that cross-fitting never parts.
    """

    stream: TokenStream
    codes: tuple[GoldCode, ...]
    group_id: str = ""

    @property
    def code_set(self) -> frozenset[str]:
        return frozenset(gold.code for gold in self.codes)


@dataclass(frozen=True, slots=True)
class TrainingSet:
    """Examples to fit on, and a place for what depends on their texts alone.

    Args:
        examples: the coded encounters.
        shared: label-free preparations (features, n-grams), kept between the fits of a cross-fitting. Nothing that
            was learnt from codes or evidence may go in here.
    """

    examples: tuple[TrainingExample, ...]
    shared: dict[str, object] = field(default_factory=dict[str, object])

    def part(self, indices: Sequence[int] | NDArray[np.int64]) -> TrainingSet:
        """Some of the examples, with the same shared preparations."""
        return TrainingSet(tuple(self.examples[int(index)] for index in indices), self.shared)


@dataclass(frozen=True, slots=True)
class SourceOutput:
    """What a source says of one encounter.

    Args:
        codes: its candidates, no code twice.
        features: float32 ``[candidate, feature]``, in the order of the source's ``feature_names``.
        mentions: by code, where a source can point at words.
    """

    codes: list[str]
    features: NDArray[np.float32]
    mentions: Mapping[str, Sequence[Mention]]


def join(outputs: Sequence[SourceOutput]) -> SourceOutput:
    """All candidates of several outputs, their features side by side; zeros where an output does not know one."""
    codes = list(dict.fromkeys(chain.from_iterable(output.codes for output in outputs)))
    row_of = {code: row for row, code in enumerate(codes)}
    features = np.zeros((len(codes), sum(output.features.shape[1] for output in outputs)), dtype=np.float32)
    mentions = dict[str, Sequence[Mention]]()
    first = 0
    for output in outputs:
        width = output.features.shape[1]
        rows = np.array(list(map(row_of.__getitem__, output.codes)), dtype=np.intp)
        features[rows, first : first + width] = output.features
        first += width
        for code, found in output.mentions.items():
            known = mentions.get(code)
            mentions[code] = [*known, *found] if known else found
    return SourceOutput(codes, features, mentions)


class CandidateSource(Protocol):
    """A fitted source."""

    @property
    def feature_names(self) -> tuple[str, ...]:
        """One name a column of ``SourceOutput.features``; a candidate of other sources only has 0 in all of them."""
        ...

    @property
    def labels(self) -> Sequence[str]:
        """Every code that it can give."""
        ...

    def candidates(self, stream: TokenStream) -> SourceOutput:
        """The candidates of an encounter."""
        ...

    def mined(self) -> Iterable[tuple[str, str, Source]]:
        """(words, code, kind) of the expressions that it learnt, for the knowledge base."""
        ...


class ArraySource(CandidateSource, Protocol):
    """A source that is arrays and strings. Its class also has ``fit(training, ...)`` and ``from_state(*state)``."""

    def state(self) -> tuple[Arrays, dict[str, list[str]]]:
        """Everything it needs at prediction time, as plain arrays and lists of strings (saved as npz and JSON)."""
        ...
