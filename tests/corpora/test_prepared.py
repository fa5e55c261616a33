"""Prepared folders: what is written is read back equal, whole or not at all, and damage is told."""

from __future__ import annotations

import json
import os
from dataclasses import replace
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from nosology.config import PreparedConfig
from nosology.corpora import open_corpus
from nosology.corpora.preparation.manifest import Manifest
from nosology.corpora.prepared import iterate_prepared, open_prepared, read_prepared, write_prepared, writing_prepared
from nosology.errors import CorpusError
from nosology.types import Corpus, Encounter, Evidence, GoldCode, Note, Span
from tiny_corpus import run_python

CORPUS = Corpus(
    "hand-made",
    ("icd10cm", "mine"),
    (
        Encounter(
            "a",
            (Note("a1", 'Gout, "acute".\r\nÄ \u2028 end\n', "Discharge summary"), Note("a2", "Gota.", language="es")),
            (
                GoldCode("M10.9", "icd10cm", (Evidence("a1", (Span(0, 4), Span(6, 8))), Evidence("a2", (Span(0, 4),)))),
                GoldCode("x:1", "mine"),
            ),
            "p1",
            "train",
            {"discharge_date": "2101-02-01"},
        ),
        Encounter("b", (Note("b1", "Nobody coded this."),), None, "p2", "dev"),
        Encounter("c", (Note("c1", "Coded with nothing."),), (), "p3", "test", {"ward": ""}),
        Encounter("d", (Note("d1", "x"),), (GoldCode("M10.9", "icd10cm", (Evidence("d1", (Span(0, 1),)),)),), "p4"),
    ),
    unknown_codes={"x:1": 1},
)


def test_round_trip(tmp_path: Path) -> None:
    manifest = write_prepared(tmp_path / "out", CORPUS)
    assert read_prepared(tmp_path / "out") == CORPUS
    assert open_corpus(PreparedConfig(path=str(tmp_path / "out"))) == CORPUS
    assert tuple(iterate_prepared(tmp_path / "out")) == CORPUS.encounters
    assert [e.encounter_id for e in iterate_prepared(tmp_path / "out", "train", "test")] == ["a", "c"]
    assert sorted(manifest.outputs) == [
        "encounters.parquet", "evidence.parquet", "labels.json", "notes.parquet", "splits.csv", "splits.json",
    ]  # fmt: skip
    assert write_prepared(tmp_path / "again", CORPUS) == manifest


def test_files(tmp_path: Path) -> None:
    write_prepared(tmp_path / "out", CORPUS)
    labels = json.loads((tmp_path / "out" / "labels.json").read_text())
    assert labels == {
        "systems": ["icd10cm", "mine"],
        "language": "en",
        "labels": [
            {"code": "M10.9", "system": "icd10cm", "train": 1, "dev": 0, "test": 0, "all": 2, "known": True},
            {"code": "x:1", "system": "mine", "train": 1, "dev": 0, "test": 0, "all": 1, "known": False},
        ],
    }
    assert json.loads((tmp_path / "out" / "splits.json").read_text()) == {"train": ["a"], "dev": ["b"], "test": ["c"]}
    folder = open_prepared(tmp_path / "out")
    notes = [row for batch in folder.note_batches(["encounter_id", "note_id"]) for row in batch.to_pylist()]
    assert [row["note_id"] for row in notes] == ["a1", "a2", "b1", "c1", "d1"]
    assert [row[:3] for row in folder.evidence_rows()] == [
        ("a", "M10.9", "a1"),
        ("a", "M10.9", "a2"),
        ("d", "M10.9", "d1"),
    ]
    assert [row.codes for row in folder.encounter_rows()] == [("M10.9", "x:1"), None, (), ("M10.9",)]


def test_without_evidence_there_is_no_evidence_file(tmp_path: Path) -> None:
    bare = CORPUS.with_encounters([replace(e, codes=()) for e in CORPUS])
    assert "evidence.parquet" not in write_prepared(tmp_path / "out", bare).outputs
    assert read_prepared(tmp_path / "out").encounters == bare.encounters


words = st.text(st.characters(exclude_categories=("Cs",)), min_size=1, max_size=20)


@settings(max_examples=15, deadline=None)
@given(st.lists(st.lists(words, min_size=1, max_size=3), min_size=1, max_size=8), st.data())
def test_round_trip_of_any_text(
    tmp_path_factory: pytest.TempPathFactory, texts: list[list[str]], data: st.DataObject
) -> None:
    encounters = []
    for number, its_texts in enumerate(texts):
        notes = tuple(Note(f"{number}-{index}", text) for index, text in enumerate(its_texts))
        codes = data.draw(st.none() | st.lists(st.sampled_from("ABCDE"), unique=True))
        golds = None if codes is None else tuple(GoldCode(code, "mine") for code in codes)
        encounters.append(Encounter(str(number), notes, golds, "", data.draw(st.sampled_from(["", "train", "test"]))))
    corpus = Corpus("any", ("mine",), tuple(encounters))
    out = tmp_path_factory.mktemp("prepared") / "out"
    write_prepared(out, corpus)
    assert read_prepared(out) == corpus


