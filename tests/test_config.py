from __future__ import annotations

import tomllib
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Literal

import pytest
from hypothesis import given
from hypothesis import strategies as st

from nosology.config import (
    CodiespConfig,
    RankerConfig,
    Recipe,
    Section,
    SimulatedConfig,
    TabularConfig,
    TrainingConfig,
    above,
    at_least,
    between,
    dataclass_from_mapping,
    load_recipe,
    not_empty,
    to_toml,
)
from nosology.errors import ConfigError


@dataclass(frozen=True, slots=True)
class Wheel(Section):
    kind: Literal["wheel"] = "wheel"
    spokes: int = field(default=32, metadata=between(0, 48))
    rim: str = field(default="alloy", metadata=not_empty())


@dataclass(frozen=True, slots=True)
class Runner(Section):
    kind: Literal["runner"] = "runner"
    length_mm: float = field(default=900.0, metadata=above(0))


@dataclass(frozen=True, slots=True)
class Vehicle(Section):
    name: str
    parts: Wheel | Runner = field(default_factory=Wheel)
    gears: tuple[int, ...] = ()
    codes: tuple[str, ...] = ()
    weights: Mapping[str, float] = field(default_factory=dict[str, float])
    note: str | None = None
    electric: bool = False
    load_kg: float = field(default=1.0, metadata=at_least(0))


def problem_of(mapping: Mapping[str, object]) -> str:
    with pytest.raises(ConfigError) as caught:
        dataclass_from_mapping(Vehicle, mapping, "v.toml")
    message = str(caught.value)
    assert "\n" not in message
    return message


def test_values_are_read_with_their_types() -> None:
    vehicle = dataclass_from_mapping(
        Vehicle,
        {"name": "sled", "parts": {"kind": "runner", "length_mm": 700}, "gears": [1, 2], "weights": {"a": 1}},
        "v.toml",
    )
    assert vehicle == Vehicle("sled", Runner(length_mm=700.0), (1, 2), weights={"a": 1.0})
    assert type(vehicle.parts) is Runner
    assert type(vehicle.parts.length_mm) is float


def test_a_code_is_never_made_from_a_number() -> None:
    mapping = tomllib.loads('name = "x"\ncodes = ["041", 250.10]')
    assert problem_of(mapping) == "v.toml: codes[1]: expected a string in quotes, got 250.1; write it in quotes"


@pytest.mark.parametrize(
    ("mapping", "message"),
    [
        ({}, "name: is missing"),
        ({"name": "x", "geers": [1]}, "geers: unknown key (did you mean 'gears'?)"),
        ({"name": "x", "electric": 1}, "electric: expected true or false, got 1"),
        ({"name": "x", "electric": "yes"}, "electric: expected true or false, got 'yes'"),
        ({"name": "x", "gears": 3}, "gears: expected a list, got 3"),
        ({"name": "x", "gears": [True]}, "gears[0]: expected a whole number, got true"),
        ({"name": "x", "gears": [2.0]}, "gears[0]: expected a whole number, got 2.0"),
        ({"name": "x", "load_kg": -1}, "load_kg: -1.0 is below 0"),
        ({"name": "x", "parts": "wheel"}, "parts: expected a table [parts], got 'wheel'"),
        ({"name": "x", "parts": {}}, "[parts] kind: is missing; one of 'wheel', 'runner'"),
        (
            {"name": "x", "parts": {"kind": "weel"}},
            "[parts] kind: expected one of 'wheel', 'runner', got 'weel' (did you mean 'wheel'?)",
        ),
        ({"name": "x", "parts": {"kind": "wheel", "spokes": 99}}, "[parts] spokes: 99 is not between 0 and 48"),
        ({"name": "x", "parts": {"kind": "wheel", "rim": ""}}, "[parts] rim: is empty"),
        ({"name": "x", "parts": {"kind": "runner", "length_mm": 0}}, "[parts] length_mm: 0.0 is not above 0"),
        ({"name": "x", "weights": {"a": "heavy"}}, "[weights] a: expected a number, got 'heavy'"),
    ],
)
def test_message(mapping: Mapping[str, object], message: str) -> None:
    assert problem_of(mapping) == f"v.toml: {message}"


