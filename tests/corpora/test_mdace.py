"""MDACE joined to MIMIC-III's notes: by ROW_ID, from raw files or a prepared folder, misfits counted."""

from __future__ import annotations

import csv
import gzip
import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest

from nosology.corpora.mdace import read_mdace, read_mdace_with_report
from nosology.corpora.prepared import write_prepared
from nosology.errors import ConfigError, CorpusError
from nosology.types import Corpus, Encounter, Note, Span

pytest.importorskip("pyarrow")

HEADER = ["ROW_ID", "SUBJECT_ID", "HADM_ID", "CHARTDATE", "CATEGORY", "DESCRIPTION", "ISERROR", "TEXT"]
TEXT = 'Known "hypertension",\nand morbid obesity.'
NOTES = [
    ["11", "7", "100", "2101-01-01", "Discharge summary", "Report", "", TEXT],
    ["12", "7", "100", "2101-01-01", "Radiology", "CHEST", "", "Clear lungs."],
    ["13", "7", "", "2101-01-01", "ECG", "Report", "", "No admission."],
    ["21", "8", "200", "2101-01-01", "Physician ", "Note", "", "Atrial fibrillation."],
]


def mark(begin: int, end: int, code: str, system: str = "ICD-10-CM") -> dict[str, Any]:
    return {"begin": begin, "end": end, "code": code, "code_system": system, "description": "", "type": "Human"}


def admission(hadm_id: int, **notes: list[dict[str, Any]]) -> dict[str, Any]:
    listed = [
        {"note_id": int(name[1:]), "category": "", "description": "", "annotations": marks}
        for name, marks in notes.items()
    ]
    return {"hadm_id": hadm_id, "comment": "", "notes": listed}


CHARTS = [
    admission(100, n11=[mark(7, 19, "I10"), mark(26, 40, "E66.01"), mark(7, 19, "I10")]),
    admission(200, n21=[mark(0, 19, "I48.91"), mark(0, 6, "99213", "CPT"), mark(0, 6, "E860", "ICD-9-CM")]),
]


@pytest.fixture
def annotations(tmp_path: Path) -> Path:
    return write_charts(tmp_path / "mdace", CHARTS)


@pytest.fixture
def mimic(tmp_path: Path) -> Path:
    return write_notes(tmp_path / "mimic" / "NOTEEVENTS.csv")


def write_charts(root: Path, charts: list[Mapping[str, Any]], where: str = "Inpatient/ICD-10/1.0") -> Path:
    folder = root / where
    folder.mkdir(parents=True, exist_ok=True)
    for one in charts:
        (folder / f"{one['hadm_id']}-ICD-10.json").write_text(json.dumps(one))
    return root


def write_notes(path: Path, *more: list[str]) -> Path:
    path.parent.mkdir(exist_ok=True)
    with gzip.open(path, "wt", newline="") if path.suffix == ".gz" else path.open("w", newline="") as stream:
        writer = csv.writer(stream, quoting=csv.QUOTE_ALL, lineterminator="\n")
        writer.writerows([HEADER, *NOTES, *more])
    return path.parent


def test_codes_and_evidence_meet_their_notes(annotations: Path, mimic: Path) -> None:
    corpus, report = read_mdace_with_report(annotations, mimic)
    assert (corpus.name, corpus.systems) == ("mdace", ("icd10cm", "icd10pcs"))
    first, second = corpus
    assert (first.encounter_id, first.group_id, [n.note_id for n in first.notes]) == ("100", "7", ["11"])
    assert first.notes[0].text == TEXT
    assert {g.code: [TEXT[e.start : e.end] for e in g.evidence] for g in first.codes or ()} == {
        "I10": ["hypertension"],
        "E66.01": ["morbid obesity"],
    }
    assert (second.notes[0].category, sorted(second.code_set)) == ("Physician", ["I48.91"])
    assert report.annotations == 4
    assert report.other_systems == {"CPT": 1, "ICD-9-CM": 1}
    assert (report.missing_notes, report.missing_charts, report.beyond_text, report.without_evidence) == (0, 0, 0, 0)


