"""What a simulated corpus should be: its size, its codes and how hard it is."""

from __future__ import annotations

from dataclasses import dataclass

from nosology.errors import ConfigError

SYSTEMS = ("icd10cm", "icd9cm")


@dataclass(frozen=True, slots=True)
class SimulatedConfig:
    """A simulated corpus: equal values give equal texts on every machine with the same code tables.

    Args:
        n_admissions: number of encounters.
        n_codes: size of the label space; the rarest codes may never occur in a small corpus.
        system: ``icd10cm`` or ``icd9cm``.
        language: only ``en``.
        seed: which patients and notes; the wordings of a code never depend on it.
        words_per_note: mean words of a discharge summary, 200 to 4,000.
        labels_per_note: mean number of codes of an encounter.
        splits: shares of encounters in train, dev and test; patients are never split.
        absent_share: share of labels without any mention in the text; larger among rare codes.
        hidden_share: share of a frequent code's mentions whose wording no source the coder may read contains; rare
            codes, whose titles nobody writes out, have more.
        distractor_share: share of distractors (negated, family, past, ...) among the matches of known expressions.
        uncoded_share: share of plain mentions, beside those of labels, that no coder picked up.
        extra_note_share: share of encounters with a second note (radiology report or addendum).
        procedure_share: share of the label space that are procedures: of ``icd10pcs`` beside ``icd10cm``, of
            ``icd9proc`` beside ``icd9cm``.
        curve_codes: size of the label space that the ``n_codes`` codes are the most frequent of, as in a small sample
            of a large corpus; 0: they are all there are.
        term_lists: further term lists that the coder may read (tab-separated, with a column ``term``); wordings in
            them are not used as hidden ones.
    """

    n_admissions: int = 1000
    n_codes: int = 2000
    system: str = "icd10cm"
    language: str = "en"
    seed: int = 0
    words_per_note: int = 350
    labels_per_note: float = 13.0
    splits: tuple[float, float, float] = (0.8, 0.1, 0.1)
    absent_share: float = 0.235
    hidden_share: float = 0.45
    distractor_share: float = 0.38
    uncoded_share: float = 0.75
    extra_note_share: float = 0.1
    procedure_share: float = 0.0
    curve_codes: int = 0
    term_lists: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        problems = [message for holds, message in self._checks() if not holds]
        if problems:
            raise ConfigError("simulated corpus: " + "; ".join(problems))

    def _checks(self) -> list[tuple[bool, str]]:
        shares = ("absent", "hidden", "distractor", "uncoded", "extra_note", "procedure")
        wrong = [f"{name}_share" for name in shares if not 0.0 <= getattr(self, f"{name}_share") < 1.0]
        return [
            (self.n_admissions >= 1, f"n_admissions must be at least 1, got {self.n_admissions}"),
            (self.n_codes >= 50, f"n_codes must be at least 50, got {self.n_codes}"),
            (self.system in SYSTEMS, f"system must be one of {', '.join(SYSTEMS)}, got {self.system!r}"),
            (self.language == "en", f"only language 'en' is simulated, got {self.language!r}"),
            (self.curve_codes >= 0, f"curve_codes must not be negative, got {self.curve_codes}"),
            (self.seed >= 0, f"seed must not be negative, got {self.seed}"),
            (200 <= self.words_per_note <= 4000, f"words_per_note must be 200 to 4000, got {self.words_per_note}"),
            (1.0 <= self.labels_per_note <= 40.0, f"labels_per_note must be 1 to 40, got {self.labels_per_note}"),
            (
                len(self.splits) == 3 and min(self.splits) >= 0.0 and abs(sum(self.splits) - 1.0) < 1e-6,
                f"splits must be three shares that add up to 1, got {list(self.splits)}",
            ),
            (not wrong, f"shares must be in [0, 1): {', '.join(wrong)}"),
        ]
