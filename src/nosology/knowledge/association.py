"""Which words go with which code, learnt from coded notes without marked evidence, by expectation-maximisation.

Every gold code of a note is explained by some n-gram in it. With ``t[g, c]`` the probability that n-gram ``g`` triggers
code ``c`` (noisy-or: ``P(c | note) = 1 - prod_g (1 - t[g, c])``), each round shares one unit of responsibility for
every (note, code) among the note's n-grams in proportion to ``t`` and counts again:

    t[g, c] = (sum of responsibilities + kappa * likeness[g, c]^sharpness) / (notes with g + k)

so that an n-gram that explains a code well takes the responsibility away from those that only stand beside it. The
prior pulls towards n-grams that are like a title or term of the code; it also reaches rare codes.

Differs from IBM's first translation model, its ancestor: presence instead of counts, a Beta prior, and a small constant
for codes that nothing in the note explains.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, cast

import numpy as np
from numpy.typing import NDArray

if TYPE_CHECKING:
    from scipy.sparse import csr_matrix

_ROUNDS = 8
_PRUNE_AFTER = 3
_HOPELESS = 2e-3
_KEPT = 4e-3
_SUREST = 0.98
_UNEXPLAINED = 0.02


@dataclass(frozen=True, slots=True)
class AssociationPlan:
    """How strongly priors count.

    Args:
        trials: ``k``, pseudo-notes with the n-gram that do not have the code.
        successes: ``kappa``, pseudo-notes with both, for an n-gram equal to a term of the code.
        sharpness: how quickly that falls with likeness.
    """

    trials: float = 8.0
    successes: float = 1.5
    sharpness: float = 4.0


@dataclass(frozen=True, eq=False)
class _Pairs:
    """All (note, code, n-gram) triples: each points to an (n-gram, code) pair and to a (note, code) explanation."""

    pair: NDArray[np.int64]
    explanation: NDArray[np.int64]
    code: NDArray[np.int64]

    def keep(self, good: NDArray[np.bool_]) -> _Pairs:
        number = np.cumsum(good) - 1
        chosen = good[self.pair]
        return _Pairs(number[self.pair[chosen]], self.explanation[chosen], self.code[chosen])


def associate(
    presence: csr_matrix, labels: csr_matrix, likeness: csr_matrix | None, plan: AssociationPlan
) -> csr_matrix:
    """Learn ``t``.

    Args:
        presence: bool ``[note, n-gram]``.
        labels: bool ``[note, code]``.
        likeness: of n-grams and terms of codes, ``[n-gram, code]`` in [0, 1]; ``None``: no prior.
        plan: the prior's strength.

    Returns:
        float32 ``[n-gram, code]``, the probability that the n-gram triggers the code; small ones are left out.
    """
    from scipy.sparse import csr_matrix as sparse

    notes, grams, codes = _size(presence)[0], _size(presence)[1], _size(labels)[1]
    holders = np.asarray(presence.sum(axis=0), dtype=np.float64).ravel()
    base = np.asarray(labels.sum(axis=0), dtype=np.float64).ravel() / max(1, notes)
    keys, pairs, explanations = _triples(presence, labels)
    gram, code = keys // codes, keys % codes
    prior = np.zeros(len(keys))
    if likeness is not None and len(keys):
        prior = plan.successes * np.asarray(likeness[gram, code]).ravel() ** plan.sharpness
    together = np.bincount(pairs.pair, minlength=len(keys))
    trigger = np.maximum((0.1 * together + prior) / (holders[gram] + plan.trials), 1e-6)
    for turn in range(_ROUNDS):
        responsibility = trigger[pairs.pair]
        total = np.bincount(pairs.explanation, weights=responsibility, minlength=explanations)
        responsibility = responsibility / (total[pairs.explanation] + _UNEXPLAINED * base[pairs.code])
        counts = np.bincount(pairs.pair, weights=responsibility, minlength=len(trigger))
        trigger = np.minimum((counts + prior) / (holders[gram] + plan.trials), _SUREST)
        if turn + 1 == _PRUNE_AFTER:
            good = trigger > _HOPELESS
            pairs, gram, code, prior, trigger = pairs.keep(good), gram[good], code[good], prior[good], trigger[good]
    good = trigger > _KEPT
    return sparse((trigger[good].astype(np.float32), (gram[good], code[good])), shape=(grams, codes))


def _size(matrix: csr_matrix) -> tuple[int, int]:
    return cast(tuple[int, int], matrix.shape)


def _triples(presence: csr_matrix, labels: csr_matrix) -> tuple[NDArray[np.int64], _Pairs, int]:
    """The distinct (n-gram, code) pairs as ``gram * codes + code``, all triples, and how many explanations are due."""
    grams, codes, explanations, count = list[NDArray[np.int64]](), list[NDArray[np.int64]](), [], 0
    for note in range(_size(presence)[0]):
        held = presence.indices[presence.indptr[note] : presence.indptr[note + 1]].astype(np.int64)
        gold = labels.indices[labels.indptr[note] : labels.indptr[note + 1]].astype(np.int64)
        grams.append(np.tile(held, len(gold)))
        codes.append(np.repeat(gold, len(held)))
        explanations.append(np.repeat(np.arange(count, count + len(gold)), len(held)))
        count += len(gold)
    every_code = np.concatenate(codes) if codes else np.zeros(0, dtype=np.int64)
    joined = (np.concatenate(grams) if grams else every_code) * _size(labels)[1] + every_code
    keys, pair = np.unique(joined, return_inverse=True)
    return keys, _Pairs(pair, np.concatenate(explanations) if explanations else every_code, every_code), count
