"""A simulated release in the files of MIMIC-III and MIMIC-IV: read back exactly, evidence in place, MIMIC's counts."""

from __future__ import annotations

import csv
import gzip
import json
import re
from collections import Counter, defaultdict
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest

from nosology.codes.formats import compact_code, format_code
from nosology.corpora.simulation.release import Release, ReleaseConfig
from nosology.corpora.simulation.release.frequencies import frequency_rows, frequency_table, plot_frequencies
from nosology.corpora.simulation.release.settings import PUBLISHED, Form, codes_seen
from nosology.corpora.simulation.release.texts import wrapped
from nosology.errors import ConfigError

MIMIC3_HEADERS = {
    "NOTEEVENTS": "ROW_ID,SUBJECT_ID,HADM_ID,CHARTDATE,CHARTTIME,STORETIME,CATEGORY,DESCRIPTION,CGID,ISERROR,TEXT",
    "DIAGNOSES_ICD": "ROW_ID,SUBJECT_ID,HADM_ID,SEQ_NUM,ICD9_CODE",
    "PROCEDURES_ICD": "ROW_ID,SUBJECT_ID,HADM_ID,SEQ_NUM,ICD9_CODE",
    "D_ICD_DIAGNOSES": "ROW_ID,ICD9_CODE,SHORT_TITLE,LONG_TITLE",
    "D_ICD_PROCEDURES": "ROW_ID,ICD9_CODE,SHORT_TITLE,LONG_TITLE",
}
MIMIC4_HEADERS = {
    "hosp/diagnoses_icd": "subject_id,hadm_id,seq_num,icd_code,icd_version",
    "hosp/procedures_icd": "subject_id,hadm_id,seq_num,chartdate,icd_code,icd_version",
    "hosp/d_icd_diagnoses": "icd_code,icd_version,long_title",
    "hosp/d_icd_procedures": "icd_code,icd_version,long_title",
    "note/discharge": "note_id,subject_id,hadm_id,note_type,note_seq,charttime,storetime,text",
    "note/radiology": "note_id,subject_id,hadm_id,note_type,note_seq,charttime,storetime,text",
}
SYSTEMS = {"ICD-9-CM": "icd9cm", "ICD-9-PCS": "icd9proc", "ICD-10-CM": "icd10cm", "ICD-10-PCS": "icd10pcs"}

Rows = list[dict[str, str]]


def read(path: Path) -> Rows:
    with (
        (gzip.open(path, "rt", encoding="utf-8", newline=""))
        if path.suffix == ".gz"
        else path.open(encoding="utf-8", newline="") as lines
    ):
        return list(csv.DictReader(lines, strict=True))


@pytest.fixture(scope="module")
def three(tmp_path_factory: pytest.TempPathFactory) -> tuple[Release, Path]:
    """Large enough for an admission without any code."""
    folder = tmp_path_factory.mktemp("mimic3")
    release = Release(ReleaseConfig(Form.MIMIC3, admissions=1300, codes=400, words_per_note=200))
    release.write(folder, workers=1)
    return release, folder


@pytest.fixture(scope="module")
def four(tmp_path_factory: pytest.TempPathFactory) -> tuple[Release, Path]:
    folder = tmp_path_factory.mktemp("mimic4")
    release = Release(ReleaseConfig(Form.MIMIC4, admissions=300, codes=300, words_per_note=250, icd10_share=0.5))
    release.write(folder, compress=True, workers=1)
    return release, folder


# --- MIMIC-III ------------------------------------------------------------------------------------------------------


def test_mimic3_has_the_real_files_and_columns(three: tuple[Release, Path]) -> None:
    names = {path.name for path in three[1].glob("*.csv")}
    assert names == {f"{name}.csv" for name in MIMIC3_HEADERS}
    for name, header in MIMIC3_HEADERS.items():
        with (three[1] / f"{name}.csv").open(encoding="utf-8") as lines:
            assert next(lines) == ",".join(f'"{column}"' for column in header.split(",")) + "\n"


