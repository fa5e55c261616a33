"""Writes a code title the way clinicians do: synonyms, abbreviations, other order, fewer qualifiers, misspellings."""

from __future__ import annotations

import re
from functools import lru_cache
from random import Random
from typing import NamedTuple

from nosology.corpora.simulation.expressions import core
from nosology.corpora.simulation.tables import Substitution, read_implications, read_roots, read_substitutions

_PARTS = re.compile(r"[^\s,]+|,")
_MAX_WORDS = 8
_ENDINGS: tuple[tuple[str, tuple[str, ...]], ...] = (
    ("itis", ("inflamed {0}", "{0} inflammation", "irritated {0}")),
    ("algia", ("{0} pain", "aching {0}")),
    ("opathy", ("{0} disease", "damaged {0}")),
    ("omegaly", ("big {0}", "enlarged {0}")),
    ("osis", ("diseased {0}", "{0} degeneration")),
    ("oma", ("{0} tumor", "{0} mass")),
    ("ectomy", ("{0} removed", "s/p removal of {0}")),
)
_UNFINISHED = "of w/ w/o with without and & + or to in the d/t from on for by - other c/b 2/2 s/p abnormal left right"
_DANGLING = frozenset(_UNFINISHED.split())
_IMPLIED_KIND = {"rx": "drug", "lab": "lab", "fx": "finding"}


class Wording(NamedTuple):
    """A way to write a code: the words and how they came about (synonym, abbreviation, ..., drug, lab, finding)."""

    text: str
    kind: str


def paraphrase(title: str, random: Random) -> Wording:
    """One paraphrase of a title; it may happen to equal the title."""
    pieces, kinds = _substitute(_words_of(title), random)
    text = _reorder(pieces, random, kinds)
    text = _invert_of(text, random, kinds)
    text = _shorten(text, random, kinds)
    if not kinds or random.random() < 0.08:
        text = misspell(text, random)
        kinds.append("misspelling")
    return Wording(_cased(text, random), kinds[0])


@lru_cache(maxsize=16)  # the same title is paraphrased many times in a row
def _words_of(title: str) -> tuple[str, ...]:
    return tuple(_PARTS.findall(core(title).lower()))


def is_cut_short(text: str) -> bool:
    """Whether a wording ends on a word that needs another after it."""
    return text.lower().rsplit(" ", 1)[-1] in _DANGLING


def implied_wordings(title: str) -> list[Wording]:
    """Findings, drugs and treatments that imply a code, by patterns of its title."""
    lower = core(title).lower()
    found: list[Wording] = []
    for pattern, templates in read_implications():
        if match := pattern.search(lower):
            found += [parse_implied(template.replace("{0}", match.group(1).strip())) for template in templates]
    return found


def parse_implied(text: str) -> Wording:
    """``rx:metformin 500 mg BID`` -> the drug and its kind."""
    kind, _, words = text.partition(":")
    return Wording(words, _IMPLIED_KIND[kind])


def misspell(text: str, random: Random) -> str:
    """Swap, drop or double a letter of one long word."""
    words = text.split()
    long = [i for i, word in enumerate(words) if len(word) >= 6 and word.isalpha()]
    if not long:
        return text
    place = long[int(random.random() * len(long))]
    words[place] = _slip(words[place], random)
    return " ".join(words)


def _slip(word: str, random: Random) -> str:
    at = 2 + int(random.random() * (len(word) - 4))
    choice = random.random()
    if choice < 0.4:
        return word[:at] + word[at + 1] + word[at] + word[at + 2 :]
    return word[:at] + word[at + 1 :] if choice < 0.75 else word[:at] + word[at] + word[at:]


def _substitute(words: tuple[str, ...], random: Random) -> tuple[list[str], list[str]]:
    """Replace phrases left to right, the longest that fits; most but not all of them."""
    table = read_substitutions()
    pieces: list[str] = []
    kinds: list[str] = []
    at = 0
    while at < len(words):
        found = _match(table.get(words[at], ()), words, at)
        if found is None or random.random() > 0.8:
            plain = in_plain_words(words[at], random)
            pieces.append(plain or words[at])
            kinds += ["plain words"] if plain else []
            at += 1
            continue
        at += len(found.words)
        if found.alternatives:
            pieces += found.alternatives[int(random.random() * len(found.alternatives))].split()
            kinds.append({"syn": "synonym", "abbr": "abbreviation", "plain": "plain words"}[found.kind])
    return pieces, kinds


def in_plain_words(word: str, random: Random) -> str:
    """A word of Greek or Latin make in plain words ("pyelitis" -> "inflamed ..."); empty if its root is unknown."""
    for ending, templates in _ENDINGS:
        root = read_roots().get(word.removesuffix(ending)) if word.endswith(ending) else None
        if root is not None and random.random() < 0.8:
            return templates[int(random.random() * len(templates))].replace("{0}", root)
    return ""


def _match(options: tuple[Substitution, ...], words: tuple[str, ...], at: int) -> Substitution | None:
    for option in options:
        if words[at : at + len(option.words)] == option.words:
            return option
    return None


def _reorder(pieces: list[str], random: Random, kinds: list[str]) -> str:
    """Parts after a comma come first ("pneumonia, viral" -> "viral pneumonia"), stay behind a dash, or fall away."""
    parts = [part.strip() for part in " ".join(pieces).split(",") if part.strip()]
    if len(parts) < 2:
        return " ".join(parts)
    choice = random.random()
    if choice < 0.45 and len(parts[-1].split()) <= 3:
        kinds.append("order")
        return " ".join([parts[-1], *parts[:-1]])
    if choice < 0.7:
        return " - ".join([parts[0], " ".join(parts[1:])])
    if choice < 0.85:
        return " ".join(parts)
    kinds.append("fewer words")
    return parts[0]


def _invert_of(text: str, random: Random, kinds: list[str]) -> str:
    head, of, rest = text.partition(" of ")
    if not of or " of " in rest or len(rest.split()) > 4 or random.random() > 0.4:
        return text
    kinds.append("order")
    return f"{rest} {head}"


def _shorten(text: str, random: Random, kinds: list[str]) -> str:
    words = text.split()
    if len(words) <= _MAX_WORDS and ("order" in kinds or random.random() > 0.12):
        return text
    kinds.append("fewer words")
    keep = min(_MAX_WORDS, max(2, len(words) - 1 - int(random.random() * 2)))
    return " ".join(words[:keep])


def _cased(text: str, random: Random) -> str:
    return text[:1].upper() + text[1:] if random.random() < 0.25 else text
