"""A recipe's ``[cleaning]``: what is learnt from, cleaned; what is scored never passes here."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import replace
from hashlib import blake2b

from nosology.cleaning.applying import apply_measures
from nosology.cleaning.noise import Noise, find_noise
from nosology.codes.cache import cache_dir
from nosology.codes.titles import TitleTable
from nosology.config import Recipe
from nosology.config.cleaning import CleaningConfig, Measures
from nosology.knowledge.building import build_knowledge, open_systems
from nosology.knowledge.wordings import Wordings
from nosology.types import Corpus

Progress = Callable[[str, float], None]

_LATEST = dict[bytes, Noise]()
"""What was found last: the arms of an experiment clean the same encounters for one training after another."""


def clean_for_training(corpus: Corpus, recipe: Recipe, tell: Progress) -> tuple[Corpus, str]:
    """Do what a recipe's ``[cleaning]`` asks for; without that section the corpus stays as it is.

    Args:
        corpus: what is learnt from.
        recipe: says how; its knowledge also says what codes are called.
        tell: told what is being done and the share of it that is done.

    Returns:
        The corpus, and what was done to it in a few words, empty for nothing.

    Raises:
        As ``find_noise``.
    """
    if recipe.cleaning is None:
        return corpus, ""
    noise = _found(corpus, recipe, recipe.cleaning, tell)
    cleaned = apply_measures(corpus, noise, recipe.cleaning.measures)
    return cleaned.corpus, cleaned.summary


def _found(corpus: Corpus, recipe: Recipe, config: CleaningConfig, tell: Progress) -> Noise:
    mark = _mark(corpus, recipe, config)
    found = _LATEST.get(mark)
    if found is None:
        systems = open_systems(corpus.systems, recipe)
        wordings = Wordings(TitleTable.of(systems), lambda: build_knowledge(systems, recipe))
        found = find_noise(corpus, wordings, config, tell, cache_dir())
        _LATEST.clear()
        _LATEST[mark] = found
    return found


def _mark(corpus: Corpus, recipe: Recipe, config: CleaningConfig) -> bytes:
    """Of everything that decides what is found."""
    digest = blake2b(digest_size=16)
    for part in (repr(replace(config, measures=Measures())), repr(recipe.knowledge), repr(recipe.corpus)):
        digest.update(part.encode() + b"\0")
    for part in _parts(corpus):
        digest.update(part.encode("utf-8", "surrogatepass") + b"\0")
    return digest.digest()


def _parts(corpus: Corpus) -> Iterator[str]:
    for one in corpus:
        codes = None if one.codes is None else [(gold.code, gold.system) for gold in one.codes]
        yield f"{one.encounter_id} {one.group_id} {one.metadata} {codes}"
        for note in one.notes:
            yield f"{note.note_id} {note.language}"
            yield note.text
