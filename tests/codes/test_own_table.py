"""Bring your own code system."""

from __future__ import annotations

from pathlib import Path

import pytest

from nosology.codes import CodeSystem
from nosology.errors import CodeError


def _write(tmp_path: Path, text: str, name: str = "own.csv") -> Path:
    path = tmp_path / name
    path.write_text(text, encoding="utf-8")
    return path


def test_an_own_table_is_a_code_system(tmp_path: Path) -> None:
    path = _write(tmp_path, 'code,description,parent\nA.1,"Asthma, mild",A\nA,Lungs,\nA.2,Bronchitis,A\n')
    system = CodeSystem.from_table(path, "mine")
    assert len(system) == 3
    assert system.require("A.1").description == "Asthma, mild"
    assert system.ancestors("A.1") == ("A",)
    assert system.siblings("A.1") == ("A.2",)
    assert system.roots() == ("A",)
    assert system.is_billable("A.1")
    assert not system.is_billable("A")
    assert system.is_valid("A")
    assert system.release == ""
    assert [hit.code for hit in system.search("asthma")] == ["A.1"]
    assert system.get("B") is None


def test_tabs_and_a_billable_column(tmp_path: Path) -> None:
    path = _write(tmp_path, "code\tdescription\tbillable\nX1\tFirst\tno\nX2\tSecond\tyes\n", "own.tsv")
    system = CodeSystem.from_table(path, "mine")
    assert list(system.entries()) == [("X1", "First", False), ("X2", "Second", True)]


@pytest.mark.parametrize(
    ("text", "line", "problem"),
    [
        ("code,description\nA1,x\nA1,y\n", 3, "'A1' stands twice, first in line 2"),
        ("code,description,parent\nA1,x,A9\n", 2, "unknown parent 'A9'"),
        ("code,description,parent\nA1,x,A2\nA2,y,A3\nA3,z,A1\n", 4, "'A1' is its own ancestor"),
        ("code,description,parent\nA1,x,A1\n", 2, "'A1' is its own ancestor"),
        ("code,description,parent\nA1,x\n", 2, "2 cells where the header has 3"),
        ("code,description\n,x\n", 2, "the code is empty"),
        ("code,title\nA1,x\n", 1, "the header lacks column description"),
        ("code,code,description\nA1,A2,x\n", 1, "a column stands twice"),
        ("code,description,billable\nA1,x,maybe\n", 2, "column billable must be yes or no"),
        ('code,description\nA1,"x"y\n', 2, "broken row"),
    ],
)
def test_broken_tables_name_file_and_line(tmp_path: Path, text: str, line: int, problem: str) -> None:
    path = _write(tmp_path, text)
    with pytest.raises(CodeError, match=problem) as caught:
        CodeSystem.from_table(path, "mine")
    assert str(caught.value).startswith(f"{path}:{line}: ")


def test_unreadable_tables(tmp_path: Path) -> None:
    with pytest.raises(CodeError, match="cannot read the table"):
        CodeSystem.from_table(tmp_path / "absent.csv", "mine")
    with pytest.raises(CodeError, match="has a header but no code"):
        CodeSystem.from_table(_write(tmp_path, "code,description\n"), "mine")
    (tmp_path / "bytes.csv").write_bytes(b"code,description\nA1,\xff\n")
    with pytest.raises(CodeError, match="not UTF-8 text at byte 20"):
        CodeSystem.from_table(tmp_path / "bytes.csv", "mine")
    with pytest.raises(CodeError, match="NUL"):
        CodeSystem.from_table(_write(tmp_path, "code,description\nA1,\x00\n"), "mine")
