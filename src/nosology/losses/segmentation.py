"""Labels in segments of like frequency whose labels seldom occur together: what a segmented loss weighs within.

The paper that names such a loss (Ray et al. 2023, arXiv:2310.04595) tells of a segmentation algorithm that separates
labels of one note, without its steps. This is our reconstruction. With n_c encounters of label c, O_ab those of a and b
together, and the coupling k(a, b) = O_ab / sqrt(n_a n_b):

1. labels by falling n_c; those with n_c = 0 form the last segment;
2. bands: a new one opens where n_first / n_c > rho, so that weights inside differ by rho at most;
3. decoupling: a band falls into K groups of at most ceil(size / K) labels; each label, by falling frequency, goes to
   the group that has room with the lowest mean coupling to its members (greedy graph colouring);
4. groups of fewer than ``least_labels`` may join the one with the closest harmonic mean of frequencies, which gives up
   the promise of step 2 for them.

Ties go by the code, so that the order of labels changes nothing.
"""

from __future__ import annotations

import hashlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, assert_never

import numpy as np
from numpy.typing import NDArray

from nosology.config.loss_terms import SegmentationConfig
from nosology.errors import ConfigError, ModelError
from nosology.losses.facts import Ints, LabelFacts, LabelRows, Paths

if TYPE_CHECKING:
    from scipy.sparse import csr_matrix

Floats = NDArray[np.float64]

SEGMENTS = "segments"
"""The name of the files of a model folder that hold its segments."""


@dataclass(frozen=True, slots=True, eq=False)
class Segmentation:
    """Which segment each label is in.

    Args:
        labels: the code of each column.
        counts: training encounters with each label; int64 ``[label]``.
        segment_of: of each label, counted from 0 in the order of falling frequency; int64 ``[label]``.
        coupling: mean coupling over the pairs of labels inside each segment, 0 without a pair; float64 ``[segment]``.
        overall_coupling: the same over all pairs of labels with examples.
        encounters: that the counts are of.
    """

    labels: tuple[str, ...]
    counts: Ints
    segment_of: Ints
    coupling: Floats
    overall_coupling: float
    encounters: int

    def __len__(self) -> int:
        return len(self.coupling)

    @property
    def sizes(self) -> Ints:
        """Labels of each segment."""
        return np.bincount(self.segment_of, minlength=len(self)).astype(np.int64)

    @property
    def harmonic_means(self) -> Floats:
        """H_s = |s| / sum of 1 / n_c over the labels of each segment; 0 for the labels without examples."""
        inverse = np.where(self.counts > 0, 1.0 / np.maximum(self.counts, 1), 0.0)
        total = np.bincount(self.segment_of, inverse, minlength=len(self))
        return np.where(total > 0, self.sizes / np.where(total > 0, total, 1.0), 0.0)

    def weights(self, alpha: float = 1.0) -> Floats:
        """w_c = (H_s / n_c)^alpha; 1 for labels without examples, which only ever act as negatives.

        Inside each segment their mean is 1 for alpha = 1, and for alpha = 0.
        """
        means = self.harmonic_means[self.segment_of]
        return np.where(self.counts > 0, (means / np.maximum(self.counts, 1)) ** alpha, 1.0)

    def fingerprint(self) -> str:
        """A hash of labels, counts and segments."""
        digest = hashlib.sha256("\n".join(self.labels).encode("utf-8", "surrogatepass"))
        for part in (self.counts, self.segment_of):
            digest.update(np.ascontiguousarray(part, dtype=np.int64).tobytes())
        return digest.hexdigest()[:16]

    def check(self, labels: Sequence[str]) -> None:
        """Refuse another label space.

        Raises:
            ModelError: other labels, or the same in another order.
        """
        if tuple(labels) == self.labels:
            return
        same = sorted(labels) == sorted(self.labels)
        what = "the same codes in another order" if same else f"{len(labels)} other codes"
        raise ModelError(
            f"these segments are of another label space: they were made for {len(self.labels)} codes, here are {what}; "
            "make them anew from the training labels"
        )

    def state(self) -> tuple[dict[str, NDArray[Any]], dict[str, list[str]]]:
        """Arrays and strings of a model folder; ``from_state`` reads them back."""
        arrays = {
            "counts": self.counts,
            "segment_of": self.segment_of,
            "coupling": self.coupling,
            "overall": np.array([self.overall_coupling, self.encounters], dtype=np.float64),
        }
        return arrays, {"labels": list(self.labels), "fingerprint": [self.fingerprint()]}

    @staticmethod
    def from_state(arrays: Mapping[str, NDArray[Any]], strings: Mapping[str, Sequence[str]]) -> Segmentation:
        """What ``state`` gave.

        Raises:
            ModelError: the parts do not fit together, or were changed.
        """
        try:
            found = Segmentation(
                tuple(strings["labels"]),
                arrays["counts"].astype(np.int64),
                arrays["segment_of"].astype(np.int64),
                arrays["coupling"].astype(np.float64),
                float(arrays["overall"][0]),
                int(arrays["overall"][1]),
            )
            told = strings["fingerprint"][0]
        except (KeyError, IndexError, ValueError, TypeError):
            raise ModelError("damaged: not the segments of labels; train the model again") from None
        if found.fingerprint() != told or not len(found.labels) == len(found.counts) == len(found.segment_of):
            raise ModelError("the segments do not match their fingerprint: the file was changed; train again")
        return found


