"""Corpora that are small enough to be read at once: a name, the reader behind it, and what it reads.

To add one, add a line to ``READERS``: its reader takes the raw path and ``on_error`` and returns a ``ReadCorpus``.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path

from nosology.corpora.caml_files import read_caml_files_with_report
from nosology.corpora.cmc2007 import read_cmc2007
from nosology.corpora.codiesp import read_codiesp
from nosology.corpora.edin_files import read_edin_files_with_report
from nosology.corpora.mdace import read_mdace_with_report
from nosology.corpora.preparation.manifest import Journal, Manifest, file_facts, read_manifest
from nosology.corpora.preparation.unchanged import check_place, is_unchanged
from nosology.corpora.preparation.writing import write_prepared
from nosology.corpora.reading import OnError
from nosology.types import Corpus


@dataclass(frozen=True, slots=True)
class ReadCorpus:
    """A corpus and what its reader mended or missed.

    Args:
        corpus: what was read.
        findings: what, how often, and examples (codes or ids, never text).
    """

    corpus: Corpus
    findings: tuple[tuple[str, int, tuple[str, ...]], ...] = ()


Reader = Callable[[Path, OnError], ReadCorpus]


def _mdace(version: int) -> Reader:
    """MDACE's inpatient charts: its folder of data lies as ``mdace`` in that of MIMIC-III, or is named so there."""

    def read(raw: Path, on_error: OnError) -> ReadCorpus:
        corpus, report = read_mdace_with_report(raw / "mdace", raw, version=version, on_error=on_error)
        return ReadCorpus(
            corpus,
            (
                ("annotated notes that NOTEEVENTS does not have", report.missing_notes, ()),
                ("charts without any of their notes, left out", report.missing_charts, ()),
                ("annotations beyond the end of their note, kept as codes without evidence", report.beyond_text, ()),
            ),
        )

    return read


def _caml(raw: Path, on_error: OnError) -> ReadCorpus:
    corpus, report = read_caml_files_with_report(raw, on_error=on_error)
    restored = tuple(f"{written} -> {code}" for written, code in report.proved.items())
    times = report.occurrences
    return ReadCorpus(
        corpus,
        (
            ("labels whose lost zeros the tables prove, restored", sum(times[one] for one in report.proved), restored),
            (
                "labels that may have lost zeros, kept as written",
                sum(times[one] for one in report.ambiguous),
                tuple(report.ambiguous),
            ),
        ),
    )


def _edin(raw: Path, on_error: OnError) -> ReadCorpus:
    corpus, report = read_edin_files_with_report(raw, on_error=on_error)
    return ReadCorpus(
        corpus,
        (
            ("codes that ended in a dot, mended", report.trailing_dots, ()),
            ("encounters that the splits do not name", report.without_split, ()),
            ("ids of the splits that no encounter has", report.unmatched_split_ids, ()),
        ),
    )


READERS: Mapping[str, Reader] = {
    # CodiEsp's release: diagnoses, Spanish; the other tasks through a recipe
    "codiesp": lambda raw, on_error: ReadCorpus(read_codiesp(raw, on_error=on_error)),
    # XML of the Computational Medicine Center's challenge
    "cmc2007": lambda raw, on_error: ReadCorpus(read_cmc2007(raw, on_error=on_error)),
    "mdace-icd9": _mdace(9),
    "mdace-icd10": _mdace(10),
    # CAML's train_full.csv, dev_full.csv, test_full.csv
    "caml": _caml,
    # Edin's feather or parquet file, or the folder that holds it
    "edin": _edin,
}


def prepare_corpus(
    name: str, raw: Path, out: Path, read: Callable[[], ReadCorpus], options: Mapping[str, object]
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
    found = read()
    corpus = found.corpus
    counts = {
        "records left out as broken": len(corpus.skipped),
        "encounters": len(corpus),
        "notes": sum(len(encounter.notes) for encounter in corpus),
        "labels": sum(len(encounter.codes or ()) for encounter in corpus),
    }
    journal = Journal(counts)
    journal.warn("broken records, left out", len(corpus.skipped))
    journal.warn("codes in no table of their system, kept", len(corpus.unknown_codes), sorted(corpus.unknown_codes))
    for message, count, examples in found.findings:
        journal.warn(message, count, examples)
    facts = {path: file_facts(file) for path, file in files.items()}
    manifest = Manifest(name, options, facts, journal.counts, (), tuple(journal.warnings))
    return write_prepared(out, corpus, manifest), False


def _files(raw: Path) -> dict[str, Path]:
    if not raw.is_dir():
        return {raw.name: raw}
    return {path.relative_to(raw).as_posix(): path for path in sorted(raw.rglob("*")) if path.is_file()}
