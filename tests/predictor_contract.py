"""What the coder may rely on, whichever predictor the recipe names."""

from __future__ import annotations

from collections.abc import Iterable

from nosology.knowledge.stream import build_stream
from nosology.predictor import Predictor
from nosology.types import Encounter


def assert_keeps_contract(predictor: Predictor, encounters: Iterable[Encounter]) -> None:
    """Its candidates are distinct labels with scores in [0, 1], and it points at words of candidates alone."""
    labels = set(predictor.labels)
    for encounter in encounters:
        found = predictor.predict(build_stream(encounter))
        assert len(found.codes) == len(set(found.codes)) == len(found.scores)
        assert set(found.codes) <= labels
        assert ((found.scores >= 0.0) & (found.scores <= 1.0)).all()
        assert set(found.mentions) <= set(found.codes)
        assert not found.failed
    assert set(predictor.label_counts) <= labels
