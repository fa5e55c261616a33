"""The default predictor: candidates of several sources, and one ranker that scores them all."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, cast

import numpy as np

from nosology.checkpoint import ModelFolder, load_arrays, save_arrays
from nosology.codes.titles import TitleTable
from nosology.config import RankerModelConfig, Recipe
from nosology.knowledge.base import Expression, KnowledgeBase
from nosology.knowledge.stream import TokenStream
from nosology.knowledge.wordings import Wordings
from nosology.neural import require_neural
from nosology.predictor import FitTask, Fitted, HeldOut, Prediction, load_part, read_json, save_part, write_json
from nosology.ranking.candidates import CandidateGenerator
from nosology.ranking.fitting import SOURCES, cross_fit, fit_generator, plan_sources, share_detector
from nosology.ranking.parallel import single_threaded
from nosology.ranking.priors import CodePriors
from nosology.ranking.ranker import Ranker, out_of_fold_scores, ranker_options
from nosology.ranking.source import ArraySource, CandidateSource

if TYPE_CHECKING:
    from nosology.neural.source import NeuralSource

_NAMES: dict[type[CandidateSource], str] = {kind: name for name, kind in SOURCES.items()}
_NETWORK = "neural"


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
        # Networks first: they use all threads, while everything below forks workers of one.
        read, network = _fit_networks(task, Wordings(titles, lambda: knowledge), recipe)
        with single_threaded():
            return RankedCandidates._fit(task, knowledge, titles, recipe, read, network)

    @staticmethod
    def _fit(
        task: FitTask,
        knowledge: KnowledgeBase,
        titles: TitleTable,
        recipe: Recipe,
        read: CandidateSource | None,
        network: CandidateSource | None,
    ) -> Fitted:
        plan = plan_sources(task.training, knowledge, titles, recipe)
        candidates = cross_fit(task.training, plan, task.folds, task.tell, read)
        generator = fit_generator(task.training, plan, network)
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
        codes = [code for found in candidates for code in found.codes]
        held = HeldOut(codes, scores, right, seen, task.gold)
        return Fitted(RankedCandidates(generator, ranker), held, knowledge)

    def save(self, folder: Path) -> None:
        names = [_NAMES.get(type(source), _NETWORK) for source in self.generator.sources]
        for name, source in zip(names, self.generator.sources, strict=True):
            if name == _NETWORK:
                cast("NeuralSource", source).network.save(folder)
            else:
                save_part(folder, name, *cast(ArraySource, source).state())
        write_json(folder / "sources.json", names)  # in the order of their features, which the ranker knows by place
        save_part(folder, "priors", *self.generator.code_priors.state())
        save_arrays(folder / "ranker.npz", self.ranker.state())

    @staticmethod
    def load(folder: ModelFolder, titles: TitleTable) -> RankedCandidates:
        priors = CodePriors.from_state(*load_part(folder, "priors"), lambda code: titles.title(code).lower())
        names: list[str] = read_json(folder.file("sources.json"))
        sources = [_load_source(name, folder) for name in names]
        ranker = Ranker.from_state(load_arrays(folder.file("ranker.npz")))
        return RankedCandidates(CandidateGenerator(tuple(share_detector(sources)), priors), ranker)


def _load_source(name: str, folder: ModelFolder) -> CandidateSource:
    if name != _NETWORK:
        return SOURCES[name].from_state(*load_part(folder, name))
    require_neural()
    from nosology.neural.network import Network
    from nosology.neural.source import NeuralSource

    return NeuralSource(Network.load(folder))


def _fit_networks(
    task: FitTask, wordings: Wordings, recipe: Recipe
) -> tuple[CandidateSource | None, CandidateSource | None]:
    """What networks that had not seen them say of the training encounters, and a network fitted on all of them."""
    model = recipe.model
    if not isinstance(model, RankerModelConfig) or model.network is None:
        return None, None
    require_neural()
    from nosology.neural.cross_fitting import fit_networks

    return fit_networks(task, model.network, model.network_folds, wordings)
