"""Whose words are they? For each candidate, how strongly other codes claim the words that speak for it.

A word explained by one code is no news for another: "hypertension" inside "pulmonary hypertension", or a title half
met by words that people are known to mark for a different code. This looks at the mentions of all sources together.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Mapping, Sequence
from operator import attrgetter

import numpy as np
from numpy.typing import NDArray

from nosology.ranking.source import Mention

FEATURES = (
    *("own_strength", "rival_strength", "rival_mean", "rival_other_category", "rival_same_category"),
    *("claimed_share", "free_words", "inside_longer"),
)
_CATEGORY = 3
_CLAIMED = 0.25
_FREE = 0.1

_Claims = dict[str, tuple[float, int]]
"""By code, its strongest mention of a word: strength and number of words."""


def competition(codes: Sequence[str], mentions: Mapping[str, Sequence[Mention]]) -> NDArray[np.float32]:
    """float32 ``[candidate, feature]``; zeros for a candidate without mentions.

    Args:
        codes: the candidates.
        mentions: of all sources, by code.
    """
    claims = _claims(mentions)
    rows = np.zeros((len(codes), len(FEATURES)), dtype=np.float32)
    for row, code in enumerate(codes):
        found = mentions.get(code)
        if found:
            rows[row] = _compare(code, max(found, key=attrgetter("strength", "words")), claims)
    return rows


def _claims(mentions: Mapping[str, Sequence[Mention]]) -> dict[int, _Claims]:
    claims = defaultdict[int, _Claims](dict)
    for code, found in mentions.items():
        for mention in found:
            claim = (mention.strength, len(mention.words))
            for word in mention.words:
                own = claims[word]
                if code not in own or claim > own[code]:
                    own[code] = claim
    return claims


def _compare(code: str, mention: Mention, claims: Mapping[int, _Claims]) -> tuple[float, ...]:
    category = code[:_CATEGORY]
    strongest, same, other, longer = list[float](), 0.0, 0.0, 0.0
    for word in mention.words:
        most = 0.0
        for rival, (strength, length) in claims[word].items():
            if rival == code or strength <= _FREE:
                continue
            most = max(most, strength)
            if rival.startswith(category):
                same = max(same, strength)
            else:
                other = max(other, strength)
            if length > len(mention.words):
                longer = max(longer, strength)
        strongest.append(most)
    return (
        mention.strength,
        max(strongest),
        sum(strongest) / len(strongest),
        other,
        same,
        sum(strength >= _CLAIMED for strength in strongest) / len(strongest),
        sum(strength <= _FREE for strength in strongest),
        longer,
    )
