"""What the matches of mined expressions say of each code: numbers that need no training example of that very code."""

from __future__ import annotations

import math
from collections import defaultdict
from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from nosology.knowledge.stream import TokenStream
from nosology.preprocessing.assertion import PRECEDENCE
from nosology.ranking.keys import Found, KeyTable, Match
from nosology.ranking.source import Mention
from nosology.types import Assertion

_SURE = 0.98
"""No expression alone makes a code surer than this in the noisy-or."""
_RANK_OF = {assertion: rank for rank, assertion in enumerate(PRECEDENCE)}
_PRESENT = _RANK_OF[Assertion.PRESENT]
_NEGATED = _RANK_OF[Assertion.NEGATED]
_NEAR_GAP = 3


class Hit(NamedTuple):
    """One found expression seen as a reason for one code.

    Args:
        precision: of the training encounters with such a match, the share that carries the code (smoothed).
        gap, crossed: of the best match: foreign words inside it, sentence ends inside it.
        times: training encounters in which people marked the expression for the code.
        share: the code's part among the expression's codes.
        marked: of the encounters with a match, the share where people marked one, for any code.
        size: the expression's words.
        mentions: how often it was found here.
        position: where it was first found, 0 at the beginning of the encounter, 1 at its end.
        negated, other: share of the matches that are negated; that are possible, historical, of family, hypothetical.
        all_negated: 1 where every match is negated.
        found: training encounters with a match.
        overruled: longer expressions found here that hold this one and stand for other codes only.
        longer: longer expressions found here that hold this one.
        rarity: of its words together.
        worth: the detector's mean probability over the best match's words.
        codes: codes that the expression stands for.
    """

    precision: float
    gap: float
    crossed: float
    times: float
    share: float
    marked: float
    size: float
    mentions: float
    position: float
    negated: float
    other: float
    all_negated: float
    found: float
    overruled: float
    longer: float
    rarity: float
    worth: float
    codes: float


_SUMMARY = (
    "any", "hits", "second", "longest_precision", "longest_rarity", "longest_gap", "longest_overruled", "most_count",
    "least_gap", "most_share", "all_mentions", "most_worth", "least_overruled",
)  # fmt: skip
FEATURES: tuple[str, ...] = (*Hit._fields, *_SUMMARY)


@dataclass(frozen=True, slots=True)
class Reading:
    """What both kinds of expression need of an encounter besides their matches.

    Args:
        stream: its words.
        worth: the detector's probability of each word, zeros without a detector; float64 ``[word]``.
    """

    stream: TokenStream
    worth: NDArray[np.float64]
    worth_list: list[float] = field(init=False, repr=False)

    def __post_init__(self) -> None:
        object.__setattr__(self, "worth_list", self.worth.tolist())


def hits_by_code(
    table: KeyTable, found: Found, reading: Reading, inside: dict[int, list[int]]
) -> dict[str, list[tuple[Hit, int]]]:
    """Every reason for every code, with the number of its expression.

    Args:
        table: the expressions and their statistics.
        found: their matches in this encounter.
        reading: the encounter.
        inside: for an expression, the longer found ones that hold it.
    """
    assertions = _assertions(found, reading.stream)
    reasons = defaultdict[str, list[tuple[Hit, int]]](list)
    length, worths = max(1, len(reading.stream)), reading.worth_list
    for number, matches in found.items():
        entry, best = table.entry(number), matches[0]
        looseness = 0 if best.is_tight else 1  # the best comes first
        times, total, size, count = entry.found[looseness], sum(entry.times), len(best.words), len(matches)
        ranks = [assertions[match.words[0], match.words[-1]] for match in matches]
        denied = ranks.count(_NEGATED)
        negated, other = denied / count, (count - denied - ranks.count(_PRESENT)) / count
        worth = max([sum([worths[word] for word in match.words]) / len(match.words) for match in matches])
        longer = [table.entry(other_number).codes for other_number in inside.get(number, ())]
        position = min([match.words[0] for match in matches]) / length
        for code, times_marked, carriers in zip(entry.codes, entry.times, entry.gold[looseness], strict=True):
            hit = Hit(
                precision=(carriers + 0.3) / (times + 1.0),
                gap=best.gap,
                crossed=best.crossed,
                times=times_marked,
                share=times_marked / total,
                marked=entry.marked,
                size=size,
                mentions=count,
                position=position,
                negated=negated,
                other=other,
                all_negated=float(negated == 1.0),
                found=times,
                overruled=sum([code not in codes for codes in longer]),
                longer=len(longer),
                rarity=entry.rarity,
                worth=worth,
                codes=len(entry.codes),
            )
            reasons[table.codes[code]].append((hit, number))
    return reasons


def _assertions(found: Found, stream: TokenStream) -> dict[tuple[int, int], int]:
    spans = sorted({(match.words[0], match.words[-1]) for matches in found.values() for match in matches})
    bounds = np.array(spans, dtype=np.int64).reshape(-1, 2)
    return dict(zip(spans, stream.assertions(bounds[:, 0], bounds[:, 1]).tolist(), strict=True))


def nested(texts: list[str], found: Found) -> dict[int, list[int]]:
    """For each found expression, the longer found ones that hold all its words and lie close together."""
    near = {
        number: set(texts[number].split())
        for number, matches in found.items()
        if any(match.crossed == 0 and match.gap <= _NEAR_GAP for match in matches)
    }
    holding = defaultdict[str, set[int]](set)
    for number, words in near.items():
        if len(words) > 1:
            for word in words:
                holding[word].add(number)
    inside = dict[int, list[int]]()
    for number in found:
        words = texts[number].split()
        holders = set.intersection(*(holding[word] if word in holding else set[int]() for word in words))
        longer = sorted(other for other in holders if len(near[other]) > len(set(words)))
        if longer:
            inside[number] = longer
    return inside


def summarise(hits: Iterable[Hit]) -> list[float]:
    """All reasons for one code as one row: the most precise one, and summaries over all of them."""
    ordered = sorted(hits, reverse=True)
    best = ordered[0]
    longest = max(ordered, key=lambda hit: (hit.rarity, hit.precision))
    return [
        *best,
        1.0 - math.prod(1.0 - min(_SURE, hit.precision) for hit in ordered),
        len(ordered),
        ordered[1].precision if len(ordered) > 1 else 0.0,
        longest.precision,
        longest.rarity,
        longest.gap,
        longest.overruled,
        max(hit.times for hit in ordered),
        min(hit.gap for hit in ordered),
        max(hit.share for hit in ordered),
        sum(hit.mentions for hit in ordered),
        max(hit.worth for hit in ordered),
        min(hit.overruled for hit in ordered),
    ]


def mentions_of(reasons: list[tuple[Hit, int]], found: Found, stream: TokenStream) -> list[Mention]:
    """Where the reasons for one code stand in the text."""
    return [
        Mention(match.words, hit.precision * _closeness(match), " ".join(stream.words[word] for word in match.words))
        for hit, number in reasons
        for match in found[number]
    ]


def _closeness(match: Match) -> float:
    return 1.0 / (1.0 + 0.1 * match.gap + match.crossed)
