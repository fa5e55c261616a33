"""CAML's files: splits and patients, lost zeros that the code table proves, and what is wrong in them."""

from __future__ import annotations

from pathlib import Path

import pytest

from nosology.corpora.caml_files import icd9_system_of, read_caml_files, read_caml_files_with_report
from nosology.errors import ConfigError, CorpusError

HEADER = "SUBJECT_ID,HADM_ID,TEXT,LABELS,length\n"


def write(folder: Path, **files: str) -> Path:
    for name, rows in files.items():
        (folder / f"{name}.csv").write_text(HEADER + rows, encoding="utf-8")
    return folder


def test_splits_patients_and_systems(tmp_path: Path) -> None:
    write(
        tmp_path,
        train_full='7,100,"admission date, chest pain",401.9;38.93,4\n7,101,second stay,V58.61;E812.0,2\n',
        test_full="8,200.0,a third,486,2\n",
    )
    corpus = read_caml_files(tmp_path)
    assert (corpus.name, corpus.systems) == ("caml", ("icd9cm", "icd9proc"))
    assert [(e.encounter_id, e.group_id, e.split) for e in corpus] == [
        ("100", "7", "train"),
        ("101", "7", "train"),
        ("200", "8", "test"),
    ]
    first = corpus.encounters[0]
    assert first.notes[0].text == "admission date, chest pain"
    assert [(g.code, g.system) for g in first.codes or ()] == [("401.9", "icd9cm"), ("38.93", "icd9proc")]


def test_zeros_come_back_where_the_table_proves_them_gone(tmp_path: Path) -> None:
    write(tmp_path, train_full="1,100,text,40.7;33.1;40.;389,1\n1,101,text,40.7;8.;99.99,1\n")
    corpus, report = read_caml_files_with_report(tmp_path)
    assert [sorted(e.code_set) for e in corpus] == [["00.40", "038.9", "04.07", "33.1"], ["04.07", "8.", "99.99"]]
    assert report.proved == {"389": "038.9", "40.": "00.40", "40.7": "04.07"}
    assert report.ambiguous == {"33.1": ("03.31",)}
    assert report.unknown == ("8.",)
    assert report.occurrences == {"389": 1, "40.": 1, "40.7": 2, "33.1": 1, "8.": 1}


def test_labels_stay_as_published_on_request(tmp_path: Path) -> None:
    write(tmp_path, train_50="1,100,text,40.7;40.;401.9,1\n")
    corpus, report = read_caml_files_with_report(tmp_path, variant="50", restore_zeros=False)
    assert [g.code for g in corpus.encounters[0].codes or ()] == ["40.7", "40.", "401.9"]
    assert report.proved == {"40.": "00.40", "40.7": "04.07"}


def test_two_labels_that_are_one_code_count_once(tmp_path: Path) -> None:
    write(tmp_path, train_full="1,100,text,40.7;04.07;40.7,1\n")
    assert [g.code for g in read_caml_files(tmp_path).encounters[0].codes or ()] == ["04.07"]


@pytest.mark.parametrize("label", ["E812.0", "V30", "486", "4019", "389"])
def test_diagnoses_by_shape(label: str) -> None:
    assert icd9_system_of(label) == "icd9cm"


@pytest.mark.parametrize("label", ["38.93", "8.", "40."])
def test_procedures_by_shape(label: str) -> None:
    assert icd9_system_of(label) == "icd9proc"


@pytest.mark.parametrize(
    ("rows", "message"),
    [
        ("1,100,text,401.9,1\n1,100,text,486,1\n", ":3 [100]: this admission is in train already"),
        ("1,,text,401.9,1\n", ":2: HADM_ID is empty; give every row its admission"),
        ("1,100,  ,401.9,1\n", ":2 [100]: the text is empty"),
        ("1,100,text,the patient is well,1\n", ":2 [100]: LABELS holds a text of 19 characters, which is no ICD-9"),
        ('1,100,"text,401.9,1\n', ":2: broken quoting"),
        ("1,100,text,401.9\n", ":2: the number of cells is 4, not 5"),
        ("", "the file has a header and no rows"),
    ],
)
def test_broken_rows_are_named(tmp_path: Path, rows: str, message: str) -> None:
    write(tmp_path, train_full=rows)
    with pytest.raises(CorpusError) as caught:
        read_caml_files(tmp_path)
    assert message in str(caught.value)
    assert "well" not in str(caught.value)


def test_skipping_leaves_the_broken_row_out(tmp_path: Path) -> None:
    write(tmp_path, train_full="1,100,text,401.9,1\n1,,text,401.9,1\n1,101,text,not a code,1\n")
    corpus = read_caml_files(tmp_path, on_error="skip")
    assert [e.encounter_id for e in corpus] == ["100"]
    assert len(corpus.skipped) == 2


def test_wrong_places_and_names(tmp_path: Path) -> None:
    with pytest.raises(CorpusError, match=r"holds none of train_full.csv, dev_full.csv, test_full.csv"):
        read_caml_files(tmp_path)
    with pytest.raises(ConfigError, match="unknown variant 'top' of CAML's files; choose from full, 50"):
        read_caml_files(tmp_path, variant="top")  # type: ignore[arg-type]
    with pytest.raises(CorpusError, match="no such file or folder"):
        read_caml_files(tmp_path / "absent")
    (tmp_path / "train_full.csv").write_text("SUBJECT_ID,HADM_ID,TEXT,length\n1,2,t,1\n")
    with pytest.raises(CorpusError, match="has no column 'LABELS'"):
        read_caml_files(tmp_path)
    with pytest.raises(CorpusError, match="is a file; name the folder"):
        read_caml_files(tmp_path / "train_full.csv")
