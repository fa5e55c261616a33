"""``nosology corpus clean`` from end to end."""

from __future__ import annotations

import csv
import json
from pathlib import Path

import pytest

from nosology.cli.main import run
from nosology.corpora.prepared import read_prepared

CANARY = "zanzibarquine"


@pytest.fixture
def table(tmp_path: Path) -> Path:
    """A recipe over a table of 24 train and 6 test notes."""
    lines = ["id,split,text,codes"]
    wordings = {"I10": "high blood pressure", "E11.9": "type 2 diabetes", "E11.65": "hyperglycemia in diabetes"}
    for number in range(30):
        codes = [code for place, code in enumerate(wordings) if (number >> place) % 2 == 0] or ["I10"]
        said = " ".join(f"Patient with {wordings[code]}." for code in codes)
        split = "train" if number < 24 else "test"
        lines.append(f'c{number},{split},"{said} Seen by {CANARY} on the ward as on every day.",{";".join(codes)}')
    (tmp_path / "notes.csv").write_text("\n".join(lines) + "\n", encoding="utf-8")
    recipe = tmp_path / "recipe.toml"
    recipe.write_text(
        '[corpus]\nreader = "tabular"\nencounter_id = "id"\nsplit = "split"\npath = "notes.csv"\n', encoding="utf-8"
    )
    return recipe


def test_a_table_becomes_a_prepared_corpus_with_a_report(table: Path, capsys: pytest.CaptureFixture[str]) -> None:
    out = table.parent / "clean"
    options = ["--encoder", "lexical", "--drop-duplicates", "--missing", "0.01", "--add-missing"]
    assert run(["corpus", "clean", str(table), "--out", str(out), *options]) == 0
    printed = capsys.readouterr()
    assert "codes likely missing" in printed.out
    assert CANARY not in printed.out + printed.err
    corpus = read_prepared(out)
    assert len(corpus) == 30
    texts = [note.text for one in corpus for note in one.notes]
    assert not any(CANARY in text for text in texts[:24])  # boilerplate of all training patients
    assert all(CANARY in text for text in texts[24:])  # other splits stay as they are
    for name in ("report.md", "report.csv", "kept.jsonl"):
        assert CANARY not in (out / name).read_text(encoding="utf-8")
    with (out / "report.csv").open(encoding="utf-8", newline="") as stream:
        rows = list(csv.DictReader(stream))
    assert sum(row["kind"] == "boilerplate" for row in rows) == 24
    kept = [json.loads(line) for line in (out / "kept.jsonl").read_text(encoding="utf-8").splitlines()]
    assert len(kept) == 24
    assert all(one["kept"][0][0] == 0 for one in kept)
    assert json.loads((out / "manifest.json").read_text())["counts"]["looked through"] == 24
    assert run(["corpus", "clean", str(out), "--out", str(out), "--encoder", "lexical"]) == 0  # of its own kind


def test_text_is_shown_only_when_asked_for(table: Path) -> None:
    out = table.parent / "clean"
    assert run(["corpus", "clean", str(table), "--out", str(out), "--encoder", "lexical", "--show-text"]) == 0
    assert CANARY in (out / "report.csv").read_text(encoding="utf-8")


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["nothing.toml"], "nothing.toml"),
        (["caml_mimic3_50"], "the corpus reader 'prepared' needs its data: give --data, or path in the recipe"),
        (["{recipe}", "--encoder", "nonsense"], "encoder 'nonsense'"),
        (["{recipe}", "--split", "dev"], "no encounter in split 'dev'; this corpus has: test, train"),
        (["{recipe}", "--share", "2"], "NoiseThresholds: share: 2.0 is not in (0, 0.9]"),
        (["{recipe}", "--out", "{folder}"], "holds something that is not a prepared corpus; choose another place"),
    ],
)
def test_bad_input_is_one_line(
    table: Path, arguments: list[str], message: str, capsys: pytest.CaptureFixture[str]
) -> None:
    filled = [one.format(recipe=table, folder=table.parent) for one in arguments]
    out = [] if "--out" in filled else ["--out", str(table.parent / "clean")]
    encoder = [] if "--encoder" in filled else ["--encoder", "lexical"]
    assert run(["corpus", "clean", *filled, *out, *encoder]) == 2
    told = capsys.readouterr().err.strip().splitlines()
    assert message in told[-1]
    assert CANARY not in told[-1]
    assert not (table.parent / "clean").exists()
