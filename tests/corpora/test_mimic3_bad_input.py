"""MIMIC-III: broken tables, damaged files, full disks; what is told, and that no message holds note text."""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest

from mimic_files import MIMIC3, write_release
from nosology.corpora.mimic3 import prepare_mimic3
from nosology.corpora.preparation.options import MimicOptions
from nosology.corpora.prepared import read_prepared
from nosology.errors import CorpusError
from tiny_corpus import run_python

NO_SPLIT = MimicOptions(own_split=None)
Change = Callable[[str], str]
QUOTE = "in the record that starts here a quote is not closed"


@pytest.fixture
def raw(tmp_path: Path) -> Path:
    return write_release(tmp_path / "raw", MIMIC3)


def changed(old: str, new: str, count: int = 1) -> Change:
    def change(text: str) -> str:
        assert old in text
        return text.replace(old, new, count)

    return change


@pytest.mark.parametrize(
    ("table", "change", "problem"),
    [
        ("NOTEEVENTS", changed("HADM_ID", "ADMISSION"), "NOTEEVENTS.csv:1: the header has no column hadm_id"),
        ("NOTEEVENTS", changed('stopped.\n"', "stopped.\n"), f"NOTEEVENTS.csv:2: {QUOTE}"),
        ("NOTEEVENTS", changed('"Joint pain."\n12', '"Joint pain.\n12'), f"NOTEEVENTS.csv:14: {QUOTE}"),
        ("NOTEEVENTS", changed('"An addendum alone."', '"An addendum alone.'), f"NOTEEVENTS.csv:18: {QUOTE}"),
        ("NOTEEVENTS", changed('on ""coumadin""', 'on "coumadin"'), f"NOTEEVENTS.csv:5: {QUOTE}"),
        ("NOTEEVENTS", changed("8,11,500003,", "8,11,,500003,"), "NOTEEVENTS.csv:10: 12 cells where the header has 11"),
        ("NOTEEVENTS", changed("8,11,500003,", "8,500003,"), "NOTEEVENTS.csv:10: 10 cells where the header has 11"),
        ("NOTEEVENTS", changed("8,11,500003,", "8,11,x500003,"), "NOTEEVENTS.csv:10: hadm_id is not a whole number"),
        ("NOTEEVENTS", changed("\n7,10,", "\n5,10,"), "NOTEEVENTS.csv [5]: two notes have this id"),
        ("NOTEEVENTS", changed("Discharge", "discarded", -1), "NOTEEVENTS.csv: no discharge summary is left"),
        ("NOTEEVENTS", lambda text: "", "NOTEEVENTS.csv: the file is empty"),
        ("DIAGNOSES_ICD", changed(",1,", ",one,"), "DIAGNOSES_ICD.csv:3: seq_num is not a whole number"),
        ("D_ICD_DIAGNOSES", changed("ICD9_CODE", "CODE"), "D_ICD_DIAGNOSES.csv:1: the header has no column icd9_code"),
    ],
)
def test_broken_tables(tmp_path: Path, table: str, change: Change, problem: str) -> None:
    raw = write_release(tmp_path / "raw", {**MIMIC3, table: change(MIMIC3[table])})
    with pytest.raises(CorpusError) as caught:
        prepare_mimic3(raw, tmp_path / "out", NO_SPLIT)
    assert f"{raw}/{problem}" in str(caught.value)
    assert [path.name for path in tmp_path.iterdir()] == ["raw"]


def test_missing_tables_are_all_told(tmp_path: Path) -> None:
    raw = write_release(tmp_path / "raw", {"NOTEEVENTS": MIMIC3["NOTEEVENTS"], "ADMISSIONS": MIMIC3["ADMISSIONS"]})
    with pytest.raises(CorpusError) as caught:
        prepare_mimic3(raw, tmp_path / "out")
    assert str(caught.value) == (
        f"{raw}: the folder has no DIAGNOSES_ICD.csv(.gz), PROCEDURES_ICD.csv(.gz), D_ICD_DIAGNOSES.csv(.gz), "
        "D_ICD_PROCEDURES.csv(.gz); get it from PhysioNet, or correct --raw"
    )
    with pytest.raises(CorpusError, match="no such folder; name the folder of the downloaded release"):
        prepare_mimic3(tmp_path / "nowhere", tmp_path / "out")


