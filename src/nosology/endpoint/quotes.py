"""Where a model's quote stands in a note: the same words in a row, whatever case, accents and punctuation."""

from __future__ import annotations

from nosology.knowledge.stream import TokenStream
from nosology.preprocessing.languages import words_of

_LONGEST = 40
"""Words; a model that quotes half the note has justified nothing."""


def find_quote(stream: TokenStream, quote: str) -> list[tuple[int, ...]]:
    """Word indices of every place where a quote stands inside one note; none if it stands nowhere.

    Args:
        stream: the encounter's words.
        quote: as a model wrote it.
    """
    wanted = words_of(quote)
    size = len(wanted)
    if not 0 < size <= _LONGEST:
        return []
    words, notes = stream.words, stream.note_list
    starts = (place for place, word in enumerate(words[: len(words) - size + 1]) if word == wanted[0])
    return [
        tuple(range(place, place + size))
        for place in starts
        if words[place : place + size] == wanted and notes[place] == notes[place + size - 1]
    ]
