"""Recipes: TOML files read into frozen dataclasses, with every problem of a file reported at once.

TOML because YAML turns codes into numbers (``041`` -> 33, ``250.10`` -> 250.1, ``NO`` -> False). Nothing is coerced: a
code must be a quoted string, a switch a ``true`` or ``false``; only a whole number may stand where a real one is due.

To add an option, add one line to its section: a name, a type, a default and, where the type allows more than the
option does, a rule: ``folds: int = field(default=5, metadata=between(2, 20))``. The rule holds in Python, too.
"""

from __future__ import annotations

from nosology.config.cleaning import CleaningConfig, DuplicateRule, Measures, NoiseThresholds
from nosology.config.endpoint import EndpointConfig, EndpointModelConfig
from nosology.config.llm import LlmConfig, LlmModelConfig
from nosology.config.neural import NetworkConfig, NeuralConfig
from nosology.config.reading import dataclass_from_mapping, read_toml
from nosology.config.recipe import Recipe, load_recipe
from nosology.config.rules import Section, above, at_least, between, not_empty, rule
from nosology.config.sections import (
    AnySimulatedConfig,
    CalibrationConfig,
    CandidatesConfig,
    CodiespConfig,
    CorpusConfig,
    KnowledgeConfig,
    ModelConfig,
    NeighboursConfig,
    PreparedConfig,
    PriorConfig,
    RankerConfig,
    RankerModelConfig,
    SimulatedConfig,
    SimulatedMimic3Config,
    TabularConfig,
    TfidfConfig,
    TrainingConfig,
)
from nosology.config.writing import to_toml

__all__ = [
    "AnySimulatedConfig",
    "CalibrationConfig",
    "CandidatesConfig",
    "CleaningConfig",
    "CodiespConfig",
    "CorpusConfig",
    "DuplicateRule",
    "EndpointConfig",
    "EndpointModelConfig",
    "KnowledgeConfig",
    "LlmConfig",
    "LlmModelConfig",
    "Measures",
    "ModelConfig",
    "NeighboursConfig",
    "NetworkConfig",
    "NeuralConfig",
    "NoiseThresholds",
    "PreparedConfig",
    "PriorConfig",
    "RankerConfig",
    "RankerModelConfig",
    "Recipe",
    "Section",
    "SimulatedConfig",
    "SimulatedMimic3Config",
    "TabularConfig",
    "TfidfConfig",
    "TrainingConfig",
    "above",
    "at_least",
    "between",
    "dataclass_from_mapping",
    "load_recipe",
    "not_empty",
    "read_toml",
    "rule",
    "to_toml",
]
