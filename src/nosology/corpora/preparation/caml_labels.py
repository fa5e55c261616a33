"""CAML's published label space of MIMIC-III, with what its way of reading the tables lost.

CAML (Mullenbach et al. 2018, ``notebooks/dataproc_mimic_III.ipynb``) let pandas guess the type of the code columns,
twice. First, procedure codes become whole numbers, so that 04.07 turns into 40.7 and 00.11 into 11. (with its dot).
Then the two tables, dots put in, diagnoses first, are written and read again, and pandas guesses for each block of
131,072 rows: where a block holds procedures only, they become real numbers, and 39.50 turns into 39.5; the procedures
in the block that diagnoses share keep their zeros. So both 39.5 and 39.50 are labels. Nothing is lost of a diagnosis,
as every block of them has V or E codes.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence

# pandas reads 2^20 cells at a time, rounded down to rows that are a power of two: 131,072 rows of five columns.
_ROWS_A_BLOCK = 131_072


def caml_dotted(code: str, *, diagnosis: bool) -> str:
    """The dot by position, as CAML's ``datasets.reformat`` puts it."""
    code = code.replace(".", "")
    if not diagnosis:
        return f"{code[:2]}.{code[2:]}"
    stem = 4 if code.startswith("E") else 3
    return f"{code[:stem]}.{code[stem:]}" if len(code) > stem else code


def caml_first_reading(codes: Sequence[str], *, diagnosis: bool, blanks_elsewhere: bool) -> list[str]:
    """The codes of one raw table as CAML's first pass leaves them; "" for a blank.

    Args:
        codes: every row of the table, in file order, as text.
        diagnosis: which table.
        blanks_elsewhere: whether another column of the table has blanks, which turn whole rows into real numbers.
    """
    guessed = pandas_guess(codes)
    if blanks_elsewhere and all(_is_number(code) for code in guessed if code):
        guessed = [repr(float(code)) if code else "" for code in guessed]
    return [caml_dotted(code, diagnosis=diagnosis) if code else "" for code in guessed]


def caml_second_reading(codes: Sequence[str]) -> list[str]:
    """The labels, from diagnoses and procedures of the admissions with a note, one table after the other."""
    return pandas_guess(codes)


def pandas_guess(values: Sequence[str]) -> list[str]:
    """What ``pandas.read_csv`` makes of a column of text when it may guess, written out again.

    >>> pandas_guess(["0407", "9604"]), pandas_guess(["39.50", "V58"]), pandas_guess(["39.50", ""])
    (['407', '9604'], ['39.50', 'V58'], ['39.5', ''])
    """
    blocks = [values[start : start + _ROWS_A_BLOCK] for start in range(0, len(values), _ROWS_A_BLOCK)]
    kinds = [_kind(block) for block in blocks]
    if "text" not in kinds and "real" in kinds:
        kinds = ["real"] * len(kinds)
    return [value for block, kind in zip(blocks, kinds, strict=True) for value in _as_kind(block, kind)]


def _kind(block: Sequence[str]) -> str:
    filled = {value for value in block if value}
    if not all(_is_number(value) for value in filled):
        return "text"
    return "whole" if all(value.isdigit() for value in filled) and all(block) else "real"


def _is_number(value: str) -> bool:
    whole, _, rest = value.partition(".")
    return value.isascii() and (whole + rest).isdigit()


def _as_kind(block: Sequence[str], kind: str) -> Iterable[str]:
    if kind == "text":
        return block
    number = int if kind == "whole" else float
    return [repr(number(value)) if value else "" for value in block]
