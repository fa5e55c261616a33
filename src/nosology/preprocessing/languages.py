"""What the data files say of each language: stop words, abbreviations, section headers."""

from __future__ import annotations

import re
import tomllib
from dataclasses import dataclass
from functools import cache
from importlib.resources import files
from itertools import product
from typing import Any

from nosology.errors import ConfigError
from nosology.preprocessing.normalisation import blank_punctuation, normalise

LANGUAGES = ("en", "es")
"""Languages that have data files, by ISO 639-1."""

_BRACES = re.compile(r"\{([^{}]*)\}")


@dataclass(frozen=True, slots=True)
class LanguageData:
    """The vocabulary that documents of one language are cut up with.

    Args:
        stop_words: normalised words without medical meaning.
        titles: abbreviations that never end a sentence ("dr"), normalised, without their last full stop.
        quantities: abbreviations that end none before a number or a lower-case word ("mg", "no").
        headers: section name by header, in normalised words.
    """

    stop_words: frozenset[str]
    titles: frozenset[str]
    quantities: frozenset[str]
    headers: dict[str, str]


def read_data_file(name: str, language: str) -> dict[str, Any]:
    """One of the package's data files, e.g. ``("words", "en")``.

    Raises:
        ConfigError: no data file for that language.
    """
    if language not in LANGUAGES:
        raise ConfigError(f"no {name} data for language {language!r}; there is data for: {', '.join(LANGUAGES)}")
    path = files("nosology.preprocessing") / "data" / f"{name}_{language}.toml"
    return tomllib.loads(path.read_text(encoding="utf-8"))


def expand_alternatives(phrase: str) -> list[str]:
    """``"ruled out {a,b}"`` -> both phrases; several groups multiply."""
    pieces = _BRACES.split(phrase)
    choices = [piece.split(",") if index % 2 else [piece] for index, piece in enumerate(pieces)]
    return ["".join(chosen) for chosen in product(*choices)]


def words_of(text: str) -> list[str]:
    """The normalised words of a short text, as ``Document.words`` has them."""
    return blank_punctuation(normalise(text).text).split()


def _fold_all(phrases: list[str]) -> frozenset[str]:
    return frozenset(normalise(phrase).text for phrase in phrases)


@cache
def language_data(language: str) -> LanguageData:
    """The data of one language; English sentence rules and no headers where there is none for it."""
    known = language in LANGUAGES
    words = read_data_file("words", language if known else "en")
    sections = read_data_file("sections", language)["headers"] if known else {}
    headers = {
        " ".join(words_of(header)): name
        for name, phrases in sections.items()
        for phrase in phrases
        for header in expand_alternatives(phrase)
    }
    abbreviations = words["abbreviations"]
    return LanguageData(
        stop_words=_fold_all(words["stop_words"].split()) if known else frozenset(),
        titles=_fold_all(abbreviations["titles"]),
        quantities=_fold_all(abbreviations["quantities"]),
        headers=headers,
    )