def test_mimic3_reads_back_exactly(three: tuple[Release, Path]) -> None:
    """Every document and every code of every chart, in order, from the files alone."""
    release, folder = three
    texts: dict[str, list[tuple[str, str, str]]] = defaultdict(list)
    for row in sorted(read(folder / "NOTEEVENTS.csv"), key=lambda row: int(row["ROW_ID"])):
        texts[row["SUBJECT_ID"], row["CHARTDATE"]].append((row["CATEGORY"], row["DESCRIPTION"], row["TEXT"]))  # type: ignore[index]
    codes = {name: _codes_by_admission(read(folder / f"{name}_ICD.csv")) for name in ("DIAGNOSES", "PROCEDURES")}
    (charts,) = release.parts
    for index in range(len(charts)):
        chart = charts.chart(index)
        hadm = str(400_000 + index)
        assert codes["DIAGNOSES"].get(hadm, []) == [compact_code(code, "icd9cm") for code in chart.diagnoses]
        assert codes["PROCEDURES"].get(hadm, []) == [compact_code(code, "icd9proc") for code in chart.procedures]
        for document in chart.documents:
            day = chart.discharged if document.category == "Discharge summary" else chart.admitted
            found = texts[str(200_000 + chart.patient), day.isoformat()]  # type: ignore[index]
            assert (document.category, document.description, wrapped(document.text)) in found


def _codes_by_admission(rows: Rows) -> dict[str, list[str]]:
    found: dict[str, list[str]] = defaultdict(list)
    for row in rows:
        if row["ICD9_CODE"]:
            found[row["HADM_ID"]].append(row["ICD9_CODE"])
            assert row["SEQ_NUM"] == str(len(found[row["HADM_ID"]]))
    return found


def test_mimic3_row_ids_are_unique_and_codes_have_no_dots(three: tuple[Release, Path]) -> None:
    for name in MIMIC3_HEADERS:
        rows = read(three[1] / f"{name}.csv")
        assert len({row["ROW_ID"] for row in rows}) == len(rows)
        if name.endswith("_ICD"):
            assert [row["ROW_ID"] for row in rows] == [str(i) for i in range(1, len(rows) + 1)]
    codes = [row["ICD9_CODE"] for row in read(three[1] / "DIAGNOSES_ICD.csv")]
    assert not any("." in code for code in codes)
    assert any(re.fullmatch(r"0\d+", code) for code in codes)
    assert any(code.startswith("E") for code in codes)
    assert any(code.startswith("V") for code in codes)


def test_mimic3_fields_are_quoted_as_in_the_real_files(three: tuple[Release, Path]) -> None:
    """Text in quotation marks, numbers, dates and blanks bare."""
    summary = re.compile(r'^\d+,\d+,\d+,\d{4}-\d\d-\d\d,,,"Discharge summary","(Report|Addendum)",,,"', re.MULTILINE)
    notes = (three[1] / "NOTEEVENTS.csv").read_text("utf-8")
    assert len(summary.findall(notes)) >= 1300
    diagnoses = (three[1] / "DIAGNOSES_ICD.csv").read_text("utf-8").splitlines()[1:]
    assert all(re.fullmatch(r'\d+,\d+,\d+,(\d+,"\w+"|,)', line) for line in diagnoses)


def test_mimic3_has_the_traps_of_the_real_one(three: tuple[Release, Path]) -> None:
    notes = read(three[1] / "NOTEEVENTS.csv")
    kinds = Counter((row["CATEGORY"], row["DESCRIPTION"]) for row in notes)
    assert kinds["Discharge summary", "Report"] == 1300
    assert 0.04 * 1300 < kinds["Discharge summary", "Addendum"] < 0.12 * 1300
    others = [row for row in notes if row["CATEGORY"] != "Discharge summary"]
    assert 0.07 * 1300 < len(others) < 0.14 * 1300
    assert {row["CATEGORY"] for row in others} == {"Radiology", "ECG", "Echo", "Nursing", "Nursing/other"}
    assert all(row["HADM_ID"] for row in notes if row["CATEGORY"] == "Discharge summary")
    assert any(not row["HADM_ID"] for row in others)
    assert any('"' in row["TEXT"] for row in others)
    assert all("\n" in row["TEXT"] for row in notes)
    assert any("[**" in row["TEXT"] for row in notes)
    with_summary = {row["HADM_ID"] for row in notes if row["CATEGORY"] == "Discharge summary"}
    coded = read(three[1] / "DIAGNOSES_ICD.csv")
    admissions = {row["HADM_ID"] for row in (*coded, *read(three[1] / "PROCEDURES_ICD.csv"))}
    assert len(admissions - with_summary) == 143  # codes and no note
    assert [row["SEQ_NUM"] for row in coded if not row["ICD9_CODE"]] == [""]  # neither note nor codes


