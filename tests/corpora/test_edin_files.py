"""Edin's files: both layouts, trailing dots, splits in a file of their own, and what is wrong in them."""

from __future__ import annotations

import random
from pathlib import Path
from typing import Any

import pytest

from nosology.corpora.edin_files import read_edin_files, read_edin_files_with_report
from nosology.errors import ConfigError, CorpusError

pa = pytest.importorskip("pyarrow")
feather = pytest.importorskip("pyarrow.feather")
parquet = pytest.importorskip("pyarrow.parquet")

ICD10 = {
    "_id": [21, 22],
    "subject_id": [7, 8],
    "text": ["chest pain at rest", "a second text"],
    "icd10_diag": [["I10.", "E11.9"], ["I10."]],
    "icd10_proc": [["0DTJ4ZZ"], []],
    "target": [["0DTJ4ZZ", "I10.", "E11.9"], ["I10."]],
}
SPLITS = {"_id": [22, 21], "split": ["val", "train"]}


def write(path: Path, table: dict[str, list[Any]], **options: Any) -> Path:
    built = pa.table(table)
    if path.suffix == ".parquet":
        parquet.write_table(built, path)
    else:
        feather.write_feather(built, path, **options)
    return path


def test_feather_with_splits_beside_it_and_dots_taken_off(tmp_path: Path) -> None:
    write(tmp_path / "mimiciv_icd10.feather", ICD10)
    write(tmp_path / "mimiciv_icd10_split.feather", SPLITS)
    corpus, report = read_edin_files_with_report(tmp_path)
    assert (corpus.name, corpus.systems) == ("edin", ("icd10cm", "icd10pcs"))
    assert [(e.encounter_id, e.group_id, e.split) for e in corpus] == [("21", "7", "train"), ("22", "8", "dev")]
    codes = [(g.code, g.system) for g in corpus.encounters[0].codes or ()]
    assert codes == [("I10", "icd10cm"), ("E11.9", "icd10cm"), ("0DTJ4ZZ", "icd10pcs")]
    assert (report.trailing_dots, report.without_split, report.unmatched_split_ids) == (2, 0, 0)


def test_the_uncompressed_and_the_old_feather_format_are_read(tmp_path: Path) -> None:
    write(tmp_path / "a.feather", ICD10, compression="uncompressed")
    assert len(read_edin_files(tmp_path / "a.feather")) == 2


def test_parquet_by_split_with_typed_lists(tmp_path: Path) -> None:
    row = {
        "_id": [1],
        "subject_id": [5],
        "note_id": ["77+78"],
        "text": ["raw Text, 42 years."],
        "diagnosis_codes": [["401.9"]],
        "diagnosis_code_type": ["icd9cm"],
        "procedure_codes": [None],
        "procedure_code_type": [None],
    }
    table = pa.table(row, schema=pa.schema([
        ("_id", pa.int64()), ("subject_id", pa.int64()), ("note_id", pa.string()), ("text", pa.string()),
        ("diagnosis_codes", pa.list_(pa.string())), ("diagnosis_code_type", pa.string()),
        ("procedure_codes", pa.list_(pa.string())), ("procedure_code_type", pa.string()),
    ]))  # fmt: skip
    parquet.write_table(table, tmp_path / "train.parquet")
    later = table.set_column(0, "_id", pa.array([2])).set_column(2, "note_id", pa.array(["79"]))
    later = later.set_column(6, "procedure_codes", pa.array([["00.40"]]))
    parquet.write_table(later.set_column(7, "procedure_code_type", pa.array(["icd9pcs"])), tmp_path / "val.parquet")
    corpus = read_edin_files(tmp_path)
    assert [(e.encounter_id, e.split, e.notes[0].note_id) for e in corpus] == [
        ("1", "train", "77+78"),
        ("2", "dev", "79"),
    ]
    assert [(g.code, g.system) for g in corpus.encounters[1].codes or ()] == [
        ("401.9", "icd9cm"),
        ("00.40", "icd9proc"),
    ]


def test_target_alone_needs_the_version(tmp_path: Path) -> None:
    path = write(tmp_path / "x.feather", {"hadm_id": [1], "text": ["t"], "target": [["38.93", "401.9"]]})
    with pytest.raises(CorpusError, match=r"has no list of codes .*; say whether target holds ICD-9 or ICD-10"):
        read_edin_files(path)
    codes = read_edin_files(path, version=9).encounters[0].codes or ()
    assert [(g.code, g.system) for g in codes] == [("38.93", "icd9proc"), ("401.9", "icd9cm")]
    path = write(tmp_path / "y.feather", {"hadm_id": [1], "text": ["t"], "target": [["I10.", "0DTJ4ZZ", "S72.001A"]]})
    codes = read_edin_files(path, version=10).encounters[0].codes or ()
    assert [g.system for g in codes] == ["icd10cm", "icd10pcs", "icd10cm"]
    with pytest.raises(ConfigError, match="unknown version 11 of the ICD; choose 9 or 10"):
        read_edin_files(path, version=11)


