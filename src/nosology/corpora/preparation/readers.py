"""Corpora that are small enough to be read at once: a name, the reader behind it, and what it reads.

To add one, add a line to ``READERS``: its reader takes the raw path and ``on_error`` and returns a ``Corpus``.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path

from nosology.corpora.caml_files import read_caml_files
from nosology.corpora.cmc2007 import read_cmc2007
from nosology.corpora.codiesp import read_codiesp
from nosology.corpora.edin_files import read_edin_files
from nosology.corpora.mdace import read_mdace
from nosology.corpora.preparation.manifest import Journal, Manifest, file_facts, read_manifest
from nosology.corpora.preparation.unchanged import check_place, is_unchanged
from nosology.corpora.preparation.writing import write_prepared
from nosology.corpora.reading import OnError
from nosology.types import Corpus

Reader = Callable[[Path, OnError], Corpus]


def _mdace(version: int) -> Reader:
    """MDACE's inpatient charts: its folder of data lies as ``mdace`` in that of MIMIC-III, or is named so there."""
    return lambda raw, on_error: read_mdace(raw / "mdace", raw, version=version, on_error=on_error)


READERS: Mapping[str, Reader] = {
    # CodiEsp's release: diagnoses, Spanish; the other tasks through a recipe
    "codiesp": lambda raw, on_error: read_codiesp(raw, on_error=on_error),
    # XML of the Computational Medicine Center's challenge
    "cmc2007": lambda raw, on_error: read_cmc2007(raw, on_error=on_error),
    "mdace-icd9": _mdace(9),
    "mdace-icd10": _mdace(10),
    # CAML's train_full.csv, dev_full.csv, test_full.csv
    "caml": lambda raw, on_error: read_caml_files(raw, on_error=on_error),
    # Edin's feather or parquet file, or the folder that holds it
    "edin": lambda raw, on_error: read_edin_files(raw, on_error=on_error),
}


def prepare_corpus(
    name: str, raw: Path, out: Path, read: Callable[[], Corpus], options: Mapping[str, object]
) -> tuple[Manifest, bool]:
    """Read a corpus and write it as a prepared folder, unless the folder holds just that already.

    Args:
        name: what it is called in the manifest.
        raw: the file or folder that is read.
        out: the prepared folder to make.
        read: reads the corpus.
        options: what decides how it is read, as JSON can hold it.

    Returns:
        The manifest, and whether the folder was left as it was.

    Raises:
        CorpusError: the corpus is missing or broken; ``out`` lies inside ``raw``, or cannot be written.
    """
    check_place(raw, out)
    files = _files(raw)
    if is_unchanged(out, name, options, files):
        return read_manifest(out), True
    corpus = read()
    counts = {
        "records left out as broken": len(corpus.skipped),
        "encounters": len(corpus),
        "notes": sum(len(encounter.notes) for encounter in corpus),
        "labels": sum(len(encounter.codes or ()) for encounter in corpus),
    }
    journal = Journal(counts)
    journal.warn("broken records, left out", len(corpus.skipped))
    journal.warn("codes in no table of their system, kept", len(corpus.unknown_codes), sorted(corpus.unknown_codes))
    facts = {path: file_facts(file) for path, file in files.items()}
    manifest = Manifest(name, options, facts, journal.counts, (), tuple(journal.warnings))
    return write_prepared(out, corpus, manifest), False


def _files(raw: Path) -> dict[str, Path]:
    if not raw.is_dir():
        return {raw.name: raw}
    return {path.relative_to(raw).as_posix(): path for path in sorted(raw.rglob("*")) if path.is_file()}
