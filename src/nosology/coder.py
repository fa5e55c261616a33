"""The pipeline on one page: ``Coder.fit`` learns to code a corpus, ``Coder.code`` codes an encounter with its evidence.

encounter -> words -> candidates with features -> score -> probability -> assigned or not -> evidence
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from nosology.calibration import IsotonicCalibration, best_threshold, threshold_of_precision
from nosology.codes.titles import TitleTable
from nosology.config import Recipe
from nosology.corpora.splits import grouped_folds
from nosology.errors import CorpusError
from nosology.explanation.evidence import choose_evidence
from nosology.knowledge.base import KnowledgeBase
from nosology.knowledge.building import build_knowledge, open_systems
from nosology.knowledge.stream import TokenStream, build_stream
from nosology.model_card import Facts
from nosology.ranking.candidates import CandidateGenerator
from nosology.ranking.fitting import cross_fit, fit_generator, plan_sources
from nosology.ranking.parallel import single_threaded
from nosology.ranking.ranker import Ranker, out_of_fold_scores, ranker_options
from nosology.ranking.source import Mention, TrainingExample, TrainingSet
from nosology.types import CodedEncounter, Corpus, Encounter, Note, SuggestedCode

Progress = Callable[[str, float], None]
_SHOWN = 0.01
"""Candidates below this probability are listed for the ranking, but come without evidence."""


@dataclass(frozen=True, eq=False, repr=False)
class Coder:
    """A fitted pipeline.

    Args:
        recipe: what it was made from.
        generator: sources of candidates, fitted on all training encounters.
        ranker: scores candidates.
        calibration: scores to probabilities.
        threshold: probability from which a code is assigned.
        unseen_threshold: the same for codes that no training encounter carries.
        titles: of every label it can give.
        knowledge: the expressions it has read and mined.
        language: ISO 639-1 of the training notes.
        facts: what the model card says of its training.
    """

    recipe: Recipe
    generator: CandidateGenerator
    ranker: Ranker
    calibration: IsotonicCalibration
    threshold: float
    unseen_threshold: float
    titles: TitleTable
    knowledge: KnowledgeBase
    language: str
    facts: Facts

    @property
    def label_counts(self) -> Mapping[str, int]:
        """Training encounters with each code."""
        return self.generator.code_priors.counts

    @staticmethod
    def fit(corpus: Corpus, recipe: Recipe, *, seed: int = 0, progress: Progress | None = None) -> Coder:
        """Learn from coded encounters.

        Sources are cross-fitted by patient or article, so the ranker learns from candidates as they will look on a new
        note; calibration and threshold come from out-of-fold scores inside these encounters.

        Args:
            corpus: coded encounters; those without codes (``None``) are left out.
            recipe: which knowledge, candidates and trees.
            seed: of folds and trees.
            progress: told what is being done and the share of it that is done.

        Raises:
            CorpusError: fewer than two groups of coded encounters, or none with a code.
        """
        coded = [encounter for encounter in corpus if encounter.codes is not None]
        folds = _folds(coded, recipe.training.folds, seed)
        with single_threaded():
            return _fit(corpus, coded, folds, recipe, seed, progress or _silent)

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
        proposal = self.generator.propose(stream)
        probabilities = self.calibration.apply(self.ranker.score(proposal.features))
        abstained = float(probabilities.max(initial=0.0)) < self.recipe.calibration.abstain_below
        order = sorted(range(len(proposal.codes)), key=lambda row: (-probabilities[row], proposal.codes[row]))
        codes = (
            self._suggest(proposal.codes[row], float(probabilities[row]), abstained, stream, proposal.mentions)
            for row in order
        )
        return CodedEncounter(encounter.encounter_id, tuple(codes), abstained)

    def code_many(self, encounters: Iterable[Encounter]) -> Iterator[CodedEncounter]:
        """Code encounters one after another."""
        return (self.code(encounter) for encounter in encounters)

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
        stream: TokenStream,
        mentions: Mapping[str, Sequence[Mention]],
    ) -> SuggestedCode:
        threshold = self.threshold if code in self.label_counts else self.unseen_threshold
        assigned = not abstained and probability >= threshold
        worth_showing = assigned or probability >= _SHOWN
        evidence, expressions = choose_evidence(stream, mentions.get(code, ()) if worth_showing else ())
        system, title = self.titles.system(code), self.titles.title(code)
        return SuggestedCode(code, system, probability, assigned, evidence, expressions, title)


def _fit(
    corpus: Corpus, coded: list[Encounter], folds: NDArray[np.int64], recipe: Recipe, seed: int, tell: Progress
) -> Coder:
    tell("reading notes", 0.0)
    training = TrainingSet(tuple(_example(encounter) for encounter in coded))
    tell("reading code tables", 0.0)
    systems = open_systems(corpus.systems, recipe)
    knowledge, titles = build_knowledge(systems, recipe), TitleTable.of(systems)
    plan = plan_sources(training, knowledge, titles, recipe)
    candidates = cross_fit(training, plan, folds, tell)
    generator = fit_generator(training, plan)
    golds = [example.code_set for example in training.examples]
    rows = np.concatenate([found.rows(generator.feature_names) for found in candidates])
    pairs = zip(candidates, golds, strict=True)
    right = np.array([code in gold for found, gold in pairs for code in found.codes], dtype=np.bool_)
    fold_of_row = np.repeat(folds, [len(found.codes) for found in candidates])
    options = ranker_options(recipe)
    tell("scoring out of fold", 0.0)
    scores = out_of_fold_scores(rows, right, fold_of_row, options, seed)
    tell("fitting the ranker", 0.0)
    calibration = IsotonicCalibration.fit(scores, right)
    probabilities, gold_count = calibration.apply(scores), sum(len(gold) for gold in golds)
    threshold = recipe.calibration.threshold
    if threshold is None:
        threshold = best_threshold(probabilities, right, gold_count)
    ranker = Ranker.fit(rows, right, options, seed)
    unseen = rows[:, generator.feature_names.index("log_count")] == 0.0
    wanted = recipe.calibration.unseen_precision
    unseen_threshold = threshold_of_precision(probabilities[unseen], right[unseen], wanted, threshold)
    language = coded[0].notes[0].language
    facts = Facts.of(corpus, coded, seed, threshold, probabilities, right, gold_count)
    knowledge = knowledge.with_expressions(generator.mined_expressions(titles, language))
    thresholds = threshold, unseen_threshold
    return Coder(recipe, generator, ranker, calibration, *thresholds, titles, knowledge, language, facts)


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
