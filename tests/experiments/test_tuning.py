"""``nosology tune``: equal budgets, going on after any interruption, the best recipe, and refusals."""

from __future__ import annotations

import csv
import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from nosology.cli.main import run
from nosology.config import Recipe, load_recipe
from nosology.corpora import open_corpus
from nosology.errors import ConfigError
from nosology.evaluation import evaluate
from nosology.experiments.runs import Material
from nosology.experiments.search_space import Choice, Range, SearchArm, describe_space, read_space
from nosology.experiments.tuning import Found, Search, tune
from tiny_corpus import write_table

CORPUS = '[corpus]\nreader = "tabular"\nsystem = "own"\nencounter_id = "id"\nsplit = "split"\n'
SPACE = """
[arms.near.fixed]
"model.kind" = "neighbours"
"training.folds" = 2
[arms.near.space]
"model.neighbours" = { low = 1, high = 30, log = true }
"model.words" = [1, 2]
[arms.logistic.fixed]
"model.kind" = "tfidf"
"training.folds" = 2
[arms.logistic.space]
"model.strength" = { low = 0.1, high = 100.0, log = true }
"""


@pytest.fixture(scope="session")
def home(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("tuning")
    write_table(folder, train=28, dev=8, test=4)
    (folder / "base.toml").write_text(CORPUS + 'path = "notes.csv"\n', encoding="utf-8")
    (folder / "space.toml").write_text(SPACE, encoding="utf-8")
    return folder


def search_in(home: Path, folder: Path, trials: int = 4, metric: str = "micro.f1", seed: int = 0) -> Search:
    base = load_recipe(home / "base.toml")
    folder.mkdir(exist_ok=True)
    return Search(base, read_space(home / "space.toml", base), trials, metric, seed, folder)


def carry_out(search: Search, told: list[str] | None = None) -> Found:
    corpus = open_corpus(search.base.corpus)
    material = Material(corpus.split("train"), corpus.split("dev"))
    tell = (lambda line: None) if told is None else told.append
    return tune(search, material, progress=lambda stage, share: None, tell=tell)


@pytest.fixture(scope="session")
def whole(home: Path) -> Found:
    return carry_out(search_in(home, home / "whole"))


def test_every_arm_gets_as_many_trials(whole: Found) -> None:
    assert [(one.arm, one.number) for one in whole.tried] == [
        (a, n) for a in ("near", "logistic") for n in (1, 2, 3, 4)
    ]
    assert len({one.told for one in whole.tried}) > 4
    for one in whole.tried:
        assert one.score is not None
        if one.arm == "near":
            assert set(one.values) == {"model.neighbours", "model.words"}
            assert 1 <= int(one.values["model.neighbours"]) <= 30
        else:
            assert 0.1 <= float(one.values["model.strength"]) <= 100


def test_the_best_recipe_is_written_and_scores_what_was_said(home: Path, whole: Found) -> None:
    from nosology.coder import Coder

    assert whole.best.score == max(one.score or 0.0 for one in whole.tried)
    text = (home / "whole" / "best.toml").read_text(encoding="utf-8")
    assert text.startswith(
        f"# The best of 8 trials: micro.f1 {whole.best.score:.4f} on dev (arm {whole.best.arm!r}).\n"
    )
    assert str(home) not in text
    recipe = load_recipe(home / "whole" / "best.toml").with_data(home / "notes.csv")
    corpus = open_corpus(recipe.corpus)
    coder = Coder.fit(corpus.split("train"), recipe, seed=0)
    report = evaluate(corpus.split("dev"), coder.code_many(corpus.split("dev")), intervals=False)
    assert report.assignment.micro.f1 == pytest.approx(whole.best.score)


def test_all_trials_stand_in_the_csv(home: Path, whole: Found) -> None:
    with (home / "whole" / "trials.csv").open(encoding="utf-8") as stream:
        rows = list(csv.DictReader(stream))
    assert [(row["arm"], float(row["score"])) for row in rows] == [(one.arm, one.score) for one in whole.tried]
    assert rows[0]["model.strength"] == ""
    assert set(rows[0]) >= {"model.neighbours", "model.strength", "model.words"}


def test_a_second_call_does_only_what_is_missing(home: Path, whole: Found, tmp_path: Path) -> None:
    told = list[str]()
    assert carry_out(search_in(home, home / "whole"), told) == whole
    assert told == []
    short = carry_out(search_in(home, tmp_path / "grown", trials=2))
    assert [one for one in whole.tried if one.number <= 2] == list(short.tried)
    grown = carry_out(search_in(home, tmp_path / "grown"), told)
    assert grown == whole
    assert len(told) == 4


_KILLED = """
import os, signal, sys
from pathlib import Path
sys.path[:0] = [sys.argv[3], sys.argv[4]]
from test_tuning import search_in
from nosology.corpora import open_corpus
from nosology.experiments.runs import Material
from nosology.experiments.tuning import tune

def progress(stage, share):
    if stage.startswith("near, trial 3") and "fitting" in stage:
        os.kill(os.getpid(), signal.SIGKILL)

search = search_in(Path(sys.argv[1]), Path(sys.argv[2]))
corpus = open_corpus(search.base.corpus)
tune(search, Material(corpus.split("train"), corpus.split("dev")), progress=progress, tell=lambda line: None)
"""


@pytest.mark.skipif(os.name != "posix", reason="signals as on POSIX")
def test_a_killed_search_ends_as_one_that_never_stopped(home: Path, whole: Found, tmp_path: Path) -> None:
    here = Path(__file__).parent
    folder = tmp_path / "killed"
    command = [sys.executable, "-c", _KILLED, str(home), str(folder), str(here), str(here.parent)]
    killed = subprocess.run(command, capture_output=True, text=True, check=False, timeout=120)
    assert killed.returncode == -signal.SIGKILL, killed.stderr
    assert not (folder / "best.toml").exists()
    with (folder / "trials.journal").open("ab") as journal:
        journal.write(b'{"op_code":5,"worker')  # as a kill in the middle of a write leaves it
    told = list[str]()
    assert carry_out(search_in(home, folder), told) == whole
    assert len(told) == 4
    assert told[0].startswith("near, trial 3 of 4: ")


def test_refused_recipes_count_as_trials(home: Path, tmp_path: Path) -> None:
    base = load_recipe(home / "base.toml")
    space = {"ranker.boosting_trees": Choice((0,)), "ranker.random_trees": Choice((0,))}
    good = SearchArm("good", {"model.kind": "prior", "training.folds": 2}, {"model.candidates": Range(1, 5)})
    search = Search(base, (good, SearchArm("bad", {}, space)), 2, "map", 0, tmp_path)
    found = carry_out(search)
    bad = [one for one in found.tried if one.arm == "bad"]
    assert [one.score for one in bad] == [None, None]
    assert all("a ranker needs trees of one kind" in one.problem for one in bad)
    assert found.best.arm == "good"
    with pytest.raises(ConfigError, match="no trial could be trained; the first said: arm 'bad'"):
        carry_out(Search(base, (SearchArm("bad", {}, space),), 1, "map", 0, tmp_path))


# --- refusals -------------------------------------------------------------------------------------------------------


def call(home: Path, *options: str) -> int:
    return run(["tune", str(home / "base.toml"), "--space", str(home / "space.toml"), "--trials", "1", *options])


def test_the_command_shows_the_best_of_each_arm(
    home: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("COLUMNS", "80")
    assert call(home, "--arms", "near", "--metric", "map", "--out", str(tmp_path / "a" / "b")) == 0
    out, error = capsys.readouterr()
    assert "Best of each arm, map on dev" in out
    assert "logistic" not in out
    assert error.startswith("near, trial 1 of 1: map 0.")
    assert sorted(path.name for path in (tmp_path / "a" / "b").iterdir()) == [
        "best.toml",
        "trials.csv",
        "trials.journal",
    ]


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (["--split", "test"], "--split test: settings chosen on test would make its scores worthless; tune on dev"),
        (["--split", "dev+test"], "--split dev+test: settings chosen on test would make its scores worthless"),
        (["--split", "all"], "--split all: settings chosen on test would make its scores worthless; tune on dev"),
        (["--split", "train"], "--split train: trials learn from train, so it cannot judge them; tune on dev"),
        (["--arms", "nere"], "space.toml: no arm 'nere'; there are: near, logistic"),
        (["--metric", "micro.f2"], "no figure 'micro.f2' to tune for; did you mean 'micro.f1'?"),
    ],
)
def test_refuses(
    options: list[str], message: str, home: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert call(home, "--out", str(tmp_path / "out"), *options) == 2
    lines = capsys.readouterr().err.splitlines()
    assert len(lines) == 1
    assert message in lines[0]


@pytest.mark.parametrize("change", ["seed", "metric", "recipe", "space"])
def test_a_folder_of_another_search_is_refused(change: str, home: Path, whole: Found) -> None:
    assert whole.tried
    search = search_in(home, home / "whole")
    base, arms, metric, seed = search.base, search.arms, search.metric, search.seed
    match change:
        case "seed":
            seed = 1
        case "metric":
            metric = "map"
        case "recipe":
            base = Recipe(base.corpus, "another")
        case _:
            arms = (SearchArm("near", arms[0].fixed, {"model.neighbours": Range(1, 31, log=True)}),)
    with pytest.raises(
        ConfigError, match="holds a search of another recipe, space, seed or data; choose another --out"
    ):
        carry_out(Search(base, arms, 4, metric, seed, home / "whole"))


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("", "expected tables [arms.NAME.space], and [arms.NAME.fixed] where keys are fixed"),
        ('[arms.a.fixed]\n"x" = 1', "[arms.a]: has no [space]; name at least one key to choose"),
        ('[arms.a.spce]\n"x" = 1', "[arms.a]: holds [fixed] and [space] and nothing else"),
        ('[arms.a.space]\n"model.words" = []', "[arms.a] space model.words: an empty list leaves no choice"),
        (
            '[arms.a.space]\n"model.words" = 3',
            "[arms.a] space model.words: expected a list, or { low = .., high = .. }",
        ),
        ("[arms.a.space]\nmodel.words = [1]", 'expected low, high and log only; is "model" in quotes?'),
        ('[arms.a.space]\n"x" = {low = 2, high = 1}', "low must be below high, and above 0 on a logarithmic scale"),
        ('[arms.a.space]\n"x" = {low = 0, high = 1, log = true}', "and above 0 on a logarithmic scale"),
        ('[arms.a.space]\n"x" = {low = "1", high = 2}', "low and high must be numbers, log true or false"),
        ('[arms.a.space]\n"x" = [[1]]', "a value must be a number, a string, true or false"),
        (
            '[arms.a.fixed]\n"training.folds" = 3\n[arms.a.space]\n"training.folds" = [3]',
            "[arms.a]: training.folds is fixed and chosen; leave one out",
        ),
        (
            '[arms.a.space]\n"training.folds" = {low = 1, high = 3}',
            "arm 'a': [training] folds: 1 is not between 2 and 20",
        ),
        ('[arms.a.space]\n"training.fold" = [3]', "arm 'a': [training] fold: unknown key (did you mean 'folds'?)"),
    ],
)
def test_a_wrong_space_is_told_before_any_trial(text: str, message: str, home: Path, tmp_path: Path) -> None:
    file = tmp_path / "space.toml"
    file.write_text(text, encoding="utf-8")
    with pytest.raises(ConfigError) as caught:
        read_space(file, load_recipe(home / "base.toml"))
    assert str(caught.value).startswith(f"{file}: ")
    assert message in str(caught.value)
    assert "\n" not in str(caught.value)


def test_spaces_are_described_apart() -> None:
    first = SearchArm("a", {"x": 1}, {"y": Choice((1, 2))})
    others = [
        SearchArm("b", {"x": 1}, {"y": Choice((1, 2))}),
        SearchArm("a", {"x": True}, {"y": Choice((1, 2))}),
        SearchArm("a", {"x": 1}, {"y": Range(1, 2)}),
    ]
    assert len({describe_space([one]) for one in (first, *others)}) == 4
