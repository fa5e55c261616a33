"""The simulated corpus in the files of a real release: MIMIC-III or MIMIC-IV, with the evidence beside it."""

from __future__ import annotations

from nosology.corpora.simulation.release.settings import ReleaseConfig
from nosology.corpora.simulation.release.writing import Release, Written

__all__ = ["Release", "ReleaseConfig", "Written"]
