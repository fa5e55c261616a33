"""A corpus without the noise that was found in it."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace

from nosology.cleaning.dropping import KeptText, drop_spans
from nosology.cleaning.noise import Noise
from nosology.config.cleaning import Measures
from nosology.types import Corpus, Encounter, GoldCode, Span

_DECIMALS = 3
_DOUBTED = 0.9


@dataclass(frozen=True, slots=True)
class Cleaned:
    """A cleaned corpus and what was done to it.

    Args:
        corpus: encounters in their old order.
        kept: what is left of every note that changed, in the offsets of the original.
        dropped_codes, added_codes, dropped_chunks, lost_evidence: how many.
        doubted_codes: codes whose certainty is below 0.9.
    """

    corpus: Corpus
    kept: tuple[KeptText, ...]
    dropped_codes: int
    added_codes: int
    dropped_chunks: int
    lost_evidence: int
    doubted_codes: int

    @property
    def summary(self) -> str:
        """What was done, in a few words."""
        counts = {
            "codes dropped": self.dropped_codes,
            "codes added": self.added_codes,
            f"codes less certain than {_DOUBTED}": self.doubted_codes,
            "chunks cut out": self.dropped_chunks,
        }
        return ", ".join(f"{count:,} {name}" for name, count in counts.items() if count) or "nothing to clean"


def apply_measures(corpus: Corpus, noise: Noise, measures: Measures) -> Cleaned:
    """Clean a corpus, or hand it on where no measure is taken.

    Args:
        corpus: the one that was looked through, or a larger one: other encounters stay as they are.
        noise: what was found.
        measures: what to do about it.
    """
    changes = _Changes.of(noise, measures)
    spans = dict[str, dict[str, list[Span]]]()
    for one in noise.duplicates if measures.drop_duplicates else ():
        spans.setdefault(one.encounter_id, {}).setdefault(one.note_id, []).append(one.span)
    encounters, kept, lost = list[Encounter](), list[KeptText](), 0
    for encounter in corpus:
        cut, pieces, gone = drop_spans(changes.recoded(encounter), spans.get(encounter.encounter_id, {}))
        encounters.append(cut)
        kept += pieces
        lost += gone
    return Cleaned(
        corpus.with_encounters(encounters),
        tuple(kept),
        len(changes.dropped),
        sum(len(codes) for codes in changes.added.values()),
        sum(len(one) for by_note in spans.values() for one in by_note.values()),
        lost,
        sum(gold.certainty < _DOUBTED for encounter in encounters for gold in encounter.codes or ()),
    )


@dataclass(frozen=True, slots=True)
class _Changes:
    """What becomes of codes.

    Args:
        dropped: (encounter id, code).
        added: by encounter id.
        certainties: of those that stood there, by encounter id and code; those left out stay as they are.
    """

    dropped: set[tuple[str, str]]
    added: Mapping[str, list[GoldCode]]
    certainties: Mapping[tuple[str, str], float]

    @staticmethod
    def of(noise: Noise, measures: Measures) -> _Changes:
        dropped, added = set[tuple[str, str]](), dict[str, list[GoldCode]]()
        for one in noise.findings:
            if one.kind == "implausible" and measures.drop_implausible:
                dropped.add((one.encounter_id, one.code))
            if one.kind == "missing" and measures.add_missing:
                certainty = round(one.probability, _DECIMALS) if measures.weigh else 1.0
                gold = GoldCode(one.code, one.system, certainty=certainty)
                added.setdefault(one.encounter_id, []).append(gold)
        return _Changes(dropped, added, noise.weights if measures.weigh else {})

    def recoded(self, encounter: Encounter) -> Encounter:
        if encounter.codes is None:
            return encounter
        return replace(encounter, codes=tuple(self._codes(encounter)))

    def _codes(self, encounter: Encounter) -> Iterator[GoldCode]:
        for gold in encounter.codes or ():
            place = encounter.encounter_id, gold.code
            if place not in self.dropped:
                weight = self.certainties.get(place)
                yield gold if weight is None else replace(gold, certainty=round(weight, _DECIMALS))
        yield from sorted(self.added.get(encounter.encounter_id, ()), key=lambda gold: gold.code)
