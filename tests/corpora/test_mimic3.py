"""MIMIC-III: every trap of the release has its expected output written out."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import pytest

from mimic_files import CODE_HEADER, MIMIC3, NOTE_HEADER, TITLE_HEADER, write_release
from nosology.corpora.mimic3 import prepare_mimic3
from nosology.corpora.preparation.options import MimicOptions
from nosology.corpora.prepared import open_prepared, read_prepared
from nosology.errors import ConfigError, CorpusError
from nosology.types import Encounter, GoldCode, Note

NO_SPLIT = MimicOptions(own_split=None)
SUMMARY, ADDENDUM = "Discharge summary", "Discharge summary addendum"


def diagnoses(*codes: str) -> tuple[GoldCode, ...]:
    return tuple(GoldCode(code, "icd9cm") for code in codes)


def procedures(*codes: str) -> tuple[GoldCode, ...]:
    return tuple(GoldCode(code, "icd9proc") for code in codes)


EXPECTED = (
    Encounter(
        "500001",
        (
            Note("5", 'Sepsis, diabetes.\n\nFell from a car, on "coumadin", see [**Location**].', SUMMARY),
            Note("3", 'Addendum, written first:\n"Coumadin" stopped.\n', ADDENDUM),
        ),
        diagnoses("038.9", "250.00", "E812.0", "V58.61") + procedures("04.07", "38.93"),
        "10",
        metadata={
            "admission_date": "2101-01-20 10:00:00",
            "discharge_date": "2101-02-01 11:00:00",
            "admission_type": "EMERGENCY",
        },
    ),
    Encounter("500002", (Note("7", "Hypertension only.", SUMMARY),), diagnoses("401.9"), "10"),
    Encounter(
        "500006",
        (Note("2", "Second report of that day, earlier by ROW_ID.", SUMMARY), Note("11", "Joint pain.", SUMMARY)),
        diagnoses("719.70", "042") + procedures("40.7", "66"),
        "14",
    ),
    Encounter("500007", (Note("14", "An addendum alone.", ADDENDUM),), diagnoses("250.00"), "15"),
)


@pytest.fixture
def raw(tmp_path: Path) -> Path:
    return write_release(tmp_path / "raw", MIMIC3)


@pytest.mark.parametrize("lower", [False, True])
@pytest.mark.parametrize("compress", [False, True])
def test_every_trap(tmp_path: Path, lower: bool, compress: bool) -> None:
    raw = write_release(tmp_path / "raw", MIMIC3, lower=lower, compress=compress)
    done = prepare_mimic3(raw, tmp_path / "out", NO_SPLIT)
    corpus = read_prepared(tmp_path / "out")
    assert corpus.encounters == EXPECTED
    assert (corpus.name, corpus.systems, corpus.language) == ("mimic3", ("icd9cm", "icd9proc"), "en")
    assert corpus.unknown_codes == {"719.70": 1}
    assert not done.unchanged


def test_line_ends_of_windows_and_no_last_one(tmp_path: Path) -> None:
    tables = {name: text.rstrip("\n").replace("\n", "\r\n") for name, text in MIMIC3.items()}
    prepare_mimic3(write_release(tmp_path / "raw", tables), tmp_path / "out", NO_SPLIT)
    texts = [
        note.text.replace("\r\n", "\n") for encounter in read_prepared(tmp_path / "out") for note in encounter.notes
    ]
    assert texts == [note.text for encounter in EXPECTED for note in encounter.notes]
    assert [e.codes for e in read_prepared(tmp_path / "out")] == [e.codes for e in EXPECTED]


def test_counts_decisions_and_warnings(raw: Path, tmp_path: Path) -> None:
    manifest = prepare_mimic3(raw, tmp_path / "out", NO_SPLIT).manifest
    assert manifest.counts == {
        "rows of NOTEEVENTS": 12,
        "discharge summaries and addenda": 11,
        "of them without HADM_ID, left out": 1,
        "of them marked ISERROR, left out": 1,
        "of them without text, left out": 1,
        "of them with the text of another note of the admission, left out": 1,
        "rows of DIAGNOSES_ICD": 12,
        "rows of DIAGNOSES_ICD without code or HADM_ID, left out": 1,
        "rows of PROCEDURES_ICD": 4,
        "rows of PROCEDURES_ICD without code or HADM_ID, left out": 0,
        "admissions with a kept note": 5,
        "admissions with codes and no kept note, left out": 2,
        "rows of codes that repeat a code of their admission, left out": 1,
        "admissions with a note and no codes, left out": 1,
        "codes before any is left out": 11,
        "encounters": 4,
        "patients": 3,
        "notes": 6,
        "codes": 11,
        "labels": 12,
        "encounters in train": 0,
        "encounters in dev": 0,
        "encounters in test": 0,
        "labels whose code is in no table of titles, kept": 1,
    }
    assert [str(warning) for warning in manifest.warnings] == [
        "discharge summaries without HADM_ID, left out: 1",
        "rows of DIAGNOSES_ICD without code or HADM_ID, left out: 1",
        "admissions with codes and no kept note, left out: 2 (500004, 500005)",
        "admissions with a note and no codes, left out: 1 (500003)",
        "codes in none of the release's tables of titles (D_ICD), kept: 1 (719.70)",
    ]
    assert manifest.decisions[-1] == "No splits were made."
    assert sorted(manifest.inputs) == sorted(f"{name}.csv" for name in MIMIC3)
    on_disk = json.loads((tmp_path / "out" / "manifest.json").read_text())
    assert on_disk["outputs"]["notes.parquet"]["bytes"] == (tmp_path / "out" / "notes.parquet").stat().st_size


def test_labels_file(raw: Path, tmp_path: Path) -> None:
    prepare_mimic3(raw, tmp_path / "out", NO_SPLIT)
    labels = json.loads((tmp_path / "out" / "labels.json").read_text())
    assert labels["systems"] == ["icd9cm", "icd9proc"]
    assert [label["code"] for label in labels["labels"]] == sorted(label["code"] for label in labels["labels"])
    by_code = {label["code"]: label for label in labels["labels"]}
    assert by_code["250.00"] == {
        "code": "250.00", "system": "icd9cm", "train": 0, "dev": 0, "test": 0, "all": 2, "known": True,
    }  # fmt: skip
    assert by_code["40.7"]["system"] == "icd9proc"
    assert not by_code["719.70"]["known"]


@pytest.mark.parametrize(
    ("options", "codes"),
    [
        ({"codes": "diagnoses"}, {"038.9", "250.00", "E812.0", "V58.61", "401.9", "719.70", "042"}),
        ({"codes": "procedures"}, {"04.07", "38.93", "40.7", "66"}),
        ({"min_count": 2}, {"250.00"}),
        ({"top": 1}, {"250.00"}),
        # of the codes of one count those that come first in the alphabet
        ({"top": 3}, {"250.00", "038.9", "04.07"}),
        ({"variant": "50"}, {gold.code for encounter in EXPECTED for gold in encounter.codes or ()}),
    ],
)
def test_which_codes_are_kept(raw: Path, tmp_path: Path, options: dict[str, object], codes: set[str]) -> None:
    prepare_mimic3(raw, tmp_path / "out", replace(NO_SPLIT, **options))  # type: ignore[arg-type]
    corpus = read_prepared(tmp_path / "out")
    assert {code for encounter in corpus for code in encounter.code_set} == codes
    expected = [e.encounter_id for e in EXPECTED if e.code_set & codes]
    assert [encounter.encounter_id for encounter in corpus] == expected


def test_clean_keeps_codes_of_ten_admissions(tmp_path: Path) -> None:
    notes = [f'{i},{i},{600000 + i},2101-01-01,,,"Discharge summary","Report",,,"Note {i}"' for i in range(12)]
    rows = [f'{i},{i},{600000 + i},1,"4019"' for i in range(10)]
    rows += [f'{20 + i},{i},{600000 + i},2,"25000"' for i in range(9)]
    rows += ['40,10,600010,1,"25000"', '41,10,600010,2,"25000"', '42,11,600011,1,"0389"']
    tables = {
        **MIMIC3,
        "NOTEEVENTS": "\n".join([NOTE_HEADER, *notes]),
        "DIAGNOSES_ICD": "\n".join([CODE_HEADER, *rows]),
    }
    raw = write_release(tmp_path / "raw", tables)
    prepare_mimic3(raw, tmp_path / "out", replace(NO_SPLIT, variant="clean"))
    folder = open_prepared(tmp_path / "out")
    assert {label.code: label.all for label in folder.labels} == {"401.9": 10, "250.00": 10}
    assert folder.manifest.counts["admissions without a kept code, left out"] == 1


def test_without_addenda(raw: Path, tmp_path: Path) -> None:
    done = prepare_mimic3(raw, tmp_path / "out", replace(NO_SPLIT, addenda=False))
    notes = {e.encounter_id: [note.note_id for note in e.notes] for e in read_prepared(tmp_path / "out")}
    assert notes == {"500001": ["5"], "500002": ["7"], "500006": ["2", "11"]}
    assert done.manifest.counts["of them addenda, left out"] == 2


def test_own_split_never_parts_a_patient(raw: Path, tmp_path: Path) -> None:
    options = MimicOptions(own_split={"train": 0.5, "dev": 0.25, "test": 0.25}, seed=3)
    manifest = prepare_mimic3(raw, tmp_path / "out", options).manifest
    corpus = read_prepared(tmp_path / "out")
    assert {e.split for e in corpus} == {"train", "dev", "test"}
    assert len({(e.group_id, e.split) for e in corpus}) == len({e.group_id for e in corpus})
    assert "Splits of our own (train 0.5, dev 0.25, test 0.25; seed 3)" in manifest.decisions[-1]
    listed = json.loads((tmp_path / "out" / "splits.json").read_text())
    assert {hadm: name for name, ids in listed.items() for hadm in ids} == {e.encounter_id: e.split for e in corpus}
    lines = (tmp_path / "out" / "splits.csv").read_text().splitlines()
    assert lines[0] == "encounter_id,split"
    assert len(lines) == 5


def caml_ids(folder: Path, **splits: str) -> Path:
    folder.mkdir()
    for split, ids in splits.items():
        (folder / f"{split}_full_hadm_ids.csv").write_text("\n".join(ids.split()) + "\n")
    return folder


def test_published_ids(raw: Path, tmp_path: Path) -> None:
    ids = caml_ids(tmp_path / "ids", train="500001 500003", dev="500002", test="500007 700000")
    manifest = prepare_mimic3(raw, tmp_path / "out", MimicOptions(split_ids=ids)).manifest
    splits = {e.encounter_id: e.split for e in read_prepared(tmp_path / "out")}
    assert splits == {"500001": "train", "500002": "dev", "500007": "test"}
    told = [str(warning) for warning in manifest.warnings]
    assert "ids of the published splits that match no kept admission: 2 (500003, 700000)" in told
    assert "admissions in no published split, left out: 1 (500006)" in told
    assert "matched: train 1 of 2, dev 1 of 1, test 1 of 2." in manifest.decisions[-1]
    assert "split-ids/train_full_hadm_ids.csv" in manifest.inputs


def test_published_table_of_ids(raw: Path, tmp_path: Path) -> None:
    table = tmp_path / "splits.csv"
    table.write_text("_id,split\n500001,train\n500002,val\n500006,test\n")
    prepare_mimic3(raw, tmp_path / "out", MimicOptions(split_ids=table))
    splits = {e.encounter_id: e.split for e in read_prepared(tmp_path / "out")}
    assert splits == {"500001": "train", "500002": "dev", "500006": "test"}


def test_ids_that_match_nothing(raw: Path, tmp_path: Path) -> None:
    ids = caml_ids(tmp_path / "ids", train="500001", dev="900001 900002", test="900003")
    with pytest.raises(CorpusError) as caught:
        prepare_mimic3(raw, tmp_path / "out", MimicOptions(split_ids=ids))
    assert str(caught.value) == (
        f"{ids}: the ids match no admission of dev and test (matched: train 1 of 1, dev 0 of 2, test 0 of 1); "
        "are they of this release?"
    )
    assert not (tmp_path / "out").exists()


@pytest.mark.parametrize(
    ("content", "problem"),
    [
        ("500001\nabc\n", "train_full_hadm_ids.csv:2: the id is not a whole number; give one id a line"),
        ("500002\n", "[500002]: the id stands in two splits; keep one"),
    ],
)
def test_broken_ids(raw: Path, tmp_path: Path, content: str, problem: str) -> None:
    ids = caml_ids(tmp_path / "ids", train="", dev="500002", test="500001")
    (ids / "train_full_hadm_ids.csv").write_text(content)
    with pytest.raises(CorpusError) as caught:
        prepare_mimic3(raw, tmp_path / "out", MimicOptions(split_ids=ids))
    assert problem in str(caught.value)


def test_nothing_is_done_twice(raw: Path, tmp_path: Path) -> None:
    out = tmp_path / "out"
    first = prepare_mimic3(raw, out, NO_SPLIT)
    written = {path.name: path.stat().st_mtime_ns for path in out.iterdir()}
    again = prepare_mimic3(raw, out, NO_SPLIT)
    assert (again.unchanged, again.manifest) == (True, first.manifest)
    assert {path.name: path.stat().st_mtime_ns for path in out.iterdir()} == written
    assert not prepare_mimic3(raw, out, replace(NO_SPLIT, top=2)).unchanged
    assert not prepare_mimic3(raw, out, NO_SPLIT).unchanged
    # one digit, same length: only a hash sees it
    path = raw / "DIAGNOSES_ICD.csv"
    path.write_text(path.read_text().replace('"042"', '"043"'))
    assert not prepare_mimic3(raw, out, NO_SPLIT).unchanged
    data = bytearray((out / "notes.parquet").read_bytes())
    data[40] ^= 1
    (out / "notes.parquet").write_bytes(bytes(data))
    assert not prepare_mimic3(raw, out, NO_SPLIT).unchanged


def test_same_bytes_whatever_the_order_of_rows(raw: Path, tmp_path: Path) -> None:
    first = prepare_mimic3(raw, tmp_path / "one", MimicOptions(own_split=None)).manifest
    header, *rows = (raw / "DIAGNOSES_ICD.csv").read_text().splitlines()
    (raw / "DIAGNOSES_ICD.csv").write_text("\n".join([header, *reversed(rows)]) + "\n")
    second = prepare_mimic3(raw, tmp_path / "two", MimicOptions(own_split=None)).manifest
    assert first.outputs["notes.parquet"] == second.outputs["notes.parquet"]
    assert read_prepared(tmp_path / "one").encounters == read_prepared(tmp_path / "two").encounters


def test_raw_folder_is_never_written(raw: Path, tmp_path: Path) -> None:
    before = sorted((path.name, path.stat().st_mtime_ns) for path in raw.iterdir())
    with pytest.raises(CorpusError, match="lies inside the raw folder, which is never written to"):
        prepare_mimic3(raw, raw / "out", NO_SPLIT)
    prepare_mimic3(raw, tmp_path / "out", NO_SPLIT)
    assert sorted((path.name, path.stat().st_mtime_ns) for path in raw.iterdir()) == before


def test_files_in_a_folder_below(tmp_path: Path) -> None:
    write_release(tmp_path / "raw" / "files" / "mimiciii" / "1.4", MIMIC3)
    prepare_mimic3(tmp_path / "raw", tmp_path / "out", NO_SPLIT)
    assert read_prepared(tmp_path / "out").encounters == EXPECTED


def test_options_that_contradict(raw: Path, tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="MIMIC-III has ICD-9 codes only"):
        prepare_mimic3(raw, tmp_path / "out", MimicOptions(version="icd10"))
    with pytest.raises(ConfigError, match="--variant clean chooses the codes itself"):
        MimicOptions(variant="clean", top=5)
    with pytest.raises(ConfigError, match="--caml-compatible has both kinds of codes"):
        MimicOptions(caml_compatible=True, codes="diagnoses")


# --- CAML -----------------------------------------------------------------------------------------------------------


def test_caml_compatible_on_the_tiny_release(raw: Path, tmp_path: Path) -> None:
    prepare_mimic3(raw, tmp_path / "out", MimicOptions(own_split=None, caml_compatible=True))
    corpus = {e.encounter_id: e for e in read_prepared(tmp_path / "out")}
    # procedures as numbers: 0407 and 407 become one label, 66 gets a dot; diagnoses keep their zeros
    assert [gold.code for gold in corpus["500001"].codes or ()] == [
        "250.00", "038.9", "E812.0", "V58.61", "40.7", "38.93",
    ]  # fmt: skip
    assert [gold.code for gold in corpus["500006"].codes or ()] == ["719.70", "042", "40.7", "66."]
    assert [note.note_id for note in corpus["500002"].notes] == ["6", "7"]


def test_caml_labels_are_what_pandas_made_of_the_tables(tmp_path: Path) -> None:
    """CAML's notebook, step by step, with pandas; enough rows that pandas guesses block by block."""
    pandas = pytest.importorskip("pandas")
    import numpy as np

    rng = np.random.default_rng(0)
    count = 9_000
    hadm = np.arange(600_000, 600_000 + count)
    noted = hadm[rng.random(count) < 0.9]
    diagnosis_codes = ["4019", "25000", "0389", "042", "E8120", "E812", "V5861", "486"]
    procedure_codes = ["0407", "407", "3950", "395", "9960", "11", "3893", "0011", "66"]
    notes = [f'{h},{h},{h},,,,"Discharge summary","Report",,,"note {h}"' for h in noted]
    tables = {"NOTEEVENTS": "\n".join([NOTE_HEADER, *notes])}
    for table, codes, each in (("DIAGNOSES_ICD", diagnosis_codes, 5), ("PROCEDURES_ICD", procedure_codes, 25)):
        drawn = rng.choice(codes, size=(count, each))
        rows = [f'{h},{h},{h},{n},"{code}"' for h, line in zip(hadm, drawn, strict=True) for n, code in enumerate(line)]
        tables[table] = "\n".join([CODE_HEADER, *rows, ""])
        tables["D_" + table.replace("_ICD", "").replace("DIAG", "ICD_DIAG").replace("PROC", "ICD_PROC")] = TITLE_HEADER
    raw = write_release(tmp_path / "raw", tables)
    prepare_mimic3(raw, tmp_path / "out", MimicOptions(own_split=None, caml_compatible=True))
    ours = {e.encounter_id: e.code_set for e in read_prepared(tmp_path / "out")}

    def dotted(code: str, *, diagnosis: bool) -> str:
        code = "".join(code.split("."))
        if not diagnosis:
            return code[:2] + "." + code[2:]
        stem = 4 if code.startswith("E") else 3
        return code[:stem] + "." + code[stem:] if len(code) > stem else code

    parts = []
    for table, diagnosis in (("DIAGNOSES_ICD", True), ("PROCEDURES_ICD", False)):
        frame = pandas.read_csv(raw / f"{table}.csv")
        codes = [dotted(str(code), diagnosis=diagnosis) for code in frame["ICD9_CODE"]]
        parts.append(
            pandas.DataFrame({"SUBJECT_ID": frame["SUBJECT_ID"], "HADM_ID": frame["HADM_ID"], "ICD9_CODE": codes})
        )
    both = pandas.concat(parts)
    both = both[both["HADM_ID"].isin(noted)]
    both["ADMITTIME"] = both["DISCHTIME"] = ""
    both.to_csv(tmp_path / "filtered.csv", index=False)
    with pytest.warns(pandas.errors.DtypeWarning):
        again = pandas.read_csv(tmp_path / "filtered.csv")
    again.to_csv(tmp_path / "again.csv", index=False)
    last = pandas.read_csv(tmp_path / "again.csv", dtype=str)
    theirs = {key: frozenset(codes) for key, codes in last.groupby("HADM_ID")["ICD9_CODE"]}
    assert ours == theirs
    labels = {code for codes in ours.values() for code in codes}
    assert {"39.5", "39.50", "40.7", "11.", "11.0", "038.9"} <= labels
    assert "04.07" not in labels