def test_a_whole_chart_has_every_note_of_the_admission(annotations: Path, mimic: Path) -> None:
    corpus = read_mdace(annotations, mimic, chart="all")
    assert [[n.note_id for n in e.notes] for e in corpus] == [["11", "12"], ["21"]]


def test_notes_from_gzip_and_from_a_prepared_folder(annotations: Path, mimic: Path, tmp_path: Path) -> None:
    plain = read_mdace(annotations, mimic)
    assert read_mdace(annotations, write_notes(tmp_path / "zipped" / "noteevents.csv.gz")) == plain
    notes = {row[0]: Note(row[0], row[7], row[4].strip()) for row in NOTES}
    encounters = (Encounter("100", (notes["11"],), (), "7"), Encounter("200", (notes["21"],), (), "8"))
    write_prepared(tmp_path / "prepared", Corpus("mimic3", ("icd9cm",), encounters))
    assert read_mdace(annotations, tmp_path / "prepared") == plain


def test_one_file_with_a_list_and_a_folder_of_files_will_do(annotations: Path, mimic: Path, tmp_path: Path) -> None:
    plain = read_mdace(annotations, mimic)
    (tmp_path / "evidence.json").write_text(json.dumps(CHARTS))
    assert read_mdace(tmp_path / "evidence.json", mimic) == plain
    assert read_mdace(annotations / "Inpatient" / "ICD-10" / "1.0", mimic) == plain


def test_misfits_are_counted_and_codes_stay(tmp_path: Path, mimic: Path) -> None:
    charts = [
        admission(100, n11=[mark(7, 19, "I10"), mark(30, 900, "E66.01")], n99=[mark(0, 3, "J18.9")]),
        admission(300, n31=[mark(0, 3, "I10")]),
    ]
    corpus, report = read_mdace_with_report(write_charts(tmp_path / "m", charts), mimic)
    evidence = {g.code: len(g.evidence) for g in corpus.encounters[0].codes or ()}
    assert evidence == {"I10": 1, "E66.01": 0, "J18.9": 0}
    assert (report.missing_notes, report.missing_charts, report.beyond_text, report.without_evidence) == (2, 1, 1, 2)


def test_splits_are_read(annotations: Path, mimic: Path, tmp_path: Path) -> None:
    folder = tmp_path / "splits"
    folder.mkdir()
    (folder / "MDace-ev-train.csv").write_text("hadm_id\n100\n")
    (folder / "MDace-ev-val.csv").write_text("200\n")
    (folder / "MDace-code-ev-train.csv").write_text("200\n")
    assert [e.split for e in read_mdace(annotations, mimic, splits=folder)] == ["train", "dev"]
    (folder / "MDace-ev-val.csv").write_text("200\nthe patient\n")
    with pytest.raises(CorpusError, match=r"val\.csv:2: this line is no admission"):
        read_mdace(annotations, mimic, splits=folder)
    (folder / "MDace-ev-val.csv").write_text("100\n")
    with pytest.raises(CorpusError, match=r"val\.csv:1: this admission is in two splits"):
        read_mdace(annotations, mimic, splits=folder)
    with pytest.raises(CorpusError, match=r"holds no MDace-ev-train\.csv"):
        read_mdace(annotations, mimic, splits=mimic)


@pytest.mark.parametrize(
    ("chart", "message"),
    [
        (admission(300, n21=[mark(5, 5, "I10")]), "[300]: an annotation from 5 to 5 is no span"),
        (admission(300, n21=[mark(0, 5, "the cause")]), "[300]: a text of 9 characters does not have the shape"),
        ({"hadm_id": 300}, "300-ICD-10.json: an admission is not as MDACE writes it"),
    ],
)
def test_broken_charts_are_named_or_skipped(
    annotations: Path, tmp_path: Path, chart: dict[str, Any], message: str
) -> None:
    third = ["31", "9", "300", "2101-01-01", "ECG", "Report", "", "A third."]
    mimic = write_notes(tmp_path / "other" / "NOTEEVENTS.csv", third)
    for note in chart.get("notes", ()):
        note["note_id"] = 31
    write_charts(annotations, [chart])
    with pytest.raises(CorpusError) as caught:
        read_mdace(annotations, mimic)
    assert message in str(caught.value)
    skipped = read_mdace(annotations, mimic, on_error="skip")
    assert [e.encounter_id for e in skipped] == ["100", "200"]
    assert len(skipped.skipped) == 1


