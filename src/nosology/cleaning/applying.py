"""A corpus without the noise that was found in it."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace

from nosology.cleaning.dropping import KeptText, drop_spans
from nosology.cleaning.noise import Noise
from nosology.types import Corpus, Encounter, GoldCode, Span


@dataclass(frozen=True, slots=True)
class Measures:
    """What is done about findings; nothing by default.

    Args:
        drop_duplicates: copies and boilerplate are cut out of notes.
        drop_implausible: codes that are likely wrong go.
        add_missing: codes that are likely missing are added, without evidence.
    """

    drop_duplicates: bool = False
    drop_implausible: bool = False
    add_missing: bool = False


@dataclass(frozen=True, slots=True)
class Cleaned:
    """A cleaned corpus and what was done to it.

    Args:
        corpus: encounters in their old order.
        kept: what is left of every note that changed, in the offsets of the original.
        dropped_codes, added_codes, dropped_chunks, lost_evidence: how many.
    """

    corpus: Corpus
    kept: tuple[KeptText, ...]
    dropped_codes: int
    added_codes: int
    dropped_chunks: int
    lost_evidence: int


def apply_measures(corpus: Corpus, noise: Noise, measures: Measures) -> Cleaned:
    """Clean a corpus, or hand it on where no measure is taken.

    Args:
        corpus: the one that was looked through, or a larger one: other encounters stay as they are.
        noise: what was found.
        measures: what to do about it.
    """
    wrong = {(one.encounter_id, one.code) for one in noise.findings if one.kind == "implausible"}
    missing = dict[str, list[GoldCode]]()
    for one in noise.findings:
        if one.kind == "missing":
            missing.setdefault(one.encounter_id, []).append(GoldCode(one.code, one.system))
    spans = dict[str, dict[str, list[Span]]]()
    for one in noise.duplicates if measures.drop_duplicates else ():
        spans.setdefault(one.encounter_id, {}).setdefault(one.note_id, []).append(one.span)
    dropped = wrong if measures.drop_implausible else set[tuple[str, str]]()
    added = missing if measures.add_missing else dict[str, list[GoldCode]]()
    encounters, kept, lost = list[Encounter](), list[KeptText](), 0
    for encounter in corpus:
        cut, pieces, gone = drop_spans(_recoded(encounter, dropped, added), spans.get(encounter.encounter_id, {}))
        encounters.append(cut)
        kept += pieces
        lost += gone
    return Cleaned(
        corpus.with_encounters(encounters),
        tuple(kept),
        len(dropped),
        sum(len(codes) for codes in added.values()),
        sum(len(one) for by_note in spans.values() for one in by_note.values()),
        lost,
    )


def _recoded(encounter: Encounter, dropped: set[tuple[str, str]], added: dict[str, list[GoldCode]]) -> Encounter:
    if encounter.codes is None:
        return encounter
    return replace(encounter, codes=tuple(_codes(encounter, dropped, added)))


def _codes(encounter: Encounter, dropped: set[tuple[str, str]], added: dict[str, list[GoldCode]]) -> Iterator[GoldCode]:
    yield from (gold for gold in encounter.codes or () if (encounter.encounter_id, gold.code) not in dropped)
    yield from sorted(added.get(encounter.encounter_id, ()), key=lambda gold: gold.code)
