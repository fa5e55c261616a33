"""Thresholds as a file of JSON that says which split they were tuned on."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any, cast

from nosology.calibration.thresholds import ThresholdKind, Thresholds
from nosology.errors import PredictionsError
from nosology.whole_files import writing_file

THRESHOLDS_VERSION = 1
_MARK = "nosology_thresholds"


def write_thresholds(path: str | Path, thresholds: Thresholds) -> None:
    """Write a file that ``read_thresholds`` reads back equal; it appears whole or not at all."""
    content = {
        _MARK: THRESHOLDS_VERSION,
        "kind": thresholds.kind.value,
        "corpus": thresholds.corpus,
        "tuned_on": list(thresholds.tuned_on),
        "shrinkage": thresholds.shrinkage,
        "whole": thresholds.whole,
        "otherwise": thresholds.otherwise,
        "of_band": dict(thresholds.of_band),
        "of_code": dict(sorted(thresholds.of_code.items())),
    }
    with writing_file(path) as place:
        place.write_text(json.dumps(content, indent=1, ensure_ascii=False, allow_nan=False) + "\n", encoding="utf-8")


def read_thresholds(path: str | Path) -> Thresholds:
    """Read what ``write_thresholds`` wrote.

    Raises:
        PredictionsError: missing, broken, of another version, or a threshold outside [0, 1].
    """
    content = _load(Path(path))
    if content[_MARK] != THRESHOLDS_VERSION:
        raise PredictionsError(
            f"thresholds of version {json.dumps(content[_MARK])[:20]}; this nosology reads version "
            f"{THRESHOLDS_VERSION}; tune them again",
            path=path,
        )
    try:
        return Thresholds(
            kind=ThresholdKind(content["kind"]),
            whole=_probability(content["whole"]),
            otherwise=_probability(content["otherwise"]),
            of_code=_probabilities(content["of_code"]),
            of_band=_probabilities(content["of_band"]),
            tuned_on=tuple(str(name) for name in content["tuned_on"]),
            corpus=str(content["corpus"]),
            shrinkage=float(content["shrinkage"]),
        )
    except (KeyError, TypeError, ValueError, AttributeError):
        raise PredictionsError(
            "broken thresholds: a key is missing, or a threshold is no number in [0, 1]; tune them again", path=path
        ) from None


def _load(path: Path) -> dict[str, Any]:
    try:
        content = json.loads(path.read_text(encoding="utf-8"))
    except FileNotFoundError:
        raise PredictionsError(
            "no such file; write one with 'nosology evaluate --save-thresholds'", path=path
        ) from None
    except OSError as error:
        raise PredictionsError(f"cannot be read ({error.strerror})", path=path) from None
    except (ValueError, RecursionError):
        content = None
    if not isinstance(content, dict) or _MARK not in content:
        raise PredictionsError(
            "not a file of thresholds; write one with 'nosology evaluate --save-thresholds'", path=path
        )
    return cast("dict[str, Any]", content)


def _probability(value: object) -> float:
    if isinstance(value, bool) or not isinstance(value, int | float) or not 0.0 <= value <= 1.0:
        raise ValueError
    return float(value)


def _probabilities(values: Mapping[str, object]) -> dict[str, float]:
    return {str(name): _probability(value) for name, value in values.items()}