def test_all_problems_are_told_at_once() -> None:
    message = problem_of({"nam": "x", "gears": ["a", 2, False], "parts": {"kind": "wheel", "spokes": -1, "hub": 1}})
    assert message.startswith("v.toml: 6 problems: ")
    for part in ("nam: unknown key", "name: is missing", "gears[0]", "gears[2]", "[parts] hub", "[parts] spokes: -1"):
        assert part in message


def test_a_rule_holds_in_python_too() -> None:
    with pytest.raises(ConfigError, match="TrainingConfig: folds: 1 is not between 2 and 20"):
        TrainingConfig(folds=1)


def test_load_recipe(tmp_path: Path) -> None:
    file = tmp_path / "r.toml"
    file.write_text('[corpus]\nreader = "codiesp"\ntask = "procedures"\n[training]\nfolds = 4\n', encoding="utf-8")
    recipe = load_recipe(file)
    assert recipe == Recipe(CodiespConfig(task="procedures"), training=TrainingConfig(folds=4))


def test_the_corpus_path_is_seen_from_the_recipe(tmp_path: Path) -> None:
    file = tmp_path / "r.toml"
    file.write_text('[corpus]\nreader = "tabular"\npath = "data/notes.csv"\n', encoding="utf-8")
    corpus = load_recipe(file).corpus
    assert isinstance(corpus, TabularConfig)
    assert corpus.path == str(tmp_path / "data" / "notes.csv")


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"[corpus\n", "not TOML: "),
        (b"", "corpus: is missing"),
        (b"a = '\xff'", "not UTF-8 text; save it as UTF-8"),
        (b"a = '\x00'", "not TOML: "),
        (b"corpus = 3", "corpus: expected a table [corpus], got 3"),
    ],
)
def test_broken_recipe_file(tmp_path: Path, content: bytes, message: str) -> None:
    file = tmp_path / "r.toml"
    file.write_bytes(content)
    with pytest.raises(ConfigError) as caught:
        load_recipe(file)
    assert str(caught.value).startswith(f"{file}: {message}")


def test_missing_recipe_file(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="no such file"):
        load_recipe(tmp_path / "none.toml")
    with pytest.raises(ConfigError, match="is a folder"):
        load_recipe(tmp_path)


strings = st.text(st.characters(exclude_categories=["Cs"]), max_size=20)


@given(
    st.builds(
        Vehicle,
        name=strings,
        parts=st.one_of(
            st.builds(Wheel, kind=st.just("wheel"), spokes=st.integers(0, 48), rim=strings.filter(bool)),
            st.builds(Runner, kind=st.just("runner"), length_mm=st.floats(1e-300, 1e300)),
        ),
        gears=st.lists(st.integers(-(2**63), 2**63 - 1), max_size=3).map(tuple),
        codes=st.lists(strings, max_size=3).map(tuple),
        weights=st.dictionaries(strings, st.floats(allow_nan=False), max_size=3),
        note=st.none() | strings,
        electric=st.booleans(),
        load_kg=st.floats(0, allow_infinity=False),
    )
)
def test_toml_round_trip(vehicle: Vehicle) -> None:
    assert dataclass_from_mapping(Vehicle, tomllib.loads(to_toml(vehicle)), "v.toml") == vehicle


def test_recipe_round_trip() -> None:
    recipe = Recipe(SimulatedConfig(encounters=50), 'a "quoted" line')
    assert dataclass_from_mapping(Recipe, tomllib.loads(to_toml(recipe)), "r") == recipe


@pytest.mark.parametrize("path", sorted((Path(__file__).parents[1] / "recipes").glob("*.toml")), ids=lambda p: p.name)
def test_every_shipped_recipe_reads_and_round_trips(path: Path) -> None:
    recipe = load_recipe(path)
    assert recipe.description
    assert dataclass_from_mapping(Recipe, tomllib.loads(to_toml(recipe)), str(path)) == recipe


def test_a_ranker_without_trees_is_refused() -> None:
    with pytest.raises(ConfigError, match="a ranker needs trees of one kind"):
        RankerConfig(boosting_trees=0, random_trees=0)
