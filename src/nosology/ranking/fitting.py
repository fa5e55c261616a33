"""Fit every source; cross-fit them, so that no training encounter meets what was learnt from itself."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from nosology.codes.titles import TitleTable
from nosology.config import Recipe
from nosology.knowledge.base import KnowledgeBase
from nosology.knowledge.terms import keys_by_code
from nosology.ranking.association import AssociationOptions, AssociationSource, Terms
from nosology.ranking.candidates import CandidateGenerator, Proposal
from nosology.ranking.mentions import MentionSource
from nosology.ranking.priors import CodePriors
from nosology.ranking.source import CandidateSource, TrainingSet

SOURCES = {"mentions": MentionSource, "association": AssociationSource}
"""Every kind of source by the name of its files in a model."""

Progress = Callable[[str, float], None]


@dataclass(frozen=True, eq=False)
class SourcePlan:
    """What the sources are fitted with besides the training encounters.

    Args:
        terms: keys of titles and terms, by code.
        title: of a code, in lower case.
        use_evidence: whether to mine marked evidence.
        use_association: whether to learn which words go with a code.
        association: how.
    """

    terms: Terms
    title: Callable[[str], str]
    use_evidence: bool = True
    use_association: bool = True
    association: AssociationOptions = field(default_factory=AssociationOptions)


def plan_sources(training: TrainingSet, knowledge: KnowledgeBase, titles: TitleTable, recipe: Recipe) -> SourcePlan:
    """What a recipe wants of the sources.

    Args:
        training: all training encounters; only which codes they carry is read here.
        knowledge: expressions of the code tables and term lists.
        titles: of labels.
        recipe: the recipe.
    """
    wanted = {code for example in training.examples for code in example.code_set}
    return SourcePlan(
        terms=keys_by_code(expression for code in sorted(wanted) for expression in knowledge.of_code(code)),
        title=lambda code: titles.title(code).lower(),
        use_evidence=recipe.knowledge.mined_evidence,
        use_association=recipe.knowledge.mined_association,
        association=AssociationOptions(candidates=recipe.candidates.association),
    )


def fit_generator(training: TrainingSet, plan: SourcePlan) -> CandidateGenerator:
    """Every source that the plan wants and the encounters allow."""
    sources = list[CandidateSource]()
    if plan.use_evidence:
        mentions = MentionSource.fit(training)
        if mentions is not None:
            sources.append(mentions)
    if plan.use_association:
        sources.append(AssociationSource.fit(training, plan.terms, plan.association))
    return CandidateGenerator(tuple(sources), CodePriors.fit(training, plan.title))


def cross_fit(training: TrainingSet, plan: SourcePlan, folds: NDArray[np.int64], progress: Progress) -> list[Proposal]:
    """Each encounter's candidates by sources fitted without its fold, in the training's order.

    Args:
        training: coded encounters.
        plan: how sources are fitted.
        folds: of each encounter; int64 ``[encounter]``.
        progress: told the share that is done.
    """
    proposals: list[Proposal | None] = [None] * len(training.examples)
    numbers = np.unique(folds).tolist()
    for done, fold in enumerate(numbers):
        progress("cross-fitting candidates", done / len(numbers))
        generator = fit_generator(training.part(np.flatnonzero(folds != fold)), plan)
        for index in np.flatnonzero(folds == fold).tolist():
            proposals[index] = generator.propose(training.examples[index].stream)
    return [proposal for proposal in proposals if proposal is not None]