def test_more_encounters_than_a_batch(tmp_path: Path) -> None:
    encounters = tuple(
        Encounter(
            str(i), tuple(Note(f"{i}-{j}", f"note {i} {j}") for j in range(1 + i % 3)), (GoldCode(f"c{i % 7}", "mine"),)
        )
        for i in range(5000)
    )
    write_prepared(tmp_path / "out", Corpus("many", ("mine",), encounters))
    assert read_prepared(tmp_path / "out").encounters == encounters


def _fail_while_writing(out: Path) -> None:
    with writing_prepared(out, Manifest("x", {}, {}, {}, (), ())) as writer:
        writer.write_notes(["a"], ["a"], [""], ["en"], ["text"])
        raise RuntimeError


def test_nothing_is_left_of_a_failed_writing(tmp_path: Path) -> None:
    write_prepared(tmp_path / "out", CORPUS)
    with pytest.raises(RuntimeError):
        _fail_while_writing(tmp_path / "out")
    assert read_prepared(tmp_path / "out") == CORPUS
    assert [path.name for path in tmp_path.iterdir()] == ["out"]


def test_what_a_killed_run_left_is_cleaned(tmp_path: Path) -> None:
    write_prepared(tmp_path / "out", CORPUS)
    dead = 2**22 + 1  # above the largest process id of Linux
    (tmp_path / f".out.building-{dead}-00000000").mkdir()
    (tmp_path / "out").rename(tmp_path / f".out.replaced-{dead}-00000000")
    alive = tmp_path / f".out.building-{os.getpid()}-11111111"
    alive.mkdir()
    write_prepared(tmp_path / "out", CORPUS)
    assert sorted(path.name for path in tmp_path.iterdir()) == [alive.name, "out"]


@pytest.mark.parametrize(
    ("name", "content", "problem"),
    [
        ("manifest.json", None, "manifest.json: no such file: not a prepared corpus; `nosology prepare` makes one"),
        ("manifest.json", b"{", "manifest.json: truncated or damaged: not JSON"),
        ("manifest.json", b"[]", "manifest.json: damaged: not a JSON object"),
        ("manifest.json", b'{"format": "x"}', "manifest.json: not the manifest of a prepared corpus"),
        ("manifest.json", b'{"format": "nosology-prepared", "format_version": 9}', "format version 9"),
        ("manifest.json", b'{"format": "nosology-prepared", "format_version": 1}', "a key is missing or wrong"),
        ("notes.parquet", None, "notes.parquet: no such file; run `nosology prepare` again"),
        ("notes.parquet", b"short", "notes.parquet: has 5 bytes instead of"),
        ("labels.json", b"", "labels.json: has 0 bytes instead of"),
    ],
)
def test_damage(tmp_path: Path, name: str, content: bytes | None, problem: str) -> None:
    write_prepared(tmp_path / "out", CORPUS)
    path = tmp_path / "out" / name
    if content is None:
        path.unlink()
    else:
        path.write_bytes(content)
    with pytest.raises(CorpusError) as caught:
        read_prepared(tmp_path / "out")
    assert problem in str(caught.value)


def test_damage_of_the_same_length(tmp_path: Path) -> None:
    write_prepared(tmp_path / "out", CORPUS)
    path = tmp_path / "out" / "notes.parquet"
    path.write_bytes(bytes(path.stat().st_size))
    with pytest.raises(CorpusError, match=r"notes.parquet: is not a readable Parquet file"):
        read_prepared(tmp_path / "out")


def test_places_that_are_refused(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("x")
    with pytest.raises(CorpusError, match="is a file, not a folder; choose another place"):
        write_prepared(tmp_path / "file", CORPUS)
    with pytest.raises(CorpusError, match="is a file, not a prepared folder"):
        read_prepared(tmp_path / "file")
    (tmp_path / "empty").mkdir()
    write_prepared(tmp_path / "empty", CORPUS)
    assert read_prepared(tmp_path / "empty") == CORPUS


FULL_DISK = """
import base64, random, resource, sys
from nosology.corpora.prepared import write_prepared
from nosology.errors import CorpusError
from nosology.types import Corpus, Encounter, Note

resource.setrlimit(resource.RLIMIT_FSIZE, (100_000, 100_000))
notes = [Note(str(i), base64.b85encode(random.Random(i).randbytes(2000)).decode()) for i in range(300)]
try:
    write_prepared(sys.argv[1], Corpus("x", (), tuple(Encounter(n.note_id, (n,), ()) for n in notes)))
except CorpusError as error:
    print(error)
"""


def test_a_disk_that_takes_no_more(tmp_path: Path) -> None:
    """A real write that fails: the process may write no file longer than 100 kB."""
    said = run_python(FULL_DISK, str(tmp_path / "out"))
    problem = "cannot be written (File too large); make room or choose another place"
    assert said == f"{tmp_path / 'out'}: {problem}\n"
    assert list(tmp_path.iterdir()) == []