def test_some_codes_in_use_are_missing_from_the_tables_of_codes(three: tuple[Release, Path]) -> None:
    listed = {row["ICD9_CODE"]: row["LONG_TITLE"] for row in read(three[1] / "D_ICD_DIAGNOSES.csv")}
    used = Counter(row["ICD9_CODE"] for row in read(three[1] / "DIAGNOSES_ICD.csv") if row["ICD9_CODE"])
    missing = [code for code in used if code not in listed]
    assert 0 < len(missing) < 0.1 * len(used)
    assert "4019" in listed
    assert listed["0010"] == "Cholera due to vibrio cholerae"
    assert len(listed) > 14_000


def test_errors_are_marked_on_notes_that_nurses_chart(tmp_path: Path) -> None:
    Release(ReleaseConfig(Form.MIMIC3, admissions=6000, codes=60, words_per_note=200, labels_per_note=2)).write(
        tmp_path
    )
    marked = [row for row in read(tmp_path / "NOTEEVENTS.csv") if row["ISERROR"]]
    assert marked
    assert all(row["ISERROR"] == "1" and row["CATEGORY"].startswith("Nursing") and row["CGID"] for row in marked)


# --- MIMIC-IV -------------------------------------------------------------------------------------------------------


def test_mimic4_has_the_real_files_and_columns(four: tuple[Release, Path]) -> None:
    for name, header in MIMIC4_HEADERS.items():
        with gzip.open(four[1] / f"{name}.csv.gz", "rt", encoding="utf-8") as lines:
            assert next(lines) == header + "\n"
    assert {path.name for path in four[1].iterdir()} == {"hosp", "note", "evidence.json", "mdace"}


def test_mimic4_admissions_are_wholly_of_one_version(four: tuple[Release, Path]) -> None:
    release, folder = four
    versions: dict[str, set[str]] = defaultdict(set)
    codes: dict[tuple[str, str], list[str]] = defaultdict(list)
    for name in ("diagnoses", "procedures"):
        for row in read(folder / f"hosp/{name}_icd.csv.gz"):
            versions[row["hadm_id"]].add(row["icd_version"])
            codes[name, row["hadm_id"]].append(row["icd_code"])
    assert all(len(found) == 1 for found in versions.values())
    assert Counter(next(iter(found)) for found in versions.values()) == {"9": 166, "10": 166}
    for part, charts in enumerate(release.parts):
        procedures = {"icd9cm": "icd9proc", "icd10cm": "icd10pcs"}[charts.system]
        for index in range(len(charts)):
            chart, hadm = charts.chart(index), str(40_000_000 + part * 1_000_000 + index)
            assert codes["diagnoses", hadm] == [compact_code(code, charts.system) for code in chart.diagnoses]
            assert codes["procedures", hadm] == [compact_code(code, procedures) for code in chart.procedures]


def test_mimic4_notes(four: tuple[Release, Path]) -> None:
    notes = read(four[1] / "note/discharge.csv.gz")
    assert len({row["note_id"] for row in notes}) == len(notes)
    assert all(row["note_id"] == f"{row['subject_id']}-{row['note_type']}-{row['note_seq']}" for row in notes)
    assert Counter(row["note_type"] for row in notes)["DS"] == 300
    assert not any("[**" in row["text"] for row in notes)
    assert all(row["text"].startswith(" \nName:  ___") for row in notes if row["note_type"] == "DS")
    versions = {row["icd_version"] for row in read(four[1] / "hosp/d_icd_procedures.csv.gz")}
    assert versions == {"9", "10"}


def test_mimic4_can_be_of_one_version_alone(tmp_path: Path) -> None:
    release = Release(ReleaseConfig(Form.MIMIC4, admissions=20, codes=60, words_per_note=200, icd10_share=0.0))
    release.write(tmp_path)
    assert {row["icd_version"] for row in read(tmp_path / "hosp/diagnoses_icd.csv")} == {"9"}


# --- evidence -------------------------------------------------------------------------------------------------------


