"""``nosology experiment``: what is written, going on after any interruption, and refusals."""

from __future__ import annotations

import csv
import io
import json
import os
import signal
import subprocess
import sys
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from nosology.cli.main import run
from nosology.config import CorpusConfig, SimulatedMimic3Config, TfidfConfig, load_recipe
from nosology.corpora import open_corpus
from nosology.errors import ConfigError, CorpusError
from nosology.evaluation import BootstrapPlan
from nosology.experiments import declaration, runner
from nosology.experiments.clock import Clock, duration
from nosology.experiments.declaration import Arm, Experiment, experiment_names, find_experiment
from nosology.experiments.overrides import override
from nosology.experiments.report_files import write_results
from nosology.experiments.result_page import parts_of, write_part
from nosology.experiments.runner import Request, run_experiment
from nosology.experiments.runs import code_digest
from nosology.shipped_recipes import shipped_recipes
from tiny_corpus import TABLE, write_table

SMALL: dict[str, object] = {**TABLE, "training.folds": 2}
ARMS = (
    Arm("Tiny notes", "prior", "prior_simulated", SMALL),
    Arm("Tiny notes", "neighbours", "neighbours_simulated", SMALL),
    Arm("Tiny notes", "logistic, single words", "tfidf_simulated", {**SMALL, "model.words": 1}),
)
TINY = Experiment("Tiny", "What for?", "prior", {"cpu": ARMS, "full": ARMS[:1]})


def request(folder: Path, *seeds: int) -> Request:
    folder.mkdir(parents=True, exist_ok=True)
    write_table(folder, train=28, dev=8)
    return Request("tiny", "cpu", seeds or (0, 1), folder, folder, BootstrapPlan(replicates=50))


def carry_out(folder: Path, *seeds: int, tell: Callable[[str], None] = lambda line: None) -> dict[str, Any]:
    """Run, write, and read what was written, less what differs from call to call."""
    results = run_experiment(TINY, request(folder, *seeds), progress=lambda stage, share: None, tell=tell)
    write_results(results, folder)
    written: dict[str, Any] = json.loads((folder / "results.json").read_text(encoding="utf-8"))
    for one in written["runs"]:
        del one["train_seconds"], one["notes_per_second"]
    return written


@pytest.fixture(scope="session")
def whole(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, dict[str, Any]]:
    folder = tmp_path_factory.mktemp("whole")
    return folder, carry_out(folder)


def test_every_run_stands_in_the_json_with_its_hashes(whole: tuple[Path, dict[str, Any]]) -> None:
    runs = whole[1]["runs"]
    assert [(one["method"], one["seed"]) for one in runs] == [(arm.method, seed) for arm in ARMS for seed in (0, 1)]
    assert len({one["config"] for one in runs}) == 6
    assert len({one["data"] for one in runs}) == 1
    assert all(len(one["fingerprint"]) == 64 for one in runs)
    assert [table["title"] for table in whole[1]["tables"]] == [
        "Tiny notes (dev)",
        "Tiny notes (dev): micro-F1 by training frequency",
    ]


def test_tables_are_written_for_people_papers_and_programs(whole: tuple[Path, dict[str, Any]]) -> None:
    folder, written = whole
    page = (folder / "results.md").read_text(encoding="utf-8")
    assert page.startswith("# Tiny\n\nWhat for? Size `cpu`, seeds 0, 1.")
    assert "| logistic, single words |" in page
    assert written["runs"][0]["config"][:12] in page
    assert str(folder) not in page
    rows = list(csv.DictReader(io.StringIO((folder / "results.csv").read_text(encoding="utf-8"))))
    first = written["tables"][0]["rows"][0]["cells"][0]
    assert (float(rows[0]["value"]), rows[0]["system"]) == (first["value"], "prior")
    assert r"\begin{tabular}{lrrrrr}" in (folder / "results.tex").read_text(encoding="utf-8")


def test_bands_can_differ_by_corpus(whole: tuple[Path, dict[str, Any]]) -> None:
    published = replace(TINY, bands_on={"Tiny notes": "published"})
    results = run_experiment(published, request(whole[0]), progress=lambda *_: None, tell=lambda _: None)
    by_band = results.scores[0].by_band
    assert by_band is not None
    assert by_band.headings != tuple(whole[1]["tables"][1]["headings"])
    assert set(by_band.headings) <= {"unseen", "1-10", "11-50"}


def test_a_second_call_trains_nothing_and_writes_the_same(whole: tuple[Path, dict[str, Any]]) -> None:
    told = list[str]()
    assert carry_out(whole[0], tell=told.append) == whole[1]
    assert len(told) == 6
    assert all(line.endswith(": taken from an earlier call") for line in told)


