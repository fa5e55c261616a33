"""Parse and format codes by their shape alone, without a table: dots, case, leading zeros.

A code is stored and compared in its *formatted* form (``I10``, ``S72.001A``, ``250.00``, ``E812.0``, ``041``) and
appears in official files in its *compact* form (the same without the dot). ``041`` and ``41`` are different codes:
zeros are never added or dropped. Stems and categories (``R10``, ``BN20``) are legal; whether a code exists is a
question for ``open_code_system``.
"""

from __future__ import annotations

import re

from nosology.errors import CodeError

SYSTEMS: tuple[str, ...] = ("icd10cm", "icd10pcs", "icd9cm", "icd9proc")

# One pattern a line, tried in turn; group 1 stands before the dot, group 2 after it.
_SHAPES: dict[str, tuple[re.Pattern[str], ...]] = {
    # The third character may be a letter (C4A, O9A), and once the second (QA0); NAN is therefore no code.
    "icd10cm": (re.compile(r"([A-Z][0-9][0-9A-Z]|[A-Z][A-Z][0-9])(?:\.?([0-9A-Z]{1,4}))?\.?"),),
    # I and O are not used, lest they be taken for 1 and 0; there is no dot.
    "icd10pcs": (re.compile(r"([0-9A-HJ-NP-Z]{1,7})()"),),
    "icd9cm": (
        re.compile(r"([0-9]{3}|V[0-9]{2})(?:\.?([0-9]{1,2}))?\.?"),
        re.compile(r"(E[0-9]{3})(?:\.?([0-9]))?\.?"),
    ),
    "icd9proc": (re.compile(r"([0-9]{2})(?:\.?([0-9]{1,2}))?\.?"),),
}
_EXAMPLES: dict[str, str] = {
    "icd10cm": "I10, S72.001A",
    "icd10pcs": "BN20, 0DTJ4ZZ",
    "icd9cm": "041, 250.00, V58.61, E812.0",
    "icd9proc": "38.93",
}


def format_code(code: str, system: str) -> str:
    """Write a code as its system writes it, whatever its case and with or without its dot.

    >>> format_code("s72001a", "icd10cm"), format_code("25000", "icd9cm"), format_code("041", "icd9cm")
    ('S72.001A', '250.00', '041')

    Args:
        code: the code as found; a trailing dot and white space around it are dropped.
        system: one of ``SYSTEMS``.

    Raises:
        CodeError: the text does not have the shape of a code of this system.
    """
    stem, rest = _split(code, system)
    return f"{stem}.{rest}" if rest else stem


def compact_code(code: str, system: str) -> str:
    """Write a code without its dot, as official files and MIMIC do; raises like ``format_code``."""
    stem, rest = _split(code, system)
    return stem + rest


def has_code_shape(code: str, system: str) -> bool:
    """Whether the text could be a code of this system (says nothing about its existence)."""
    return _match(code, _shapes_of(system)) is not None


def printable(code: str) -> str:
    """A code as a message may show it: anything that could be words of a note is replaced by its length."""
    text = code.strip()
    if re.fullmatch(r"[A-Za-z0-9.\-]{0,10}", text) and any(character.isdigit() for character in text):
        return repr(text)
    return f"a text of {len(text)} characters" if text else "an empty text"


def _split(code: str, system: str) -> tuple[str, str]:
    match = _match(code, _shapes_of(system))
    if match is None:
        raise CodeError(
            f"{printable(code)} does not have the shape of a code of {system} (such as {_EXAMPLES[system]})"
        )
    return match[1], match[2] or ""


def _match(code: str, shapes: tuple[re.Pattern[str], ...]) -> re.Match[str] | None:
    text = code.strip()
    if not text.isascii():  # "ß".upper() is "SS": upper-casing must not invent characters
        return None
    text = text.upper()
    return next((match for shape in shapes if (match := shape.fullmatch(text))), None)


def _shapes_of(system: str) -> tuple[re.Pattern[str], ...]:
    try:
        return _SHAPES[system]
    except KeyError:
        raise CodeError(f"unknown code system {system!r}; known: {', '.join(SYSTEMS)}") from None