def _annotated(folder: Path, texts: dict[str, str]) -> Iterator[tuple[str, str, str, str]]:
    """(hadm_id, code, code system, the words) of every annotation."""
    for chart in json.loads((folder / "evidence.json").read_text("utf-8")):
        assert list(chart) == ["hadm_id", "comment", "notes"]
        for note in chart["notes"]:
            assert list(note) == ["note_id", "category", "description", "annotations"]
            for mark in note["annotations"]:
                assert list(mark) == ["begin", "end", "code", "code_system", "description", "type"]
                words = texts[str(note["note_id"])][mark["begin"] : mark["end"]]
                yield str(chart["hadm_id"]), mark["code"], mark["code_system"], words


def _expected(release: Release, first_hadm: int) -> Iterator[tuple[str, str, str, str]]:
    names = {system: name for name, system in SYSTEMS.items()}
    for part, charts in enumerate(release.parts):
        for index in range(charts.documented):
            for document in charts.chart(index).documents:
                for mark in document.marks:
                    words = document.text[mark.start : mark.end]
                    yield str(first_hadm + part * 1_000_000 + index), mark.code, names[mark.system], words


def test_mimic3_evidence_points_at_the_words_that_were_planted(three: tuple[Release, Path]) -> None:
    release, folder = three
    texts = {row["ROW_ID"]: row["TEXT"] for row in read(folder / "NOTEEVENTS.csv")}
    found = [(*rest, words.replace("\n", " ")) for *rest, words in _annotated(folder, texts)]
    assert Counter(found) == Counter(_expected(release, 400_000))
    assert {system for _, _, system, _ in found} == {"ICD-9-CM", "ICD-9-PCS"}
    assert all(format_code(code, SYSTEMS[system]) == code for _, code, system, _ in found)


def test_mimic4_evidence_points_at_the_words_that_were_planted(four: tuple[Release, Path]) -> None:
    release, folder = four
    texts = {
        row["note_id"]: row["text"]
        for name in ("discharge", "radiology")
        for row in read(folder / f"note/{name}.csv.gz")
    }
    found = Counter((*rest, words.replace("\n", " ")) for *rest, words in _annotated(folder, texts))
    blanked = Counter(
        (*rest, re.sub(r"\[\*\*.*?\*\*\]", "___", words)) for *rest, words in _expected(release, 40_000_000)
    )
    assert found == blanked
    assert {key[2] for key in found} == set(SYSTEMS)


def test_annotated_codes_are_codes_of_the_admission(three: tuple[Release, Path]) -> None:
    coded = {
        system: _codes_by_admission(read(three[1] / f"{name}_ICD.csv"))
        for system, name in (("icd9cm", "DIAGNOSES"), ("icd9proc", "PROCEDURES"))
    }
    texts = {row["ROW_ID"]: row["TEXT"] for row in read(three[1] / "NOTEEVENTS.csv")}
    for hadm, code, system, _ in _annotated(three[1], texts):
        assert compact_code(code, SYSTEMS[system]) in coded[SYSTEMS[system]][hadm]


def test_the_first_charts_are_laid_out_like_mdace(three: tuple[Release, Path], four: tuple[Release, Path]) -> None:
    charts = {chart["hadm_id"]: chart for chart in json.loads((three[1] / "evidence.json").read_text("utf-8"))}
    files = sorted((three[1] / "mdace/Inpatient/ICD-9/1.0").glob("*-ICD-9.json"))
    assert len(files) == 302
    for file in files:
        chart = json.loads(file.read_text("utf-8"))
        assert file.name == f"{chart['hadm_id']}-ICD-9.json"
        assert chart == charts[chart["hadm_id"]]
    assert {path.name for path in (four[1] / "mdace/Inpatient").iterdir()} == {"ICD-9", "ICD-10"}


# --- bytes, workers, counts -----------------------------------------------------------------------------------------


def _bytes(folder: Path) -> dict[str, bytes]:
    return {path.relative_to(folder).as_posix(): path.read_bytes() for path in folder.rglob("*") if path.is_file()}


@pytest.mark.parametrize(("form", "compress"), [(Form.MIMIC3, False), (Form.MIMIC4, True)])
def test_equal_bytes_however_many_workers(tmp_path: Path, form: Form, compress: bool) -> None:
    config = ReleaseConfig(form, admissions=450, codes=80, words_per_note=200, labels_per_note=4)
    written = []
    for workers in (1, 3):
        folder = tmp_path / str(workers)
        folder.mkdir()
        Release(config).write(folder, compress=compress, workers=workers)
        written.append(_bytes(folder))
    assert written[0] == written[1]


