"""The default predictor: candidates of several sources, and one ranker that scores them all."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from nosology.checkpoint import ModelFolder, load_arrays, save_arrays
from nosology.codes.titles import TitleTable
from nosology.config import Recipe
from nosology.knowledge.base import Expression, KnowledgeBase
from nosology.knowledge.stream import TokenStream
from nosology.predictor import FitTask, Fitted, HeldOut, Prediction, load_part, read_json, save_part, write_json
from nosology.ranking.candidates import CandidateGenerator
from nosology.ranking.fitting import SOURCES, cross_fit, fit_generator, plan_sources, share_detector
from nosology.ranking.priors import CodePriors
from nosology.ranking.ranker import Ranker, out_of_fold_scores, ranker_options
from nosology.ranking.source import CandidateSource

_NAMES: dict[type[CandidateSource], str] = {kind: name for name, kind in SOURCES.items()}


@dataclass(frozen=True, eq=False, repr=False)
class RankedCandidates:
    """Sources of candidates and their ranker.

    Args:
        generator: sources of candidates, fitted on all training encounters.
        ranker: scores candidates.
    """

    generator: CandidateGenerator
    ranker: Ranker

    @property
    def label_counts(self) -> Mapping[str, int]:
        return self.generator.code_priors.counts

    @property
    def labels(self) -> Sequence[str]:
        return self.generator.labels

    def predict(self, stream: TokenStream) -> Prediction:
        proposal = self.generator.propose(stream)
        return Prediction(proposal.codes, self.ranker.score(proposal.features), proposal.mentions)

    def mined_expressions(self, titles: TitleTable, language: str) -> Iterator[Expression]:
        return self.generator.mined_expressions(titles, language)

    @staticmethod
    def fit(task: FitTask, knowledge: KnowledgeBase, titles: TitleTable, recipe: Recipe) -> Fitted:
        """Cross-fit the sources, so that the ranker learns from candidates as they will look on a new note.

        Args:
            task: what to learn from.
            knowledge: expressions of the code tables and term lists.
            titles: of labels.
            recipe: which candidates and trees.
        """
        plan = plan_sources(task.training, knowledge, titles, recipe)
        candidates = cross_fit(task.training, plan, task.folds, task.tell)
        generator = fit_generator(task.training, plan)
        rows = np.concatenate([found.rows(generator.feature_names) for found in candidates])
        pairs = zip(candidates, (example.code_set for example in task.training.examples), strict=True)
        right = np.array([code in gold for found, gold in pairs for code in found.codes], dtype=np.bool_)
        fold_of_row = np.repeat(task.folds, [len(found.codes) for found in candidates])
        options = ranker_options(recipe)
        task.tell("scoring out of fold", 0.0)
        scores = out_of_fold_scores(rows, right, fold_of_row, options, task.seed)
        task.tell("fitting the ranker", 0.0)
        seen = rows[:, generator.feature_names.index("log_count")] != 0.0
        ranker = Ranker.fit(rows, right, options, task.seed)
        return Fitted(RankedCandidates(generator, ranker), HeldOut(scores, right, seen), knowledge)

    def save(self, folder: Path) -> None:
        names = [_NAMES[type(source)] for source in self.generator.sources]
        for name, source in zip(names, self.generator.sources, strict=True):
            save_part(folder, name, *source.state())
        write_json(folder / "sources.json", names)  # in the order of their features, which the ranker knows by place
        save_part(folder, "priors", *self.generator.code_priors.state())
        save_arrays(folder / "ranker.npz", self.ranker.state())

    @staticmethod
    def load(folder: ModelFolder, titles: TitleTable) -> RankedCandidates:
        priors = CodePriors.from_state(*load_part(folder, "priors"), lambda code: titles.title(code).lower())
        names: list[str] = read_json(folder.file("sources.json"))
        sources: list[CandidateSource] = [SOURCES[name].from_state(*load_part(folder, name)) for name in names]
        ranker = Ranker.from_state(load_arrays(folder.file("ranker.npz")))
        return RankedCandidates(CandidateGenerator(tuple(share_detector(sources)), priors), ranker)
