"""MIMIC-IV: one version an admission, notes in order, published ids; expected output written out."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest

from mimic_files import MIMIC4, write_release
from nosology.corpora.mimic4 import prepare_mimic4
from nosology.corpora.preparation.options import MimicOptions
from nosology.corpora.prepared import open_prepared, read_prepared
from nosology.errors import ConfigError, CorpusError
from nosology.types import Encounter, GoldCode, Note

ICD10 = MimicOptions(own_split=None)
ICD9 = replace(ICD10, version="icd9")
KIND = "Discharge summary"


def coded(system: str, *codes: str) -> tuple[GoldCode, ...]:
    return tuple(GoldCode(code, system) for code in codes)


IN_ICD10 = (
    Encounter(
        "20000001",
        (Note("20-DS-1", "First note.", KIND), Note("20-DS-2", "Second, of\ntwo.", KIND)),
        coded("icd10cm", "I10", "E11.9") + coded("icd10pcs", "0DTJ4ZZ"),
        "20",
    ),
    Encounter(
        "20000003", (Note("22-DS-1", "Two tenth and one ninth.", KIND),), coded("icd10cm", "S72.001A", "E11.9"), "22"
    ),
)
IN_ICD9 = (
    Encounter(
        "20000002",
        (Note("21-DS-1", "In the ninth revision.", KIND),),
        coded("icd9cm", "038.9", "E812.0") + coded("icd9proc", "04.07"),
        "21",
    ),
)


@pytest.fixture
def raw(tmp_path: Path) -> Path:
    return write_release(tmp_path / "raw", MIMIC4)


@pytest.mark.parametrize("compress", [False, True])
@pytest.mark.parametrize(("options", "expected"), [(ICD10, IN_ICD10), (ICD9, IN_ICD9)])
def test_one_version(tmp_path: Path, options: MimicOptions, expected: tuple[Encounter, ...], compress: bool) -> None:
    raw = write_release(tmp_path / "raw", MIMIC4, compress=compress)
    prepare_mimic4(raw, tmp_path / "out", options)
    assert read_prepared(tmp_path / "out").encounters == expected


def test_counts_and_warnings(raw: Path, tmp_path: Path) -> None:
    manifest = prepare_mimic4(raw, tmp_path / "out", ICD10).manifest
    assert [str(warning) for warning in manifest.warnings] == [
        "discharge notes without hadm_id, left out: 1",
        "admissions with codes of both versions, put where most of their codes are: 1 (20000003)",
        "admissions with a note and no codes, left out: 1 (20000004)",
        "codes in none of the release's tables of titles (D_ICD), kept: 1 (S72.001A)",
    ]
    assert manifest.counts["admissions with a note and codes of the other version, left out"] == 1
    assert manifest.counts["admissions coded in ICD-10"] == 2
    assert open_prepared(tmp_path / "out").systems == ("icd10cm", "icd10pcs")


def test_separate_downloads_and_admissions(tmp_path: Path) -> None:
    hosp = {name: text for name, text in MIMIC4.items() if name.startswith("hosp/")}
    admissions = (
        "subject_id,hadm_id,admittime,dischtime,deathtime,race\n"
        "20,20000001,2150-01-01 01:00:00,2150-01-02 02:00:00,,WHITE\n"
    )
    write_release(tmp_path / "raw" / "mimiciv" / "3.1", {**hosp, "hosp/admissions": admissions}, compress=True)
    write_release(tmp_path / "raw" / "mimic-iv-note" / "2.2", {"note/discharge": MIMIC4["note/discharge"]})
    prepare_mimic4(tmp_path / "raw", tmp_path / "out", ICD10)
    first = read_prepared(tmp_path / "out").encounters[0]
    assert first.metadata == {
        "admission_date": "2150-01-01 01:00:00",
        "discharge_date": "2150-01-02 02:00:00",
        "ethnicity": "WHITE",
    }


def test_a_version_that_is_none(tmp_path: Path) -> None:
    table = MIMIC4["hosp/diagnoses_icd"].replace("21,20000002,2,E8120,9", "21,20000002,2,E8120,11")
    raw = write_release(tmp_path / "raw", {**MIMIC4, "hosp/diagnoses_icd": table})
    with pytest.raises(CorpusError) as caught:
        prepare_mimic4(raw, tmp_path / "out")
    problem = "icd_version is neither 9 nor 10; restore the release's file"
    assert str(caught.value) == f"{raw}/hosp/diagnoses_icd.csv:6: {problem}"


def test_missing_note_module(tmp_path: Path) -> None:
    hosp = {name: text for name, text in MIMIC4.items() if name.startswith("hosp/")}
    with pytest.raises(CorpusError, match=r"the folder has no note/discharge.csv\(.gz\); get it from PhysioNet"):
        prepare_mimic4(write_release(tmp_path / "raw", hosp), tmp_path / "out")


def test_options_of_the_other_release(raw: Path, tmp_path: Path) -> None:
    for options in (MimicOptions(caml_compatible=True), MimicOptions(addenda=False)):
        with pytest.raises(ConfigError, match="are for mimic3; leave them out"):
            prepare_mimic4(raw, tmp_path / "out", options)


@pytest.mark.parametrize(("version", "name"), [("icd9", "icd9"), ("icd10", "icd10")])
def test_edins_published_ids(data_dir: Path, tmp_path: Path, version: str, name: str) -> None:
    """Ids of the published file, put into a small release, come out in their published split."""
    feather = pytest.importorskip("pyarrow.feather")
    table = feather.read_table(data_dir / "mimic" / "splits_edin" / f"mimiciv_{name}_split.feather").to_pydict()
    by_split = {
        split: [i for i, s in zip(table["_id"], table["split"], strict=True) if s == split][:5]
        for split in ("train", "val", "test")
    }
    digits, code = version.removeprefix("icd"), {"icd9": "4019", "icd10": "I10"}[version]
    ids = [hadm for split in by_split.values() for hadm in split]
    release = {
        **MIMIC4,
        "note/discharge": MIMIC4["note/discharge"].splitlines()[0]
        + "\n"
        + "\n".join(f'{h}-DS-1,{h},{h},DS,1,2150-01-01,,"Note."' for h in ids),
        "hosp/diagnoses_icd": "subject_id,hadm_id,seq_num,icd_code,icd_version\n"
        + "\n".join(f"{h},{h},1,{code},{digits}" for h in ids),
    }
    options = MimicOptions(version=version, split_ids=data_dir / "mimic" / "splits_edin")  # type: ignore[arg-type]
    prepare_mimic4(write_release(tmp_path / "raw", release), tmp_path / "out", options)
    found = {e.encounter_id: e.split for e in read_prepared(tmp_path / "out")}
    assert found == {str(h): {"val": "dev"}.get(s, s) for s, hadms in by_split.items() for h in hadms}
