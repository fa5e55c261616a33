"""``nosology stats`` as a person runs it: prepared folders, recipes, formats, plots, and one line for what is wrong."""

from __future__ import annotations

import csv
import io
import json
import sys
from pathlib import Path
from typing import Any

import pytest

from nosology.cli.main import run
from nosology.corpora.prepared import write_prepared
from nosology.types import Corpus, Encounter, GoldCode, Note

pytest.importorskip("polars")

SECRET = "mrssmith"


@pytest.fixture
def prepared(tmp_path: Path) -> Path:
    """Two patients, one of them in two splits."""
    rows = [("p1", "train", "I10"), ("p1", "test", "R52"), ("p2", "train", "I10")]
    encounters = tuple(
        Encounter(f"e{i}", (Note(f"n{i}", f"{SECRET} has word{i} " * 200),), (GoldCode(code, "icd10cm"),), group, split)
        for i, (group, split, code) in enumerate(rows)
    )
    write_prepared(tmp_path / "prepared", Corpus("tiny", ("icd10cm",), encounters))
    return tmp_path / "prepared"


def test_tables_and_warnings(prepared: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert run(["stats", str(prepared)]) == 0
    out, err = capsys.readouterr()
    for heading in (
        "The corpus tiny",
        "Splits",
        "How often a code occurs",
        "What a limit on tokens cuts off",
        "Chapters",
    ):
        assert heading in out
    assert err.splitlines() == [
        "warning: 1 group is (a patient, an article) in more than one split, with 2 documents (such as p1): "
        "scores will be too high; never part a group",
        "warning: 1 code of test never occurs in training (100.0 % of its occurrences, 1 documents): "
        "a coder that learns labels only cannot find them",
    ]


@pytest.mark.parametrize("width", ["60", "80", "200"])
def test_numbers_are_never_cut(
    prepared: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch, width: str
) -> None:
    monkeypatch.setenv("COLUMNS", width)
    assert run(["stats", str(prepared)]) == 0
    out = capsys.readouterr().out
    cells = [line.split("  ") for line in out.splitlines()]
    rows = [[cell.strip() for cell in row if cell.strip()] for row in cells]
    assert ["words", "512", "100.0 %", "14.7 %", "14.7 %", "14.7 %"] in rows
    assert ["train", "2", "2", "1", "1.00", "0", "0.0 %", "0.1909"] in rows


def test_formats(prepared: Path, capsys: pytest.CaptureFixture[str]) -> None:
    def shown(name: str) -> str:
        assert run(["stats", str(prepared), "--format", name, "--near-duplicates"]) == 0
        return capsys.readouterr().out

    figures = json.loads(shown("json"))
    assert (figures["documents"], figures["leakage"]["groups"], figures["duplicates"]["notes"]) == (3, 1, 3)
    assert len(figures["warnings"]) == 2
    assert "## Near-duplicate notes" in shown("markdown")
    assert r"\label{tab:pairs-frequent}" not in shown("latex")
    rows = list(csv.DictReader(io.StringIO(shown("csv"))))
    assert {"table": "overview", "row": "documents", "column": "", "value": "3"} in rows
    assert not any(SECRET in shown(name) for name in ("table", "markdown", "latex", "csv", "json"))


def test_plots_are_written_whole(prepared: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    pytest.importorskip("matplotlib")
    assert run(["stats", str(prepared), "--plots", str(tmp_path / "deep" / "plots")]) == 0
    names = sorted(path.name for path in (tmp_path / "deep" / "plots").iterdir())
    assert names == [
        "cardinality.png",
        "chapters_icd10.png",
        "code_frequency.png",
        "cumulative_share.png",
        "length.png",
    ]
    assert "drew code_frequency.png, " in capsys.readouterr().err


def test_a_recipe_is_described_too(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (tmp_path / "notes.csv").write_text("text,codes\nchest pain,I10;R52\nfever,R50.9\n")
    (tmp_path / "mine.toml").write_text('[corpus]\nreader = "tabular"\npath = "notes.csv"\n')
    assert run(["stats", str(tmp_path / "mine.toml"), "--format", "json"]) == 0
    out, err = capsys.readouterr()
    assert json.loads(out)["codes"] == 3
    assert "warning: the corpus has no splits" in err


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["{prepared}", "--tokenizer", "absent.json"], "absent.json: no such tokenizer file; give a Hugging Face"),
        (["{prepared}", "--data", "x"], "--data belongs to a recipe; a prepared folder holds its data"),
        (["{prepared}", "--bands", "wide"], "unknown frequency bands 'wide'; known: codiesp, published"),
        (["{prepared}", "--plots", "{prepared}/labels.json"], "labels.json: is a file; name a folder for the plots"),
        (["{prepared}/.."], "manifest.json: no such file: not a prepared corpus; `nosology prepare` makes one"),
        (["simulatde"], "simulatde: no such recipe file, and no recipe of that name"),
    ],
)
def test_wrong_options_are_one_line(
    prepared: Path, capsys: pytest.CaptureFixture[str], arguments: list[str], message: str
) -> None:
    assert run(["stats", *(one.format(prepared=prepared) for one in arguments)]) == 2
    out, err = capsys.readouterr()
    assert (out, len(err.splitlines())) == ("", 1)
    assert message in err


def test_what_is_missing_is_told_before_the_work(
    prepared: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    absent: Any = None
    monkeypatch.setitem(sys.modules, "matplotlib", absent)
    assert run(["stats", str(prepared), "--plots", str(tmp_path / "plots")]) == 2
    assert capsys.readouterr().err == (
        "nosology: error: Plotting needs an optional part: pip install 'nosology[plots]'\n"
    )
    assert not (tmp_path / "plots").exists()


def test_a_damaged_folder_is_one_line(prepared: Path, capsys: pytest.CaptureFixture[str]) -> None:
    notes = prepared / "notes.parquet"
    notes.write_bytes(notes.read_bytes()[:-9])
    assert run(["stats", str(prepared)]) == 2
    assert "changed or truncated; run `nosology prepare` again" in capsys.readouterr().err
