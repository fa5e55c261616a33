"""Several commands write one page: each leaves the others' parts alone."""

from __future__ import annotations

from pathlib import Path

import pytest

from nosology.errors import ConfigError
from nosology.experiments.result_page import parts_of, write_part


def test_a_part_is_replaced_where_it_stands_and_others_stay(tmp_path: Path) -> None:
    page = tmp_path / "results.md"
    write_part(page, "first", "# One\n\ntext\n")
    write_part(page, "second", "# Two")
    write_part(page, "first", "# New one\n")
    assert parts_of(page.read_text()) == {"first": "# New one\n", "second": "# Two\n"}
    assert page.read_text() == (
        "<!-- part first -->\n# New one\n<!-- end first -->\n\n<!-- part second -->\n# Two\n<!-- end second -->\n"
    )


def test_what_stands_outside_of_parts_goes(tmp_path: Path) -> None:
    page = tmp_path / "results.md"
    page.write_text("by hand\n<!-- part a -->\nkept\n<!-- end a -->\nby hand\n")
    write_part(page, "b", "new")
    assert parts_of(page.read_text()) == {"a": "kept\n", "b": "new\n"}
    assert "by hand" not in page.read_text()


def test_a_page_that_is_no_text_is_left_alone(tmp_path: Path) -> None:
    page = tmp_path / "results.md"
    page.write_bytes(b"\xff\xfe\x00")
    with pytest.raises(ConfigError, match=r"results\.md: cannot be read as a page of results \(UnicodeDecodeError\)"):
        write_part(page, "a", "x")
    assert page.read_bytes() == b"\xff\xfe\x00"
