"""Codes out of free text."""

from __future__ import annotations

import pytest

from nosology.llm.parsing import CodeReader

LABELS = ["36.15", "361.5", "401.9", "041.4", "E11.9", "I10", "V45.81", "0HQ0XZZ"]


@pytest.mark.parametrize(
    ("text", "found"),
    [
        ("401.9; E11.9", ["401.9", "E11.9"]),
        ("401.9,e11.9 and i10", ["401.9", "E11.9", "I10"]),
        ("The codes are: 401. 9 (hypertension), V45 .81.", ["401.9", "V45.81"]),
        ("4019 E119 V4581", ["401.9", "E11.9", "V45.81"]),
        ("401.9; 401.9; I10; 4019", ["401.9", "I10"]),
        ("- ICD-9: 401.9\n- ICD-10: I10\n", ["401.9", "I10"]),
        ("3615", []),  # 36.15 or 361.5: not guessed
        ("36.15 361.5", ["36.15", "361.5"]),
        ("41.4", []),  # 041.4 lost a nought; not guessed
        ("0HQ0XZZ Repair of scalp", ["0HQ0XZZ"]),
        ("401.91 I100 xI10 E11.99 401", []),
        ("401.9 2 days of fever", ["401.9"]),
        ("No codes apply.", []),
        ("", []),
        (";;; . . .", []),
    ],
)
def test_what_a_model_may_write(text: str, found: list[str]) -> None:
    assert [LABELS[number] for number in CodeReader(LABELS).find(text)] == found
