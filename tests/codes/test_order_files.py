"""Yearly order files: the layout, and what a further release tells about dates."""

from __future__ import annotations

from datetime import date
from pathlib import Path

import pytest

from nosology.codes import open_code_system
from nosology.codes.index import add_release
from nosology.codes.order_files import read_order_file
from nosology.errors import CodeError


def test_reading_the_layout(order_file: Path, october_2024: date) -> None:
    released = read_order_file(order_file, "icd10cm", october_2024)
    assert released.release.name == "FY2025"
    assert list(released.codes) == ["I10", "I99", "I99.7"]
    assert released.codes["I99.7"].billable
    assert not released.codes["I99"].billable
    assert released.codes["I99"].description == "Other and unspecified disorders of circulation"


@pytest.mark.parametrize(
    ("broken", "problem"),
    [
        ("I10 Essential hypertension", "not a line of an order file"),
        ("00002 I11     2 short                                                        long", "not a line"),
        (
            "00002 ??1     1 short                                                        long",
            "does not have the shape",
        ),
        ("00002 I10     1 short                                                        long", "I10 stands twice"),
    ],
)
def test_broken_lines_name_file_and_line(order_file: Path, october_2024: date, broken: str, problem: str) -> None:
    order_file.write_text(order_file.read_text() + broken + "\n")
    with pytest.raises(CodeError, match=problem) as caught:
        read_order_file(order_file, "icd10cm", october_2024)
    assert str(caught.value).startswith(f"{order_file}:4: ")


def test_missing_empty_and_impossible(tmp_path: Path, order_file: Path, october_2024: date) -> None:
    with pytest.raises(CodeError, match="cannot read the order file: No such file"):
        read_order_file(tmp_path / "absent.txt", "icd10cm", october_2024)
    (tmp_path / "empty.txt").write_text("\n")
    with pytest.raises(CodeError, match="holds no code"):
        read_order_file(tmp_path / "empty.txt", "icd10cm", october_2024)
    with pytest.raises(CodeError, match="not for 'icd9cm'"):
        read_order_file(order_file, "icd9cm", october_2024)


def test_an_added_release_narrows_validity(
    order_file: Path, october_2024: date, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("NOSOLOGY_CACHE", str(tmp_path / "cache"))
    add_release(order_file, "icd10cm", october_2024)
    system = open_code_system("icd10cm")
    assert [release.name for release in system.releases][:2] == ["FY2024", "FY2025"]

    only_then = system.require("I99.7")
    assert (only_then.valid_from, only_then.valid_to) == (date(2024, 10, 1), date(2025, 9, 30))
    assert only_then.parent == "I99"
    assert only_then.description == "Made-up disorder of the circulatory system"
    assert system.is_billable("I99.7", date(2025, 1, 1))
    assert not system.is_valid("I99.7", date(2024, 1, 1))
    assert not system.is_billable("I99.7")
    assert system.require("I10").valid_from is None
    assert system.is_valid("I99", date(2025, 1, 1))
    assert not system.is_billable("I99", date(2025, 1, 1))
    # The tiny release lacks nearly all codes, so most were not valid while it was in force.
    assert not system.is_valid("E11.9", date(2025, 1, 1))
    assert system.is_valid("E11.9", date(2024, 1, 1))
    assert system.is_valid("E11.9")
    assert len(list((tmp_path / "cache").glob("*.sqlite"))) == 1


def test_a_corrected_release_replaces_the_first(
    order_file: Path, october_2024: date, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("NOSOLOGY_CACHE", str(tmp_path / "cache"))
    pcs = order_file.with_name("icd10pcs_order_2025.txt")
    line = "00001 0DTJ4ZY 1 short title                                                  A made-up procedure"
    pcs.write_text(line + "\n")
    add_release(pcs, "icd10pcs", october_2024)
    pcs.write_text(line.replace("A made-up", "B made-up") + "\n")
    add_release(pcs, "icd10pcs", october_2024)
    system = open_code_system("icd10pcs")
    assert system.description("0DTJ4ZY") == "B made-up procedure"
    assert system.ancestors("0DTJ4ZY") == ("0DTJ", "0DT", "0D", "0")
    assert system.is_billable("0DTJ4ZY")
    assert not system.is_billable("0DTJ4ZZ")
    assert system.is_billable("0DTJ4ZZ", date(2024, 1, 1))
