"""What a model is asked about a note: which candidates it documents, with quotes; then whether that holds.

The wording is our own. Forms of answers are JSON schemas; what comes back is read strictly, because not every server
holds to them.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from typing import Any, NamedTuple

from nosology.codes.titles import TitleTable
from nosology.endpoint.client import Message

CHOICE, VERIFICATION = "choice", "verification"

_CHOOSE = (
    "You assign ICD codes to clinical notes. You get candidate codes and a note. Choose every candidate that the note "
    "documents for this patient. Leave out what is denied, ruled out, merely suspected, or a relative's. Choose the "
    "most specific candidate that fits. For each chosen code, copy the words of the note that document it: as few as "
    "possible, unchanged, in the note's language. Answer in JSON only: "
    '{"codes": [{"code": "...", "quote": "..."}]}; {"codes": []} if no candidate fits.'
)
_VERIFY = (
    "You check the coding of clinical notes. You get codes that somebody chose, each with a quote, and the note. For "
    "each code, say whether the note documents it for this patient: the quote stands there, means what the code says, "
    "and is not denied, ruled out, merely suspected, or a relative's. Say how sure you are, from 0 to 100. Answer in "
    'JSON only: {"verdicts": [{"code": "...", "documented": true, "confidence": 90}]}, with every code once.'
)
_NOTE = "\n\nClinical note:\n"


class Shot(NamedTuple):
    """A coded encounter as an example.

    Args:
        text: of its notes, or the beginning.
        codes: (code, quote); the quote is empty where nobody marked one, or it stands after the beginning.
    """

    text: str
    codes: tuple[tuple[str, str], ...]

    def __repr__(self) -> str:
        return f"Shot(codes={[code for code, _ in self.codes]})"  # the rest is note text


def ask_to_choose(
    candidates: Sequence[str], text: str, titles: TitleTable, shots: Sequence[Shot] = ()
) -> tuple[Message, ...]:
    """The choice pass.

    Args:
        candidates: codes.
        text: of the note.
        titles: of the codes.
        shots: coded encounters to learn from.
    """
    examples = "".join(_shown(number, shot, titles) for number, shot in enumerate(shots, 1))
    listed = "\n".join(_listed(code, titles) for code in candidates)
    return Message("system", _CHOOSE), Message("user", f"{examples}Candidate codes:\n{listed}{_NOTE}{text}")


def ask_to_verify(chosen: Mapping[str, str], text: str, titles: TitleTable) -> tuple[Message, ...]:
    """The verification pass.

    Args:
        chosen: quote by code.
        text: of the note.
        titles: of the codes.
    """
    listed = "\n".join(_listed(code, titles, quote) for code, quote in chosen.items())
    return Message("system", _VERIFY), Message("user", f"Chosen codes:\n{listed}{_NOTE}{text}")


def choice_schema(candidates: Sequence[str]) -> dict[str, Any]:
    """Chosen codes with quotes, nothing but candidates."""
    fields = {"code": {"type": "string", "enum": list(candidates)}, "quote": {"type": "string"}}
    return _list_of("codes", fields)


def verification_schema(chosen: Sequence[str]) -> dict[str, Any]:
    """A verdict a chosen code."""
    fields = {
        "code": {"type": "string", "enum": list(chosen)},
        "documented": {"type": "boolean"},
        "confidence": {"type": "integer", "minimum": 0, "maximum": 100},
    }
    return _list_of("verdicts", fields)


def read_choice(candidates: Sequence[str]) -> Callable[[Any], dict[str, str]]:
    """Reads the chosen candidates and their quotes; what is no candidate is passed over.

    The reader raises ValueError, TypeError or KeyError for anything of another form.
    """
    known = frozenset(candidates)

    def read(answer: Any) -> dict[str, str]:
        found = dict[str, str]()
        for row in _rows(answer, "codes"):
            code, quote = row["code"], row["quote"]
            if not isinstance(code, str) or not isinstance(quote, str):
                raise TypeError("a code and its quote are texts")
            if code in known:
                found.setdefault(code, quote)
        return found

    return read


def read_verdicts(chosen: Sequence[str]) -> Callable[[Any], dict[str, float]]:
    """Reads belief in each chosen code, from 0 to 1: 0.5 + confidence / 200 where it is documented, else 0.5 - that.

    A code without a verdict has 0.5. The reader raises as ``read_choice``'s.
    """

    def read(answer: Any) -> dict[str, float]:
        found = dict.fromkeys(chosen, 0.5)
        for row in _rows(answer, "verdicts"):
            documented, confidence = row["documented"], row["confidence"]
            if not isinstance(documented, bool) or isinstance(confidence, bool) or not math.isfinite(confidence):
                raise TypeError("a verdict is true or false, a confidence a number")
            if row["code"] in found:
                half = min(100.0, max(0.0, float(confidence))) / 200.0
                found[row["code"]] = 0.5 + half if documented else 0.5 - half
        return found

    return read


def _rows(answer: Any, name: str) -> list[dict[str, Any]]:
    rows = answer[name]
    if not isinstance(rows, list) or not all(isinstance(row, dict) for row in rows):
        raise TypeError(f"{name} is a list of objects")
    return rows


def _list_of(name: str, fields: Mapping[str, Any]) -> dict[str, Any]:
    item = {"type": "object", "properties": fields, "required": list(fields), "additionalProperties": False}
    rows = {"type": "array", "items": item}
    return {"type": "object", "properties": {name: rows}, "required": [name], "additionalProperties": False}


def _listed(code: str, titles: TitleTable, quote: str = "") -> str:
    said = " ".join(quote.split())
    return f"- {code}: {titles.title(code) or code}" + (f' (quote: "{said}")' if said else "")


def _shown(number: int, shot: Shot, titles: TitleTable) -> str:
    codes = "\n".join(_listed(code, titles, quote) for code, quote in shot.codes)
    return f"Example {number}, a note that people coded:\n{shot.text}\nIts codes:\n{codes}\n\n"
