"""Parsing and formatting codes by shape."""

from __future__ import annotations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from nosology.codes import SYSTEMS, compact_code, format_code, has_code_shape, printable
from nosology.errors import CodeError

_DIGITS, _ALNUM = "0123456789", "0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZ"
_PCS = "0123456789ABCDEFGHJKLMNPQRSTUVWXYZ"


def _dotted(stem: st.SearchStrategy[str], rest: st.SearchStrategy[str]) -> st.SearchStrategy[str]:
    return st.tuples(stem, rest).map(lambda parts: ".".join(part for part in parts if part))


_FORMATTED = {
    "icd10cm": _dotted(st.from_regex(r"[A-Z][0-9][0-9A-Z]", fullmatch=True), st.text(_ALNUM, max_size=4)),
    "icd10pcs": st.text(_PCS, min_size=1, max_size=7),
    "icd9cm": st.one_of(
        _dotted(st.from_regex(r"[0-9]{3}|V[0-9]{2}", fullmatch=True), st.text(_DIGITS, max_size=2)),
        _dotted(st.from_regex(r"E[0-9]{3}", fullmatch=True), st.text(_DIGITS, max_size=1)),
    ).filter(str.isascii),
    "icd9proc": _dotted(st.text(_DIGITS, min_size=2, max_size=2), st.text(_DIGITS, max_size=2)),
}


@pytest.mark.parametrize(
    ("raw", "system", "formatted", "compact"),
    [
        ("041", "icd9cm", "041", "041"),
        ("0389", "icd9cm", "038.9", "0389"),
        ("25000", "icd9cm", "250.00", "25000"),
        ("e8120", "icd9cm", "E812.0", "E8120"),
        ("E812", "icd9cm", "E812", "E812"),
        ("v5861", "icd9cm", "V58.61", "V5861"),
        ("V58.", "icd9cm", "V58", "V58"),
        ("i10", "icd10cm", "I10", "I10"),
        ("I10.", "icd10cm", "I10", "I10"),
        (" s72001a ", "icd10cm", "S72.001A", "S72001A"),
        ("t36.0x1a", "icd10cm", "T36.0X1A", "T360X1A"),
        ("c4a", "icd10cm", "C4A", "C4A"),
        ("qa0.0", "icd10cm", "QA0.0", "QA00"),
        ("bn20", "icd10pcs", "BN20", "BN20"),
        ("0dtj4zz", "icd10pcs", "0DTJ4ZZ", "0DTJ4ZZ"),
        ("0016070", "icd10pcs", "0016070", "0016070"),
        ("3893", "icd9proc", "38.93", "3893"),
        ("00", "icd9proc", "00", "00"),
        ("0001", "icd9proc", "00.01", "0001"),
        ("77.8", "icd9proc", "77.8", "778"),
    ],
)
def test_codes_are_written_as_their_system_writes_them(raw: str, system: str, formatted: str, compact: str) -> None:
    assert format_code(raw, system) == formatted
    assert compact_code(raw, system) == compact


@pytest.mark.parametrize(
    ("raw", "system"),
    [
        ("41", "icd9cm"),
        ("25.000", "icd9cm"),
        ("E81201", "icd9cm"),
        ("250.000", "icd9cm"),
        ("nan", "icd10cm"),
        ("", "icd10cm"),
        (".", "icd10cm"),
        ("I1", "icd10cm"),
        ("I1.0", "icd10cm"),
        ("S72.001AA", "icd10cm"),
        ("A00-A09", "icd10cm"),
        ("0I16070", "icd10pcs"),
        ("0016.070", "icd10pcs"),
        ("00160700", "icd10pcs"),
        ("7.78", "icd9proc"),
        ("٠٤١", "icd9cm"),
        ("ß10", "icd10cm"),
    ],
)
def test_malformed_codes_are_refused(raw: str, system: str) -> None:
    assert not has_code_shape(raw, system)
    with pytest.raises(CodeError, match="does not have the shape of a code"):
        format_code(raw, system)


@pytest.mark.parametrize("system", SYSTEMS)
def test_parse_and_format_are_inverse(system: str) -> None:
    @settings(max_examples=150, deadline=None)
    @given(_FORMATTED[system])
    def check(code: str) -> None:
        assert format_code(compact_code(code, system), system) == code
        assert format_code(code.lower(), system) == code
        assert compact_code(format_code(code, system), system) == code.replace(".", "")

    check()


@settings(max_examples=300, deadline=None)
@given(st.text(max_size=9), st.sampled_from(SYSTEMS))
def test_any_text_is_formatted_once_and_for_all_or_refused(text: str, system: str) -> None:
    if not has_code_shape(text, system):
        with pytest.raises(CodeError):
            format_code(text, system)
        return
    formatted = format_code(text, system)
    assert format_code(formatted, system) == formatted


def test_an_unknown_system_is_named_with_the_known_ones() -> None:
    with pytest.raises(CodeError, match=r"unknown code system 'icd11'; known: icd10cm, icd10pcs, icd9cm, icd9proc"):
        format_code("I10", "icd11")


def test_messages_never_repeat_words_of_a_note() -> None:
    with pytest.raises(CodeError) as caught:
        format_code("patient Canary Jones", "icd10cm")
    assert "Canary" not in str(caught.value)
    assert "a text of 20 characters" in str(caught.value)
    assert printable("I10.9") == "'I10.9'"
    assert printable("  ") == "an empty text"