def segment_labels(facts: LabelFacts | LabelRows, config: SegmentationConfig) -> Segmentation:
    """Put labels into segments.

    Args:
        facts: the training labels; with the codes above each where ``config.method`` is "hierarchy".
        config: how.

    Raises:
        ConfigError: there is no label or no encounter, or the hierarchy is needed and not given.
    """
    facts = LabelFacts(facts) if isinstance(facts, LabelRows) else facts
    if not facts.labels or not facts.encounters:
        raise ConfigError("no labels or no encounters to make segments from; give the training encounters")
    counts = facts.counts
    order = _by_frequency(facts.labels, counts)
    walk = order[counts[order] > 0]
    coupling = _coupling(facts.rows, counts)
    groups = _merged(_groups(facts, config, walk, counts, coupling), counts, config.least_labels)
    segment_of = np.zeros(len(counts), dtype=np.int64)
    for number, group in enumerate(groups):
        segment_of[group] = number
    segment_of[counts == 0] = len(groups)
    count = len(groups) + bool((counts == 0).any())
    inside, overall = _mean_couplings(coupling, segment_of, counts, count)
    return Segmentation(facts.labels, counts, segment_of, inside, overall, facts.encounters)


def _by_frequency(labels: Sequence[str], counts: Ints) -> Ints:
    """Falling count, then code."""
    return np.array(sorted(range(len(labels)), key=lambda label: (-int(counts[label]), labels[label])), dtype=np.int64)


def _groups(
    facts: LabelFacts, config: SegmentationConfig, walk: Ints, counts: Ints, coupling: csr_matrix
) -> list[Ints]:
    """The segments of labels with examples."""
    match config.method:
        case "both":
            bands = _bands(walk, counts, config.ratio)
            return [group for band in bands for group in _decoupled(band, coupling, config.groups)]
        case "frequency":
            return _bands(walk, counts, config.ratio)
        case "cooccurrence":
            return _decoupled(walk, coupling, config.groups)
        case "hierarchy":
            return _by_ancestor(walk, facts.known_paths('segments with method = "hierarchy"'), config.level)
        case _:
            assert_never(config.method)


def _bands(walk: Ints, counts: Ints, ratio: float) -> list[Ints]:
    """Labels by falling frequency, cut where the first of a band is more than ``ratio`` times as frequent."""
    bands, start = list[Ints](), 0
    for place, label in enumerate(walk.tolist()):
        if counts[walk[start]] > ratio * counts[label]:
            bands.append(walk[start:place])
            start = place
    return [*bands, walk[start:]] if len(walk) else []