_KILLED = """
import os, signal, sys
from pathlib import Path
sys.path[:0] = [sys.argv[2], str(Path(sys.argv[2]).parent)]
from test_experiment import TINY, request
from nosology.experiments import runs
from nosology.experiments.runner import run_experiment

runs.code_digest = lambda: sys.argv[4]  # the package may be edited while its tests run

def progress(stage, share):
    if "logistic" in stage and "seed 0" in stage and sys.argv[3] in stage:
        os.kill(os.getpid(), signal.SIGKILL)

run_experiment(TINY, request(Path(sys.argv[1])), progress=progress, tell=lambda line: None)
"""


@pytest.mark.skipif(os.name != "posix", reason="signals as on POSIX")
@pytest.mark.parametrize("stage", ["cross-fitting", "coding"])
def test_a_killed_experiment_ends_as_one_that_never_stopped(
    stage: str, whole: tuple[Path, dict[str, Any]], tmp_path: Path
) -> None:
    here = str(Path(__file__).parent)
    command = [sys.executable, "-c", _KILLED, str(tmp_path), here, stage, code_digest()]
    killed = subprocess.run(command, capture_output=True, text=True, check=False, timeout=120)
    assert killed.returncode == -signal.SIGKILL, killed.stderr
    done = sorted(path.parent.name for path in (tmp_path / "runs").glob("*/run.json"))
    assert done == [f"tiny-notes-{name}-seed{seed}" for name in ("neighbours", "prior") for seed in (0, 1)]
    told = list[str]()
    assert carry_out(tmp_path, tell=told.append) == whole[1]
    assert [line.endswith("earlier call") for line in told] == [True] * 4 + [False] * 2


