"""What an experiment is: a list of arms, each a recipe with some keys changed, on some corpus."""

from __future__ import annotations

import importlib
import pkgutil
from collections.abc import Container, Mapping
from dataclasses import dataclass, field
from difflib import get_close_matches
from pathlib import Path
from typing import Literal, cast

from nosology.config import AnySimulatedConfig, CodiespConfig, Recipe, load_recipe
from nosology.errors import ConfigError
from nosology.experiments import declared
from nosology.experiments.overrides import override
from nosology.experiments.score_table import FIGURES
from nosology.shipped_recipes import find_recipe

Size = Literal["cpu", "full"]


@dataclass(frozen=True, slots=True)
class Arm:
    """One method on one corpus.

    Args:
        corpus: the table that it belongs to; all arms of a table read the same encounters.
        method: its row there, no method twice in a table.
        recipe: the name of a shipped recipe, or a recipe file.
        overrides: keys changed, by dotted name, e.g. ``{"model.words": 1}``.
        choices: further changes, one of which a held-out part of the training split chooses; none: nothing is chosen.
    """

    corpus: str
    method: str
    recipe: str
    overrides: Mapping[str, object] = field(default_factory=dict[str, object])
    choices: tuple[Mapping[str, object], ...] = ()

    @property
    def name(self) -> str:
        """Of its runs' folders."""
        return f"{slug(self.corpus)}-{slug(self.method)}"

    def load(self, data: Path | None) -> Recipe:
        """Its recipe, with the corpus in its place.

        Args:
            data: the folder that holds ``codiesp`` and whatever else recipes name by relative paths.

        Raises:
            ConfigError: the recipe or an override is wrong, or its corpus has no place.
        """
        recipe = override(load_recipe(find_recipe(self.recipe)), self.overrides, f"arm {self.method!r}")
        return _placed(recipe, data)


@dataclass(frozen=True, slots=True)
class Claim:
    """What a paper says of two methods; the written results mark it held, not held or undecided.

    Args:
        text: what it says, with its place in the paper.
        better, worse: methods of one table.
        figure: in which the first has more; its dotted name.
        corpus: the table; left out, every table that has both methods.
    """

    text: str
    better: str
    worse: str
    figure: str = "micro.f1"
    corpus: str | None = None

    def stands_in(self, corpus: str, methods: Container[str]) -> bool:
        """Whether a table of these methods can judge it."""
        return self.corpus in (None, corpus) and self.better in methods and self.worse in methods


@dataclass(frozen=True, slots=True)
class Experiment:
    """A question, and the arms that answer it.

    Args:
        title: of its report.
        question: in a sentence or two, for the report.
        reference: the method that the others are compared with, in every table.
        arms: by size; ``cpu`` ends within two hours on two cores, ``full`` wants a GPU or a night.
        split: what is scored; learnt from is ``train``.
        bands: frequency bands of the tables by band: ``codiesp`` or ``published``.
        bands_on: other bands for some corpora.
        claims: of papers, judged at each size that has their methods.
        figures: columns of the tables, dotted names and headings.
        areas: whether areas under the ROC curve are written, too; of lists that leave codes out they are estimates.
    """

    title: str
    question: str
    reference: str
    arms: Mapping[Size, tuple[Arm, ...]]
    split: str = "dev"
    bands: str = "codiesp"
    bands_on: Mapping[str, str] = field(default_factory=dict[str, str])
    claims: tuple[Claim, ...] = ()
    figures: Mapping[str, str] = field(default_factory=lambda: FIGURES)
    areas: bool = False

    def __post_init__(self) -> None:
        for size, arms in self.arms.items():
            names = [arm.name for arm in arms]
            if len(set(names)) < len(names):
                raise ConfigError(f"{self.title}: two arms of size {size} have one name")
            for corpus in dict.fromkeys(arm.corpus for arm in arms):
                if self.reference not in [arm.method for arm in arms if arm.corpus == corpus]:
                    raise ConfigError(f"{self.title}: no arm {self.reference!r} on {corpus}, size {size}")
        for claim in self.claims:
            if not any(claim.stands_in(corpus, methods) for corpus, methods in self._tables()):
                raise ConfigError(
                    f"{self.title}: no table has both methods of a claim: {claim.better!r}, {claim.worse!r}"
                )

    def _tables(self) -> list[tuple[str, list[str]]]:
        """The methods of every table of every size."""
        return [
            (corpus, [arm.method for arm in arms if arm.corpus == corpus])
            for arms in self.arms.values()
            for corpus in dict.fromkeys(arm.corpus for arm in arms)
        ]


def experiment_names() -> list[str]:
    """Every experiment: each is a module of ``nosology.experiments.declared`` with an ``EXPERIMENT``; of its name,
    ``_`` becomes ``-``."""
    return sorted(module.name.replace("_", "-") for module in pkgutil.iter_modules(declared.__path__))


def find_experiment(name: str) -> Experiment:
    """The experiment of that name.

    Raises:
        ConfigError: there is none.
    """
    names = experiment_names()
    if name not in names:
        nearest = get_close_matches(name, names, n=1)
        hint = f"did you mean {nearest[0]!r}?" if nearest else f"there are: {', '.join(names)}"
        raise ConfigError(f"no experiment {name!r}; {hint}")
    return cast(Experiment, importlib.import_module(f"{declared.__name__}.{name.replace('-', '_')}").EXPERIMENT)


def slug(text: str) -> str:
    """Lower-case letters, digits and single hyphens."""
    return "-".join("".join(sign if sign.isalnum() else " " for sign in text.lower()).split())


def _placed(recipe: Recipe, data: Path | None) -> Recipe:
    corpus = recipe.corpus
    if isinstance(corpus, AnySimulatedConfig):
        return recipe
    if data is None:
        raise ConfigError(f"the reader {corpus.reader!r} needs its data: give --data, or set NOSOLOGY_DATA")
    if isinstance(corpus, CodiespConfig):
        return recipe.with_data(data.absolute() / "codiesp")
    if corpus.path is None:
        raise ConfigError(f"a recipe that reads {corpus.reader!r} must name its path, relative to the data folder")
    return recipe.with_data(data.absolute() / corpus.path)
