"""``nosology codes`` from the outside: what it prints, and how it ends."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from typer.testing import CliRunner, Result

from nosology.cli.codes import app
from nosology.errors import NosologyError


def _run(*arguments: str) -> Result:
    return CliRunner().invoke(app, list(arguments), env={"COLUMNS": "160"})


def _fails(*arguments: str) -> str:
    result = _run(*arguments)
    assert isinstance(result.exception, NosologyError)
    message = str(result.exception)
    assert "\n" not in message
    return message


def test_show_guesses_the_system_and_draws_the_hierarchy() -> None:
    result = _run("show", "s72001a")
    assert result.exit_code == 0
    lines = result.stdout.splitlines()
    assert lines[0].startswith("S72.001A  Fracture of unspecified part of neck of right femur")
    assert "icd10cm FY2026" in lines[1]
    assert "billable" in lines[1]
    order = [result.stdout.index(f"{code}  ") for code in ("S00-T88", "S70-S79", "S72.0", "S72.00", "S72.001")]
    assert order == sorted(order)
    assert "icd9cm" in _run("show", "041.9").stdout
    assert "icd10pcs" in _run("show", "bn20").stdout
    assert "icd9proc" in _run("show", "38.93").stdout


def test_show_lists_terms_and_notes() -> None:
    text = _run("show", "I10").stdout
    assert "Also worded\n  high blood pressure" in text
    assert "Excludes1\n" in text


def test_show_as_json_on_a_date() -> None:
    content = json.loads(_run("show", "S30.1XXA", "--on", "2024-01-01", "--json").stdout)
    assert content["valid"] is True
    assert content["billable"] is True
    assert content["release"] == "FY2024"
    assert content["valid_to"] == "2025-09-30"
    assert content["ancestors"][0] == "S30.1"
    assert "retired" in _run("show", "S30.1XXA").stdout


def test_search_prints_and_counts() -> None:
    text = _run("search", "heart", "failure", "--limit", "3").stdout
    assert [line.split()[0] for line in text.splitlines()[2:]] == ["I50", "I50.814", "I50.810"]
    content = json.loads(_run("search", "heart failure", "-s", "icd9cm", "--limit", "2", "--json").stdout)
    assert content["system"] == "icd9cm"
    assert len(content["hits"]) == 2
    assert "holds these words" in _run("search", "zzzqqq").stdout


def test_map_shows_flags_and_choice_lists() -> None:
    text = _run("map", "T36.0X1A", "--to", "icd9cm").stdout
    assert "960.0" in text
    assert "combination (scenario 1, choice list 2)" in text
    rows = json.loads(_run("map", "36570", "--to", "icd10cm", "--json").stdout)["mappings"]
    assert [(row["target"], row["no_map"]) for row in rows] == [(None, True)]
    assert "map diagnoses only" in _fails("map", "3893", "--to", "icd10pcs")
    assert "has no entry for this code: a heading" in _fails("map", "E11", "--to", "icd9cm")
    assert "does not know 'Q99.99'" in _fails("map", "Q99.99", "--to", "icd9cm")


def test_validate_tells_every_verdict_and_ends_with_1(tmp_path: Path) -> None:
    path = tmp_path / "codes.txt"
    path.write_text("I10\nr10\n\nS30.1XXA\nQ99.99\nCanary Jones\n", encoding="utf-8")
    result = _run("validate", str(path), "--json")
    assert result.exit_code == 1
    rows = json.loads(result.stdout)
    assert [row["verdict"] for row in rows] == ["valid", "heading", "retired", "unknown", "malformed"]
    assert rows[2]["where"] == f"{path}:4"
    table = _run("validate", str(path))
    assert "Canary" not in table.stdout
    assert "1 valid, 1 heading, 1 retired, 1 unknown, 1 malformed" in table.stdout
    assert _run("validate", "I10", "E11.9").exit_code == 0
    assert _run("validate", "S30.1XXA", "--on", "2024-01-01").exit_code == 0


def test_wrong_input_is_one_line(tmp_path: Path) -> None:
    assert "icd10cm does not know 'Q99.99'; did you mean Q99.9?" in _fails("show", "Q99.99")
    assert "no table for 2012-01-01" in _fails("validate", "I10", "--on", "2012-01-01")
    assert "a date must look like" in _fails("show", "I10", "--on", "2025-13-01")
    assert "unknown code system 'icd11'" in _fails("search", "asthma", "--system", "icd11")
    assert "no such file" in _fails("validate", str(tmp_path / "absent.txt"))
    (tmp_path / "empty.txt").write_text("\n")
    assert "no code to check" in _fails("validate", str(tmp_path / "empty.txt"))
    (tmp_path / "bytes.txt").write_bytes(b"\xff\xfe")
    assert "UTF-8" in _fails("validate", str(tmp_path / "bytes.txt"))


def test_an_own_table_on_the_command_line(tmp_path: Path) -> None:
    path = tmp_path / "wards.csv"
    path.write_text("code,description,parent\nA,Lungs,\nA1,Asthma,A\n", encoding="utf-8")
    assert _run("show", "A1", "--table", str(path)).stdout.startswith("A1  Asthma")
    assert _run("validate", "A1", "--table", str(path)).exit_code == 0


def test_adding_a_release(order_file: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("NOSOLOGY_CACHE", str(tmp_path / "cache"))
    result = _run("add-release", str(order_file), "--system", "icd10cm", "--effective", "2024-10-01")
    assert "Added FY2025: 3 rows. icd10cm now has FY2024 from 2023-10-01, FY2025 from 2024-10-01" in " ".join(
        result.stdout.split()
    )
    assert _run("validate", "I99.7", "--on", "2025-01-01").exit_code == 0
    assert "a date must look like" in _fails("add-release", str(order_file), "-s", "icd10cm", "--effective", "soon")