def test_rows_that_the_splits_leave_out_are_counted(tmp_path: Path) -> None:
    notes = write(tmp_path / "n.feather", ICD10)
    splits = write(tmp_path / "s.feather", {"_id": [21, 99], "split": ["test", "train"]})
    corpus, report = read_edin_files_with_report(notes, splits=splits)
    assert [e.split for e in corpus] == ["test", ""]
    assert (report.without_split, report.unmatched_split_ids) == (1, 1)


def test_splits_of_another_corpus_are_refused(tmp_path: Path) -> None:
    notes = write(tmp_path / "n.feather", ICD10)
    splits = write(tmp_path / "s.feather", {"_id": [1, 2], "split": ["test", "train"]})
    with pytest.raises(CorpusError, match=r"s\.feather: none of its ids is an admission of the notes"):
        read_edin_files(notes, splits=splits)
    write(tmp_path / "s.feather", {"_id": [21], "split": ["held out"]})
    with pytest.raises(CorpusError, match=r"s\.feather:1: the split is none of train, dev \(or val\), test"):
        read_edin_files(notes, splits=splits)


def test_an_admission_of_two_notes(tmp_path: Path) -> None:
    two = {name: [values[0], values[0]] for name, values in ICD10.items()} | {"text": ["first", "second"]}
    corpus = read_edin_files(write(tmp_path / "n.feather", two))
    assert [[n.note_id for n in e.notes] for e in corpus] == [["21", "21-1"]]
    two["icd10_proc"] = [[], ["0DTJ4ZZ"]]
    with pytest.raises(CorpusError, match=r"n\.feather:2 \[21\]: the rows of this admission disagree"):
        read_edin_files(write(tmp_path / "n.feather", two))


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"text": [None, "b"]}, ":1 [21]: the text is missing or empty"),
        ({"icd10_diag": [["WELL AND"], []]}, ":1 [21]: a text of 8 characters does not have the shape of a code"),
        ({"icd10_diag": [[410], []]}, ":1 [21]: column 'icd10_diag' is no list of strings"),
        ({"_id": [None, 22]}, ":1: the id of the admission is missing"),
    ],
)
def test_broken_rows_are_named_or_skipped(tmp_path: Path, change: dict[str, list[Any]], message: str) -> None:
    path = write(tmp_path / "n.feather", ICD10 | change)
    with pytest.raises(CorpusError) as caught:
        read_edin_files(path)
    assert message in str(caught.value)
    skipped = read_edin_files(path, on_error="skip")
    assert [e.encounter_id for e in skipped] == ["22"]
    assert len(skipped.skipped) == 1


def test_wrong_files(tmp_path: Path) -> None:
    with pytest.raises(CorpusError, match="holds no table; name the one file of notes"):
        read_edin_files(tmp_path)
    (tmp_path / "n.feather").write_bytes(b"not a table")
    with pytest.raises(CorpusError, match=r"n\.feather: is not a readable table; write it again"):
        read_edin_files(tmp_path)
    write(tmp_path / "n.feather", ICD10)
    (tmp_path / "s.txt").write_text("x")
    with pytest.raises(CorpusError, match=r"s\.txt: unknown kind of file; use CAML's folder, \.feather"):
        read_edin_files(tmp_path / "n.feather", splits=tmp_path / "s.txt")
    with pytest.raises(CorpusError, match=r"s\.txt: unknown kind of table; use \.feather or \.parquet"):
        read_edin_files(tmp_path / "s.txt")
    write(tmp_path / "n.feather", {"_id": [1], "icd9_diag": [["486"]]})
    with pytest.raises(CorpusError, match="has no column 'text'"):
        read_edin_files(tmp_path)
    write(tmp_path / "n.feather", {"text": ["t"], "icd9_diag": [["486"]]})
    with pytest.raises(CorpusError, match="has no column '_id' or 'hadm_id'"):
        read_edin_files(tmp_path)


def test_a_damaged_feather_file_is_told_and_never_crashes(tmp_path: Path) -> None:
    path = write(tmp_path / "n.feather", ICD10, compression="uncompressed")
    whole = path.read_bytes()
    rng = random.Random(0)
    messages: list[str] = []
    for _ in range(150):
        damaged = bytearray(whole)
        for _ in range(rng.randint(1, 4)):
            damaged[rng.randrange(len(damaged))] = rng.randrange(256)
        path.write_bytes(damaged)
        try:
            read_edin_files(path)
        except CorpusError as error:
            messages.append(str(error))
    assert len(messages) > 10
    assert not any("chest pain" in message for message in messages)
