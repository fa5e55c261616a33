"""The knowledge base that a recipe asks for, before anything is learnt: code tables and term lists."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from itertools import chain
from pathlib import Path

from nosology.codes import SYSTEMS, CodeSystem, open_code_system
from nosology.config import AnySimulatedConfig, Recipe
from nosology.errors import ConfigError
from nosology.knowledge.base import Expression, KnowledgeBase
from nosology.knowledge.sources import expressions_from_code_table, read_term_list


def open_systems(names: Sequence[str], recipe: Recipe) -> list[CodeSystem]:
    """The code systems of a corpus's labels; one of your own needs ``code_table``, without it its codes have no titles.

    Args:
        names: the systems' names.
        recipe: tells where an own table lies.
    """
    systems = [open_code_system(name) for name in names if name in SYSTEMS]
    own = [name for name in names if name not in SYSTEMS]
    table = recipe.knowledge.code_table
    if own and table is not None:
        systems += [CodeSystem.from_table(_beside_data(table, recipe), name) for name in own]
    return systems


def build_knowledge(systems: Sequence[CodeSystem], recipe: Recipe) -> KnowledgeBase:
    """Read the sources that the recipe names.

    Raises:
        CodeError, ConfigError: a term list or table cannot be read.
    """
    return KnowledgeBase(chain(_from_tables(systems, recipe), _from_term_lists(systems, recipe)))


def _from_tables(systems: Sequence[CodeSystem], recipe: Recipe) -> Iterator[Expression]:
    if recipe.knowledge.code_tables:
        for system in systems:
            yield from expressions_from_code_table(system)


def _from_term_lists(systems: Sequence[CodeSystem], recipe: Recipe) -> Iterator[Expression]:
    for name in recipe.knowledge.term_lists:
        path = _beside_data(name, recipe)
        for system in systems:
            yield from read_term_list(path, system=system)


def _beside_data(name: str, recipe: Recipe) -> Path:
    """A path of the recipe, seen from the folder of its corpus."""
    if isinstance(recipe.corpus, AnySimulatedConfig) or recipe.corpus.path is None:
        base = Path.cwd()
    else:
        corpus = Path(recipe.corpus.path)
        base = corpus if corpus.is_dir() else corpus.parent
    path = base / name
    if not path.is_file():
        raise ConfigError(f"{path}: no such file; term lists and code tables are sought from the corpus's folder")
    return path
