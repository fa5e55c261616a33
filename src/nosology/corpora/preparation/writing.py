"""Write a prepared folder, at once or piece by piece."""

from __future__ import annotations

import csv
import json
from collections import Counter
from collections.abc import Callable, Generator, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from dataclasses import replace
from itertools import repeat
from pathlib import Path
from typing import Any, cast

from nosology.corpora.preparation.folder import building_corpus_folder
from nosology.corpora.preparation.layout import (
    CERTAINTIES,
    ENCOUNTERS,
    ENCOUNTERS_A_BATCH,
    EVIDENCE,
    EVIDENCE_A_BATCH,
    LABELS,
    META,
    NOTES,
    NOTES_A_BATCH,
    SPLITS,
    SPLITS_CSV,
    SPLITS_JSON,
    EncounterRow,
    EvidenceRow,
    PreparedLabel,
    import_arrow,
)
from nosology.corpora.preparation.manifest import MANIFEST_NAME, Manifest, file_facts, is_prepared
from nosology.types import Corpus, Encounter


def write_prepared(
    path: str | Path,
    corpus: Corpus,
    manifest: Manifest | None = None,
    *,
    beside: Callable[[Path], None] | None = None,
) -> Manifest:
    """Write a corpus that is in memory as a prepared folder.

    Args:
        path: where the folder goes; a prepared folder that is there is replaced.
        corpus: what to write.
        manifest: what is known of inputs, options, counts and decisions; ``outputs`` is filled in here.
        beside: writes further files into the folder that is being built; the manifest lists them, too.

    Returns:
        The manifest as written.

    Raises:
        CorpusError: the place holds something else, or the disk refuses.
        MissingExtraError: pyarrow is not installed.
    """
    manifest = manifest or Manifest(corpus.name, {}, {}, {"encounters": len(corpus)}, (), ())
    with writing_prepared(path, manifest) as writer:
        for start in range(0, len(corpus), NOTES_A_BATCH):
            batch = corpus.encounters[start : start + NOTES_A_BATCH]
            rows = [(e.encounter_id, n.note_id, n.category, n.language, n.text) for e in batch for n in e.notes]
            writer.write_notes(*(list(column) for column in zip(*rows, strict=True)))
        writer.write_evidence(row for encounter in corpus for row in _evidence_rows(encounter))
        writer.write_encounters([_row(encounter) for encounter in corpus])
        writer.write_labels(corpus.systems, corpus.language, corpus.unknown_codes)
        if beside is not None:
            beside(writer.folder)
    return writer.manifest


@contextmanager
def writing_prepared(path: str | Path, manifest: Manifest) -> Generator[PreparedWriter, None, None]:
    """Write a prepared folder piece by piece; it appears whole when the block ends, or not at all.

    Args:
        path: where the folder goes; a prepared folder that is there is replaced.
        manifest: what is known beforehand; the block may put a fuller one into ``writer.manifest``.

    Yields:
        A writer; give it the notes first (grouped by encounter), the encounters in the same order, then the labels.

    Raises:
        CorpusError: the place holds something else, or the disk refuses.
        MissingExtraError: pyarrow is not installed.
    """
    target = Path(path)
    import_arrow()
    with building_corpus_folder(target, is_prepared) as folder:
        writer = PreparedWriter(folder, manifest)
        try:
            yield writer
        except BaseException:
            with suppress(OSError):  # the disk may be full: what was wrong first is told
                writer.close()
            raise
        writer.finish()


