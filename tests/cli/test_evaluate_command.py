"""``nosology evaluate`` on a model and on files of other systems: thresholds, parts, and what it refuses."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import pytest

from nosology.cli.main import run
from nosology.evaluation import read_header, read_predictions

Rows = list[tuple[str, list[tuple[str, float, bool]]]]
PREDICTED: Rows = [
    ("a", [("M10.9", 0.9, True), ("R05.9", 0.2, False)]),
    ("b", [("R05.9", 0.45, False), ("J45.909", 0.4, False), ("M10.9", 0.3, False)]),
    ("c", [("M10.9", 0.42, False), ("J45.909", 0.1, False)]),
    ("d", [("J45.909", 0.41, False), ("R05.9", 0.05, False)]),
]


@pytest.fixture(autouse=True)
def _start(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("COLUMNS", "80")
    monkeypatch.delenv("NOSOLOGY_DATA", raising=False)


def put(path: Path, rows: Rows, *first: str) -> Path:
    lines = [
        json.dumps({"id": key, "codes": [{"code": c, "probability": p, "assigned": a} for c, p, a in codes]})
        for key, codes in rows
    ]
    path.write_text("\n".join([*first, *lines]) + "\n", encoding="utf-8")
    return path


@pytest.fixture
def theirs(tmp_path: Path) -> Path:
    return put(tmp_path / "theirs.jsonl", PREDICTED)


@pytest.fixture
def scored(theirs: Path, recipe: Path, table: Path, tmp_path: Path) -> Callable[..., dict]:
    """Evaluate the file with further options; the report."""

    def call(*options: str, file: Path = theirs) -> dict:
        report = tmp_path / "report.json"
        line = ["evaluate", "--from", str(file), "--corpus", str(recipe), "--data", str(table), "--json", str(report)]
        assert run([*line, *options]) == 0
        return json.loads(report.read_text())

    return call


@pytest.fixture
def refused(theirs: Path, recipe: Path, table: Path, capsys: pytest.CaptureFixture[str]) -> Callable[..., str]:
    """Evaluate the file with further options; the error, one line."""

    def call(*options: str, file: Path = theirs) -> str:
        line = ["evaluate", "--from", str(file), "--corpus", str(recipe), "--data", str(table), *options]
        capsys.readouterr()
        assert run(line) == 2
        captured = capsys.readouterr()
        assert captured.out == ""
        assert len(captured.err.splitlines()) == 1
        return captured.err.strip().removeprefix("nosology: error: ")

    return call


def micro(report: dict) -> tuple[float, float]:
    return report["assignment"]["micro"]["precision"], report["assignment"]["micro"]["recall"]


def test_a_file_of_another_system(scored: Callable[..., dict], capsys: pytest.CaptureFixture[str]) -> None:
    report = scored()
    assert report["counts"]["encounters"] == 2
    assert micro(report) == (0.0, 0.0)  # nothing of dev is assigned
    assert report["ranking"]["map"] == 1.0
    assert [band["gold"] for band in report["bands"]] == [0, 1, 1, 0, 0]  # counted in train: gout once, asthma twice
    text = capsys.readouterr().out
    assert "Assigned codes" in text
    assert "By how often" not in text
    assert "Probabilities" not in text


def test_thresholds_tuned_on_another_split(scored: Callable[..., dict], tmp_path: Path) -> None:
    kept, written = tmp_path / "t.json", tmp_path / "out.jsonl"
    report = scored("--tune-threshold", "train", "--save-thresholds", str(kept), "--predictions", str(written))
    assert micro(report) == (1.0, 1.0)  # train: all four gold codes are had between 0.4 and 0.3
    assert report["decisions"] == "one threshold (0.350), tuned on train"
    assert [len(coded.assigned) for coded in read_predictions(written)] == [1, 1]
    header = read_header(written)
    assert header is not None
    assert (header.system, header.corpus, header.splits) == ("theirs.jsonl", "tabular", ("dev",))
    assert (header.tuned_on, header.thresholds) == (("train",), "one threshold (0.350), tuned on train")
    assert micro(scored("--threshold-file", str(kept))) == (1.0, 1.0)


@pytest.mark.parametrize("kind", ["global", "bands", "labels"])
def test_every_kind_of_threshold(scored: Callable[..., dict], kind: str) -> None:
    report = scored("--tune-threshold", "train", "--thresholds", kind, "--bands", "published")
    assert report["decisions"].endswith("tuned on train")
    assert micro(report)[1] > 0
    crossed = scored("--cross-fit", "2", "--thresholds", kind)
    assert "cross-fitted in 2 folds" in crossed["decisions"]


def test_thresholds_are_not_scored_where_they_were_tuned(
    refused: Callable[..., str], scored: Callable[..., dict], tmp_path: Path
) -> None:
    told = "which is to be evaluated: the scores would be too good"
    assert told in refused("--tune-threshold", "dev")
    assert told in refused("--tune-threshold", "train+dev")
    assert told in refused("--tune-threshold", "all", "--split", "train")
    kept, written = tmp_path / "t.json", tmp_path / "out.jsonl"
    report = scored(
        "--tune-threshold", "dev", "--allow-tuned-on", "--save-thresholds", str(kept), "--predictions", str(written)
    )
    assert report["decisions"].endswith("tuned on dev: the split evaluated, so the scores are too good")
    assert told in refused("--threshold-file", str(kept))
    assert told in refused(file=written)  # the file says so itself
    assert scored("--allow-tuned-on", file=written)["assignment"] == report["assignment"]
    assert scored("--tune-threshold", "train", file=_with_train(written))["decisions"].endswith("tuned on train")


def _with_train(path: Path) -> Path:
    """A file tuned on dev, with the other encounters added: new thresholds take the place of those it came with."""
    return put(path.with_name("both.jsonl"), PREDICTED, path.read_text().splitlines()[0])


def test_parts_are_shown_when_asked_for(scored: Callable[..., dict], capsys: pytest.CaptureFixture[str]) -> None:
    report = scored(
        "--by", "chapter", "--by", "length", "--by", "band", "--by", "chapter", "--hierarchy", "--reliability"
    )
    assert [part["by"] for part in report["parts"]].count("chapter") == 2
    text = capsys.readouterr().out
    for title in ("By chapter", "By length of the notes", "By how often a code was seen", "Probabilities"):
        assert text.count(title) == 1
    assert max(map(len, text.splitlines())) <= 80
    assert report["hierarchy"]["scores"]["precision"] == 0.0


def test_no_intervals_where_none_are_wanted(scored: Callable[..., dict]) -> None:
    assert scored("--replicates", "0")["intervals"] == {}
    assert scored("--replicates", "7")["bootstrap"]["replicates"] == 7


def test_a_model_is_tuned_like_a_file(model: Path, tmp_path: Path) -> None:
    report, written = tmp_path / "r.json", tmp_path / "p.jsonl"
    options = ["--tune-threshold", "train", "--json", str(report), "--predictions", str(written), "--by", "system"]
    assert run(["evaluate", str(model), *options]) == 0
    assert json.loads(report.read_text())["decisions"].endswith("tuned on train")
    header = read_header(written)
    assert header is not None
    assert (header.system, header.tuned_on) == ("model", ("train",))


def test_unknown_codes_and_encounters(refused: Callable[..., str], scored: Callable[..., dict], tmp_path: Path) -> None:
    odd = put(tmp_path / "odd.jsonl", [*PREDICTED[:3], ("d", [("I10", 0.5, True), ("J45909", 0.4, False)])])
    assert refused(file=odd) == (
        f"{odd}:4 [d]: unknown code 'J45909': no label of the corpus and in no table of its code systems; "
        "did you mean 'J45.909'?"
    )
    assert scored("--unknown-codes", "skip", file=odd)["counts"]["assigned"] == 1
    stranger = put(tmp_path / "x.jsonl", [*PREDICTED, ("z", [])])
    assert f"{stranger}:5 [z]: no such encounter" in refused(file=stranger)
    assert "[d]: no predictions for 1 of 2 encounters" in refused(file=put(tmp_path / "few.jsonl", PREDICTED[:3]))


def test_options_that_do_not_go_together(refused: Callable[..., str], model: Path, tmp_path: Path, theirs: Path,
                                         capsys: pytest.CaptureFixture[str]) -> None:  # fmt: skip
    assert refused("--tune-threshold", "train", "--cross-fit", "3") == (
        "choose one of --tune-threshold, --cross-fit and --threshold-file"
    )
    assert refused("--thresholds", "bands").startswith("--thresholds bands needs --tune-threshold")
    assert refused("--save-thresholds", str(tmp_path / "t")).startswith("--save-thresholds keeps what")
    assert "its folder does not exist" in refused(
        "--tune-threshold", "train", "--save-thresholds", str(tmp_path / "n/t")
    )
    assert refused("--cross-fit", "40").startswith("cannot cross-fit 2 groups in 40 folds")
    assert refused("--by", "ward") == (
        "cannot part encounters by 'ward': this corpus has no metadata columns; "
        "besides there are band, chapter, block, system and length"
    )
    assert refused("--split", "test").startswith("no encounter in split 'test'")
    for line in ([], [str(model), "--from", str(theirs)]):
        assert run(["evaluate", *line]) == 2
        assert "give a model folder, or a predictions file with --from (and not both)" in capsys.readouterr().err
    assert run(["evaluate", "--from", str(theirs)]) == 2
    assert "--from needs --corpus RECIPE" in capsys.readouterr().err
    assert run(["evaluate", str(model), "--corpus", "simulated"]) == 2
    assert "--corpus goes with --from" in capsys.readouterr().err
