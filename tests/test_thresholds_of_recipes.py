"""Thresholds by frequency band and by code, as a recipe asks for them."""

from __future__ import annotations

from collections import defaultdict
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from nosology.coder import Coder
from nosology.codes.frequency import FrequencyBands
from nosology.config import CalibrationConfig, Recipe
from nosology.errors import ConfigError
from tiny_corpus import make_corpus, make_encounter, make_recipe


def recipe_with(**options: Any) -> Recipe:
    plain = make_recipe(abstain_below=0.0)
    return replace(plain, calibration=replace(plain.calibration, **options))


@pytest.fixture(scope="module")
def by_code() -> Coder:
    return Coder.fit(make_corpus(24), recipe_with(thresholds="labels", shrinkage=1.0))


def threshold_of(coder: Coder, code: str) -> float:
    general = coder.threshold if code in coder.label_counts else coder.unseen_threshold
    return coder.own_thresholds.get(code, general)


def test_each_code_is_assigned_from_its_own_threshold(by_code: Coder) -> None:
    assert len(set(by_code.own_thresholds.values())) > 1
    suggested = [one for number in range(100, 110) for one in by_code.code(make_encounter(number)).codes]
    assert {one.assigned for one in suggested} == {True, False}
    assert all(one.assigned is (one.probability >= threshold_of(by_code, one.code)) for one in suggested)


def test_a_saved_coder_keeps_them(by_code: Coder, tmp_path: Path) -> None:
    by_code.save(tmp_path / "model")
    again = Coder.from_pretrained(tmp_path / "model")
    assert again.own_thresholds == by_code.own_thresholds
    encounter = make_encounter(200)
    assert again.code(encounter) == by_code.code(encounter)


def test_codes_of_a_band_share_a_threshold() -> None:
    coder = Coder.fit(make_corpus(24), recipe_with(thresholds="bands"))
    assert set(coder.own_thresholds) == set(coder.label_counts)
    bands, found = FrequencyBands.named("published"), defaultdict[int, set[float]](set)
    for code, threshold in coder.own_thresholds.items():
        found[bands.band_of(coder.label_counts[code])].add(threshold)
    assert all(len(thresholds) == 1 for thresholds in found.values())


def test_shrunk_without_end_they_are_the_one_for_all(by_code: Coder) -> None:
    shrunk = Coder.fit(make_corpus(24), recipe_with(thresholds="labels", shrinkage=1e12))
    plain = Coder.fit(make_corpus(24), recipe_with())
    assert dict(plain.own_thresholds) == {}
    assert shrunk.threshold == plain.threshold == by_code.threshold
    assert list(shrunk.own_thresholds.values()) == pytest.approx([plain.threshold] * len(shrunk.own_thresholds))


def test_a_fixed_threshold_leaves_no_room_for_others() -> None:
    with pytest.raises(ConfigError, match=r"^threshold is one for all codes; leave it out, or thresholds = \"bands\"$"):
        CalibrationConfig(threshold=0.5, thresholds="bands")