def test_two_copies_of_a_table(tmp_path: Path) -> None:
    write_release(tmp_path / "raw" / "a", MIMIC3)
    write_release(tmp_path / "raw" / "b", {"NOTEEVENTS": MIMIC3["NOTEEVENTS"]})
    with pytest.raises(CorpusError, match=r"NOTEEVENTS stands in several folders \(a, b\)"):
        prepare_mimic3(tmp_path / "raw", tmp_path / "out")


@pytest.mark.parametrize("keep", [0.1, 0.9])
def test_truncated_gzip(tmp_path: Path, keep: float) -> None:
    raw = write_release(tmp_path / "raw", MIMIC3, compress=True)
    path = raw / "NOTEEVENTS.csv.gz"
    data = path.read_bytes()
    path.write_bytes(data[: int(len(data) * keep)])
    with pytest.raises(CorpusError) as caught:
        prepare_mimic3(raw, tmp_path / "out")
    assert (
        str(caught.value)
        == f"{path}: the gzip file is cut short after {int(len(data) * keep)} bytes; download it again"
    )


def test_damaged_gzip(tmp_path: Path) -> None:
    raw = write_release(tmp_path / "raw", MIMIC3, compress=True)
    path = raw / "NOTEEVENTS.csv.gz"
    data = bytearray(path.read_bytes())
    data[100:120] = bytes(20)
    path.write_bytes(data)
    with pytest.raises(CorpusError, match="the gzip file is damaged near byte"):
        prepare_mimic3(raw, tmp_path / "out")


def test_bytes_that_are_not_utf8(tmp_path: Path) -> None:
    raw = write_release(tmp_path / "raw", MIMIC3)
    path = raw / "NOTEEVENTS.csv"
    path.write_bytes(path.read_bytes().replace(b"Hypertension only", b"Hypertension \xe9"))
    with pytest.raises(CorpusError) as caught:
        prepare_mimic3(raw, tmp_path / "out")
    assert str(caught.value) == f"{path}:9: a byte here is not UTF-8; convert the file to UTF-8"


def test_checksums_of_the_release(raw: Path, tmp_path: Path) -> None:
    import hashlib

    good = hashlib.sha256((raw / "NOTEEVENTS.csv").read_bytes()).hexdigest()
    (raw / "SHA256SUMS.txt").write_text(f"{good} NOTEEVENTS.csv\n")
    prepare_mimic3(raw, tmp_path / "out", NO_SPLIT)
    (raw / "SHA256SUMS.txt").write_text(f"{'0' * 64} NOTEEVENTS.csv\n")
    with pytest.raises(CorpusError, match=r"NOTEEVENTS.csv: its SHA-256 is not the one in SHA256SUMS.txt"):
        prepare_mimic3(raw, tmp_path / "out", replace(NO_SPLIT, top=2))


def test_row_counts_of_the_release_are_compared_for_real_ids_only(raw: Path, tmp_path: Path) -> None:
    tables = {name: text.replace("50000", "10000") for name, text in MIMIC3.items()}
    manifest = prepare_mimic3(write_release(tmp_path / "real", tables), tmp_path / "out", NO_SPLIT).manifest
    told = [str(warning) for warning in manifest.warnings]
    assert "rows that NOTEEVENTS has more or fewer than the 2,083,180 of MIMIC-III v1.4: 2,083,168" in told


