"""Fit every source; cross-fit them, so that no training encounter meets what was learnt from itself."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from nosology.codes.titles import TitleTable
from nosology.config import Recipe
from nosology.knowledge.base import KnowledgeBase
from nosology.knowledge.terms import keys_by_code
from nosology.ranking.association import AssociationOptions, AssociationSource, Terms
from nosology.ranking.candidates import CandidateGenerator
from nosology.ranking.composition import CompositionSource
from nosology.ranking.detector import SpanDetector
from nosology.ranking.mentions import MentionSource
from nosology.ranking.parallel import each_number
from nosology.ranking.priors import CodePriors
from nosology.ranking.retrieval import RetrievalOptions, RetrievalSource
from nosology.ranking.source import CandidateSource, TrainingSet

SOURCES = {
    "mentions": MentionSource,
    "association": AssociationSource,
    "retrieval": RetrievalSource,
    "composition": CompositionSource,
}
"""Every kind of source by the name of its files in a model."""

Progress = Callable[[str, float], None]


@dataclass(frozen=True, eq=False)
class SourcePlan:
    """What the sources are fitted with besides the training encounters.

    Args:
        knowledge: expressions of the code tables and term lists.
        terms: keys of titles and terms, by code seen in training.
        title: of a code, in lower case.
        exists: whether a code stands in a table.
        use_evidence: whether to mine marked evidence.
        association: how to learn which words go with a code; ``None``: not at all.
        retrieval: how to find codes by their titles and terms; ``None``: not at all.
    """

    knowledge: KnowledgeBase
    terms: Terms
    title: Callable[[str], str]
    exists: Callable[[str], bool]
    use_evidence: bool
    association: AssociationOptions | None
    retrieval: RetrievalOptions | None


def plan_sources(training: TrainingSet, knowledge: KnowledgeBase, titles: TitleTable, recipe: Recipe) -> SourcePlan:
    """What a recipe wants of the sources.

    Args:
        training: all training encounters; only which codes they carry is read here.
        knowledge: expressions of the code tables and term lists.
        titles: of labels.
        recipe: the recipe.
    """
    wanted = {code for example in training.examples for code in example.code_set}
    quotas = recipe.candidates
    by_association = recipe.knowledge.mined_association and quotas.association > 0
    by_terms = len(knowledge) > 0 and quotas.unseen + quotas.seen > 0
    return SourcePlan(
        knowledge=knowledge,
        terms=keys_by_code(expression for code in sorted(wanted) for expression in knowledge.of_code(code)),
        title=lambda code: titles.title(code).lower(),
        exists=titles.exists,
        use_evidence=recipe.knowledge.mined_evidence,
        association=AssociationOptions(candidates=quotas.association) if by_association else None,
        retrieval=RetrievalOptions(unseen=quotas.unseen, seen=quotas.seen) if by_terms else None,
    )


class Candidates(NamedTuple):
    """A proposal without its mentions, which the ranker's training does not need.

    Args:
        codes: of the candidates.
        features: float32 ``[candidate, feature]``.
        names: of the features; fewer where a fold left a source nothing to learn from.
    """

    codes: list[str]
    features: NDArray[np.float32]
    names: tuple[str, ...]

    def rows(self, names: Sequence[str]) -> NDArray[np.float32]:
        """The features in another generator's order: float32 ``[candidate, name]``, 0 where a name is not known."""
        if tuple(names) == self.names:
            return self.features
        own = {name: column for column, name in enumerate(self.names)}
        wanted = [(place, own[name]) for place, name in enumerate(names) if name in own]
        rows = np.zeros((len(self.codes), len(names)), dtype=np.float32)
        rows[:, [place for place, _ in wanted]] = self.features[:, [column for _, column in wanted]]
        return rows


def prepare(training: TrainingSet, plan: SourcePlan) -> None:
    """Do once, before the fits of a cross-fitting, what all of them share: it depends on texts alone."""
    SpanDetector.prepare(training)
    if plan.association is not None:
        AssociationSource.prepare(training)
    if plan.retrieval is not None:
        RetrievalSource.prepare(training, plan.knowledge)


def fit_generator(
    training: TrainingSet, plan: SourcePlan, further: CandidateSource | None = None
) -> CandidateGenerator:
    """Every source that the plan wants and the encounters allow.

    Args:
        training: coded encounters.
        plan: how sources are fitted.
        further: a source that is fitted elsewhere; its features come last among the sources'.
    """
    sources = list[CandidateSource | None]()
    mentions = MentionSource.fit(training) if plan.use_evidence else None
    detector = mentions.detector if mentions is not None else None
    if plan.use_evidence:
        sources += [mentions, CompositionSource.fit(training, plan.exists)]
    if plan.association is not None:
        sources.append(AssociationSource.fit(training, plan.terms, plan.association))
    if plan.retrieval is not None:
        sources.append(RetrievalSource.fit(training, plan.knowledge, plan.retrieval, detector))
    fitted = tuple(source for source in [*sources, further] if source is not None)
    return CandidateGenerator(fitted, CodePriors.fit(training, plan.title))


def share_detector(sources: Sequence[CandidateSource]) -> list[CandidateSource]:
    """Loaded sources with one detector instead of equal ones, so that it reads each note once."""
    detector = next((source.detector for source in sources if isinstance(source, MentionSource)), None)
    return [
        replace(source, detector=detector)
        if detector is not None and isinstance(source, RetrievalSource) and source.detector is not None
        else source
        for source in sources
    ]


def cross_fit(
    training: TrainingSet,
    plan: SourcePlan,
    folds: NDArray[np.int64],
    progress: Progress,
    further: CandidateSource | None = None,
) -> list[Candidates]:
    """Each encounter's candidates by sources fitted without its fold, in the training's order.

    Args:
        training: coded encounters.
        plan: how sources are fitted.
        folds: of each encounter; int64 ``[encounter]``.
        progress: told the share that is done.
        further: one more source, which says of each encounter what it would say without having learnt from it.
    """

    def propose_for(fold: int) -> list[Candidates]:
        generator = fit_generator(training.part(np.flatnonzero(folds != fold)), plan, further)
        streams = (training.examples[index].stream for index in np.flatnonzero(folds == fold).tolist())
        proposals = (generator.propose(stream) for stream in streams)
        return [Candidates(proposal.codes, proposal.features, generator.feature_names) for proposal in proposals]

    prepare(training, plan)
    numbers = np.unique(folds).tolist()
    candidates = dict[int, Candidates]()
    progress("cross-fitting candidates", 0.0)
    for done, (fold, found) in enumerate(each_number(propose_for, numbers), 1):
        candidates |= zip(np.flatnonzero(folds == fold).tolist(), found, strict=True)
        progress("cross-fitting candidates", done / len(numbers))
    return [candidates[index] for index in range(len(training.examples))]
