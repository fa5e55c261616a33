"""From attended tokens to the words of a note that speak for a code."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Sequence

from nosology.knowledge.stream import TokenStream
from nosology.preprocessing.tokenization import TokenizedEncounter
from nosology.ranking.source import Mention

ATTENDED = 5
"""Tokens of each code's attention that are looked at; those that carry little of it are no reason."""
_LEAST_WEIGHT = 0.05


class WordsOfTokens:
    """Which words of a stream a token touches."""

    def __init__(self, stream: TokenStream, tokens: TokenizedEncounter) -> None:
        self._stream, self._tokens = stream, tokens

    def __call__(self, token: int) -> list[int]:
        return self._stream.indices_of(self._tokens.evidence(token))


def mentions_of(
    stream: TokenStream, words_of: Callable[[int], list[int]], places: Sequence[tuple[int, float]], score: float
) -> list[Mention]:
    """One mention a run of attended words, as strong as the score times the attention on it."""
    weights = defaultdict[int, float](float)
    for place, weight in places:
        for word in words_of(place):
            weights[word] += weight
    runs = list[list[int]]()
    for word in sorted(word for word, weight in weights.items() if weight >= _LEAST_WEIGHT):
        together = runs and word - runs[-1][-1] == 1 and stream.sentence_list[word] == stream.sentence_list[word - 1]
        if together:
            runs[-1].append(word)
        else:
            runs.append([word])
    return [
        Mention(tuple(run), min(1.0, score * sum(weights[word] for word in run)), stream.surface(run[0], run[-1]))
        for run in runs
    ]
