"""Simulated MIMIC-III for experiments: written as the release's files, prepared as these are, kept beside the runs."""

from __future__ import annotations

import shutil
from dataclasses import dataclass
from pathlib import Path
from tempfile import mkdtemp
from typing import Literal

from nosology.experiments.runs import Progress, code_digest

_RAW = ".raw-"


@dataclass(frozen=True, slots=True)
class SimulatedMimic3:
    """A simulated MIMIC-III and which of its codes are kept.

    Args:
        admissions: with a discharge summary.
        variant: "50" keeps the 50 most frequent codes, "full" all.
        seed: which patients and notes.
    """

    admissions: int
    variant: Literal["50", "full"] = "50"
    seed: int = 0

    def folder(self, corpora: Path) -> Path:
        """Where it lies; elsewhere once the package's code has changed, for that may change its notes."""
        return corpora / f"mimic3-{self.variant}-{self.admissions}-{self.seed}-{code_digest()[:8]}"

    def make(self, corpora: Path, progress: Progress) -> None:
        """Make it, unless it is there.

        Args:
            corpora: the folder of made corpora; must exist.
            progress: told the stage and the share of it that is done.
        """
        if self.folder(corpora).is_dir():  # it appears whole or not at all
            return
        from nosology.corpora.mimic3 import prepare_mimic3
        from nosology.corpora.preparation.options import MimicOptions
        from nosology.corpora.simulation.release import Release, ReleaseConfig
        from nosology.corpora.simulation.release.settings import Form

        for left_behind in corpora.glob(f"{_RAW}*"):
            shutil.rmtree(left_behind, ignore_errors=True)
        raw = Path(mkdtemp(prefix=_RAW, dir=corpora))
        try:
            Release(ReleaseConfig(Form.MIMIC3, self.admissions, self.seed)).write(raw, report=progress)
            prepare_mimic3(raw, self.folder(corpora), MimicOptions(variant=self.variant), progress=progress)
        finally:
            shutil.rmtree(raw, ignore_errors=True)
