"""A coder's files: plain arrays (npz), JSON and TOML in a model folder; nothing is pickled."""

from __future__ import annotations

import gc
from pathlib import Path
from typing import assert_never

import numpy as np

from nosology.baselines.neighbours import NearestNeighbours
from nosology.baselines.prior import LabelPrior
from nosology.baselines.tfidf import LogisticRegressions
from nosology.calibration import IsotonicCalibration
from nosology.checkpoint import ModelFolder, load_arrays, open_model_folder, save_arrays, writing_model_folder
from nosology.coder import Coder
from nosology.codes.titles import TitleTable
from nosology.config import (
    EndpointModelConfig,
    LlmModelConfig,
    NeighboursConfig,
    NeuralConfig,
    PriorConfig,
    RankerModelConfig,
    Recipe,
    TfidfConfig,
    dataclass_from_mapping,
    read_toml,
    to_toml,
)
from nosology.endpoint.predictor import EndpointPredictor
from nosology.errors import ModelError
from nosology.knowledge.base import KnowledgeBase
from nosology.llm import require_llm
from nosology.model_card import Facts, write_card
from nosology.neural import require_neural
from nosology.predictor import Predictor, read_json, write_json
from nosology.ranked import RankedCandidates


def save_coder(coder: Coder, path: str | Path, *, overwrite: bool = False) -> None:
    """Write a model folder; see ``Coder.save``."""
    with writing_model_folder(path, overwrite=overwrite) as folder:
        (folder / "recipe.toml").write_text(to_toml(coder.recipe), encoding="utf-8")
        card = write_card(coder.facts, coder.recipe, coder.knowledge.describe())
        (folder / "README.md").write_text(card, encoding="utf-8")
        coder.knowledge.save(folder)
        coder.predictor.save(folder)
        points = {"scores": coder.calibration.scores, "probabilities": coder.calibration.probabilities}
        save_arrays(folder / "calibration.npz", points)
        write_json(folder / "titles.json", coder.titles.rows(coder.predictor.labels))
        thresholds = {"threshold": coder.threshold, "unseen_threshold": coder.unseen_threshold}
        own = {"own_thresholds": dict(coder.own_thresholds)} if coder.own_thresholds else {}
        decisions = {**thresholds, **own, "language": coder.language}
        write_json(folder / "coder.json", decisions | {"facts": coder.facts.to_mapping()})


def load_coder(path: str | Path) -> Coder:
    """Read a model folder; see ``Coder.from_pretrained``."""
    folder = open_model_folder(path)
    try:
        coder = _load(folder)
    except (KeyError, ValueError, TypeError, IndexError, AttributeError) as error:
        raise ModelError(
            f"its files do not fit together ({type(error).__name__}); train it again", path=path
        ) from error
    # The model's millions of objects stay as long as it does: the collector need not walk over them again and again,
    # which took a tenth of the time of coding.
    gc.freeze()
    return coder


def _load(folder: ModelFolder) -> Coder:
    decisions = read_json(folder.file("coder.json"))
    titles = TitleTable(tuple(row) for row in read_json(folder.file("titles.json")))
    points = load_arrays(folder.file("calibration.npz"))
    file = folder.file("recipe.toml")
    recipe = dataclass_from_mapping(Recipe, read_toml(file), str(file))
    return Coder(
        recipe=recipe,
        predictor=_load_predictor(recipe, folder, titles),
        calibration=IsotonicCalibration(
            points["scores"].astype(np.float64), points["probabilities"].astype(np.float64)
        ),
        threshold=float(decisions["threshold"]),
        unseen_threshold=float(decisions["unseen_threshold"]),
        own_thresholds={str(code): float(value) for code, value in decisions.get("own_thresholds", {}).items()},
        titles=titles,
        knowledge=KnowledgeBase.load(folder.path),
        language=str(decisions["language"]),
        facts=Facts.from_mapping(decisions["facts"]),
    )


def _load_predictor(recipe: Recipe, folder: ModelFolder, titles: TitleTable) -> Predictor:
    match recipe.model:
        case RankerModelConfig():
            return RankedCandidates.load(folder, titles)
        case PriorConfig():
            return LabelPrior.load(folder, titles)
        case TfidfConfig():
            return LogisticRegressions.load(folder, titles)
        case NeighboursConfig():
            return NearestNeighbours.load(folder, titles)
        case NeuralConfig():
            require_neural()
            from nosology.neural.predictor import NeuralPredictor

            return NeuralPredictor.load(folder)
        case LlmModelConfig():
            require_llm()
            from nosology.llm.predictor import LlmPredictor

            return LlmPredictor.load(folder, titles)
        case EndpointModelConfig():
            return EndpointPredictor.load(folder, recipe.model, titles)
        case _:
            assert_never(recipe.model)
