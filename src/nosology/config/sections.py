"""The sections of a recipe, one option a field."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Literal

from nosology.config.endpoint import EndpointModelConfig
from nosology.config.llm import LlmModelConfig
from nosology.config.neural import NetworkConfig, NeuralConfig
from nosology.config.rules import Section, above, at_least, between, not_empty, rule
from nosology.config.trainer import VALIDATING
from nosology.errors import ConfigError


@dataclass(frozen=True, slots=True)
class CodiespConfig(Section):
    """CodiEsp in its official release layout.

    Args:
        reader: chooses this section.
        task: which codes are the labels.
        language: which text is read; "en" is the release's machine translation, which has no evidence offsets.
        path: the release's folder; relative to the recipe. ``--data`` comes first, ``NOSOLOGY_DATA`` last.
    """

    reader: Literal["codiesp"] = "codiesp"
    task: Literal["diagnoses", "procedures", "both"] = "diagnoses"
    language: Literal["es", "en"] = "es"
    path: str | None = None


@dataclass(frozen=True, slots=True)
class TabularConfig(Section):
    """Rows of a JSONL, CSV or Parquet file, one note a row.

    Args:
        reader: chooses this section.
        system: the code system of every label ("icd10cm", "icd10pcs", "icd9cm", "icd9proc", or your own).
        language: ISO 639-1 of the notes.
        text: the column of the note's text.
        codes: the column of its codes; a list in JSONL and Parquet, ``separator``-joined in CSV.
        encounter_id: the column of ids; rows that share one are notes of one encounter. Empty: the row number.
        note_id: the column of note ids. Empty: made from the encounter's id.
        group_id: the column of patients, never parted by a split. Empty: every encounter is its own group.
        split: the column of "train", "dev", "test". Empty: no splits.
        evidence: the column of evidence spans. Empty: none.
        separator: what parts codes in one CSV cell.
        path: the file; relative to the recipe. ``--data`` comes first.
    """

    reader: Literal["tabular"] = "tabular"
    system: str = field(default="icd10cm", metadata=not_empty())
    language: str = field(default="en", metadata=not_empty())
    text: str = field(default="text", metadata=not_empty())
    codes: str = field(default="codes", metadata=not_empty())
    encounter_id: str = ""
    note_id: str = ""
    group_id: str = ""
    split: str = ""
    evidence: str = ""
    separator: str = field(default=";", metadata=not_empty())
    path: str | None = None


@dataclass(frozen=True, slots=True)
class SimulatedConfig(Section):
    """Seeded, made-up discharge summaries with known codes and evidence; needs no data.

    Args:
        reader: chooses this section.
        encounters: how many are made, all splits together.
        codes: how many distinct codes they draw from.
        seed: the corpus's own seed, apart from the training's.
        noise: share of the training split's codes that are mistakes: half of them replaced by a relative, half missing.
    """

    reader: Literal["simulated"] = "simulated"
    encounters: int = field(default=2000, metadata=between(10, 1_000_000))
    codes: int = field(default=2000, metadata=between(10, 20_000))
    seed: int = field(default=0, metadata=at_least(0))
    noise: float = field(default=0.0, metadata=between(0, 1))


@dataclass(frozen=True, slots=True)
class SimulatedMimic3Config(Section):
    """A simulated MIMIC-III with its shapes and code frequencies, prepared as the real one is; needs no data.

    Args:
        reader: chooses this section.
        admissions: with a discharge summary, before those without a kept code are left out.
        variant: "50" keeps the 50 most frequent codes, "full" all.
        words: kept of each note, from its beginning; left out, all.
        seed: of patients and notes, apart from the training's.
    """

    reader: Literal["simulated_mimic3"] = "simulated_mimic3"
    admissions: int = field(default=2000, metadata=between(10, 100_000))
    variant: Literal["50", "full"] = "50"
    words: int | None = field(
        default=None, metadata=rule(lambda value: None if value is None or value >= 1 else f"{value!r} is below 1")
    )
    seed: int = field(default=0, metadata=at_least(0))


@dataclass(frozen=True, slots=True)
class PreparedConfig(Section):
    """A folder that `nosology prepare` made (MIMIC-III, MIMIC-IV and others).

    Args:
        reader: chooses this section.
        path: the folder; relative to the recipe. ``--data`` comes first.
    """

    reader: Literal["prepared"] = "prepared"
    path: str | None = None


AnySimulatedConfig = SimulatedConfig | SimulatedMimic3Config
CorpusConfig = CodiespConfig | TabularConfig | SimulatedConfig | SimulatedMimic3Config | PreparedConfig


@dataclass(frozen=True, slots=True)
class KnowledgeConfig(Section):
    """Where the knowledge base takes its expressions from.

    Args:
        code_tables: titles and inclusion terms of the code system's tables.
        term_lists: tab-separated files (system, code, term, source, concept), relative to the data folder.
        mined_evidence: the words that people marked as evidence in the training split.
        mined_association: words of the training split that go with a code.
        code_table: a table of your own code system (CSV or TSV: code, description, parent), relative to the data
            folder; for a corpus whose ``system`` is none of the known ones.
    """

    code_tables: bool = True
    term_lists: tuple[str, ...] = ()
    mined_evidence: bool = True
    mined_association: bool = True
    code_table: str | None = None


@dataclass(frozen=True, slots=True)
class CandidatesConfig(Section):
    """Which codes of an encounter are ranked at all.

    Args:
        association: candidates a note from associated words and similar notes, at most.
        unseen: candidates a note that no training note carries, from titles and terms, at most; 0 assigns only codes
            seen in training.
        seen: candidates a note that training notes carry, from titles and terms, at most.
    """

    association: int = field(default=60, metadata=between(0, 500))
    unseen: int = field(default=40, metadata=between(0, 500))
    seen: int = field(default=40, metadata=between(0, 500))


@dataclass(frozen=True, slots=True)
class RankerConfig(Section):
    """The trees of the ranker that all codes share.

    Args:
        boosting_trees: trees of the gradient boosting; 0 leaves it out.
        random_trees: trees of the randomised forest; 0 leaves it out.
    """

    boosting_trees: int = field(default=150, metadata=between(0, 5000))
    random_trees: int = field(default=60, metadata=between(0, 5000))

    def __post_init__(self) -> None:
        Section.__post_init__(self)
        if self.boosting_trees == 0 and self.random_trees == 0:
            raise ConfigError("boosting_trees and random_trees are both 0; a ranker needs trees of one kind")


@dataclass(frozen=True, slots=True)
class CalibrationConfig(Section):
    """From scores to decisions; all of it is chosen on out-of-fold scores inside the training split.

    Args:
        folds: parts of the out-of-fold scores.
        threshold: a probability at which codes are assigned; left out, the one of the highest micro-F1.
        thresholds: what has a threshold of its own, of the highest F1 on what it is for: all codes together, the codes
            of a band of training frequency, or each code.
        shrinkage: with "labels", the encounters at which a code's own threshold weighs as much as the one for all.
        unseen_precision: codes that no training encounter carries get a threshold of their own, the lowest at which
            this share of those assigned is right out of fold; never above ``threshold``. Such a choice is optimistic:
            on new notes expect less.
        abstain_below: where no candidate reaches this probability, the coder abstains from the encounter.
    """

    folds: int = field(default=5, metadata=between(2, 20))
    threshold: float | None = field(
        default=None, metadata=rule(lambda value: None if value is None or 0 <= value <= 1 else "is not in [0, 1]")
    )
    thresholds: Literal["global", "bands", "labels"] = "global"
    shrinkage: float = field(default=20.0, metadata=at_least(0))
    unseen_precision: float = field(default=0.5, metadata=between(0, 1))
    abstain_below: float = field(default=0.1, metadata=between(0, 1))

    def __post_init__(self) -> None:
        Section.__post_init__(self)
        if self.threshold is not None and self.thresholds != "global":
            raise ConfigError(f'threshold is one for all codes; leave it out, or thresholds = "{self.thresholds}"')


@dataclass(frozen=True, slots=True)
class TrainingConfig(Section):
    """How the ranker is trained.

    Args:
        folds: parts of the cross-fitting; a group (patient, article) is never in two.
        seed: of every random choice in training; ``--seed`` comes first.
    """

    folds: int = field(default=10, metadata=between(2, 20))
    seed: int = field(default=0, metadata=at_least(0))


@dataclass(frozen=True, slots=True)
class RankerModelConfig(Section):
    """Candidates of several sources, ranked by trees: the default coder. ``[candidates]``, ``[ranker]`` and
    ``[knowledge]`` say how.

    Args:
        kind: chooses this section.
        network: a neural network that also proposes codes; its scores are features of the ranker.
        network_folds: parts of the network's own cross-fitting; each costs a training.
    """

    kind: Literal["ranker"] = "ranker"
    network: NetworkConfig | None = None
    network_folds: int = field(default=3, metadata=between(2, 20))

    def __post_init__(self) -> None:
        Section.__post_init__(self)
        if self.network is None:
            if self.network_folds != RankerModelConfig.__dataclass_fields__["network_folds"].default:
                raise ConfigError("network_folds is read only with a network; add [model.network], or leave it out")
            return
        changed = self.network.trainer.changed(VALIDATING)
        if changed:
            raise ConfigError(
                f"{', '.join(changed)} of the trainer: the networks of a ranker train without a dev split, "
                "so nothing is validated; leave this out"
            )


@dataclass(frozen=True, slots=True)
class PriorConfig(Section):
    """Baseline: every note gets the commonest codes, with the share of training encounters that carry each.

    Args:
        kind: chooses this section.
        candidates: codes listed a note, at most.
    """

    kind: Literal["prior"] = "prior"
    candidates: int = field(default=100, metadata=between(1, 10_000))


@dataclass(frozen=True, slots=True)
class TfidfConfig(Section):
    """Baseline: TF-IDF of word n-grams and one logistic regression a code.

    Args:
        kind: chooses this section.
        words: in the longest n-gram.
        least_notes: training encounters that an n-gram must occur in.
        strength: weight of the data against the penalty on the weights (``C`` in scikit-learn).
        weights: kept a code, the largest.
        candidates: codes listed a note, at most.
    """

    kind: Literal["tfidf"] = "tfidf"
    words: int = field(default=2, metadata=between(1, 5))
    least_notes: int = field(default=2, metadata=at_least(1))
    strength: float = field(default=100.0, metadata=above(0))
    weights: int = field(default=2000, metadata=at_least(1))
    candidates: int = field(default=100, metadata=between(1, 10_000))


@dataclass(frozen=True, slots=True)
class NeighboursConfig(Section):
    """Baseline: the codes of the most similar training encounters, weighted by cosine of TF-IDF.

    Args:
        kind: chooses this section.
        words: in the longest n-gram.
        least_notes: training encounters that an n-gram must occur in.
        neighbours: encounters that vote.
        candidates: codes listed a note, at most.
    """

    kind: Literal["neighbours"] = "neighbours"
    words: int = field(default=2, metadata=between(1, 5))
    least_notes: int = field(default=2, metadata=at_least(1))
    neighbours: int = field(default=20, metadata=between(1, 10_000))
    candidates: int = field(default=100, metadata=between(1, 10_000))


ModelConfig = (
    RankerModelConfig
    | PriorConfig
    | TfidfConfig
    | NeighboursConfig
    | NeuralConfig
    | LlmModelConfig
    | EndpointModelConfig
)