def test_only_what_has_changed_is_done_again(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    carry_out(tmp_path, 0)
    told = list[str]()
    carry_out(tmp_path, 0, 1, tell=told.append)
    assert [line.split(":")[1].startswith(" taken") for line in told] == [True, False] * 3
    run_file = tmp_path / "runs" / "tiny-notes-prior-seed0" / "run.json"
    run_file.write_text(run_file.read_text()[:40])
    told.clear()
    carry_out(tmp_path, 0, 1, tell=told.append)
    assert [line.split(":")[1].startswith(" taken") for line in told] == [False] + [True] * 5


# --- from the command line ------------------------------------------------------------------------------------------


@pytest.fixture
def tiny(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(declaration, "find_experiment", lambda name: TINY)
    monkeypatch.delenv("NOSOLOGY_DATA", raising=False)


@pytest.mark.usefixtures("tiny")
def test_the_command_writes_tables_and_plots(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    write_table(tmp_path, train=28, dev=8)
    options = ["--replicates", "20", "--data", str(tmp_path), "--out", str(tmp_path / "new" / "out")]
    arguments = ["experiment", "tiny", "--seeds", "0", *options]
    page = tmp_path / "page.md"
    write_part(page, "other", "Something else.")
    assert run([*arguments, "--page", str(page)]) == 0, capsys.readouterr().err
    out, error = capsys.readouterr()
    parts = parts_of(page.read_text())
    assert parts["other"] == "Something else.\n"
    assert parts["tiny"] == (tmp_path / "new" / "out" / "results.md").read_text()
    files = {path.name for path in (tmp_path / "new" / "out").iterdir()}
    assert files == {
        "runs",
        "results.md",
        "results.tex",
        "results.csv",
        "results.json",
        "scores.png",
        "by_band.png",
    }
    assert "Tiny notes (dev)" in out
    assert "tiny-notes-prior, seed 0: trained in" in error
    assert "; 2 to go, about " in error
    assert "wrote results.md, results.tex, results.csv, results.json, scores.png, by_band.png to" in error
    assert run(["experiment", "tiny", "--size", "full", "--no-plots", "--seeds", "0", *arguments[4:]]) == 0


def test_without_a_name_all_experiments_are_listed(capsys: pytest.CaptureFixture[str]) -> None:
    assert run(["experiment"]) == 0
    assert capsys.readouterr().out.startswith("baselines    Plain baselines beside the default coder (12 arms at")


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["baseline"], "no experiment 'baseline'; did you mean 'baselines'?"),
        (["baselines"], "--out DIR is missing; it takes the tables, and keeps finished runs"),
        (["baselines", "--out", "{}/out", "--seeds", "1,1"], "seeds must be distinct whole numbers, 0 or more"),
        (["baselines", "--out", "{}/out", "--seeds", "a"], "expected whole numbers joined by commas, as in 0,1,2"),
        (["baselines", "--out", "{}/file/out"], "cannot be made (Not a directory); choose another --out"),
        (["baselines", "--out", "{}/out"], "the reader 'codiesp' needs its data: give --data, or set NOSOLOGY_DATA"),
        (["baselines", "--out", "{}/out", "--data", "{}/none"], "no such folder"),
    ],
)
def test_refuses(
    arguments: list[str],
    message: str,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    monkeypatch.delenv("NOSOLOGY_DATA", raising=False)
    (tmp_path / "file").touch()
    assert run(["experiment", *(one.format(tmp_path) for one in arguments)]) == 2
    lines = capsys.readouterr().err.splitlines()
    assert len(lines) == 1
    assert message in lines[0]


def test_arms_of_a_table_that_read_different_encounters_are_refused(tmp_path: Path) -> None:
    other = Arm("Tiny notes", "other", "prior_simulated", {**SMALL, "corpus.text": "id"})
    experiment = Experiment("x", "y", "prior", {"cpu": (ARMS[0], other), "full": ()})
    with pytest.raises(CorpusError, match="arms of 'Tiny notes' read different encounters, tiny-notes-other"):
        run_experiment(experiment, request(tmp_path), progress=lambda *_: None, tell=lambda _: None)
    assert not list((tmp_path / "runs").iterdir())


def test_a_declaration_is_checked() -> None:
    with pytest.raises(ConfigError, match="x: no arm 'best' on Tiny notes, size cpu"):
        Experiment("x", "y", "best", {"cpu": ARMS, "full": ()})
    with pytest.raises(ConfigError, match="x: two arms of size cpu have one name"):
        Experiment("x", "y", "prior", {"cpu": (ARMS[0], ARMS[0]), "full": ()})


@pytest.mark.parametrize("name", experiment_names())
def test_every_declared_recipe_loads(name: str, tmp_path: Path) -> None:
    experiment = find_experiment(name)
    for arms in experiment.arms.values():
        for arm in arms:
            assert arm.recipe in shipped_recipes()
            arm.load(tmp_path)


def test_arms_share_a_corpus_that_is_simulated(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    read = list[CorpusConfig]()
    monkeypatch.setattr(runner, "open_corpus", lambda config: read.append(config) or open_corpus(config))
    options: dict[str, object] = {
        "corpus.reader": "simulated_mimic3",
        "corpus.admissions": 60,
        "corpus.words": 200,
        "training.folds": 2,
    }
    arms = tuple(Arm("MIMIC", name, f"{name}_simulated", options) for name in ("prior", "neighbours"))
    experiment = Experiment("x", "y", "prior", {"cpu": arms, "full": ()}, split="train")
    results = run_experiment(experiment, request(tmp_path, 0), progress=lambda *_: None, tell=lambda _: None)
    assert read == [SimulatedMimic3Config(admissions=60, words=200)]
    again = run_experiment(experiment, request(tmp_path, 0), progress=lambda *_: None, tell=lambda _: None)
    assert all(run.reused for runs in again.runs.values() for run in runs)
    assert again.to_dict()["tables"] == results.to_dict()["tables"]


# --- parts ----------------------------------------------------------------------------------------------------------


def test_overrides_change_a_recipe() -> None:
    recipe = load_recipe(shipped_recipes()["simulated"])
    changed = override(recipe, {"model.kind": "tfidf", "model.words": 3, "training.folds": 4}, "arm 'x'")
    assert changed.model == TfidfConfig(words=3)
    assert (changed.training.folds, changed.corpus) == (4, recipe.corpus)
    assert override(changed, {"model.words": 1}, "x").model == TfidfConfig(words=1)
    assert override(changed, {"model.kind": "ranker"}, "x").model == recipe.model


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"model.wrods": 1}, "arm 'x': [model] wrods: unknown key; known: kind"),
        ({"trainig.folds": 3}, "arm 'x': trainig: unknown key (did you mean 'training'?)"),
        ({"training.folds": 1}, "arm 'x': [training] folds: 1 is not between 2 and 20"),
        ({"description.text": "x"}, "arm 'x': description.text: description is a value, not a table"),
        ({"model.kind": "tfdif"}, "arm 'x': [model] kind: expected one of"),
    ],
)
def test_a_wrong_override_says_whose_it_is(changes: dict[str, object], message: str) -> None:
    with pytest.raises(ConfigError) as caught:
        override(load_recipe(shipped_recipes()["simulated"]), changes, "arm 'x'")
    assert str(caught.value).startswith(message)


def test_the_clock_guesses_from_like_runs() -> None:
    clock = Clock(10)
    assert clock.left(["a"]) == ""
    clock.ended("a", 10.0)
    clock.ended("a", 30.0)
    clock.ended("b", None)
    clock.ended("c", 100.0)
    assert clock.left(["a", "b", "c"]) == "; 3 to go, about 3 min"  # 20 + 60 + 100
    assert clock.left([]) == ""
    told = list[tuple[str, float]]()
    clock.report("d", lambda stage, share: told.append((stage, share)))("half", 0.5)
    assert told == [("d (5/10): half", 0.45)]
    assert [duration(seconds) for seconds in (0.4, 89, 90, 5399, 5400)] == ["0 s", "89 s", "2 min", "90 min", "1.5 h"]
