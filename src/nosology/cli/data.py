"""What the commands share: where the data lie, which splits are meant, and what was left out."""

from __future__ import annotations

import os
import sys
from collections.abc import Sequence
from enum import StrEnum
from pathlib import Path

from nosology.config import AnySimulatedConfig, CodiespConfig, Recipe
from nosology.errors import ConfigError
from nosology.types import Corpus, SkippedRecord

ALL_SPLITS = "all"
_SHOWN_SKIPS = 3


class OnError(StrEnum):
    """What happens at a broken record: stop, or leave it out and count it."""

    RAISE = "raise"
    SKIP = "skip"


def recipe_with_data(recipe: Recipe, data: Path | None) -> Recipe:
    """The recipe with its corpus where ``--data``, the recipe or ``NOSOLOGY_DATA`` says, in this order.

    Raises:
        ConfigError: ``--data`` for the simulated corpus, which reads none.
    """
    if isinstance(recipe.corpus, AnySimulatedConfig):
        if data is not None:
            raise ConfigError("the simulated corpus reads no data; leave out --data, or choose another recipe")
        return recipe
    if data is not None:
        return recipe.with_data(data.absolute())
    default = os.environ.get("NOSOLOGY_DATA", "")
    if recipe.corpus.path is None and default and isinstance(recipe.corpus, CodiespConfig):
        return recipe.with_data(Path(default).absolute() / "codiesp")
    return recipe


def read_corpus(recipe: Recipe, on_error: OnError) -> Corpus:
    """Read the recipe's corpus and tell what was skipped."""
    from nosology.cli.progress import progress_bar
    from nosology.corpora import open_corpus

    with progress_bar("reading the corpus"):
        corpus = open_corpus(recipe.corpus, on_error=on_error.value)
    tell_skipped(corpus.skipped)
    tell_unknown_codes(corpus)
    return corpus


def choose_splits(corpus: Corpus, names: str) -> Corpus:
    """The encounters of the splits in ``names``, joined by ``+``; "all" takes every one.

    Raises:
        CorpusError: there is no encounter in them.
    """
    return corpus if names == ALL_SPLITS else corpus.split(*names.split("+"))


def tell(line: str) -> None:
    """Say something to the person, on stderr."""
    print(line, file=sys.stderr)


def tell_skipped(skipped: Sequence[SkippedRecord]) -> None:
    """Report how many records were left out, and why the first were."""
    if not skipped:
        return
    tell(f"skipped {len(skipped)} broken record{'s' if len(skipped) > 1 else ''}:")
    for record in skipped[:_SHOWN_SKIPS]:
        tell(f"  {record.message}")
    if len(skipped) > _SHOWN_SKIPS:
        tell(f"  and {len(skipped) - _SHOWN_SKIPS} more")


def tell_unknown_codes(corpus: Corpus) -> None:
    """Report the labels that no table of their system has; they are kept."""
    if corpus.unknown_codes:
        first = ", ".join(sorted(corpus.unknown_codes)[:5])
        more = ", ..." if len(corpus.unknown_codes) > 5 else ""
        tell(
            f"kept {len(corpus.unknown_codes)} codes that the tables of {'+'.join(corpus.systems)} lack: {first}{more}"
        )
