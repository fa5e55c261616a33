"""Code systems, opened once; their index goes to a folder of the test session, never to the user's cache."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import date
from pathlib import Path

import pytest

from nosology.codes import CodeSystem, open_code_system


@pytest.fixture(scope="session")
def code_cache(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    folder = tmp_path_factory.mktemp("codes")
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("NOSOLOGY_CACHE", str(folder))
        yield folder


@pytest.fixture(autouse=True)
def _use_code_cache(code_cache: Path) -> None:
    """Every test of this folder reads and writes the session's index only."""


@pytest.fixture(scope="session")
def icd10cm(code_cache: Path) -> CodeSystem:
    return open_code_system("icd10cm")


@pytest.fixture(scope="session")
def icd10pcs(code_cache: Path) -> CodeSystem:
    return open_code_system("icd10pcs")


@pytest.fixture(scope="session")
def icd9cm(code_cache: Path) -> CodeSystem:
    return open_code_system("icd9cm")


@pytest.fixture(scope="session")
def icd9proc(code_cache: Path) -> CodeSystem:
    return open_code_system("icd9proc")


def order_line(number: int, code: str, flag: int, short: str, long: str) -> str:
    """One line in the layout of the official order files."""
    return f"{number:05d} {code:<7} {flag} {short:<60} {long}"


@pytest.fixture
def order_file(tmp_path: Path) -> Path:
    """A release of 2024-10-01 with one code that no packaged table has, and one heading."""
    lines = [
        order_line(1, "I10", 1, "Essential hypertension", "Essential (primary) hypertension"),
        order_line(2, "I99", 0, "Other disorders of circulation", "Other and unspecified disorders of circulation"),
        order_line(3, "I997", 1, "Made-up disorder", "Made-up disorder of the circulatory system"),
    ]
    path = tmp_path / "icd10cm_order_2025.txt"
    path.write_text("\n".join(lines) + "\n", encoding="utf-8")
    return path


@pytest.fixture(scope="session")
def october_2024() -> date:
    return date(2024, 10, 1)
