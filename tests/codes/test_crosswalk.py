"""The general equivalence maps of diagnoses."""

from __future__ import annotations

import csv
import random
from pathlib import Path

import pytest

from nosology.codes import CodeMapping, crosswalk, format_code, map_code
from nosology.codes.sources import gem_files
from nosology.errors import CodeError


def test_exact_and_approximate_entries() -> None:
    assert map_code("0010", "icd9cm", "icd10cm") == (CodeMapping("001.0", "A00.0", False, False, False, 0, 0),)
    (mapping,) = map_code("25000", "icd9cm", "icd10cm")
    assert (mapping.target, mapping.approximate) == ("E11.9", True)


def test_a_code_without_target_says_so() -> None:
    (mapping,) = map_code("365.70", "icd9cm", "icd10cm")
    assert mapping.no_map
    assert mapping.target is None


def test_combinations_keep_scenario_and_choice_list() -> None:
    rows = map_code("T36.0X1A", "icd10cm", "icd9cm")
    assert [(row.target, row.combination, row.scenario, row.choice_list) for row in rows] == [
        ("960.0", True, 1, 1),
        ("E856", True, 1, 2),
    ]


def test_headings_have_no_entry() -> None:
    assert map_code("E11", "icd10cm", "icd9cm") == ()


@pytest.mark.parametrize(("source", "target"), [("icd10cm", "icd9cm"), ("icd9cm", "icd10cm")])
def test_every_target_of_the_file_comes_back_in_order(source: str, target: str) -> None:
    wanted: dict[str, list[str | None]] = {}
    with gem_files()[source, target].open(newline="") as lines:
        for row in csv.DictReader(lines):
            mapped = None if row[target] == "NoDx" else format_code(row[target], target)
            wanted.setdefault(row[source], []).append(mapped)
    for code in random.Random(5).sample(sorted(wanted), 400):
        assert [mapping.target for mapping in map_code(code, source, target)] == wanted[code]


def test_a_damaged_map_is_rebuilt(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("NOSOLOGY_CACHE", str(tmp_path))
    wanted = map_code("25000", "icd9cm", "icd10cm")
    (path,) = tmp_path.iterdir()
    content = path.read_bytes()
    path.write_bytes(content[:4096] + b"\xff" * (len(content) - 4096))
    crosswalk._open_maps.cache_clear()
    assert map_code("25000", "icd9cm", "icd10cm") == wanted


def test_there_is_no_map_of_procedures() -> None:
    with pytest.raises(CodeError, match="no map from icd9proc to icd10pcs: the installed tables map diagnoses only"):
        map_code("38.93", "icd9proc", "icd10pcs")
    with pytest.raises(CodeError, match="there are icd9cm to icd10cm and icd10cm to icd9cm"):
        map_code("I10", "icd10cm", "icd10cm")
    with pytest.raises(CodeError, match="does not have the shape"):
        map_code("no code", "icd10cm", "icd9cm")