def test_another_seed_gives_other_notes_and_keeps_the_tables(tmp_path: Path) -> None:
    written = []
    for seed in (0, 1):
        folder = tmp_path / str(seed)
        folder.mkdir()
        Release(ReleaseConfig(Form.MIMIC3, admissions=30, seed=seed, codes=60, words_per_note=200)).write(folder)
        written.append(_bytes(folder))
    assert written[0]["NOTEEVENTS.csv"] != written[1]["NOTEEVENTS.csv"]
    assert written[0]["D_ICD_DIAGNOSES.csv"] == written[1]["D_ICD_DIAGNOSES.csv"]


def test_counts_tell_what_the_files_hold(three: tuple[Release, Path]) -> None:
    release, folder = three
    summaries = {row["HADM_ID"] for row in read(folder / "NOTEEVENTS.csv") if row["CATEGORY"] == "Discharge summary"}
    counts: Counter[tuple[str, str]] = Counter()
    for name in ("DIAGNOSES", "PROCEDURES"):
        rows = read(folder / f"{name}_ICD.csv")
        counts.update((name, row["ICD9_CODE"]) for row in rows if row["HADM_ID"] in summaries)
    assert sorted(counts.values(), reverse=True) == release.code_counts()["icd9cm"].tolist()


def test_a_small_release_is_a_sample_of_the_large_one() -> None:
    """The head holds MIMIC-III's share, and the most frequent code is on as many of the admissions."""
    counts = Release(ReleaseConfig(Form.MIMIC3, admissions=4000)).code_counts()["icd9cm"]
    rows = {row.name: row.simulated for row in frequency_rows(counts, 4000)}
    assert rows["labels a document"] == pytest.approx(15.88, rel=0.02)
    assert rows["share of labels, top 50 codes"] == pytest.approx(0.339, rel=0.1)
    assert counts[0] / 4000 == pytest.approx(20_046 / 52_726, rel=0.02)
    assert 3500 < len(counts) < 5500


@pytest.mark.slow
def test_the_full_size_has_the_frequencies_of_mimic3() -> None:
    counts = Release(ReleaseConfig(Form.MIMIC3, admissions=52_726)).code_counts()["icd9cm"]
    for row in frequency_rows(counts, 52_726):
        assert row.simulated == pytest.approx(row.published, rel=0.1), row.name


def test_codes_seen_grow_to_all_of_them() -> None:
    published = PUBLISHED[Form.MIMIC3, "icd9cm"]
    seen = [codes_seen(admissions, published) for admissions in (1, 500, 5000, 52_726, 100_000)]
    assert seen == sorted(seen)
    assert seen[-2:] == [8929, 8929]
    assert seen[0] == 50


def test_frequency_rows_of_a_few_counts() -> None:
    rows = {row.name: row.simulated for row in frequency_rows(np.array([9, 5, 1, 1, 1, 1, 1, 1, 0 + 1, 1]), 10)}
    assert rows["distinct codes"] == 10
    assert rows["labels a document"] == 2.2
    assert rows["most frequent code"] == 9
    assert rows["share of labels, top 10 % of codes"] == pytest.approx(9 / 22)
    assert rows["share of codes seen once"] == 0.8
    table = frequency_table(frequency_rows(np.array([2, 1]), 2))
    assert table.splitlines()[1].split() == ["documents", "52,726", "2", "0.00"]


def test_a_plot_is_drawn(tmp_path: Path) -> None:
    pytest.importorskip("matplotlib")
    plot_frequencies({"icd9cm": np.array([9, 3, 1])}, tmp_path / "plot.png", "Title", 0.5)
    assert (tmp_path / "plot.png").read_bytes().startswith(b"\x89PNG")


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"admissions": 0}, "simulated release: admissions must be 1 to 500000, got 0"),
        ({"codes": 7}, "simulated release: codes must be at least 50, got 7"),
        ({"seed": -1, "words_per_note": 5}, "simulated release: seed must not be negative, got -1; words must be"),
        ({"icd10_share": 2.0}, "simulated release: the share of ICD-10 must be in"),
    ],
)
def test_wrong_settings_are_named(options: dict[str, float], message: str) -> None:
    with pytest.raises(ConfigError) as caught:
        ReleaseConfig(Form.MIMIC4, **options)  # type: ignore[arg-type]
    assert str(caught.value).startswith(message)
