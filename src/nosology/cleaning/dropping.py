"""Cut spans out of notes, and move evidence along."""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

from nosology.corpora.reading import merged_spans
from nosology.errors import CorpusError
from nosology.types import Encounter, Evidence, GoldCode, Note, Span


@dataclass(frozen=True, slots=True)
class KeptText:
    """What is left of a note's text, in the original's offsets.

    Args:
        note_id: the note.
        spans: the pieces that stand one behind the other in the cleaned text.
    """

    note_id: str
    spans: tuple[Span, ...]

    def to_original(self, offset: int) -> int:
        """Where a character of the cleaned text stood; the text's end maps to the end of its last piece."""
        for span in self.spans:
            if offset < span.end - span.start:
                return span.start + offset
            offset -= span.end - span.start
        return (self.spans[-1].end if self.spans else 0) + offset

    def to_cleaned(self, span: Span) -> Span | None:
        """Where a span stands now; ``None`` unless it is kept whole, in one piece."""
        index = bisect_right([one.start for one in self.spans], span.start) - 1
        if index < 0 or span.end > self.spans[index].end:
            return None
        before = sum(one.end - one.start for one in self.spans[:index])
        start = before + span.start - self.spans[index].start
        return Span(start, start + span.end - span.start)


def drop_spans(
    encounter: Encounter, spans: Mapping[str, Sequence[Span]]
) -> tuple[Encounter, tuple[KeptText, ...], int]:
    """Cut spans out of an encounter's notes.

    Evidence moves along. Evidence that is not kept whole goes; its code stays.

    Args:
        encounter: it is not changed.
        spans: by note id, in original offsets, in any order; they may overlap.

    Returns:
        The encounter without them, what is left of every note that changed, and how many pieces of evidence went.

    Raises:
        CorpusError: a note that the encounter does not have, or a span outside of it.
    """
    known = {note.note_id: len(note.text) for note in encounter.notes}
    for note_id, cut in spans.items():
        if note_id not in known or any(not 0 <= one.start < one.end <= known[note_id] for one in cut):
            raise CorpusError("a span to drop lies outside of the encounter's notes", record_id=encounter.encounter_id)
    kept = {name: _kept(name, known[name], merged_spans(cut)) for name, cut in spans.items() if cut}
    notes = tuple(_cut(note, kept.get(note.note_id)) for note in encounter.notes)
    if encounter.codes is None:
        return replace(encounter, notes=notes), tuple(kept.values()), 0
    codes = tuple(replace(gold, evidence=_moved(gold, kept)) for gold in encounter.codes)
    lost = sum(len(gold.evidence) for gold in encounter.codes) - sum(len(gold.evidence) for gold in codes)
    return replace(encounter, notes=notes, codes=codes), tuple(kept.values()), lost


def _kept(note_id: str, length: int, cut: Sequence[Span]) -> KeptText:
    starts = [0, *(span.end for span in cut)]
    ends = [*(span.start for span in cut), length]
    return KeptText(note_id, tuple(Span(a, b) for a, b in zip(starts, ends, strict=True) if a < b))


def _cut(note: Note, kept: KeptText | None) -> Note:
    if kept is None:
        return note
    return replace(note, text="".join(note.text[span.start : span.end] for span in kept.spans))


def _moved(gold: GoldCode, kept: Mapping[str, KeptText]) -> tuple[Evidence, ...]:
    moved = list[Evidence]()
    for evidence in gold.evidence:
        own = kept.get(evidence.note_id)
        if own is None:
            moved.append(evidence)
            continue
        parts = [own.to_cleaned(part) for part in evidence.parts]
        whole = tuple(part for part in parts if part is not None)
        if len(whole) == len(parts):
            moved.append(replace(evidence, parts=whole))
    return tuple(moved)
