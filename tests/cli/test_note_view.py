from __future__ import annotations

import io

from hypothesis import given
from hypothesis import strategies as st
from rich.console import Console

from nosology.cli.note_view import print_coded
from nosology.types import CodedEncounter, Encounter, Evidence, Note, Span, SuggestedCode


def shown(text: str, *evidence: tuple[tuple[int, int], ...], colours: bool = False, abstained: bool = False) -> str:
    """What is printed for one note, one assigned code for each item: its spans, each of them evidence of one part."""
    codes = (
        SuggestedCode(f"C{row}", "icd10cm", 0.9, True, tuple(Evidence("n", (Span(*span),)) for span in spans))
        for row, spans in enumerate(evidence, start=1)
    )
    return printed(text, *codes, colours=colours, abstained=abstained)


def printed(text: str, *codes: SuggestedCode, colours: bool = False, abstained: bool = False) -> str:
    """What is printed for one note and its codes."""
    stream = io.StringIO()
    console = Console(file=stream, width=100, force_terminal=colours, no_color=not colours, highlight=False)
    print_coded(Encounter("n", (Note("n", text),)), CodedEncounter("n", codes, abstained), console=console)
    return stream.getvalue()


def test_marks_share_an_end() -> None:
    assert "an [acute renal failure]¹,² today" in shown("an acute renal failure today", ((3, 22),), ((9, 22),))


def test_overlapping_evidence_of_one_code_is_one_mark() -> None:
    out = shown("an acute renal failure today", ((3, 14), (9, 22), (3, 22)))
    assert "an [acute renal failure]¹ today" in out
    assert out.count("renal") == 2  # in the note, and once among the reasons


def test_colours_replace_brackets() -> None:
    out = shown("an acute renal failure today", ((3, 22),), colours=True)
    assert "[acute" not in out
    assert "\x1b[30;103macute renal failure" in out


def test_control_characters_never_reach_the_terminal() -> None:
    out = shown("a\x1b[31mred\x07 \u202ereversed gout", ((17, 21),))
    assert not {"\x1b", "\x07", "\u202e"} & set(out)


def test_abstention_is_told() -> None:
    assert "no code is likely enough to be said" in shown("nothing", abstained=True)


def test_a_code_without_words_says_whether_anybody_looked() -> None:
    assert "no words of the note" in printed("nothing", SuggestedCode("C1", "icd10cm", 0.02, False))
    assert "not looked for below 2%" in printed("nothing", SuggestedCode("C1", "icd10cm", 0.004, False))
    assert "no words of the note" in printed("nothing", SuggestedCode("C1", "icd10cm", 0.004, True))


@given(st.lists(st.lists(st.tuples(st.integers(0, 40), st.integers(1, 15)), min_size=1, max_size=3), max_size=4))
def test_the_text_survives_any_marks(rows: list[list[tuple[int, int]]]) -> None:
    text = "".join(chr(ord("a") + index % 26) for index in range(55))
    out = shown(text, *(tuple((start, start + length) for start, length in spans) for spans in rows))
    note = out.split("─\n", 1)[1].split("\n\n\n")[0]
    assert text in "".join(char for char in note if char.isascii() and char.isalpha())
    assert note.count("[") == note.count("]")
