"""Label spaces and frequency bands."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from nosology.codes import FrequencyBands, Label, LabelSpace
from nosology.errors import CodeError, ConfigError, ModelError
from nosology.types import Corpus, Encounter, GoldCode, Note


def _corpus(*code_lists: list[tuple[str, str]] | None) -> Corpus:
    encounters = tuple(
        Encounter(
            str(number),
            (Note(str(number), "text"),),
            None if codes is None else tuple(GoldCode(code, system) for code, system in codes),
        )
        for number, codes in enumerate(code_lists)
    )
    return Corpus("tiny", ("icd10cm",), encounters)


def test_labels_come_by_falling_count_then_code() -> None:
    cm = "icd10cm"
    space = LabelSpace.from_corpus(_corpus([("I10", cm), ("E11.9", cm)], [("I10", cm)], [("A00.0", cm)], None, []))
    assert space.codes == ("I10", "A00.0", "E11.9")
    assert space.counts.tolist() == [2, 1, 1]
    assert space.index("A00.0") == 1
    assert space.code(2) == "E11.9"
    assert "I10" in space
    assert "I11" not in space
    assert len(space) == 3


def test_one_code_in_two_systems_is_an_error() -> None:
    message = r"'V58.61' is in two code systems \(icd10cm, icd9cm\)"
    with pytest.raises(CodeError, match=message):
        LabelSpace.from_corpus(_corpus([("V58.61", "icd9cm")], [("V58.61", "icd10cm")]))
    with pytest.raises(CodeError, match=r"'I10' \(icd10cm\) stands twice"):
        LabelSpace.from_codes(["I10", "I10"], "icd10cm")


def test_unknown_codes_and_columns() -> None:
    space = LabelSpace.from_codes(["I10"], "icd10cm")
    with pytest.raises(CodeError, match="the label space of 1 codes has no 'I11'"):
        space.index("I11")
    for index in (-1, 1):
        with pytest.raises(CodeError, match=f"label index {index} is outside 0..0"):
            space.code(index)


def test_saving_and_loading_is_exact(tmp_path: Path) -> None:
    space = LabelSpace((Label("I10", "icd10cm", 7), Label("0DTJ", "icd10pcs", 0)))
    space.save(tmp_path / "labels.json")
    assert LabelSpace.load(tmp_path / "labels.json") == space
    assert [path.name for path in tmp_path.iterdir()] == ["labels.json"]


def test_a_fingerprint_follows_codes_and_order_not_counts() -> None:
    first = LabelSpace((Label("I10", "icd10cm", 7), Label("I11", "icd10cm", 1)))
    recounted = LabelSpace((Label("I10", "icd10cm", 1), Label("I11", "icd10cm", 1)))
    reordered = LabelSpace((Label("I11", "icd10cm", 1), Label("I10", "icd10cm", 7)))
    assert first.fingerprint() == recounted.fingerprint() != reordered.fingerprint()


def test_broken_files_are_refused(tmp_path: Path) -> None:
    path = tmp_path / "labels.json"
    with pytest.raises(ModelError, match="cannot read the label space: No such file"):
        LabelSpace.load(path)
    for text in ("", "{", "[]", "{}", '{"format": 1, "fingerprint": "", "labels": [["I10"]]}'):
        path.write_text(text)
        with pytest.raises(ModelError, match="not a label space"):
            LabelSpace.load(path)
    LabelSpace.from_codes(["I10", "I11"], "icd10cm").save(path)
    content = json.loads(path.read_text())
    path.write_text(json.dumps({**content, "format": 99}))
    with pytest.raises(ModelError, match="label space of format 99, expected 1"):
        LabelSpace.load(path)
    path.write_text(json.dumps({**content, "labels": content["labels"][::-1]}))
    with pytest.raises(ModelError, match="does not match its fingerprint"):
        LabelSpace.load(path)


def test_named_bands() -> None:
    assert FrequencyBands.named("codiesp").names == ("0", "1", "2-4", "5-9", "10+")
    published = FrequencyBands.named("published")
    assert published.names == ("0", "1-10", "11-50", "51-100", "101-500", "501+")
    assert published.bands_of([0, 1, 10, 11, 50, 51, 100, 101, 500, 501, 10**6]).tolist() == [
        0, 1, 1, 2, 2, 3, 3, 4, 4, 5, 5,
    ]  # fmt: skip


@settings(max_examples=100, deadline=None)
@given(st.sets(st.integers(1, 1000), max_size=6), st.lists(st.integers(0, 2000), max_size=20))
def test_a_band_holds_its_counts(inner: set[int], counts: list[int]) -> None:
    bands = FrequencyBands((0, *sorted(inner)))
    positions = bands.bands_of(np.array(counts, dtype=np.int64))
    for count, position in zip(counts, positions.tolist(), strict=True):
        assert bands.edges[position] <= count
        assert position + 1 == len(bands) or count < bands.edges[position + 1]
        assert bands.band_of(count) == position
    assert len(bands.names) == len(bands)


@pytest.mark.parametrize("edges", [(), (1, 2), (0, 2, 2), (0, 5, 3)])
def test_impossible_edges_are_refused(edges: tuple[int, ...]) -> None:
    with pytest.raises(ConfigError, match="frequency bands"):
        FrequencyBands(edges)


def test_bad_counts_and_names_are_refused() -> None:
    with pytest.raises(ConfigError, match="cannot be negative, got -3"):
        FrequencyBands.named("codiesp").bands_of([1, -3])
    with pytest.raises(ConfigError, match="unknown frequency bands 'mimic'; known: codiesp, published"):
        FrequencyBands.named("mimic")
