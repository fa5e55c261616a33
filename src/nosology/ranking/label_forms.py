"""Which form of a code a corpus uses as its label, so that a candidate nobody was coded with is written like the rest.

ICD-10-CM codes of injuries have a 7th character that tells the encounter (``T68.XXXA``: initial). Corpora differ: real
claims carry all seven; CodiEsp leaves the 7th off and keeps the padding (``T68.XXX``, ``S62.92X``); others would write
the bare stem (``T68``). ICD-10-PCS codes have seven characters, but CodiEsp also uses the first four (``BT41``). What
the training labels do decides what candidates look like.
"""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Collection, Mapping
from itertools import pairwise

_SYSTEM_OF_SEVENTHS = "icd10cm"
_FULL_LENGTH = 7
_USUAL_SEVENTH = "A"
_LEAST_SHARE = 0.02


def candidate_labels(systems: Mapping[str, str], counts: Mapping[str, int]) -> dict[str, str]:
    """The label that stands for each code; codes of a kind that no corpus like this one uses have none.

    All leaves of a system are one kind, its headings of one length another; a kind is used if more than 2 % of the
    distinct training labels are of it. Where labels have a 7th character, each stem has one label, with the 7th
    character that it mostly has in training ("A", the first encounter, if it was never seen).

    Args:
        systems: by code, its system; every code with terms.
        counts: training encounters with each label.
    """
    sevenths = _sevenths(systems)
    form = _form(sevenths, counts)
    padded = {stem: _as_label(stem, letters, form, counts) for stem, letters in sevenths.items()}
    by_bare = {stem.rstrip("X").rstrip("."): stem for stem in sorted(sevenths)}
    kinds = _used_kinds(systems, counts)
    labels = dict[str, str]()
    for code in systems:
        stem = by_bare.get(code, code)
        if code[:-1] in sevenths and _is_full(code, systems[code]):
            labels[code] = padded[code[:-1]]
        elif stem in padded and systems[code] == _SYSTEM_OF_SEVENTHS:
            labels[code] = padded[stem]
        elif code in counts or kinds is None or kinds.get(code, False):
            labels[code] = code
    return labels


def _is_full(code: str, system: str) -> bool:
    return system == _SYSTEM_OF_SEVENTHS and len(code.replace(".", "")) == _FULL_LENGTH


def _sevenths(systems: Mapping[str, str]) -> dict[str, list[str]]:
    """By stem, padded to six characters, its 7th characters."""
    found = defaultdict[str, list[str]](list)
    for code, system in sorted(systems.items()):
        if _is_full(code, system):
            found[code[:-1]].append(code[-1])
    return dict(found)


def _form(sevenths: Mapping[str, list[str]], counts: Mapping[str, int]) -> str:
    """``full``, ``padded`` or ``bare``, whichever most training labels have that show it."""
    bare = {stem.rstrip("X").rstrip(".") for stem in sevenths if stem.endswith("X")}
    forms = Counter[str]()
    for label in sorted(counts):
        if label[:-1] in sevenths and label[-1] in sevenths[label[:-1]]:
            forms["full"] += 1
        elif label in sevenths and label.endswith("X"):
            forms["padded"] += 1
        elif label in bare:
            forms["bare"] += 1
    return max(("full", "padded", "bare"), key=lambda form: forms[form])


def _as_label(stem: str, letters: list[str], form: str, counts: Mapping[str, int]) -> str:
    if form == "padded":
        return stem
    if form == "bare":
        return stem.rstrip("X").rstrip(".")
    return stem + max(letters, key=lambda letter: (counts.get(stem + letter, 0), letter == _USUAL_SEVENTH))


def _used_kinds(systems: Mapping[str, str], counts: Mapping[str, int]) -> dict[str, bool] | None:
    """Of each code, whether its kind is used; ``None`` if no training label has terms, and nothing can be said."""
    headings = _headings(systems)
    kind_of = {code: (system, len(code) if code in headings else 0) for code, system in systems.items()}
    used = Counter(kind_of[label] for label in counts if label in kind_of)
    least = _LEAST_SHARE * sum(used.values())
    return {code: used[kind] > least for code, kind in kind_of.items()} if used else None


def _headings(codes: Collection[str]) -> frozenset[str]:
    """Codes that are the beginning of another one."""
    ordered = sorted(codes)
    return frozenset(code for code, following in pairwise(ordered) if following.startswith(code))
