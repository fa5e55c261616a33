"""The declared experiments on segments and on noise: every arm is a recipe, no two of a table are the same."""

from __future__ import annotations

from itertools import product
from pathlib import Path
from typing import Any, cast

import pytest

from nosology.config import LlmModelConfig, NeuralConfig, PriorConfig, SimulatedConfig, TfidfConfig, to_toml
from nosology.config.losses import SegmentedHarmonicConfig
from nosology.experiments.declaration import Experiment, experiment_names, find_experiment
from nosology.experiments.declared import losses_noise, losses_segments


@pytest.mark.parametrize("name", ["losses-noise", "losses-segments", "losses-trained", "losses-minilm", "losses-llm"])
def test_arms_of_a_table_are_recipes_and_differ(name: str) -> None:
    assert name in experiment_names()
    found = find_experiment(name)
    seen = set[tuple[str, str]]()
    for arm in found.arms["cpu"]:
        recipe = arm.load(Path("data"))
        seen.add((arm.corpus, to_toml(recipe)))
        if isinstance(recipe.model, PriorConfig | TfidfConfig):
            assert arm.method in {"label prior", "logistic regressions"}
            continue
        assert isinstance(recipe.model, NeuralConfig | LlmModelConfig)
        loss = recipe.model.network.loss if isinstance(recipe.model, NeuralConfig) else recipe.model.llm.loss
        assert getattr(loss, "reduction", None) == "sum"
    assert len(seen) == len(found.arms["cpu"])


def test_the_full_ablation_is_the_whole_grid() -> None:
    experiment: Experiment = losses_segments.EXPERIMENT
    arms = [arm for arm in experiment.arms["full"] if arm.corpus == losses_segments.LINEAR]
    found = set[tuple[object, ...]]()
    for arm in arms[1 :: len(arms) // 25]:  # every recipe is read in 15 ms; a sample of them
        model = arm.load(None).model
        assert isinstance(model, NeuralConfig)
        assert isinstance(model.network.loss, SegmentedHarmonicConfig)
    for arm in arms[1:]:
        loss = cast(dict[str, Any], arm.overrides["model.network.loss"])
        own = loss["segmentation"]
        groups = 1 if own["method"] == "frequency" else own["groups"]
        reading = loss.get("reading", "class"), loss.get("positives_only", False)
        found.add((*reading, loss["alpha"], own["method"], own["ratio"], groups, own.get("level")))
    assert len(found) == len(arms) - 1
    for reading, signs, ratio, groups, alpha in product(
        ("class", "instance"), (True, False), (2.0, 4.0, 8.0), (1, 2, 4), (0.5, 1.0, 2.0)
    ):
        method = "frequency" if groups == 1 else "both"
        assert (reading, signs, alpha, method, ratio, groups, None) in found


def test_noise_is_planted_and_cleaned_as_the_rows_say() -> None:
    full = losses_noise.EXPERIMENT.arms["full"]
    assert sum("told" in arm.method for arm in full) == 2
    for arm in full:
        recipe = arm.load(None)
        assert isinstance(recipe.corpus, SimulatedConfig)
        assert f"{recipe.corpus.noise:.0%}" in arm.corpus
        assert (recipe.cleaning is not None) == ("cleaned" in arm.method or "weighed" in arm.method)
        if recipe.cleaning is not None:
            measures = recipe.cleaning.measures
            assert measures.weigh == ("weighed" in arm.method)
            assert measures.drop_implausible == ("cleaned" in arm.method)
            assert recipe.cleaning.thresholds.share == (0.3 if "told" in arm.method else 0.1)
