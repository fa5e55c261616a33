"""Losses that add something to another one: agreement of two passes, the codes above the labels, label vectors."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Literal

import torch
from torch import Tensor
from torch.nn import functional

from nosology.losses.base import Loss, Positives


class WrappedLoss(Loss):
    """Base of losses around another one; by itself it is that one.

    Args:
        base: of logits and targets.
        weight: of what is added.
    """

    def __init__(self, base: Loss, weight: float) -> None:
        super().__init__(base.label_count)
        self.base, self.weight = base, weight

    def loss(self, logits: Tensor, targets: Tensor, labels: Tensor | None) -> Tensor:
        """See ``Loss``."""
        return self.base.loss(logits, targets, labels)

    def of_single_cells(self) -> Loss | None:
        """See ``Loss``: the base's; what is added to it is left out."""
        return self.base.of_single_cells()

    def begin_epoch(self, number: int) -> None:
        """See ``Loss``."""
        self.base.begin_epoch(number)

    def state(self) -> dict[str, Tensor]:
        """See ``Loss``."""
        return self.base.state()

    def load_state(self, state: Mapping[str, Tensor]) -> None:
        """See ``Loss``."""
        self.base.load_state(state)

    def identity(self) -> str:
        """See ``Loss``."""
        return f"{type(self).__name__} {self.weight} {self.base.identity()}"


class RDrop(WrappedLoss):
    """R-Drop: two passes with different dropout should agree.

        L = (base(z1) + base(z2)) / 2 + w KL    KL = (KL(1 || 2) + KL(2 || 1)) / 2, mean over encounters and labels

    Over "labels", each label's probability is compared: KL = (p1 - p2) (z1 - z2) / 2. Over "softmax", the softmax over
    labels takes the place of p, divided by the number of labels, as GKI-ICD's code has it.

    Called with one pass's logits it is the base; the trainer's objective makes two and calls ``disagreement``.

    Args:
        base: of each pass.
        weight: w; 5 in MSMN, 5 (all codes) and 10 (the 50 commonest) in GKI-ICD.
        over: see above.

    Reference: Liang et al. 2021, arXiv:2106.14448, eqs. 1-3.
    Differs from the paper: the mean of the two base losses, as MSMN has it, where the paper adds them.
    """

    def __init__(self, base: Loss, *, weight: float = 5.0, over: Literal["labels", "softmax"] = "labels") -> None:
        super().__init__(base, weight)
        self.over = over

    def disagreement(self, first: Tensor, second: Tensor) -> Tensor:
        """w KL of the logits of two passes."""
        if not first.numel():
            return (first * second).sum()
        precise = torch.promote_types(first.dtype, torch.float32)
        one, other = first.to(precise), second.to(precise)
        if self.over == "labels":
            gap = torch.sigmoid(one) - torch.sigmoid(other)
        else:
            gap = torch.softmax(one, 1) - torch.softmax(other, 1)  # the normalisers of the logarithms cancel out
        return (gap * (one - other)).mean() * (self.weight / 2)

    def identity(self) -> str:
        """See ``Loss``."""
        return f"{super().identity()} {self.over}"


class ContrastiveAlignment(WrappedLoss):
    """Supervised contrastive alignment of notes with the vectors of their labels.

        s_ic = cos(v_i, u_c) / t    L = base + w mean_i (1 / |P_i|) sum_{c in P_i} (logsumexp_k s_ik - s_ic)

    with v_i the mean state of note i, u_c the vector that the head reads label c with, and P_i the labels of note i;
    notes without a label are left out. Called with logits alone it is the base; the trainer's objective also calls
    ``alignment``.

    Args:
        base: of the labels.
        weight: w.
        temperature: t.

    Reference: the outer form of Khosla et al. 2020, arXiv:2004.11362, eq. 2.
    Differs from the paper: notes are contrasted with label vectors, not with one another, because a batch holds few
    notes that share a rare label.
    """

    def __init__(self, base: Loss, *, weight: float = 0.1, temperature: float = 0.1) -> None:
        super().__init__(base, weight)
        self.temperature = temperature

    def alignment(self, notes: Tensor, vectors: Tensor, targets: Tensor) -> Tensor:
        """w times the mean over encounters.

        Args:
            notes: v ``[batch, width]``.
            vectors: u of each column of the targets, ``[label, width]``.
            targets: as for the base.
        """
        precise = torch.promote_types(notes.dtype, torch.float32)
        positives = Positives.of(targets.to(precise))
        one, other = (functional.normalize(part.to(precise), dim=1, eps=1e-6) for part in (notes, vectors))
        similar = one @ other.T / self.temperature
        gaps = torch.logsumexp(similar, 1)[positives.rows] - similar[positives.rows, positives.columns]
        each = positives.by_encounter(gaps * positives.values, len(notes))
        sizes = positives.by_encounter(positives.values, len(notes))
        with_labels = sizes > 0
        share = each / torch.where(with_labels, sizes, 1.0)
        return self.weight * share.sum() / with_labels.sum().clamp(min=1)

    def identity(self) -> str:
        """See ``Loss``."""
        return f"{super().identity()} {self.temperature}"
