"""Whose words are they? For each candidate, how strongly other codes claim the words that speak for it.

A word explained by one code is no news for another: "hypertension" inside "pulmonary hypertension", or a title half
met by words that people are known to mark for a different code. This looks at the mentions of all sources together.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from itertools import chain
from operator import attrgetter
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from nosology.array_runs import ranges, run_ends
from nosology.ranking.categories import number_categories
from nosology.ranking.source import Mention

FEATURES = (
    *("own_strength", "rival_strength", "rival_mean", "rival_other_category", "rival_same_category"),
    *("claimed_share", "free_words", "inside_longer"),
)
_CLAIMED = 0.25
_FREE = 0.1


def competition(codes: Sequence[str], mentions: Mapping[str, Sequence[Mention]]) -> NDArray[np.float32]:
    """float32 ``[candidate, feature]``; zeros for a candidate without mentions.

    Args:
        codes: the candidates.
        mentions: of all sources, by code.
    """
    rows = np.zeros((len(codes), len(FEATURES)), dtype=np.float32)
    own = [_strongest(mentions.get(code) or _NOTHING) for code in codes]
    spoken = [row for row, mention in enumerate(own) if mention.words]
    if spoken:
        claimants = list(dict.fromkeys([*codes, *mentions]))
        categories = number_categories(claimants)
        claims = _claims(claimants, categories, mentions)
        rows[spoken] = _compare(spoken, [own[row] for row in spoken], categories, claims)
    return rows


_NOTHING = (Mention((), 0.0, ""),)


def _strongest(mentions: Sequence[Mention]) -> Mention:
    return mentions[0] if len(mentions) == 1 else max(mentions, key=_STRENGTH)


_STRENGTH = attrgetter("strength", "words")


class _Claims(NamedTuple):
    """Each candidate's strongest mention of each word, where it is no weak one; by word: arrays ``[claim]``.

    Args:
        words: the word.
        codes, categories: whose claim it is.
        strengths: of the mention.
        lengths: its number of words.
    """

    words: NDArray[np.int64]
    codes: NDArray[np.int64]
    categories: NDArray[np.int64]
    strengths: NDArray[np.float64]
    lengths: NDArray[np.int64]


def _claims(codes: Sequence[str], categories: NDArray[np.int64], mentions: Mapping[str, Sequence[Mention]]) -> _Claims:
    words, counts, owners, strengths = list[int](), list[int](), list[int](), list[float]()
    for owner, code in enumerate(codes):
        for own, strength, _ in mentions.get(code, ()):
            if strength > _FREE:
                words += own
                counts.append(len(own))
                owners.append(owner)
                strengths.append(strength)
    sizes = np.array(counts, dtype=np.int64)
    word_of, code_of = np.array(words, dtype=np.int64), np.repeat(np.array(owners, dtype=np.int64), sizes)
    strength, length = np.repeat(np.array(strengths), sizes), np.repeat(sizes, sizes)
    order = np.lexsort((length, strength, code_of, word_of))
    cells = word_of[order] * len(codes) + code_of[order]
    last = order[run_ends(cells)]
    return _Claims(word_of[last], code_of[last], categories[code_of[last]], strength[last], length[last])


def _compare(
    rows: Sequence[int], own: Sequence[Mention], categories: NDArray[np.int64], claims: _Claims
) -> NDArray[np.float64]:
    """What others claim of the words of some candidates' strongest mentions: ``[candidate, feature]``."""
    sizes = np.array([len(mention.words) for mention in own], dtype=np.int64)
    firsts = np.cumsum(sizes) - sizes
    words = np.array(list(chain.from_iterable([mention.words for mention in own])), dtype=np.int64)
    owners = np.repeat(np.arange(len(own)), sizes)
    lower, upper = np.searchsorted(claims.words, words), np.searchsorted(claims.words, words, side="right")
    counts = upper - lower
    places = np.repeat(np.arange(len(words)), counts)
    entries = ranges(lower, counts)
    candidates = np.array(rows, dtype=np.int64)
    rival = claims.codes[entries] != candidates[owners[places]]
    places, entries = places[rival], entries[rival]
    strength, claimants = claims.strengths[entries], owners[places]
    kin = claims.categories[entries] == categories[candidates[claimants]]
    longer = claims.lengths[entries] > sizes[claimants]

    def most(chosen: NDArray[np.bool_]) -> NDArray[np.float64]:
        found = np.zeros(len(own))
        np.maximum.at(found, claimants[chosen], strength[chosen])
        return found

    of_word = np.zeros(len(words))
    np.maximum.at(of_word, places, strength)
    return np.column_stack(
        [
            [mention.strength for mention in own],
            np.maximum.reduceat(of_word, firsts),
            np.add.reduceat(of_word, firsts) / sizes,
            most(~kin),
            most(kin),
            np.add.reduceat(of_word >= _CLAIMED, firsts, dtype=np.int64) / sizes,
            np.add.reduceat(of_word <= _FREE, firsts, dtype=np.int64),
            most(longer),
        ]
    )
