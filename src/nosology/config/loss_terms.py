"""What the segmented loss is made of: how labels are put into segments, and the term that is weighted."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Literal

from nosology.config.rules import Check, Section, at_least, rule


def share() -> dict[str, Check]:
    """In [0, 1)."""
    return rule(lambda value: None if 0 <= value < 1 else f"{value!r} is not in [0, 1)")


# --- segments ---------------------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class SegmentationConfig(Section):
    """How labels are put into segments.

    Args:
        method: by frequency and co-occurrence, by one of them, or by the hierarchy of codes.
        ratio: the commonest label of a band is at most so many times as frequent as its rarest.
        groups: that a band falls into, so that labels of one note part.
        least_labels: smaller segments join the one of the closest frequency; 1 leaves them alone.
        level: whose codes are together, for the method "hierarchy".
    """

    method: Literal["both", "frequency", "cooccurrence", "hierarchy"] = "both"
    ratio: float = field(default=4.0, metadata=at_least(1))
    groups: int = field(default=2, metadata=at_least(1))
    least_labels: int = field(default=1, metadata=at_least(1))
    level: Literal["chapter", "category"] = "chapter"


# --- base terms of the segmented loss ---------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class BceTermConfig(Section):
    """The plain cross-entropy.

    Args:
        kind: chooses this section.
    """

    kind: Literal["bce"] = "bce"


@dataclass(frozen=True, slots=True)
class FocalTermConfig(Section):
    """Cross-entropy that looks away from what is easy.

    Args:
        kind: chooses this section.
        gamma: exponent of the focus.
    """

    kind: Literal["focal"] = "focal"
    gamma: float = field(default=2.0, metadata=at_least(0))


@dataclass(frozen=True, slots=True)
class AsymmetricTermConfig(Section):
    """As the focal term, with exponents of its own for positives and negatives.

    Args:
        kind: chooses this section.
        gamma_positive, gamma_negative: exponents of the focus.
        margin: negatives below this probability count nothing.
        detach_focus: the focus passes no gradient, as in the authors' code.
    """

    kind: Literal["asymmetric"] = "asymmetric"
    gamma_positive: float = field(default=1.0, metadata=at_least(0))
    gamma_negative: float = field(default=4.0, metadata=at_least(0))
    margin: float = field(default=0.05, metadata=share())
    detach_focus: bool = True


TermConfig = BceTermConfig | FocalTermConfig | AsymmetricTermConfig
