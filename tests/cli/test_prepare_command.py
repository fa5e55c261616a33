"""``nosology prepare`` from the command line: what it says, what it leaves, and what it refuses."""

from __future__ import annotations

import json
import re
from pathlib import Path

import pytest

from mimic_files import MIMIC3, MIMIC4, write_release
from nosology.cli.main import run
from nosology.corpora.prepared import open_prepared, read_prepared

ROWS = [
    {"text": "Gout today.", "codes": ["M10.9"], "id": "a", "split": "train"},
    {"text": "Asthma today.", "codes": ["J45.909"], "id": "b", "split": "dev"},
]


@pytest.fixture
def raw(tmp_path: Path) -> Path:
    return write_release(tmp_path / "raw", MIMIC3)


def prepare(*arguments: str | Path) -> int:
    return run(["prepare", *map(str, arguments)])


def test_counts_go_to_stdout_and_all_else_to_stderr(
    raw: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    out = tmp_path / "out"
    assert prepare("mimic3", "--raw", raw, "--out", out, "--own-split", "none") == 0
    told = capsys.readouterr()
    assert "rows of NOTEEVENTS" in told.out
    assert told.out.splitlines()[-1].startswith("labels whose code is in no table of titles, kept")
    assert "decided: No splits were made." in told.err
    assert "warning: admissions with a note and no codes, left out: 1 (500003)" in told.err
    assert re.search(rf"prepared 4 encounters from 0 MB in \d+ s: {out}\n$", told.err)
    assert prepare("mimic3", "--raw", raw, "--out", out, "--own-split", "none") == 0
    told = capsys.readouterr()
    assert (told.out, told.err) == ("", f"nothing has changed: inputs, options and files are those of {out}\n")


def test_options_reach_the_manifest(raw: Path, tmp_path: Path) -> None:
    splits = "train=0.5,test=0.5"
    chosen = ["--codes", "diagnoses", "--min-count", "1", "--top", "3", "--no-addenda", "--seed", "4", "--own-split"]
    assert prepare("mimic3", "--raw", raw, "--out", tmp_path / "out", *chosen, splits) == 0
    options = json.loads((tmp_path / "out" / "manifest.json").read_text())["options"]
    assert options == {
        "variant": "full",
        "codes": "diagnoses",
        "min_count": 1,
        "top": 3,
        "addenda": False,
        "caml_compatible": False,
        "version": None,
        "split_ids": None,
        "own_split": {"train": 0.5, "test": 0.5},
        "seed": 4,
    }
    assert len(open_prepared(tmp_path / "out").labels) == 3


def test_caml_compatible(raw: Path, tmp_path: Path) -> None:
    assert prepare("mimic3", "--raw", raw, "--out", tmp_path / "out", "--own-split", "none", "--caml-compatible") == 0
    assert "40.7" in {label.code for label in open_prepared(tmp_path / "out").labels}
    assert "04.07" not in {label.code for label in open_prepared(tmp_path / "out").labels}


@pytest.mark.parametrize(("version", "count"), [("icd10", 2), ("icd9", 1)])
def test_mimic4(tmp_path: Path, version: str, count: int) -> None:
    raw = write_release(tmp_path / "raw", MIMIC4, compress=True)
    arguments = ["--raw", raw, "--out", tmp_path / "out", "--version", version, "--own-split", "none"]
    assert prepare("mimic4", *arguments) == 0
    assert len(read_prepared(tmp_path / "out")) == count


def test_a_recipe_says_how_another_corpus_is_read(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    table, recipe = tmp_path / "notes.jsonl", tmp_path / "recipe.toml"
    table.write_text("".join(json.dumps(row) + "\n" for row in ROWS))
    recipe.write_text('[corpus]\nreader = "tabular"\nencounter_id = "id"\nsplit = "split"\n')
    assert prepare(recipe, "--raw", table, "--out", tmp_path / "out") == 0
    corpus = read_prepared(tmp_path / "out")
    assert [(e.encounter_id, e.split, sorted(e.code_set)) for e in corpus] == [
        ("a", "train", ["M10.9"]),
        ("b", "dev", ["J45.909"]),
    ]
    capsys.readouterr()
    assert prepare(recipe, "--raw", table, "--out", tmp_path / "out") == 0
    assert "nothing has changed" in capsys.readouterr().err
    table.write_text(json.dumps(ROWS[0]) + "\n")
    assert prepare(recipe, "--raw", table, "--out", tmp_path / "out") == 0
    assert len(read_prepared(tmp_path / "out")) == 1


def test_codiesp_by_name(data_dir: Path, tmp_path: Path) -> None:
    from nosology.corpora import read_codiesp

    assert prepare("codiesp", "--raw", data_dir / "codiesp", "--out", tmp_path / "out") == 0
    assert read_prepared(tmp_path / "out").encounters == read_codiesp(data_dir / "codiesp").encounters


@pytest.mark.parametrize(
    ("arguments", "problem"),
    [
        (["mimic5"], "'mimic5' is no corpus and no recipe; known: mimic3, mimic4, "),
        (["mimic3", "--version", "icd10"], "MIMIC-III has ICD-9 codes only"),
        (["mimic3", "--top", "5", "--variant", "50"], "--variant 50 chooses the codes itself"),
        (["mimic3", "--min-count", "0"], "--min-count 0 is below 1"),
        (["mimic3", "--own-split", "train=1.5"], "split fractions must each be above 0 and sum to 1"),
        (["mimic3", "--own-split", "half"], "--own-split is written train=0.75,dev=0.1,test=0.15, or none"),
        (["mimic3", "--own-split", "train=0.5,val=0.5"], "unknown split 'val'; known: train, dev, test"),
        (["mimic3", "--split-ids", "ids", "--seed", "1"], "--split-ids gives the splits; leave out"),
        (["mimic3", "--split-ids", "nowhere"], "nowhere: no such file or folder"),
        (["mimic3", "--on-error", "skip"], "--on-error is not for MIMIC"),
        (["mimic4", "--caml-compatible"], "--caml-compatible and --no-addenda are for mimic3"),
        (["codiesp", "--variant", "50"], "--variant: for mimic3 and mimic4 only"),
        (["simulated"], "simulated: its corpus reads no raw files"),
    ],
)
def test_what_is_refused(
    raw: Path, tmp_path: Path, arguments: list[str], problem: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert prepare(*arguments, "--raw", raw, "--out", tmp_path / "out") == 2
    told = capsys.readouterr().err
    assert problem in told
    assert told.count("\n") == 1
    assert not (tmp_path / "out").exists()


def test_a_prepared_folder_trains_a_coder(raw: Path, tmp_path: Path, word_coder: type) -> None:
    splits = tmp_path / "ids.csv"
    splits.write_text("_id,split\n500001,train\n500006,train\n500002,dev\n500007,test\n")
    assert prepare("mimic3", "--raw", raw, "--out", tmp_path / "out", "--split-ids", splits) == 0
    recipe = tmp_path / "recipe.toml"
    recipe.write_text('[corpus]\nreader = "prepared"\n')
    model = tmp_path / "model"
    assert run(["train", str(recipe), "--data", str(tmp_path / "out"), "--out", str(model)]) == 0
    assert run(["evaluate", str(model), "--split", "dev", "--json", str(tmp_path / "report.json")]) == 0
    assert (tmp_path / "report.json").is_file()


def test_what_a_reader_mended_is_told_and_kept(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    raw = tmp_path / "caml"
    raw.mkdir()
    rows = ["SUBJECT_ID,HADM_ID,TEXT,LABELS,length", "1,100,fever and cough,3.31;401.9,3", "2,101,cough,401.9,1"]
    (raw / "train_full.csv").write_text("\n".join(rows) + "\n")
    assert prepare("caml", "--raw", raw, "--out", tmp_path / "out") == 0
    warning = "labels whose lost zeros the tables prove, restored"
    assert f"warning: {warning}: 1 (3.31 -> 03.31)" in capsys.readouterr().err
    (kept,) = json.loads((tmp_path / "out" / "manifest.json").read_text())["warnings"]
    assert kept == {"message": warning, "count": 1, "examples": ["3.31 -> 03.31"]}
    codes = [encounter.code_set for encounter in read_prepared(tmp_path / "out")]
    assert codes == [{"03.31", "401.9"}, {"401.9"}]
