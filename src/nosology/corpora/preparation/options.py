"""What a person may choose when a MIMIC release is prepared."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Literal

from nosology.corpora.splits import check_fractions
from nosology.errors import ConfigError

Variant = Literal["full", "50", "clean"]
Codes = Literal["diagnoses", "procedures", "both"]
Version = Literal["icd9", "icd10"]

# Edin et al. 2023: shares of their splits, and the least count of a code in their "clean" sets.
DEFAULT_FRACTIONS: Mapping[str, float] = {"train": 0.75, "dev": 0.1, "test": 0.15}
CLEAN_MIN_COUNT = 10


@dataclass(frozen=True, slots=True)
class MimicOptions:
    """How a release becomes a corpus.

    Args:
        variant: "full" keeps every code; "50" the 50 most frequent, and admissions with one of them; "clean" the codes
            of at least ten admissions, and admissions with one of them.
        codes: which tables of codes are read.
        min_count: admissions with a note that a code must occur in, at least.
        top: keep this many codes, the most frequent; 0 keeps all.
        addenda: keep the addenda of discharge summaries (MIMIC-III).
        caml_compatible: the label space that CAML published, with what was lost in it (MIMIC-III).
        version: the codes that are read (MIMIC-IV); ``None`` for ICD-10.
        split_ids: published ids, a folder or a file; ``None`` makes splits of our own.
        own_split: the share of each split, where no ids are given; ``None`` makes no splits.
        seed: of our own splits.

    Raises:
        ConfigError: a value out of range, or options that contradict one another.
    """

    variant: Variant = "full"
    codes: Codes = "both"
    min_count: int = 1
    top: int = 0
    addenda: bool = True
    caml_compatible: bool = False
    version: Version | None = None
    split_ids: Path | None = None
    own_split: Mapping[str, float] | None = field(default_factory=lambda: dict(DEFAULT_FRACTIONS))
    seed: int = 0

    def __post_init__(self) -> None:
        if self.min_count < 1:
            raise ConfigError(f"--min-count {self.min_count} is below 1")
        if self.top < 0:
            raise ConfigError(f"--top {self.top} is below 0")
        if self.variant != "full" and (self.min_count > 1 or self.top):
            raise ConfigError(f"--variant {self.variant} chooses the codes itself; leave out --min-count and --top")
        if self.caml_compatible and (self.codes != "both" or not self.addenda or self.variant == "clean"):
            raise ConfigError("--caml-compatible has both kinds of codes and addenda, and no clean variant")
        if self.own_split is not None:
            _check_fractions(self.own_split)

    @property
    def least_count(self) -> int:
        """The least count of a code, by variant or option."""
        return CLEAN_MIN_COUNT if self.variant == "clean" else self.min_count

    @property
    def most_codes(self) -> int:
        """How many codes are kept at most; 0 for all."""
        return 50 if self.variant == "50" else self.top


def _check_fractions(fractions: Mapping[str, float]) -> None:
    unknown = [name for name in fractions if name not in DEFAULT_FRACTIONS]
    if unknown:
        raise ConfigError(f"unknown split {unknown[0]!r}; known: train, dev, test")
    check_fractions(fractions)


def parse_fractions(text: str) -> dict[str, float] | None:
    """``train=0.75,dev=0.1,test=0.15`` as a mapping; ``none`` as ``None``.

    Raises:
        ConfigError: not of this form.
    """
    if text.strip().lower() == "none":
        return None
    try:
        parts = [part.split("=") for part in text.split(",")]
        fractions = {name.strip(): float(share) for name, share in parts}
    except ValueError:
        raise ConfigError("--own-split is written train=0.75,dev=0.1,test=0.15, or none") from None
    if len(fractions) != len(parts):
        raise ConfigError("--own-split names a split twice")
    _check_fractions(fractions)
    return fractions
