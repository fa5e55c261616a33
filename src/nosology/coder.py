"""The pipeline on one page: ``Coder.fit`` learns to code a corpus, ``Coder.code`` codes an encounter with its evidence.

encounter -> words -> a predictor's candidates and scores -> probability -> assigned or not -> evidence

The recipe's ``[model]`` chooses the predictor; everything else is shared by all of them.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import NamedTuple, assert_never

import numpy as np
from numpy.typing import NDArray

from nosology.baselines.neighbours import NearestNeighbours
from nosology.baselines.prior import LabelPrior
from nosology.baselines.tfidf import LogisticRegressions
from nosology.calibration import (
    IsotonicCalibration,
    ScoredLabels,
    ThresholdKind,
    threshold_of_precision,
    tune_scored,
)
from nosology.cleaning.training import clean_for_training
from nosology.codes import CodeSystem
from nosology.codes.titles import TitleTable
from nosology.config import (
    EndpointModelConfig,
    LlmModelConfig,
    NeighboursConfig,
    NetworkConfig,
    NeuralConfig,
    PriorConfig,
    RankerModelConfig,
    Recipe,
    TfidfConfig,
)
from nosology.config.llm import Reading
from nosology.corpora.splits import grouped_folds
from nosology.endpoint.predictor import EndpointPredictor
from nosology.errors import ConfigError, CorpusError
from nosology.explanation.evidence import EXPLAINED_FROM, choose_evidence
from nosology.knowledge.base import KnowledgeBase
from nosology.knowledge.building import build_knowledge, open_systems
from nosology.knowledge.stream import TokenStream, build_stream
from nosology.knowledge.wordings import Wordings
from nosology.llm import require_llm
from nosology.model_card import Facts, Outcome
from nosology.neural import require_neural
from nosology.predictor import FitTask, Fitted, HeldOut, Predictor, Progress, Remarking
from nosology.ranked import RankedCandidates
from nosology.ranking.source import Mention, TrainingExample, TrainingSet
from nosology.types import CodedEncounter, Corpus, Encounter, Note, SuggestedCode


@dataclass(frozen=True, eq=False, repr=False)
class Coder:
    """A fitted pipeline.

    Args:
        recipe: what it was made from.
        predictor: scores codes.
        calibration: scores to probabilities.
        threshold: probability from which a code is assigned.
        unseen_threshold: the same for codes that no training encounter carries.
        own_thresholds: the same for single codes, where the recipe wants them by frequency band or by code.
        titles: of every label it can give.
        knowledge: the expressions it has read and mined.
        language: ISO 639-1 of the training notes.
        facts: what the model card says of its training.
    """

    recipe: Recipe
    predictor: Predictor
    calibration: IsotonicCalibration
    threshold: float
    unseen_threshold: float
    own_thresholds: Mapping[str, float]
    titles: TitleTable
    knowledge: KnowledgeBase
    language: str
    facts: Facts

    @property
    def label_counts(self) -> Mapping[str, int]:
        """Training encounters with each code."""
        return self.predictor.label_counts

    @property
    def training_remarks(self) -> tuple[str, ...]:
        """What a person should know of the training, if its method has anything to say."""
        cleaned = (f"cleaned before training: {self.facts.cleaned}",) if self.facts.cleaned else ()
        return (*cleaned, *(self.predictor.remarks if isinstance(self.predictor, Remarking) else ()))

    @property
    def coding_remark(self) -> str | None:
        """How many notes of those coded were longer than the method reads, if it counts them and there were any."""
        return self.predictor.cut_remark if isinstance(self.predictor, Remarking) else None

    @staticmethod
    def fit(
        corpus: Corpus, recipe: Recipe, *, seed: int = 0, progress: Progress | None = None, work: Path | None = None
    ) -> Coder:
        """Learn from coded encounters.

        Predictors are cross-fitted by patient or article; calibration and threshold come from out-of-fold scores inside
        these encounters. Where the recipe has ``[cleaning]``, all of this sees the cleaned encounters.

        Args:
            corpus: coded encounters; those without codes (``None``) are left out.
            recipe: which model, and how it learns.
            seed: of every random choice.
            progress: told what is being done and the share of it that is done.
            work: a folder for what the training of a network keeps: called again after a stop, it goes on from there.

        Raises:
            CorpusError: fewer than two groups of coded encounters, or none with a code.
        """
        tell = progress or _silent
        cleaned, done = clean_for_training(corpus, recipe, tell)
        coded, task = _task(cleaned, recipe, seed, tell, work)
        return _fit(cleaned, coded, task, recipe, done)

    @staticmethod
    def dry_run(corpus: Corpus, recipe: Recipe, *, seed: int = 0) -> str:
        """What ``fit`` would take for the recipe's networks, in a few lines: parameters, memory, steps, time.

        Nothing is cleaned here.

        Raises:
            ConfigError: the recipe has no network; whatever else ``fit`` raises before it learns.
        """
        match recipe.model:
            case RankerModelConfig(network=NetworkConfig() as network, network_folds=folds):
                require_neural()
                from nosology.neural.cross_fitting import dry_run

                task, wordings = _unlearnt(corpus, recipe, seed)
                return dry_run(task, network, folds, wordings)
            case NeuralConfig(network=network):
                require_neural()
                from nosology.neural.predictor import NeuralPredictor

                task, wordings = _unlearnt(corpus, recipe, seed)
                return NeuralPredictor.dry_run(task, network, wordings)
            case LlmModelConfig(llm=llm):
                require_llm()
                from nosology.llm.predictor import LlmPredictor

                task, wordings = _unlearnt(corpus, recipe, seed)
                return LlmPredictor.dry_run(task, llm, wordings)
            case other:
                raise ConfigError(
                    f"a dry run is for networks, and the recipe has none (its model is of kind {other.kind!r}); "
                    "train it without"
                )

    def code(self, note: str | Note | Encounter) -> CodedEncounter:
        """Code one note or encounter.

        Args:
            note: a text in the training notes' language, a note, or an encounter of several notes.

        Returns:
            Candidates by falling probability, each with its evidence. A code below the threshold is not assigned; if
            even the best lies below the recipe's floor, the coder abstains and assigns nothing.
        """
        encounter = self._as_encounter(note)
        stream = build_stream(encounter)
        if not len(stream):
            return CodedEncounter(encounter.encounter_id, (), self.recipe.calibration.abstain_below > 0.0)
        found = self.predictor.predict(stream)
        probabilities = self.calibration.apply(found.scores)
        abstained = float(probabilities.max(initial=0.0)) < self.recipe.calibration.abstain_below
        seen = self.label_counts
        codes = (
            self._suggest(code, -negative, abstained, seen, stream, found.mentions)
            for negative, code in sorted(zip((-probabilities).tolist(), found.codes, strict=True))
        )
        return CodedEncounter(encounter.encounter_id, tuple(codes), abstained, found.failed)

    def code_many(self, encounters: Iterable[Encounter]) -> Iterator[CodedEncounter]:
        """Code encounters one after another."""
        return (self.code(encounter) for encounter in encounters)

    def read_as(self, reading: Reading) -> Coder:
        """The same language model, read by what it writes ("gen"), by label attention ("att") or by what is better on
        the encounters held out ("auto"); calibration and threshold are that reading's. Nothing is trained.

        Raises:
            ConfigError: this coder has no such reading.
        """
        model = self.recipe.model
        if not isinstance(model, LlmModelConfig):
            raise ConfigError(f"a model of kind {model.kind!r} has one reading; only language models have several")
        from nosology.llm.predictor import LlmPredictor

        assert isinstance(self.predictor, LlmPredictor)
        predictor, held = self.predictor.read_as(reading)
        recipe = replace(self.recipe, model=replace(model, llm=predictor.coder.config))
        decided = _decide(held, recipe, predictor.label_counts)
        facts = self.facts.rejudged(decided.threshold, decided.outcome(held))
        return replace(self, recipe=recipe, predictor=predictor, facts=facts, **decided._asdict())

    def save(self, path: str | Path, *, overwrite: bool = False) -> None:
        """Write the model folder, whole or not at all.

        Raises:
            ModelError: the place is taken or cannot be written.
        """
        from nosology.coder_files import save_coder

        save_coder(self, path, overwrite=overwrite)

    @staticmethod
    def from_pretrained(path: str | Path) -> Coder:
        """Load a model folder after checking every file's hash.

        Raises:
            ModelError: what is wrong with it and what to do.
        """
        from nosology.coder_files import load_coder

        return load_coder(path)

    def _as_encounter(self, note: str | Note | Encounter) -> Encounter:
        if isinstance(note, Encounter):
            return note
        if isinstance(note, str):
            note = Note("note", note, language=self.language)
        return Encounter(note.note_id, (note,))

    def _suggest(
        self,
        code: str,
        probability: float,
        abstained: bool,
        seen: Mapping[str, int],
        stream: TokenStream,
        mentions: Mapping[str, Sequence[Mention]],
    ) -> SuggestedCode:
        threshold = self.own_thresholds.get(code)
        if threshold is None:
            threshold = self.threshold if code in seen else self.unseen_threshold
        assigned = not abstained and probability >= threshold
        system, title = self.titles.entry(code)
        if not assigned and probability < EXPLAINED_FROM:
            return SuggestedCode(code, system, probability, assigned, (), (), title)
        evidence, expressions = choose_evidence(stream, mentions.get(code, ()))
        return SuggestedCode(code, system, probability, assigned, evidence, expressions, title)


def _task(
    corpus: Corpus, recipe: Recipe, seed: int, tell: Progress, work: Path | None
) -> tuple[list[Encounter], FitTask]:
    """The coded encounters, and what a method is fitted with."""
    coded = [encounter for encounter in corpus if encounter.codes is not None]
    folds = _folds(coded, recipe.training.folds, seed)
    tell("reading notes", 0.0)
    return coded, FitTask(TrainingSet(tuple(_example(encounter) for encounter in coded)), folds, seed, tell, work)


def _unlearnt(corpus: Corpus, recipe: Recipe, seed: int) -> tuple[FitTask, Wordings]:
    """What a network would be fitted with."""
    _, task = _task(corpus, recipe, seed, _silent, None)
    systems = open_systems(corpus.systems, recipe)
    return task, Wordings(TitleTable.of(systems), lambda: build_knowledge(systems, recipe))


def _fit(corpus: Corpus, coded: list[Encounter], task: FitTask, recipe: Recipe, cleaned: str) -> Coder:
    task.tell("reading code tables", 0.0)
    systems = open_systems(corpus.systems, recipe)
    titles = TitleTable.of(systems)
    predictor, held, knowledge = _fit_predictor(task, systems, titles, recipe)
    decided = _decide(held, recipe, predictor.label_counts)
    language = coded[0].notes[0].language
    facts = Facts.of(corpus, coded, task.seed, decided.threshold, decided.outcome(held), cleaned)
    knowledge = knowledge.with_expressions(predictor.mined_expressions(titles, language))
    return Coder(recipe, predictor, *decided, titles, knowledge, language, facts)


class _Decided(NamedTuple):
    """From scores to decisions; see ``Coder``."""

    calibration: IsotonicCalibration
    threshold: float
    unseen_threshold: float
    own_thresholds: Mapping[str, float]

    def outcome(self, held: HeldOut) -> Outcome:
        """What the decisions come to on the encounters held out that they were chosen on."""
        probabilities = self.calibration.apply(held.scores)
        own = np.array([self.own_thresholds.get(code, self.threshold) for code in held.codes], dtype=np.float64)
        return Outcome(probabilities, probabilities >= own, held.right, held.gold_count)


def _decide(held: HeldOut, recipe: Recipe, counts: Mapping[str, int]) -> _Decided:
    """Calibration and thresholds from encounters that were held out.

    Args:
        held: their candidates.
        recipe: says what has a threshold of its own.
        counts: training encounters with each code.
    """
    options = recipe.calibration
    calibration = IsotonicCalibration.fit(held.scores, held.right)
    probabilities = calibration.apply(held.scores)
    threshold, own = options.threshold, dict[str, float]()
    if threshold is None:
        scored = _scored(held, probabilities)
        kind = ThresholdKind(options.thresholds)
        tuned = tune_scored(scored, kind, train_counts=counts, shrinkage=options.shrinkage)
        threshold, own = tuned.whole, {code: value for code, value in tuned.of_code.items() if code in counts}
    unseen = ~held.seen
    least = threshold_of_precision(probabilities[unseen], held.right[unseen], options.unseen_precision, threshold)
    return _Decided(calibration, threshold, least, own)


def _scored(held: HeldOut, probabilities: NDArray[np.float64]) -> ScoredLabels:
    labels = sorted({*held.codes, *held.gold})
    place = {code: number for number, code in enumerate(labels)}
    label = np.array([place[code] for code in held.codes], dtype=np.int64)
    gold = np.array([held.gold.get(code, 0) for code in labels], dtype=np.int64)
    return ScoredLabels(labels, label, probabilities, held.right, gold)


def _fit_predictor(task: FitTask, systems: Sequence[CodeSystem], titles: TitleTable, recipe: Recipe) -> Fitted:
    match recipe.model:
        case RankerModelConfig():
            return RankedCandidates.fit(task, build_knowledge(systems, recipe), titles, recipe)
        case NeuralConfig():
            require_neural()
            from nosology.neural.predictor import NeuralPredictor

            wordings = Wordings(titles, lambda: build_knowledge(systems, recipe))
            return NeuralPredictor.fit(task, recipe.model.network, wordings)
        case LlmModelConfig():
            require_llm()
            from nosology.llm.predictor import LlmPredictor

            wordings = Wordings(titles, lambda: build_knowledge(systems, recipe))
            return LlmPredictor.fit(task, recipe.model.llm, wordings)
        case EndpointModelConfig():
            return EndpointPredictor.fit(task, recipe.model, build_knowledge(systems, recipe), titles)
        case PriorConfig():
            return LabelPrior.fit(task, recipe.model)
        case TfidfConfig():
            return LogisticRegressions.fit(task, recipe.model)
        case NeighboursConfig():
            return NearestNeighbours.fit(task, recipe.model)
        case _:
            assert_never(recipe.model)


def _silent(stage: str, share: float) -> None:
    """Progress for nobody."""


def _example(encounter: Encounter) -> TrainingExample:
    return TrainingExample(build_stream(encounter), encounter.codes or (), encounter.group_id)


def _folds(encounters: list[Encounter], folds: int, seed: int) -> NDArray[np.int64]:
    seen = set[str]()
    for encounter in encounters:
        if encounter.encounter_id in seen:
            raise CorpusError("two encounters have this id; give each its own", record_id=encounter.encounter_id)
        seen.add(encounter.encounter_id)
    groups = {encounter.group_id or encounter.encounter_id for encounter in encounters}
    if len(groups) < 2:
        raise CorpusError(
            f"{len(groups)} patients or articles with codes are too few to learn from; cross-fitting needs at least two"
        )
    if not any(encounter.codes for encounter in encounters):
        raise CorpusError("no encounter of the training splits has a code; check the column or files of codes")
    return grouped_folds(encounters, min(folds, len(groups)), seed)
