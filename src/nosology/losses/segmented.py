"""Segmented Harmonic Loss: segments, a harmonic weight and a base term, each to be exchanged without the others."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Literal

import numpy as np
import torch
from torch import Tensor

from nosology.losses.balanced import smoothed_rate
from nosology.losses.base import CellLoss, Cells, Positives, Reduction
from nosology.losses.cross_entropy import CrossEntropy, even_cross_entropy
from nosology.losses.curves import Curve
from nosology.losses.label_table import LabelTable
from nosology.losses.segmentation import Segmentation

Reading = Literal["class", "instance"]


class SegmentedHarmonic(CellLoss):
    """Segmented Harmonic Loss: a RECONSTRUCTION FROM THE ABSTRACT, which is all of the paper that was at hand.

        L = (1 / S) sum_s (1 / |s|) sum_{c in s} [ y v_ic L+ + l (1 - y) w_ic L- ]
        H_s = |s| / sum_{c in s} 1 / n_c      v = w = (H_s / n_c)^alpha            (reading "class")

    The abstract says: a loss against extreme imbalance that works by segmenting and decoupling co-occurring classes
    with a segmentation algorithm. It does not say what is harmonic, how many segments there are, whether a focal term
    is inside, nor any hyper-parameter. Here the harmonic mean H_s of the frequencies inside a segment normalises
    inverse-frequency weights, because it is the one number that makes them average 1 in every segment. With one segment
    this is globally normalised inverse frequency; with each label alone it is the unweighted base term.

    Reading "instance" rebalances within the segments of each encounter's own labels, as the distribution-balanced loss
    does over all labels, whose denominator is a harmonic mean, too:

        r_ic = (1 / n_c) / sum_{k in s(c), y_ik = 1} 1 / n_k      v = w = A + sigmoid(B (r_ic - M))

    where the segment has a positive of the encounter, and (H_s / n_c)^alpha elsewhere.

    To put the true formula in: another algorithm goes into ``segmentation``, another weight into ``_weights``, another
    term into ``base``; they know nothing of one another.

    Args:
        segmentation: of the labels.
        base: L+ and L-; any loss of cells that takes no table.
        reading: see above.
        alpha: 0 leaves the weights out.
        positives_only: w = 1.
        negative_weight: l.
        map_alpha, map_beta, map_mu: A, B, M.
        reduction: "mean" as above; "sum" is that times the number of labels.

    Reference: Ray et al. 2023, arXiv:2310.04595, abstract.
    Differs from the paper: unknown. Labels without examples are a segment of their own with weight 1. With candidates,
    |s| counts candidates and S their segments.
    """

    def __init__(
        self,
        segmentation: Segmentation,
        base: CellLoss | None = None,
        *,
        reading: Reading = "class",
        alpha: float = 1.0,
        positives_only: bool = False,
        negative_weight: float = 1.0,
        map_alpha: float = 0.1,
        map_beta: float = 10.0,
        map_mu: float = 0.05,
        reduction: Reduction = "mean",
    ) -> None:
        table = LabelTable(
            {
                "weight": segmentation.weights(alpha),
                "inverse": 1.0 / np.maximum(segmentation.counts, 1),
                "segment": segmentation.segment_of,
            }
        )
        super().__init__(table, len(segmentation.labels), reduction=reduction)
        self.segmentation, self.segments = segmentation, len(segmentation)
        self.base = base or CrossEntropy()
        self.reading: Reading = reading
        self.positives_only, self.negative_weight = positives_only, negative_weight
        self.map_alpha, self.map_beta, self.map_mu = map_alpha, map_beta, map_mu

    def identity(self) -> str:
        """See ``Loss``."""
        return f"{super().identity()} {self.base.identity()}"

    def coefficients(self, labels: Mapping[str, Tensor], count: int) -> Tensor | None:
        """1 / (S |s|) of each label's segment, times the weight where it is the same for positives and negatives."""
        return self.table.kept(labels, lambda: self._shares(labels, count))

    def _shares(self, labels: Mapping[str, Tensor], count: int) -> Tensor:
        segment = labels["segment"]
        sizes = torch.bincount(segment, minlength=self.segments).to(labels["weight"].dtype)
        share = 1.0 / (sizes[segment] * (sizes > 0).sum())
        share = share * count if self.reduction == "sum" else share
        return share * labels["weight"] if self._weighs_alike else share

    @property
    def _weighs_alike(self) -> bool:
        return self.reading == "class" and not self.positives_only

    def look(self, logits: Tensor, positives: Positives, labels: Mapping[str, Tensor]) -> dict[str, Tensor]:
        """1 over the sum of 1 / n_k over each encounter's positives of each segment, 0 without; for "instance"."""
        if self.reading == "class":
            return {}
        columns = positives.columns
        inverse = labels["inverse"][columns] * positives.values
        place = positives.rows * self.segments + labels["segment"][columns]
        total = inverse.new_zeros(len(logits) * self.segments).index_add_(0, place, inverse)
        return {"rate": torch.where(total > 0, 1 / total, 0.0).view(len(logits), self.segments)}

    def _weights(self, cells: Cells) -> Tensor:
        """v of each place."""
        weights = cells.of_label("weight")
        if self.reading == "class":
            return weights
        rate = cells.of_both("rate", "segment")
        has = torch.sign(rate)  # 1 where the segment has a positive
        own = smoothed_rate(cells.of_label("inverse"), rate, self.map_alpha, self.map_beta, self.map_mu)
        return torch.lerp(weights.expand_as(own), own, has)

    def positive(self, logits: Curve, cells: Cells) -> Curve:
        """See ``CellLoss``."""
        value = self.base.positive(logits, cells)
        return value if self._weighs_alike else value * self._weights(cells)

    def negative(self, logits: Curve, cells: Cells) -> Curve:
        """See ``CellLoss``."""
        value = self.base.negative(logits, cells)
        if not (self._weighs_alike or self.positives_only):
            value = value * self._weights(cells)
        return value if self.negative_weight == 1 else value * self.negative_weight

    def loss(self, logits: Tensor, targets: Tensor, labels: Tensor | None) -> Tensor:
        """See ``Loss``; the cross-entropy with one weight for positives and negatives has a closed form."""
        if not (type(self.base) is CrossEntropy and self._weighs_alike and self.negative_weight == 1):
            return super().loss(logits, targets, labels)
        own = self.table.take(labels, logits.device, torch.promote_types(logits.dtype, torch.float32))
        return even_cross_entropy(logits, targets, self.coefficients(own, logits.shape[1]), self.scale)
