"""A recipe: everything that decides what training makes, and how it is read from its file."""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from pathlib import Path

from nosology.config.cleaning import CleaningConfig
from nosology.config.endpoint import EndpointModelConfig
from nosology.config.neural import NeuralConfig
from nosology.config.reading import dataclass_from_mapping, read_toml
from nosology.config.rules import Section
from nosology.config.sections import (
    AnySimulatedConfig,
    CalibrationConfig,
    CandidatesConfig,
    CorpusConfig,
    KnowledgeConfig,
    ModelConfig,
    RankerConfig,
    RankerModelConfig,
    TrainingConfig,
)
from nosology.errors import ConfigError


@dataclass(frozen=True, slots=True)
class Recipe(Section):
    """Everything that decides what ``train`` makes, apart from the data.

    Args:
        corpus: what is read, and how.
        description: one line for people, shown on the model card.
        knowledge: where expressions come from.
        candidates: which codes are ranked.
        ranker: the trees.
        calibration: probabilities, threshold, abstention.
        training: folds and seed.
        model: what scores codes; a baseline takes no section that is the ranker's alone.
        cleaning: done to the encounters that are learnt from, never to those that are scored; left out, nothing is.
    """

    corpus: CorpusConfig
    description: str = ""
    knowledge: KnowledgeConfig = field(default_factory=KnowledgeConfig)
    candidates: CandidatesConfig = field(default_factory=CandidatesConfig)
    ranker: RankerConfig = field(default_factory=RankerConfig)
    calibration: CalibrationConfig = field(default_factory=CalibrationConfig)
    training: TrainingConfig = field(default_factory=TrainingConfig)
    model: ModelConfig = field(default_factory=RankerModelConfig)
    cleaning: CleaningConfig | None = None

    def __post_init__(self) -> None:
        Section.__post_init__(self)
        _check_cleaning(self)
        if not isinstance(self.model, RankerModelConfig):
            unread = [name for name, differs in _set_for_the_ranker(self).items() if differs]
            if unread:
                raise ConfigError(
                    f"{', '.join(unread)}: read by the model 'ranker' only, not by {self.model.kind!r}; leave out"
                )

    def with_data(self, path: str | Path) -> Recipe:
        """This recipe with its corpus at ``path``; the simulated corpus has no path and stays as it is."""
        if isinstance(self.corpus, AnySimulatedConfig):
            return self
        return replace(self, corpus=replace(self.corpus, path=str(path)))


def _check_cleaning(recipe: Recipe) -> None:
    """Cleaning does something, and something that the model can learn from."""
    if recipe.cleaning is None:
        return
    measures = recipe.cleaning.measures
    if not measures.taken:
        names = ", ".join(type(measures).__dataclass_fields__)
        raise ConfigError(f"[cleaning] takes no measure; set one of {names} in [cleaning.measures], or leave it out")
    if measures.weigh and not isinstance(recipe.model, NeuralConfig):
        raise ConfigError(
            f"[cleaning.measures] weigh: certainties of codes are learnt by the model 'neural' only, not by "
            f"{recipe.model.kind!r}; drop_implausible and add_missing work for every model"
        )


def _set_for_the_ranker(recipe: Recipe) -> dict[str, bool]:
    """What only the ranker reads, and whether the recipe sets it."""
    calibration = recipe.calibration
    return {
        "[candidates]": recipe.candidates != CandidatesConfig(),
        "[ranker]": recipe.ranker != RankerConfig(),
        "[knowledge]": recipe.knowledge != _read_by_others(recipe),
        "[calibration] folds": calibration.folds != CalibrationConfig().folds,
        "[calibration] unseen_precision": calibration.unseen_precision != CalibrationConfig().unseen_precision,
    }


def _read_by_others(recipe: Recipe) -> KnowledgeConfig:
    """The recipe's ``[knowledge]`` where it says no more than its model reads."""
    own = recipe.knowledge
    if isinstance(recipe.model, EndpointModelConfig):
        return KnowledgeConfig(own.code_tables, own.term_lists, code_table=own.code_table)
    return KnowledgeConfig(code_table=own.code_table)


def load_recipe(path: str | Path) -> Recipe:
    """Read a recipe.

    Args:
        path: a TOML file.

    Returns:
        The recipe; a relative ``path`` of its corpus is made absolute, seen from the recipe's folder.

    Raises:
        ConfigError: the file cannot be read or is not TOML, or, all in one line, everything wrong with its keys.
    """
    recipe = dataclass_from_mapping(Recipe, read_toml(path), str(path))
    corpus = recipe.corpus
    if isinstance(corpus, AnySimulatedConfig) or corpus.path is None:
        return recipe
    return recipe.with_data(Path(path).absolute().parent / corpus.path)
