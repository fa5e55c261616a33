"""Text files as notes: what is read, and the text of every error."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from nosology.corpora import Problems, decode_note, iterate_notes, read_note_files
from nosology.errors import CorpusError

CANARY = "zebrafinch"


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    (tmp_path / "b.txt").write_bytes("Tos\r\ny fiebre ñ".encode())
    (tmp_path / "a.TXT").write_bytes(b"\xef\xbb\xbfFever")
    (tmp_path / "readme.md").write_text("no note")
    (tmp_path / "deeper").mkdir()
    (tmp_path / "deeper" / "c.txt").write_text("not read")
    return tmp_path


def message(path: Path) -> str:
    with pytest.raises(CorpusError) as caught:
        read_note_files(path)
    assert CANARY not in str(caught.value)
    assert "\n" not in str(caught.value)
    return str(caught.value)


def test_folder(folder: Path) -> None:
    corpus = read_note_files(folder, language="es")
    assert [(e.encounter_id, e.notes[0].note_id, e.codes) for e in corpus] == [("a", "a", None), ("b", "b", None)]
    assert [e.notes[0].text for e in corpus] == ["Fever", "Tos\r\ny fiebre ñ"]
    assert {e.notes[0].language for e in corpus} == {corpus.language} == {"es"}


def test_one_file_of_any_name(folder: Path) -> None:
    assert [e.encounter_id for e in read_note_files(folder / "b.txt")] == ["b"]
    assert [e.encounter_id for e in read_note_files(folder / "readme.md")] == ["readme.md"]


BROKEN = [
    (b"", "the note is empty; fill it or remove the file"),
    (b"\xef\xbb\xbf \n", "the note is empty; fill it or remove the file"),
    (CANARY.encode() + b"\0", "byte 10 is NUL, so this is not a plain text file; export the note again as UTF-8 text"),
    (CANARY.encode() + b"\xe9", "byte 10 is not UTF-8; convert the file to UTF-8"),
    (b"\xef\xbb\xbf" + CANARY.encode() + b"\xe9", "byte 13 is not UTF-8; convert the file to UTF-8"),
]


@pytest.mark.parametrize(("data", "problem"), BROKEN, ids=["empty", "blank", "nul", "latin1", "bom"])
def test_broken_note(folder: Path, data: bytes, problem: str) -> None:
    path = folder / "ab.txt"
    path.write_bytes(data)
    assert message(folder) == message(path) == f"{path} [ab]: {problem}"
    corpus = read_note_files(folder, on_error="skip")
    assert [e.encounter_id for e in corpus] == ["a", "b"]
    assert [item.message for item in corpus.skipped] == [f"{path} [ab]: {problem}"]


def test_notes_come_one_at_a_time(folder: Path) -> None:
    (folder / "z.txt").write_bytes(b"")
    notes = iterate_notes(folder, Problems("raise"))
    assert [next(notes).encounter_id, next(notes).encounter_id] == ["a", "b"]
    with pytest.raises(CorpusError):
        next(notes)


def test_two_files_with_one_id(folder: Path) -> None:
    (folder / "b.TXT").write_text("other")
    path = folder / "b.txt"
    assert message(folder) == f"{path} [b]: another file has this id; rename one of them"


def test_five_megabyte_note(tmp_path: Path) -> None:
    text = "tos y fiebre\n" * 400_000
    (tmp_path / "big.txt").write_text(text, "utf-8")
    assert read_note_files(tmp_path).encounters[0].notes[0].text == text


def test_wrong_paths(tmp_path: Path) -> None:
    assert message(tmp_path) == f"{tmp_path}: the folder holds no .txt file; put one note in each"
    assert message(tmp_path / "no.txt") == f"{tmp_path}/no.txt: no such file or folder; check the path"
    assert message(Path(f"{CANARY}\nwith fever")) == "no such file or folder; check the path"


def test_file_name_that_is_not_utf8(tmp_path: Path) -> None:
    try:
        (tmp_path / os.fsdecode(b"caf\xe9.txt")).write_text("Tos")
    except OSError:
        pytest.skip("this file system takes UTF-8 names only")
    assert message(tmp_path) == f"{tmp_path}: a file's name in this folder is not UTF-8; rename it"


def test_bytes_from_standard_input() -> None:
    assert decode_note(b"Tos", Path("<stdin>")) == "Tos"
    with pytest.raises(CorpusError) as caught:
        decode_note(b"Tos\xe9", Path("<stdin>"))
    assert str(caught.value) == "<stdin>: byte 3 is not UTF-8; convert the file to UTF-8"
