"""Where candidates come from: each source reads an encounter and gives codes with numbers about them.

A source learns from training encounters and is then fixed. Cross-fitting calls ``fit`` once for every fold with the
encounters of the other folds, so a training note never meets what was learnt from itself, whatever a source counts.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import NamedTuple, Protocol

import numpy as np
from numpy.typing import NDArray

from nosology.knowledge.stream import TokenStream
from nosology.types import GoldCode

Arrays = dict[str, NDArray[np.generic]]


class Mention(NamedTuple):
    """Words that speak for a code: ``first..last`` (both included) of a stream, how strongly, and what was found there.

    ``strength`` orders the mentions of one code, the strongest first; it is no probability.
    """

    first: int
    last: int
    strength: float
    expression: str


@dataclass(frozen=True, slots=True)
class TrainingExample:
    """A coded encounter, ready for a source to learn from.

    Args:
        stream: its words.
        codes: its gold codes, with evidence where people marked it.
    """

    stream: TokenStream
    codes: tuple[GoldCode, ...]

    @property
    def code_set(self) -> frozenset[str]:
        return frozenset(gold.code for gold in self.codes)


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


class CandidateSource(Protocol):
    """A fitted source. Its class also has ``fit(examples, ...)`` and ``from_state(arrays, strings)``."""

    @property
    def feature_names(self) -> tuple[str, ...]:
        """One name a column of ``SourceOutput.features``; a candidate of other sources only has 0 in all of them."""
        ...

    def candidates(self, stream: TokenStream) -> SourceOutput:
        """The candidates of an encounter."""
        ...

    def state(self) -> tuple[Arrays, dict[str, list[str]]]:
        """Everything it needs at prediction time, as plain arrays and lists of strings (saved as npz and JSON)."""
        ...
