"""Mentions -> evidence: the strongest words for a code, as spans of the original text."""

from __future__ import annotations

from collections.abc import Iterable

from nosology.knowledge.stream import TokenStream
from nosology.knowledge.vocabulary import ignored_words
from nosology.ranking.source import Mention
from nosology.types import Evidence, Span

EXPLAINED_FROM = 0.02
"""Codes of a lower probability that are not assigned are listed for the ranking, but nobody looks for their words."""

_MOST = 10
_WEAKEST = 0.15
"""Mentions weaker than this share of the strongest are not shown: they would hide the reason among coincidences."""


def choose_evidence(stream: TokenStream, mentions: Iterable[Mention]) -> tuple[tuple[Evidence, ...], tuple[str, ...]]:
    """The evidence of one code, strongest first, and the expressions that were found in it.

    Args:
        stream: the encounter's words.
        mentions: everything that speaks for the code.
    """
    strongest = dict[tuple[int, ...], Mention]()
    most = 0.0
    for mention in mentions:
        words, strength, _ = mention
        known = strongest.get(words)
        if known is None or strength > known.strength:
            strongest[words] = mention
            most = max(most, strength)
    if not strongest:
        return (), ()
    kept = list(strongest.values())
    if len(kept) > 1:
        least = _WEAKEST * most
        kept = sorted([mention for mention in kept if mention.strength >= least], key=_strongest_first)[:_MOST]
    evidence = dict.fromkeys([_known_evidence(stream, mention.words) for mention in kept])
    return tuple(evidence), tuple(dict.fromkeys([mention.expression for mention in kept]))


def _strongest_first(mention: Mention) -> tuple[float, tuple[int, ...]]:
    return -mention.strength, mention.words


def _known_evidence(stream: TokenStream, words: tuple[int, ...]) -> Evidence:
    """Kept with the stream: the words of one code often speak for others, too."""
    known = stream.evidence_by_words.get(words)
    if known is None:
        known = stream.evidence_by_words[words] = _as_evidence(stream, words)
    return known


def _as_evidence(stream: TokenStream, words: tuple[int, ...]) -> Evidence:
    """One part for words that follow each other, or have nothing but stop words of one sentence between them."""
    starts, ends = stream.bound_lists
    note_id = stream.documents[stream.note_list[words[0]]].note.note_id
    sentences = stream.sentence_list
    if words[-1] - words[0] == len(words) - 1 and sentences[words[0]] == sentences[words[-1]]:
        return Evidence(note_id, (Span(starts[words[0]], ends[words[-1]]),))
    ignored = ignored_words(stream.language)
    runs = [[words[0], words[0]]]
    for word in words[1:]:
        last = runs[-1][1]
        if sentences[last] == sentences[word] and ignored.issuperset(stream.words[last + 1 : word]):
            runs[-1][1] = word
        else:
            runs.append([word, word])
    return Evidence(note_id, tuple(Span(starts[first], ends[last]) for first, last in runs))
