"""All sources together: the candidates of an encounter, one row of features each."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from nosology.codes.titles import TitleTable
from nosology.knowledge.base import Expression
from nosology.knowledge.stream import TokenStream
from nosology.ranking import priors
from nosology.ranking.competition import FEATURES, competition
from nosology.ranking.priors import CodePriors
from nosology.ranking.source import CandidateSource, Mention, join


@dataclass(frozen=True, slots=True)
class Proposal:
    """The candidates of one encounter.

    Args:
        codes: no code twice.
        features: float32 ``[candidate, feature]``.
        mentions: by code, from every source.
    """

    codes: list[str]
    features: NDArray[np.float32]
    mentions: Mapping[str, Sequence[Mention]]


@dataclass(frozen=True, eq=False)
class CandidateGenerator:
    """Fitted sources and priors.

    Args:
        sources: in the order of their features.
        code_priors: for every candidate of every source.
    """

    sources: tuple[CandidateSource, ...]
    code_priors: CodePriors

    @property
    def feature_names(self) -> tuple[str, ...]:
        names = tuple(name for source in self.sources for name in source.feature_names)
        return names + priors.FEATURES + tuple(f"competition_{name}" for name in FEATURES)

    @property
    def labels(self) -> list[str]:
        """Every code that it can give, sorted."""
        return sorted({*self.code_priors.counts, *(code for source in self.sources for code in source.labels)})

    def mined_expressions(self, titles: TitleTable, language: str) -> Iterator[Expression]:
        """What the sources have mined from training encounters, for the knowledge base.

        Args:
            titles: tells the system of each code.
            language: ISO 639-1 of the training notes.
        """
        for source in self.sources:
            for text, code, kind in source.mined():
                yield Expression(text, code, titles.system(code), kind, language)

    def propose(self, stream: TokenStream) -> Proposal:
        """The union of all sources' candidates; a source that does not know one leaves zeros in its row."""
        found = join([source.candidates(stream) for source in self.sources])
        known = self.code_priors.features(found.codes, len(stream))
        features = np.hstack([found.features, known, competition(found.codes, found.mentions)])
        return Proposal(found.codes, features, found.mentions)
