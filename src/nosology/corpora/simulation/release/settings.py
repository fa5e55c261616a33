"""Which release to simulate, how large, and with MIMIC's numbers of codes."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum
from typing import NamedTuple

import numpy as np

from nosology.corpora.simulation.population import mimic_curve
from nosology.corpora.simulation.settings import SimulatedConfig
from nosology.errors import ConfigError

LABELS_PER_NOTE = 15.88
_ADDENDA_AND_REPORTS = 0.085
_LEAST_CODES = 50
_MOST_ADMISSIONS = 500_000


class Form(StrEnum):
    """The release whose files are written."""

    MIMIC3 = "mimic3"
    MIMIC4 = "mimic4"


class Published(NamedTuple):
    """The size of a published corpus: documents, distinct codes, and the share of the codes that are procedures."""

    documents: int
    codes: int
    procedure_share: float


PUBLISHED: dict[tuple[Form, str], Published] = {
    (Form.MIMIC3, "icd9cm"): Published(52_726, 8_929, 0.224),
    (Form.MIMIC4, "icd9cm"): Published(209_359, 11_616, 0.22),
    (Form.MIMIC4, "icd10cm"): Published(122_317, 26_788, 0.28),
}
_ICD10_SHARE = 122_317 / (122_317 + 209_359)


@dataclass(frozen=True, slots=True)
class ReleaseConfig:
    """A simulated release; equal values give equal files.

    Args:
        form: whose files and columns.
        admissions: admissions with a discharge summary; one in nine more has codes alone, as in MIMIC-III.
        seed: which patients and notes.
        codes: size of the label space of each ICD version; 0: as many as MIMIC would show in so many admissions.
        words_per_note: mean words of a discharge summary.
        labels_per_note: mean number of codes of an admission.
        icd10_share: share of MIMIC-IV's admissions that are coded in ICD-10; the others are in ICD-9.
    """

    form: Form
    admissions: int = 5000
    seed: int = 0
    codes: int = 0
    words_per_note: int = 1500
    labels_per_note: float = LABELS_PER_NOTE
    icd10_share: float = _ICD10_SHARE

    def __post_init__(self) -> None:
        checks = [
            (
                1 <= self.admissions <= _MOST_ADMISSIONS,
                f"admissions must be 1 to {_MOST_ADMISSIONS}, got {self.admissions}",
            ),
            (self.seed >= 0, f"seed must not be negative, got {self.seed}"),
            (self.codes == 0 or self.codes >= _LEAST_CODES, f"codes must be at least {_LEAST_CODES}, got {self.codes}"),
            (200 <= self.words_per_note <= 4000, f"words must be 200 to 4000, got {self.words_per_note}"),
            (1.0 <= self.labels_per_note <= 40.0, f"labels must be 1 to 40, got {self.labels_per_note}"),
            (0.0 <= self.icd10_share <= 1.0, f"the share of ICD-10 must be in [0, 1], got {self.icd10_share}"),
        ]
        problems = [message for holds, message in checks if not holds]
        if problems:
            raise ConfigError("simulated release: " + "; ".join(problems))

    def parts(self) -> list[SimulatedConfig]:
        """What to simulate: one corpus for each ICD version that the release holds."""
        if self.form is Form.MIMIC3:
            return [self._part("icd9cm", self.admissions, self.seed)]
        in_icd10 = round(self.admissions * self.icd10_share)
        sizes = (("icd9cm", self.admissions - in_icd10), ("icd10cm", in_icd10))
        return [self._part(system, size, 2 * self.seed + i) for i, (system, size) in enumerate(sizes) if size]

    def _part(self, system: str, admissions: int, seed: int) -> SimulatedConfig:
        published = PUBLISHED[self.form, system]
        return SimulatedConfig(
            n_admissions=admissions,
            n_codes=self.codes or codes_seen(admissions, published),
            system=system,
            seed=seed,
            words_per_note=self.words_per_note,
            labels_per_note=self.labels_per_note,
            extra_note_share=_ADDENDA_AND_REPORTS,
            procedure_share=published.procedure_share,
            curve_codes=0 if self.codes else published.codes,
        )


def codes_seen(admissions: int, published: Published) -> int:
    """How many of a corpus's codes so many of its admissions would show: those expected at least every other time."""
    expected = mimic_curve(np.arange(1, published.codes + 1) / published.codes) * admissions / published.documents
    return max(_LEAST_CODES, int((expected >= 0.5).sum()))
