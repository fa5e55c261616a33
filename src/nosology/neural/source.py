"""A network as one more source of candidates: its scores are features of the ranker, its attention gives mentions."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from nosology.knowledge.base import Source
from nosology.knowledge.stream import TokenStream
from nosology.neural.network import Network
from nosology.ranking.source import SourceOutput

FEATURES = ("score", "logit", "rank", "part_of_best", "category_rank")
_CATEGORY = 3
_LEAST = 1e-6
_WORTH_A_REASON = 0.02


@dataclass(frozen=True, eq=False, repr=False)
class NeuralSource:
    """The best codes of a network.

    Args:
        network: fitted on the training encounters.
    """

    network: Network

    @property
    def feature_names(self) -> tuple[str, ...]:
        return tuple(f"neural_{name}" for name in FEATURES)

    @property
    def labels(self) -> Sequence[str]:
        return self.network.labels

    def candidates(self, stream: TokenStream) -> SourceOutput:
        scores, labels = self.network.score(stream), self.network.labels
        codes = [labels[number] for number in scores.numbers.tolist()]
        values = np.clip(scores.scores.astype(np.float64), _LEAST, 1.0 - _LEAST)
        features = np.column_stack(
            [
                values,
                np.log(values / (1.0 - values)),
                np.arange(len(codes)),
                values / values.max(initial=_LEAST),
                _ranks_by_category(codes),
            ]
        )
        mentions = self.network.mentions(stream, scores, _WORTH_A_REASON)
        return SourceOutput(codes, features.reshape(len(codes), len(FEATURES)).astype(np.float32), mentions)

    def mined(self) -> Iterable[tuple[str, str, Source]]:
        return ()


@dataclass(frozen=True, eq=False, repr=False)
class ReadSource:
    """What a source said of some encounters, once and for all: for the folds of a cross-fitting.

    Args:
        feature_names: of the source.
        labels: of the source.
        outputs: by encounter id.
    """

    feature_names: tuple[str, ...]
    labels: Sequence[str]
    outputs: Mapping[str, SourceOutput]

    @staticmethod
    def of(source: NeuralSource, streams: Iterable[TokenStream]) -> ReadSource:
        """Ask a source about encounters."""
        outputs = {stream.encounter_id: source.candidates(stream) for stream in streams}
        return ReadSource(source.feature_names, source.labels, outputs)

    def candidates(self, stream: TokenStream) -> SourceOutput:
        return self.outputs[stream.encounter_id]

    def mined(self) -> Iterable[tuple[str, str, Source]]:
        return ()


def _ranks_by_category(codes: Sequence[str]) -> list[int]:
    met = dict[str, int]()
    ranks = list[int]()
    for code in codes:
        ranks.append(met.get(code[:_CATEGORY], 0))
        met[code[:_CATEGORY]] = ranks[-1] + 1
    return ranks
