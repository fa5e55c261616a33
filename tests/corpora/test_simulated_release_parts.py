"""Parts of the release simulator: wrapped and blanked texts with marks that stay in place, and worker processes."""

from __future__ import annotations

import os
import re

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from nosology.corpora.simulation.release.charts import Document, Mark
from nosology.corpora.simulation.release.texts import with_blanks, wrapped
from nosology.corpora.simulation.release.workers import in_order
from nosology.errors import NosologyError

TEXTS = st.text(alphabet="ab \n", max_size=120)


@given(TEXTS, st.integers(1, 20))
def test_wrapping_only_turns_spaces_into_line_ends(text: str, width: int) -> None:
    lines = wrapped(text, width)
    assert len(lines) == len(text)
    assert all(a == b or (a, b) == (" ", "\n") for a, b in zip(text, lines, strict=True))
    assert all(len(line) <= width or " " not in line[1:width] for line in lines.split("\n"))


@given(st.lists(st.sampled_from(["word ", "[**2151-1-2**]", "[**Name 3**] ", "x", "\n"]), max_size=12), st.data())
def test_blanks_keep_marks_on_their_words(pieces: list[str], data: st.DataObject) -> None:
    """Whole pieces stay marked, whatever brackets stand before or inside them."""
    text = "".join(pieces)
    edges = [0, *np.cumsum([len(piece) for piece in pieces]).tolist()]
    start, end = sorted((data.draw(st.sampled_from(edges)), data.draw(st.sampled_from(edges))))
    document = with_blanks(Document("summary", "", "", text, (Mark(start, end, "I10", "icd10cm"),)), "head ")
    mark = document.marks[0]
    assert document.text == "head " + re.sub(r"\[\*\*.*?\*\*\]", "___", text)
    assert document.text[mark.start : mark.end] == re.sub(r"\[\*\*.*?\*\*\]", "___", text[start:end])


def test_a_mark_inside_a_bracket_covers_the_blank() -> None:
    text = "seen [**2151-1-2**] here"
    document = with_blanks(Document("summary", "", "", text, (Mark(10, 14, "I10", "icd10cm"),)))
    assert document.text[document.marks[0].start : document.marks[0].end] == "___"


def test_results_of_workers_come_in_order_and_errors_come_through() -> None:
    assert list(in_order(lambda number: number * number, range(50), 3)) == [n * n for n in range(50)]

    def fail(number: int) -> int:
        if number == 7:
            raise ValueError("seven")
        return number

    with pytest.raises(ValueError, match="seven"):
        list(in_order(fail, range(50), 2))


def test_a_worker_that_is_killed_is_an_error() -> None:
    with pytest.raises(NosologyError, match="the system ended a writing process"):
        list(in_order(lambda number: os._exit(1) if number == 3 else number, range(20), 2))