def test_an_admission_of_two_patients(tmp_path: Path) -> None:
    tables = {**MIMIC3, "NOTEEVENTS": MIMIC3["NOTEEVENTS"].replace("2,14,500006", "2,99,500006")}
    manifest = prepare_mimic3(write_release(tmp_path / "raw", tables), tmp_path / "out", NO_SPLIT).manifest
    assert "admissions under two patients, of which the first is taken: 1 (500006)" in map(str, manifest.warnings)


def test_codes_of_another_shape_are_kept(tmp_path: Path) -> None:
    tables = {**MIMIC3, "DIAGNOSES_ICD": MIMIC3["DIAGNOSES_ICD"] + '13,10,500002,2,"HELP"\n'}
    manifest = prepare_mimic3(write_release(tmp_path / "raw", tables), tmp_path / "out", NO_SPLIT).manifest
    assert "codes without the shape of ICD-9, kept as written: 1 (HELP)" in map(str, manifest.warnings)
    assert read_prepared(tmp_path / "out").unknown_codes == {"719.70": 1, "HELP": 1}


def test_a_place_that_holds_something_else(raw: Path, tmp_path: Path) -> None:
    (tmp_path / "out").mkdir()
    (tmp_path / "out" / "thesis.txt").write_text("mine")
    with pytest.raises(CorpusError, match="holds something that is not a prepared corpus; choose another place"):
        prepare_mimic3(raw, tmp_path / "out")
    assert (tmp_path / "out" / "thesis.txt").read_text() == "mine"


def test_full_disk_leaves_the_old_folder(raw: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    import errno

    from nosology.corpora.preparation import writing

    prepare_mimic3(raw, tmp_path / "out", NO_SPLIT)
    before = (tmp_path / "out" / "manifest.json").read_bytes()

    def full(self: object, *columns: object) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(writing.PreparedWriter, "write_notes", full)
    with pytest.raises(CorpusError) as caught:
        prepare_mimic3(raw, tmp_path / "out", replace(NO_SPLIT, top=2))
    problem = "cannot be written (No space left on device); make room or choose another place"
    assert str(caught.value) == f"{tmp_path / 'out'}: {problem}"
    assert (tmp_path / "out" / "manifest.json").read_bytes() == before
    assert sorted(path.name for path in tmp_path.iterdir()) == ["out", "raw"]


@pytest.mark.parametrize(
    "change",
    [
        changed("500002,", "500002,,"),
        changed('"CANARY', "CANARY"),
        changed("500002", "CANARY"),
        changed('CANARY."', "CANARY."),
        changed('"Discharge summary","Report",,1,', ""),
    ],
)
def test_no_message_holds_note_text(tmp_path: Path, change: Change) -> None:
    text = change(MIMIC3["NOTEEVENTS"].replace("Marked as an error", "CANARY one\nand CANARY"))
    raw = write_release(tmp_path / "raw", {**MIMIC3, "NOTEEVENTS": text})
    with pytest.raises(CorpusError) as caught:
        prepare_mimic3(raw, tmp_path / "out")
    assert "CANARY" not in str(caught.value)
    assert re.search(r"NOTEEVENTS.csv:[89]: ", str(caught.value))


COLLECT_OFTEN = """
import gc, sys
from nosology.corpora.mimic3 import prepare_mimic3
from nosology.errors import CorpusError

gc.set_threshold(20, 2, 2)
kept = []
for _ in range(60):
    try:
        prepare_mimic3(sys.argv[1], sys.argv[2])
    except CorpusError as error:
        kept = [*kept[-4:], error]
print(len(kept))
"""


def test_errors_leave_no_thread_that_waits(tmp_path: Path) -> None:
    """Tracebacks keep half-read tables alive; the collector may end them while another table's thread starts."""
    broken = {**MIMIC3, "NOTEEVENTS": MIMIC3["NOTEEVENTS"].replace("500002", "x")}
    raw = write_release(tmp_path / "raw", broken)
    assert run_python(COLLECT_OFTEN, str(raw), str(tmp_path / "out")) == "5\n"
