"""A coder's files: plain arrays (npz), JSON and TOML in a model folder; nothing is pickled."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np

from nosology.calibration import IsotonicCalibration
from nosology.checkpoint import ModelFolder, load_arrays, open_model_folder, save_arrays, writing_model_folder
from nosology.coder import Coder
from nosology.codes.titles import TitleTable
from nosology.config import Recipe, dataclass_from_mapping, read_toml, to_toml
from nosology.errors import ModelError
from nosology.knowledge.base import KnowledgeBase
from nosology.model_card import Facts, write_card
from nosology.ranking.candidates import CandidateGenerator
from nosology.ranking.fitting import SOURCES, share_detector
from nosology.ranking.priors import CodePriors
from nosology.ranking.ranker import Ranker
from nosology.ranking.source import CandidateSource


def save_coder(coder: Coder, path: str | Path, *, overwrite: bool = False) -> None:
    """Write a model folder; see ``Coder.save``."""
    with writing_model_folder(path, overwrite=overwrite) as folder:
        (folder / "recipe.toml").write_text(to_toml(coder.recipe), encoding="utf-8")
        card = write_card(coder.facts, coder.recipe.description, coder.knowledge.describe())
        (folder / "README.md").write_text(card, encoding="utf-8")
        coder.knowledge.save(folder)
        names = list[str]()
        for name, kind in SOURCES.items():
            for source in coder.generator.sources:
                if isinstance(source, kind):
                    _save_part(folder, name, *source.state())
                    names.append(name)
        _save_part(folder, "priors", *coder.generator.code_priors.state())
        save_arrays(folder / "ranker.npz", coder.ranker.state())
        points = {"scores": coder.calibration.scores, "probabilities": coder.calibration.probabilities}
        save_arrays(folder / "calibration.npz", points)
        _write_json(folder / "titles.json", coder.titles.rows(coder.generator.labels))
        thresholds = {"threshold": coder.threshold, "unseen_threshold": coder.unseen_threshold}
        decisions = {**thresholds, "language": coder.language, "sources": names}
        _write_json(folder / "coder.json", decisions | {"facts": coder.facts.to_mapping()})


def load_coder(path: str | Path) -> Coder:
    """Read a model folder; see ``Coder.from_pretrained``."""
    folder = open_model_folder(path)
    try:
        return _load(folder)
    except (KeyError, ValueError, TypeError, IndexError, AttributeError) as error:
        raise ModelError(
            f"its files do not fit together ({type(error).__name__}); train it again", path=path
        ) from error


def _load(folder: ModelFolder) -> Coder:
    decisions = _read_json(folder.file("coder.json"))
    titles = TitleTable(tuple(row) for row in _read_json(folder.file("titles.json")))
    arrays, strings = _load_part(folder, "priors")
    priors = CodePriors.from_state(arrays, strings, lambda code: titles.title(code).lower())
    sources = list[CandidateSource]()
    for name in decisions["sources"]:
        sources.append(SOURCES[name].from_state(*_load_part(folder, name)))
    sources = share_detector(sources)
    points = load_arrays(folder.file("calibration.npz"))
    recipe = folder.file("recipe.toml")
    return Coder(
        recipe=dataclass_from_mapping(Recipe, read_toml(recipe), str(recipe)),
        generator=CandidateGenerator(tuple(sources), priors),
        ranker=Ranker.from_state(load_arrays(folder.file("ranker.npz"))),
        calibration=IsotonicCalibration(
            points["scores"].astype(np.float64), points["probabilities"].astype(np.float64)
        ),
        threshold=float(decisions["threshold"]),
        unseen_threshold=float(decisions["unseen_threshold"]),
        titles=titles,
        knowledge=KnowledgeBase.load(folder.path),
        language=str(decisions["language"]),
        facts=Facts.from_mapping(decisions["facts"]),
    )


def _save_part(folder: Path, name: str, arrays: Mapping[str, Any], strings: Mapping[str, list[str]]) -> None:
    save_arrays(folder / f"{name}.npz", arrays)
    _write_json(folder / f"{name}.json", strings)


def _load_part(folder: ModelFolder, name: str) -> tuple[dict[str, Any], dict[str, list[str]]]:
    return load_arrays(folder.file(f"{name}.npz")), _read_json(folder.file(f"{name}.json"))


def _write_json(path: Path, content: object) -> None:
    path.write_text(json.dumps(content, ensure_ascii=False), encoding="utf-8")


def _read_json(path: Path) -> Any:
    return json.loads(path.read_bytes())
