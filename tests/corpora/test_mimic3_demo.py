"""The real code tables of the MIMIC-III demo, with made-up notes; and the published ids of CAML and Edin."""

from __future__ import annotations

import csv
import shutil
from collections import Counter
from pathlib import Path

import pytest

from mimic_files import CODE_HEADER, NOTE_HEADER, TITLE_HEADER, write_release
from nosology.codes import format_code
from nosology.corpora.mimic3 import prepare_mimic3
from nosology.corpora.preparation.layout import SPLITS
from nosology.corpora.preparation.options import MimicOptions
from nosology.corpora.preparation.split_ids import count_by_split, find_split_files, read_split_ids
from nosology.corpora.prepared import read_prepared

KINDS = (("DIAGNOSES", "icd9cm"), ("PROCEDURES", "icd9proc"))


def rows(path: Path) -> list[dict[str, str]]:
    with path.open(newline="", encoding="utf-8") as stream:
        return list(csv.DictReader(stream))


@pytest.fixture
def demo(data_dir: Path) -> Path:
    return data_dir / "mimic" / "mimiciii_demo"


@pytest.fixture
def raw(demo: Path, tmp_path: Path) -> Path:
    raw = tmp_path / "raw"
    raw.mkdir()
    for table in ("DIAGNOSES_ICD", "PROCEDURES_ICD", "D_ICD_DIAGNOSES", "D_ICD_PROCEDURES", "ADMISSIONS"):
        shutil.copy(demo / f"{table}.csv", raw)
    header = (demo / "NOTEEVENTS.csv").read_text().splitlines()[0]
    admissions = sorted({(row["SUBJECT_ID"], row["HADM_ID"]) for row in rows(demo / "DIAGNOSES_ICD.csv")})
    lines = [f'{n},{s},{h},,,,"Discharge summary","Report",,,"Made up."' for n, (s, h) in enumerate(admissions)]
    (raw / "NOTEEVENTS.csv").write_text("\n".join([header, *lines]) + "\n")
    return raw


def test_demo_codes_against_the_csv_module(demo: Path, raw: Path, tmp_path: Path) -> None:
    manifest = prepare_mimic3(raw, tmp_path / "out", MimicOptions(own_split=None)).manifest
    corpus = read_prepared(tmp_path / "out")
    expected: dict[str, list[tuple[str, str]]] = {}
    unknown: Counter[str] = Counter()
    for kind, system in KINDS:
        titled = {row["ICD9_CODE"] for row in rows(demo / f"D_ICD_{kind}.csv")}
        for row in sorted(rows(demo / f"{kind}_ICD.csv"), key=lambda row: int(row["SEQ_NUM"])):
            gold = (format_code(row["ICD9_CODE"], system), system)
            if gold not in expected.setdefault(row["HADM_ID"], []):
                expected[row["HADM_ID"]].append(gold)
                unknown.update([gold[0]] if row["ICD9_CODE"] not in titled else [])
    assert {e.encounter_id: [(g.code, g.system) for g in e.codes or ()] for e in corpus} == expected
    assert len(corpus) == 129
    assert corpus.unknown_codes == dict(unknown)
    assert (manifest.counts["rows of DIAGNOSES_ICD"], unknown.total()) == (1761, 48)
    assert manifest.counts["labels whose code is in no table of titles, kept"] == 48
    told = [str(warning) for warning in manifest.warnings]
    assert "rows that DIAGNOSES_ICD has more or fewer than the 651,047 of MIMIC-III v1.4: 649,286" in told
    first = corpus.encounters[0].metadata
    assert set(first) == {"admission_date", "discharge_date", "admission_type", "insurance", "ethnicity"}


@pytest.mark.parametrize(
    ("folder", "caml", "table", "sizes"),
    [
        ("splits_caml", "full", "", (47_723, 1_631, 3_372)),
        ("splits_caml", "50", "", (8_066, 1_573, 1_729)),
        ("splits_edin", "none", "mimiciii_full_splits.feather", (47_719, 1_631, 3_372)),
        ("splits_edin", "none", "mimiciii_50_splits.feather", (8_066, 1_573, 1_729)),
        ("splits_edin", "none", "mimiciii_clean_splits.feather", (38_401, 5_577, 8_734)),
        ("splits_edin", "none", "mimiciv_icd10_split.feather", (89_099, 13_378, 19_802)),
        ("splits_edin", "none", "mimiciv_icd9_split.feather", (154_542, 21_980, 32_804)),
    ],
)
def test_published_ids_are_read_in_full(
    data_dir: Path, folder: str, caml: str, table: str, sizes: tuple[int, int, int]
) -> None:
    files = find_split_files(data_dir / "mimic" / folder, caml, (table,))
    assert tuple(count_by_split(read_split_ids(files)).values()) == sizes


@pytest.mark.parametrize("folder", ["splits_caml", "splits_edin"])
@pytest.mark.parametrize("variant", ["50", "full"])
def test_published_ids_split_a_release(data_dir: Path, tmp_path: Path, folder: str, variant: str) -> None:
    """A few ids of each published split come out in that split; both peoples' files agree."""
    caml = data_dir / "mimic" / "splits_caml"
    ids = {split: (caml / f"{split}_{variant}_hadm_ids.csv").read_text().split()[:4] for split in SPLITS}
    every = [hadm for hadms in ids.values() for hadm in hadms]
    notes = [f'{h},{h},{h},,,,"Discharge summary","Report",,,"Made up."' for h in every]
    raw = write_release(
        tmp_path / "raw",
        {
            "NOTEEVENTS": "\n".join([NOTE_HEADER, *notes]),
            "DIAGNOSES_ICD": "\n".join([CODE_HEADER, *(f'{h},{h},{h},1,"4019"' for h in every)]),
            "PROCEDURES_ICD": CODE_HEADER,
            "D_ICD_DIAGNOSES": TITLE_HEADER,
            "D_ICD_PROCEDURES": TITLE_HEADER,
        },
    )
    options = MimicOptions(variant=variant, split_ids=data_dir / "mimic" / folder)  # type: ignore[arg-type]
    prepare_mimic3(raw, tmp_path / "out", options)
    found = {e.encounter_id: e.split for e in read_prepared(tmp_path / "out")}
    assert found == {hadm: split for split, hadms in ids.items() for hadm in hadms}