class PreparedWriter:
    """Writes the files of one prepared folder; made by ``writing_prepared``.

    Args:
        folder: an empty folder.
        manifest: what the manifest will say.
    """

    def __init__(self, folder: Path, manifest: Manifest) -> None:
        self.folder = folder
        self.manifest = manifest
        self._notes: Any = None
        self._rows: Sequence[EncounterRow] = ()

    def write_notes(
        self, encounter_ids: object, note_ids: object, categories: object, languages: object, texts: object
    ) -> None:
        """Append notes as one row group; each column is a sequence of strings or an arrow array."""
        arrow, parquet = import_arrow()
        columns = (encounter_ids, note_ids, categories, languages, texts)
        names = ("encounter_id", "note_id", "category", "language", "text")
        arrays = [
            column if isinstance(column, arrow.Array) else arrow.array(column, arrow.string()) for column in columns
        ]
        table = arrow.Table.from_arrays(arrays, list(names))
        if self._notes is None:
            # Dictionaries help where values repeat; text never does, so looking for repeats there only costs time.
            self._notes = parquet.ParquetWriter(
                self.folder / NOTES,
                table.schema,
                compression="zstd",
                compression_level=1,
                use_dictionary=["encounter_id", "category", "language"],
                write_statistics=["encounter_id"],
            )
        self._notes.write_table(table)

    def write_evidence(self, rows: Iterable[EvidenceRow]) -> None:
        """Write evidence, in encounter order; writes no file where there is none."""
        arrow, parquet = import_arrow()
        integers = arrow.list_(arrow.int64())
        schema = arrow.schema(
            [
                *((name, arrow.string()) for name in ("encounter_id", "code", "note_id")),
                *((name, integers) for name in ("starts", "ends")),
            ]
        )
        writer = None
        try:
            for batch in _batched(rows, EVIDENCE_A_BATCH):
                writer = writer or parquet.ParquetWriter(self.folder / EVIDENCE, schema, compression="zstd")
                columns = zip(*batch, strict=True)
                writer.write_table(arrow.table(dict(zip(schema.names, map(list, columns), strict=True)), schema=schema))
        finally:
            if writer is not None:
                writer.close()

    def write_encounters(self, rows: Sequence[EncounterRow]) -> None:
        """Write the encounters and the splits; call it once."""
        arrow, parquet = import_arrow()
        self._rows = rows
        keys = sorted({key for row in rows for key in row.metadata})
        doubted = any(row.certainties for row in rows)
        strings = arrow.list_(arrow.string())
        schema = arrow.schema(
            [("encounter_id", arrow.string()), ("group_id", arrow.string()), ("split", arrow.string())]
            + [("codes", strings), ("systems", strings)]
            + ([(CERTAINTIES, arrow.list_(arrow.float64()))] if doubted else [])
            + [(META + key, arrow.string()) for key in keys]
        )
        with parquet.ParquetWriter(self.folder / ENCOUNTERS, schema, compression="zstd") as writer:
            for batch in _batched(rows, ENCOUNTERS_A_BATCH):
                columns = [
                    arrow.array(values, item.type)
                    for values, item in zip(_columns(batch, keys, doubted), schema, strict=True)
                ]
                writer.write_table(arrow.Table.from_arrays(columns, schema=schema))
        self._write_splits()

    def write_labels(self, systems: Sequence[str], language: str, unknown_codes: Iterable[str] = ()) -> None:
        """Count the codes of the encounters written before, and write the label space.

        Args:
            systems: the code systems of the corpus, in the order of ``Corpus.systems``.
            language: the notes' main language.
            unknown_codes: codes that no table has.
        """
        labels = count_labels(self._rows, unknown_codes)
        plain = [{name: getattr(label, name) for name in PreparedLabel.__slots__} for label in labels]
        self._write_json(LABELS, {"systems": list(systems), "language": language, "labels": plain})

    def finish(self) -> None:
        """Close the files, hash them, and write the manifest."""
        self.close()
        outputs = {path.name: file_facts(path) for path in sorted(self.folder.iterdir())}
        self.manifest = replace(self.manifest, outputs=outputs)
        (self.folder / MANIFEST_NAME).write_text(self.manifest.to_json(), encoding="utf-8")

    def close(self) -> None:
        """Close what is open; files may be incomplete after an error."""
        if self._notes is not None:
            notes, self._notes = self._notes, None
            notes.close()

    def _write_splits(self) -> None:
        splits: dict[str, list[str]] = {name: [] for name in SPLITS}
        for row in self._rows:
            if row.split:
                splits.setdefault(row.split, []).append(row.encounter_id)
        self._write_json(SPLITS_JSON, splits)
        with (self.folder / SPLITS_CSV).open("w", encoding="utf-8", newline="") as stream:
            table = csv.writer(stream, lineterminator="\n")
            table.writerow(["encounter_id", "split"])
            table.writerows((encounter, name) for name, encounters in splits.items() for encounter in encounters)

    def _write_json(self, name: str, content: Mapping[str, object]) -> None:
        """One item of a list a line: a person can read it, and a comparison of two files finds what differs."""
        parts = [f"{json.dumps(key)}: {_json_lines(value)}" for key, value in content.items()]
        (self.folder / name).write_text("{\n" + ",\n".join(parts) + "\n}\n", encoding="utf-8")


def _json_lines(value: object) -> str:
    if not isinstance(value, list) or not value:
        return json.dumps(value, ensure_ascii=False)
    items = cast("list[object]", value)
    return "[\n" + ",\n".join(json.dumps(item, ensure_ascii=False) for item in items) + "\n]"


def count_labels(rows: Iterable[EncounterRow], unknown_codes: Iterable[str] = ()) -> tuple[PreparedLabel, ...]:
    """The label space of encounters: every code with its counts by split, sorted by code."""
    unknown = frozenset(unknown_codes)
    counts: Counter[tuple[str, str, str]] = Counter()
    for row in rows:
        counts.update(zip(row.codes or (), row.systems, repeat(row.split)))
    by_label: dict[tuple[str, str], Counter[str]] = {}
    for (code, system, split), count in counts.items():
        by_label.setdefault((code, system), Counter())[split] = count
    return tuple(
        PreparedLabel(code, system, c["train"], c["dev"], c["test"], c.total(), code not in unknown)
        for (code, system), c in sorted(by_label.items())
    )


def _row(encounter: Encounter) -> EncounterRow:
    golds = encounter.codes
    return EncounterRow(
        encounter.encounter_id,
        encounter.group_id,
        encounter.split,
        None if golds is None else tuple(gold.code for gold in golds),
        tuple(gold.system for gold in golds or ()),
        encounter.metadata,
        tuple(gold.certainty for gold in golds or ()) if any(gold.certainty != 1 for gold in golds or ()) else (),
    )


def _columns(rows: Sequence[EncounterRow], keys: Sequence[str], doubted: bool) -> Iterator[list[object]]:
    yield [row.encounter_id for row in rows]
    yield [row.group_id for row in rows]
    yield [row.split for row in rows]
    yield [row.codes for row in rows]
    yield [None if row.codes is None else row.systems for row in rows]
    if doubted:
        yield [row.certainties or None for row in rows]
    for key in keys:
        yield [row.metadata.get(key) for row in rows]


def _evidence_rows(encounter: Encounter) -> Iterator[EvidenceRow]:
    for gold in encounter.codes or ():
        for one in gold.evidence:
            starts, ends = [part.start for part in one.parts], [part.end for part in one.parts]
            yield encounter.encounter_id, gold.code, one.note_id, starts, ends


def _batched(rows: Iterable[Any], size: int) -> Iterator[list[Any]]:
    batch: list[Any] = []
    for row in rows:
        batch.append(row)
        if len(batch) == size:
            yield batch
            batch = []
    if batch:
        yield batch