def _decoupled(band: Ints, coupling: csr_matrix, count: int) -> list[Ints]:
    """Greedy colouring of one band; its groups differ by one label at most."""
    count = min(count, len(band))
    if count <= 1:
        return [band] if len(band) else []
    room = -(-len(band) // count)
    group_of = np.full(coupling.indptr.size - 1, -1, dtype=np.int64)
    sizes = np.zeros(count, dtype=np.int64)
    starts, neighbours, values = coupling.indptr, coupling.indices, coupling.data
    for label in band.tolist():
        row = slice(starts[label], starts[label + 1])
        groups = group_of[neighbours[row]]
        met = groups >= 0
        total = np.bincount(groups[met], values[row][met], minlength=count)
        mean = np.where(sizes < room, total / np.maximum(sizes, 1), np.inf)
        chosen = int(np.lexsort((sizes, mean))[0])
        group_of[label] = chosen
        sizes[chosen] += 1
    return [band[group_of[band] == group] for group in range(count) if sizes[group]]


def _by_ancestor(walk: Ints, paths: Paths, level: str) -> list[Ints]:
    """Labels below one chapter, or one category, by the frequency of its commonest label."""
    place = -1 if level == "chapter" else 0
    found = dict[str, list[int]]()
    for label in walk.tolist():
        path = paths[int(label)]
        above = _category(path) if level == "category" else path
        found.setdefault(above[place] if above else "", []).append(label)
    return [np.array(group, dtype=np.int64) for group in found.values()]


def _category(path: Sequence[str]) -> Sequence[str]:
    """The path from the category, a code of three characters, on; the nearest code above where there is none."""
    short = [above for above in path if len(above) <= 3]
    return short or path


def _merged(groups: list[Ints], counts: Ints, least: int) -> list[Ints]:
    """Small groups, smallest first, join the one with the closest harmonic mean of counts."""
    groups = list(groups)
    while len(groups) > 1:
        sizes = [len(group) for group in groups]
        small = int(np.argmin(sizes))
        if sizes[small] >= least:
            break
        means = np.log([len(group) / (1.0 / counts[group]).sum() for group in groups])
        distance = np.abs(means - means[small])
        distance[small] = np.inf
        into = int(np.argmin(distance))
        joined = np.concatenate([groups[min(small, into)], groups[max(small, into)]])
        groups[min(small, into)] = joined
        del groups[max(small, into)]
    return groups


# --- co-occurrence ----------------------------------------------------------------------------------------------------


def _coupling(rows: LabelRows, counts: Ints) -> csr_matrix:
    """k(a, b) of all pairs that occur together, without the diagonal."""
    matrix = rows.matrix()
    together = (matrix.T @ matrix).tocsr()
    scale = 1.0 / np.sqrt(np.maximum(counts, 1)).astype(np.float32)
    owner = np.repeat(np.arange(len(counts), dtype=np.int32), np.diff(together.indptr))
    together.data *= scale[owner]
    together.data *= scale[together.indices]
    together.data[owner == together.indices] = 0.0
    return together


def _mean_couplings(coupling: csr_matrix, segment_of: Ints, counts: Ints, segments: int) -> tuple[Floats, float]:
    """Over the pairs inside each segment, and over all pairs of labels with examples."""
    owner = np.repeat(segment_of, np.diff(coupling.indptr))
    inside = owner == segment_of[coupling.indices]
    totals = np.bincount(owner[inside], coupling.data[inside], minlength=segments)
    sizes = np.bincount(segment_of, minlength=segments)
    pairs = sizes * (sizes - 1.0)
    seen = int((counts > 0).sum())
    overall = float(coupling.data.sum(dtype=np.float64)) / max(1.0, seen * (seen - 1.0))
    return np.where(pairs > 0, totals / np.maximum(pairs, 1.0), 0.0), overall