def test_wrong_places_and_options(annotations: Path, mimic: Path, tmp_path: Path) -> None:
    with pytest.raises(CorpusError, match=r"holds no JSON file, and none below Inpatient/ICD-10; name MDACE's folder"):
        read_mdace(mimic, mimic)
    with pytest.raises(CorpusError, match=r"holds no JSON file, and none below Profee/ICD-9"):
        read_mdace(annotations, mimic, setting="profee", version=9)
    with pytest.raises(CorpusError, match=r"holds no NOTEEVENTS\.csv or \.csv\.gz"):
        read_mdace(annotations, annotations)
    with pytest.raises(CorpusError, match="no such file or folder; name MDACE's folder of data"):
        read_mdace(tmp_path / "absent", mimic)
    with pytest.raises(CorpusError, match=r"has none of the annotated notes; name MIMIC-III v1\.4"):
        read_mdace(write_charts(tmp_path / "m", [admission(900, n900=[mark(0, 3, "I10")])]), mimic)
    (tmp_path / "broken.json").write_text("{")
    with pytest.raises(CorpusError, match=r"broken\.json: is not JSON; get the file again"):
        read_mdace(tmp_path / "broken.json", mimic)
    with pytest.raises(ConfigError, match="unknown setting 'ward' of mdace; choose from inpatient, profee"):
        read_mdace(annotations, mimic, setting="ward")  # type: ignore[arg-type]
    with pytest.raises(ConfigError, match="unknown version 11 of the ICD"):
        read_mdace(annotations, mimic, version=11)


def test_a_cut_gzip_is_told(annotations: Path, tmp_path: Path) -> None:
    folder = write_notes(tmp_path / "zipped" / "NOTEEVENTS.csv.gz")
    whole = (folder / "NOTEEVENTS.csv.gz").read_bytes()
    (folder / "NOTEEVENTS.csv.gz").write_bytes(whole[:-20])
    with pytest.raises(CorpusError, match=r"NOTEEVENTS\.csv\.gz"):
        read_mdace(annotations, folder)


@pytest.mark.parametrize(("setting", "version", "charts"), [("inpatient", 9, 302), ("profee", 10, 52)])
def test_the_release_on_notes_of_the_right_length(
    data_dir: Path, tmp_path: Path, setting: Any, version: int, charts: int
) -> None:
    """MDACE's own annotations on blank notes that are just long enough: every annotation finds its place."""
    root = data_dir / "mdace"
    ends: dict[tuple[int, int], int] = {}
    for path in root.rglob("*.json"):
        one = json.loads(path.read_text())
        for note in one["notes"]:
            key = (one["hadm_id"], note["note_id"])
            ends[key] = max([ends.get(key, 0), *(mark["end"] for mark in note["annotations"])])
    folder = tmp_path / "mimic"
    folder.mkdir()
    with (folder / "NOTEEVENTS.csv").open("w", newline="") as stream:
        writer = csv.writer(stream, quoting=csv.QUOTE_ALL, lineterminator="\n")
        writer.writerow(HEADER)
        writer.writerows([note, 1, hadm, "", "x", "", "", "." * end] for (hadm, note), end in ends.items())
    corpus, report = read_mdace_with_report(root, folder, setting=setting, version=version)
    assert len(corpus) == charts
    assert (report.missing_notes, report.beyond_text, report.without_evidence) == (0, 0, 0)
    assert all(isinstance(e.parts[0], Span) for one in corpus for g in one.codes or () for e in g.evidence)
