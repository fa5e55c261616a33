"""``nosology compare``: models and predictions files in one table, in every format, and refusals."""

from __future__ import annotations

import csv
import io
import json
from collections.abc import Sequence
from pathlib import Path

import pytest

from nosology.cli.main import run
from nosology.coder import Coder
from nosology.config import load_recipe
from nosology.corpora import open_corpus
from nosology.evaluation import evaluate, write_predictions
from tiny_corpus import write_table

CORPUS = '[corpus]\nreader = "tabular"\nsystem = "own"\nencounter_id = "id"\nsplit = "split"\n{path}\n'
MODELS = {
    "prior": '[model]\nkind = "prior"\n[calibration]\nabstain_below = 0.0\n',
    "near": '[model]\nkind = "neighbours"\n',
}


@pytest.fixture(scope="session")
def home(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Two models of one corpus and their predictions of dev."""
    folder = tmp_path_factory.mktemp("compare")
    write_table(folder, train=40, dev=20)
    for name, model in MODELS.items():
        recipe_file = folder / f"{name}.toml"
        text = CORPUS.format(path='path = "notes.csv"') + model + "[training]\nfolds = 2\n"
        recipe_file.write_text(text, encoding="utf-8")
        recipe = load_recipe(recipe_file)
        corpus = open_corpus(recipe.corpus)
        coder = Coder.fit(corpus.split("train"), recipe)
        coder.save(folder / name)
        write_predictions(folder / f"{name}.jsonl", coder.code_many(corpus.split("dev")))
    return folder


def call(home: Path, systems: Sequence[str], *options: str) -> int:
    return run(["compare", *(str(home / name) for name in systems), "--replicates", "50", *options])


def test_the_table_shows_what_evaluate_says(home: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert call(home, ["near", "prior"], "--format", "json") == 0
    tables = json.loads(capsys.readouterr().out)
    assert [table["title"] for table in tables] == [
        "dev: all codes",
        "dev: micro-F1 by how often training has the code",
    ]
    recipe = load_recipe(home / "near.toml")
    dev = open_corpus(recipe.corpus).split("dev")
    for row in tables[0]["rows"]:
        coder = Coder.from_pretrained(home / row["system"])
        report = evaluate(dev, coder.code_many(dev), train_counts=coder.label_counts, intervals=False)
        figures = report.figures()
        assert [cell["value"] for cell in row["cells"]] == pytest.approx([figures[c["figure"]] for c in row["cells"]])


def test_predictions_files_say_what_their_models_do(home: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert call(home, ["near", "prior"], "--format", "csv") == 0
    of_models = capsys.readouterr().out
    options = ("--recipe", str(home / "near.toml"), "--names", "near,prior", "--format", "csv")
    assert call(home, ["near.jsonl", "prior.jsonl"], *options) == 0
    assert capsys.readouterr().out == of_models
    assert call(home, ["near", "prior.jsonl"], "--names", "near,prior", "--format", "csv") == 0
    assert capsys.readouterr().out == of_models
    assert len(list(csv.DictReader(io.StringIO(of_models)))) > 10


def test_the_view_names_the_reference_and_fits_80_columns(
    home: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("COLUMNS", "80")
    assert call(home, ["prior", "near"], "--figures", "micro.f1,map,p@5") == 0
    out = capsys.readouterr().out
    assert max(map(len, out.splitlines())) <= 80
    assert "differs from 'prior'" in " ".join(out.split())
    assert "micro-F1" in out
    assert "p@5" in out


@pytest.mark.parametrize("format_", ["markdown", "latex", "csv", "json"])
def test_a_file_holds_what_would_be_printed(
    format_: str, home: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert call(home, ["near", "prior"], "--format", format_) == 0
    printed = capsys.readouterr().out
    assert call(home, ["near", "prior"], "--format", format_, "--out", str(tmp_path / "t")) == 0
    assert (tmp_path / "t").read_text(encoding="utf-8") == printed
    assert capsys.readouterr().out == ""


@pytest.mark.parametrize(
    ("systems", "options", "message"),
    [
        (["none", "near"], [], "none: no such model folder or predictions file; check the path"),
        (["near.jsonl", "prior.jsonl"], [], "predictions files do not say which corpus they are of; name its recipe"),
        (["near", "near"], [], "two systems have one name; leave out the double, or tell them apart with --names"),
        (["near", "prior"], ["--names", "a"], "--names gives 1 names for 2 systems; give one each"),
        (["near", "prior"], ["--figures", "f1"], "no figure 'f1' to compare; there are: micro.precision"),
        (["near", "prior"], ["--bands", "x"], "unknown frequency bands 'x'; known: codiesp, published"),
        (["near", "prior"], ["--split", "test"], "no encounter in split 'test'; this corpus has: dev, train"),
        (["near", "prior"], ["--out", "{}/t"], "--out needs --format markdown, latex, csv or json"),
        (["near", "notes.csv"], [], "notes.csv:1"),
        (["near", "short.jsonl"], [], "no predictions for 1 of 20 encounters, this one first"),
    ],
)
def test_refuses(
    systems: list[str],
    options: list[str],
    message: str,
    home: Path,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
) -> None:
    lines = (home / "near.jsonl").read_text(encoding="utf-8").splitlines(keepends=True)
    (home / "short.jsonl").write_text("".join(lines[1:]), encoding="utf-8")
    assert call(home, systems, *(option.format(tmp_path) for option in options)) == 2
    error = capsys.readouterr().err.splitlines()
    assert len(error) == 1
    assert message in error[0]
    assert "pneumonia" not in error[0]
