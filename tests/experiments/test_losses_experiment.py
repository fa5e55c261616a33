"""Settings chosen within the training split, and the declared experiment on losses."""

from __future__ import annotations

from dataclasses import fields
from pathlib import Path
from typing import get_args

import pytest

from nosology.config import NeuralConfig, load_recipe
from nosology.config.losses import LossConfig
from nosology.corpora import open_corpus
from nosology.errors import ConfigError
from nosology.evaluation import BootstrapPlan
from nosology.experiments import choosing
from nosology.experiments.declaration import Arm, Experiment
from nosology.experiments.declared.losses import CODIESP, EXPERIMENT, LOSSES, RATES
from nosology.experiments.overrides import override
from nosology.experiments.report_files import page_of
from nosology.experiments.runner import Request, Results, run_experiment
from nosology.shipped_recipes import find_recipe
from tiny_corpus import TABLE, make_corpus, write_table

SMALL: dict[str, object] = {**TABLE, "training.folds": 2}
CHOICES = ({"model.candidates": 1}, {"model.candidates": 3})
ARMS = (
    Arm("Tiny notes", "prior", "prior_simulated", SMALL),
    Arm("Tiny notes", "chosen", "neighbours_simulated", SMALL, CHOICES),
)


def carry_out(folder: Path, arms: tuple[Arm, ...] = ARMS) -> tuple[Results, list[str]]:
    write_table(folder, train=28, dev=8)
    request = Request("tiny", "cpu", (0,), folder, folder, BootstrapPlan(replicates=50))
    told = list[str]()
    experiment = Experiment("Tiny", "What for?", "prior", {"cpu": arms, "full": ()})
    return run_experiment(experiment, request, progress=lambda stage, share: None, tell=told.append), told


def test_the_better_choice_is_trained_on_everything(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    real = choosing.evaluate_judged
    figures = iter((0.2, 0.7))

    class Report:
        def figures(self) -> dict[str, float]:
            return {"micro.f1": next(figures)}

    monkeypatch.setattr(choosing, "evaluate_judged", lambda *args, **kwargs: real(*args, **kwargs) and Report())
    results, told = carry_out(tmp_path)
    name = ARMS[1].name
    assert dict(results.chosen) == {name: CHOICES[1]}
    assert {len(coded.codes) for coded in results.runs[name][0].predictions().encounters} <= {0, 1, 2, 3}
    assert [line.split(",")[0] for line in told] == [f"{name}-choice0", f"{name}-choice1", ARMS[0].name, name]
    assert "* Tiny notes: chosen: `model.candidates` 3" in page_of(results)


def test_a_large_split_is_sampled_by_patients(monkeypatch: pytest.MonkeyPatch) -> None:
    train = make_corpus(200).split("train")
    whole = choosing._within(train)
    assert len(whole.train) + len(whole.scored) == 200
    monkeypatch.setattr(choosing, "_MOST", 60)
    sample = choosing._within(train)
    assert 30 <= len(sample.train) + len(sample.scored) <= 90
    for part, of in ((sample.train, whole.train), (sample.scored, whole.scored)):
        kept = {one.group_id for one in part}
        assert [one for one in of if one.group_id in kept] == list(part)


def test_trials_never_see_what_is_scored(tmp_path: Path) -> None:
    write_table(tmp_path, train=28, dev=8)
    train = open_corpus(ARMS[0].load(tmp_path).corpus).split("train")
    inner = choosing._within(train)
    learnt, judged = ({one.encounter_id for one in part} for part in (inner.train, inner.scored))
    assert learnt
    assert judged
    assert not learnt & judged
    assert learnt | judged == {one.encounter_id for one in train}


def test_trials_are_taken_up_again(tmp_path: Path) -> None:
    first, _ = carry_out(tmp_path)
    again, told = carry_out(tmp_path)
    assert dict(again.chosen) == dict(first.chosen)
    assert all("taken from an earlier call" in line for line in told)
    assert len(told) == 4


def test_a_wrong_choice_is_refused_before_anything_is_trained(tmp_path: Path) -> None:
    wrong = (ARMS[0], Arm("Tiny notes", "chosen", "neighbours_simulated", SMALL, ({"model.candidate": 1},)))
    with pytest.raises(ConfigError, match="candidate"):
        carry_out(tmp_path, wrong)
    assert not list((tmp_path / "runs").iterdir())


def test_every_kind_of_loss_has_an_arm_and_the_same_budget() -> None:
    kinds = {next(f.default for f in fields(kind) if f.name == "kind") for kind in get_args(LossConfig)}
    assert {loss["kind"] for loss in LOSSES.values()} == kinds
    for arms in EXPERIMENT.arms.values():
        assert {len(arm.choices) for arm in arms} == {len(RATES)}
        assert len(arms) == 2 * len(LOSSES)


@pytest.mark.parametrize("arm", EXPERIMENT.arms["cpu"][::1], ids=lambda arm: arm.name)
def test_every_arm_is_a_recipe_that_differs_in_its_loss(arm: Arm) -> None:
    recipe = override(load_recipe(find_recipe(arm.recipe)), arm.overrides, arm.method)
    assert isinstance(recipe.model, NeuralConfig)
    assert recipe.model.network.loss.kind == LOSSES[arm.method]["kind"]
    for choice in arm.choices:
        changed = override(recipe, choice, arm.method)
        assert isinstance(changed.model, NeuralConfig)
        assert changed.model.network.trainer.learning_rate in RATES
    assert (recipe.corpus.reader == "codiesp") == (arm.corpus == CODIESP)
