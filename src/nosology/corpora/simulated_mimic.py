"""A simulated MIMIC-III as a corpus: written as the release's files are, and prepared as these are."""

from __future__ import annotations

import re
from dataclasses import replace
from itertools import islice
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Literal

from nosology.corpora.mimic3 import prepare_mimic3
from nosology.corpora.preparation.layout import import_arrow
from nosology.corpora.preparation.options import MimicOptions
from nosology.corpora.prepared import read_prepared
from nosology.corpora.simulation.release import Release, ReleaseConfig
from nosology.corpora.simulation.release.settings import Form
from nosology.types import Corpus, Encounter, Note

_WORD = re.compile(r"\S+")


def simulate_mimic3(
    admissions: int, variant: Literal["50", "full"] = "50", *, words: int | None = None, seed: int = 0
) -> Corpus:
    """Simulate MIMIC-III and prepare it; 2,000 admissions take about four seconds.

    Args:
        admissions: with a discharge summary.
        variant: "50" keeps the 50 most frequent codes and the admissions with one of them, "full" everything.
        words: kept of each note, from its beginning, with the evidence in them; ``None`` keeps all.
        seed: of patients and notes.

    Raises:
        MissingExtraError: pyarrow or polars is not installed.
    """
    import_arrow()
    with TemporaryDirectory(prefix="nosology-") as place:
        raw, prepared = Path(place) / "raw", Path(place) / "prepared"
        raw.mkdir()
        Release(ReleaseConfig(Form.MIMIC3, admissions, seed)).write(raw)
        prepare_mimic3(raw, prepared, MimicOptions(variant=variant))
        corpus = read_prepared(prepared)
    if words is None:
        return corpus
    return corpus.with_encounters([first_words(encounter, words) for encounter in corpus])


def first_words(encounter: Encounter, words: int) -> Encounter:
    """The encounter with each note cut after its first words; evidence that reaches further is left out."""
    notes = tuple(_cut(note, words) for note in encounter.notes)
    if encounter.codes is None:
        return replace(encounter, notes=notes)
    ends = {note.note_id: len(note.text) for note in notes}
    codes = tuple(
        replace(gold, evidence=tuple(one for one in gold.evidence if one.parts[-1].end <= ends[one.note_id]))
        for gold in encounter.codes
    )
    return replace(encounter, notes=notes, codes=codes)


def _cut(note: Note, words: int) -> Note:
    last = next(islice(_WORD.finditer(note.text), words - 1, None), None)
    return note if last is None else replace(note, text=note.text[: last.end()])
