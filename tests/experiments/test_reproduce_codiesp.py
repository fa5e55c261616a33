"""``nosology reproduce codiesp`` on a made-up release: the page, going on, and refusals."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from nosology.cli.main import run
from nosology.coder import Coder
from nosology.corpora import read_codiesp
from nosology.evaluation import read_predictions
from nosology.evaluation.codiesp import score_codiesp
from nosology.experiments import runs


@pytest.fixture(autouse=True)
def _no_data_elsewhere(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("NOSOLOGY_DATA", raising=False)


def arguments(release: Path, recipes: dict[str, Path], names: str, seeds: str = "0", out: str = "page.md") -> list[str]:
    home = release.parent
    chosen = ",".join(str(recipes[name]) for name in names.split(","))
    places = ["--data", str(release), "--work", str(home / "work"), "--out", str(home / out)]
    return ["reproduce", "codiesp", *places, "--recipes", chosen, "--seeds", seeds, "--replicates", "50"]


def figures(home: Path) -> dict[str, Any]:
    return json.loads((home / "page.json").read_text(encoding="utf-8"))


def trainings(monkeypatch: pytest.MonkeyPatch) -> list[int]:
    """The seeds trained from now on."""
    seeds = list[int]()
    fit = Coder.fit

    def counted(*args: Any, seed: int = 0, **kwargs: Any) -> Coder:
        seeds.append(seed)
        return fit(*args, seed=seed, **kwargs)

    monkeypatch.setattr(Coder, "fit", staticmethod(counted))
    return seeds


def test_writes_the_page_and_every_figure(
    release: Path, recipes: dict[str, Path], capsys: pytest.CaptureFixture[str]
) -> None:
    assert run(arguments(release, recipes, "d_es,d_en,p_es,x", "0,1")) == 0, capsys.readouterr().err
    page = (release.parent / "page.md").read_text(encoding="utf-8")
    results = figures(release.parent)
    assert [(track["track"], track["language"]) for track in results["tracks"]] == [
        ("D", "es"),
        ("D", "en"),
        ("P", "es"),
    ]
    assert (results["train_encounters"], results["scored_encounters"], results["shared_articles"]) == (9, 3, 1)
    spanish = results["tracks"][0]
    assert (spanish["encounters"], spanish["new_articles"], spanish["gold"]) == (3, 2, 5)
    assert [run_["seed"] for run_ in spanish["runs"]] == [0, 1]
    rungs = {rung: row["gold"] for rung, row in spanish["ladder"].items() if row["gold"]}
    assert rungs == {"exact": 4, "elsewhere": 1}
    assert spanish["bands"]["0"]["gold"] == 1
    assert spanish["unseen"]["micro_recall"]["mean"] == 0.0  # without code tables nothing unseen can be assigned
    assert results["tracks"][1]["ladder"] is None
    assert [way["way"] for way in results["explained"]] == ["one model of both", "the D and the P model, pooled"]
    one, two = (way["figures"]["micro_f1"]["mean"] for way in results["explained"])
    assert results["pooled_minus_one"]["mean"] == pytest.approx(two - one)
    for heading in ("Read this first", "Beside published figures", "The ladder", "Calibration", "Cost"):
        assert f"## {heading}" in page
    assert f"**{spanish['figures']['map']['mean']:.3f}**" in page
    assert str(release) not in page


def test_figures_are_the_official_scores_of_the_kept_predictions(release: Path, recipes: dict[str, Path]) -> None:
    assert run(arguments(release, recipes, "d_es,p_es")) == 0
    work, results = release.parent / "work" / "codiesp", figures(release.parent)
    for track, name in zip(results["tracks"], ("d_es", "p_es"), strict=True):
        corpus = read_codiesp(release, task="diagnoses" if name == "d_es" else "procedures").split("dev")
        predictions = read_predictions(work / f"{name}-seed0" / "predictions.jsonl.gz")
        official = score_codiesp(corpus.encounters, predictions, corpus.systems)
        scores = official.diagnoses or official.procedures
        assert scores is not None
        assert track["figures"]["map"]["mean"] == pytest.approx(scores.mean_average_precision)
        assert track["figures"]["micro_f1"]["mean"] == pytest.approx(scores.micro.f1)
        assert track["map_assigned"]["mean"] == pytest.approx(scores.mean_average_precision_assigned)
        assert track["map_as_scripted"] == pytest.approx(scores.mean_average_precision_as_scripted)


def test_tables_are_whole(release: Path, recipes: dict[str, Path]) -> None:
    assert run(arguments(release, recipes, "d_es,p_es")) == 0
    blocks = (release.parent / "page.md").read_text(encoding="utf-8").split("\n\n")
    tables = [block.splitlines() for block in blocks if "\n| ---" in block]
    assert len(tables) >= 6
    for table in tables:
        lines = [line for line in table if line.startswith("|")]
        assert len(lines) > 2
        assert len({line.count("|") for line in lines}) == 1


def test_a_second_call_trains_only_what_is_missing(
    release: Path, recipes: dict[str, Path], monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    seeds = trainings(monkeypatch)
    assert run(arguments(release, recipes, "d_es", "0")) == 0
    first = figures(release.parent)["tracks"][0]["figures"]
    assert run(arguments(release, recipes, "d_es", "0")) == 0
    assert seeds == [0]
    assert figures(release.parent)["tracks"][0]["figures"] == first
    assert "seed 0: taken from an earlier call" in capsys.readouterr().err
    assert run(arguments(release, recipes, "d_es", "0,1")) == 0
    assert seeds == [0, 1]


def test_goes_on_after_an_interruption(
    release: Path, recipes: dict[str, Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    fit = Coder.fit

    def interrupted(*args: Any, seed: int = 0, **kwargs: Any) -> Coder:
        if seed == 1:
            raise KeyboardInterrupt
        return fit(*args, seed=seed, **kwargs)

    with monkeypatch.context() as patch:
        patch.setattr(Coder, "fit", staticmethod(interrupted))
        assert run(arguments(release, recipes, "d_es", "0,1")) == 130
    assert not (release.parent / "page.md").exists()
    seeds = trainings(monkeypatch)
    assert run(arguments(release, recipes, "d_es", "0,1")) == 0
    assert seeds == [1]


@pytest.mark.parametrize("damage", ["facts", "predictions", "recipe", "data", "code"])
def test_a_run_that_no_longer_holds_is_done_again(
    damage: str, release: Path, recipes: dict[str, Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    assert run(arguments(release, recipes, "d_es")) == 0
    folder = release.parent / "work" / "codiesp" / "d_es-seed0"
    match damage:
        case "facts":
            (folder / "run.json").write_text("[]")
        case "predictions":
            (folder / "predictions.jsonl.gz").write_bytes(b"")
        case "recipe":
            recipes["d_es"].write_text(recipes["d_es"].read_text().replace("boosting_trees = 5", "boosting_trees = 6"))
        case "data":
            note = release / "train" / "text_files" / "S0-1.txt"
            note.write_text(note.read_text(encoding="utf-8") + " Alta.", encoding="utf-8")
        case _:
            monkeypatch.setattr(runs, "code_digest", lambda: "another version of the package")
    seeds = trainings(monkeypatch)
    assert run(arguments(release, recipes, "d_es")) == 0
    assert seeds == [0]


def test_moving_the_data_is_no_reason_to_train_again(
    release: Path, recipes: dict[str, Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    assert run(arguments(release, recipes, "d_es")) == 0
    seeds = trainings(monkeypatch)
    assert run(arguments(release.rename(release.parent / "elsewhere"), recipes, "d_es")) == 0
    assert seeds == []


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"seeds": "0,one"}, "--seeds '0,one': expected whole numbers joined by commas, as in 0,1,2"),
        ({"seeds": ""}, "--seeds '': expected whole numbers joined by commas, as in 0,1,2"),
        ({"seeds": "1,1"}, "seeds must be distinct whole numbers, 0 or more, at least one; got [1, 1]"),
        ({"seeds": "-1"}, "seeds must be distinct whole numbers, 0 or more, at least one; got [-1]"),
        ({"out": "page.txt"}, "page.txt: --out names a Markdown file; let it end in .md"),
        ({"out": "no/page.md"}, "page.md: its folder does not exist; make it first"),
    ],
)
def test_refuses(
    changes: dict[str, str],
    message: str,
    release: Path,
    recipes: dict[str, Path],
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    seeds = trainings(monkeypatch)
    assert run(arguments(release, recipes, "d_es", **changes)) == 2
    lines = capsys.readouterr().err.splitlines()
    assert len(lines) == 1
    assert lines[0].endswith(message)
    assert seeds == []


def test_refuses_recipes_that_do_not_fit(
    release: Path, recipes: dict[str, Path], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    twin, other, mute = tmp_path / "twin.toml", tmp_path / "other.toml", tmp_path / "mute.toml"
    twin.write_text(recipes["d_es"].read_text())
    other.write_text('[corpus]\nreader = "tabular"\n')
    mute.write_text(recipes["x"].read_text().replace('"es"', '"en"'))
    known = {**recipes, "twin": twin, "other": other, "mute": mute}
    for names, message in (
        ("d_es,twin", "no two for one track in one language"),
        ("other", "must read codiesp, not tabular"),
        ("mute", "cannot be scored on the English text"),
    ):
        assert run(arguments(release, known, names)) == 2
        assert message in capsys.readouterr().err
