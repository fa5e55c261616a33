"""What is known of a code before any note is read: by hand."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pytest

from nosology.ranking.priors import FEATURES, CodePriors
from nosology.types import Encounter, GoldCode, Note
from tiny_corpus import training_set

TITLES = {
    "S52.501A": "unspecified fracture of the lower end of right radius",
    "S52.502A": "fracture of left radius",
    "H40.13": "pigmentary glaucoma, bilateral",
    "I10": "essential (primary) hypertension",
    "K92.89": "other specified diseases of the digestive system",
}


def _title(code: str) -> str:
    return TITLES.get(code, "")


@pytest.fixture(scope="module")
def priors() -> CodePriors:
    code_sets = (("I10", "S52.501A"), ("I10",), ("S52.502A", "S52.501A"))
    encounters = [
        Encounter(f"e{n}", (Note(f"n{n}", "text"),), tuple(GoldCode(code, "x") for code in codes))
        for n, codes in enumerate(code_sets)
    ]
    return CodePriors.fit(training_set(encounters), _title)


def _features(priors: CodePriors, code: str, words: int = 7) -> dict[str, float]:
    return dict(zip(FEATURES, priors.features([code], words)[0].tolist(), strict=True))


def test_a_seen_code(priors: CodePriors) -> None:
    assert _features(priors, "S52.501A") == pytest.approx(
        {
            "log_count": np.log(3),
            "log_category_count": np.log(4),
            "category_share": 2 / 4,
            "category_codes": 2,
            "length": 8,
            "first_character": ord("S"),
            "second_character": ord("5"),
            "unspecified": 1,
            "other": 0,
            "laterality": 1,
            "titled": 1,
            "encounter_words": 7,
        }
    )


def test_an_unseen_code_of_a_seen_category(priors: CodePriors) -> None:
    found = _features(priors, "S52.9")
    assert found["log_count"] == found["category_share"] == found["titled"] == 0.0
    assert found["log_category_count"] == pytest.approx(np.log(4))


@pytest.mark.parametrize(
    ("code", "name", "value"),
    [
        ("S52.502A", "laterality", 2),
        ("H40.13", "laterality", 3),
        ("I10", "laterality", 0),
        ("K92.89", "other", 1),
        ("I10", "unspecified", 0),
        ("7", "second_character", 0),
    ],
)
def test_titles_and_characters(priors: CodePriors, code: str, name: str, value: float) -> None:
    assert _features(priors, code)[name] == value


def test_features_are_float32_rows_of_their_codes_alone(priors: CodePriors) -> None:
    codes = ["I10", "S52.9", "S52.501A"]
    together = priors.features(codes, 3)
    assert together.dtype == np.float32
    assert together.shape == (3, len(FEATURES))
    assert (together == np.concatenate([priors.features([code], 3) for code in codes])).all()
    assert priors.features([], 3).shape == (0, len(FEATURES))


def test_titles_are_asked_for_once() -> None:
    asked = list[str]()

    def title(code: str) -> str:
        asked.append(code)
        return "right"

    priors = CodePriors({"I10": 1}, title)
    for _ in range(3):
        priors.features(["I10"], 1)
    assert asked == ["I10"]


def test_state_round_trip(priors: CodePriors) -> None:
    title: Callable[[str], str] = _title
    again = CodePriors.from_state(*priors.state(), title)
    assert dict(again.counts) == dict(priors.counts)
    assert (again.features(list(TITLES), 5) == priors.features(list(TITLES), 5)).all()
