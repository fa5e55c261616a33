"""How a corpus is looked through for noise, and what is done about it: ``corpus clean``, and a recipe's training."""

from __future__ import annotations

from dataclasses import asdict, dataclass, field

from nosology.config.rules import Check, Section, at_least, between, rule
from nosology.errors import ConfigError


def _inside(low: float, high: float, *, with_high: bool = True) -> dict[str, Check]:
    """In ``(low, high]``, or in ``(low, high)``."""
    end = "]" if with_high else ")"

    def check(value: float) -> str | None:
        good = low < value < high or (with_high and value == high)
        return None if good else f"{value!r} is not in ({low}, {high}{end}"

    return rule(check)


@dataclass(frozen=True, slots=True)
class DuplicateRule(Section):
    """What counts as said before.

    Args:
        similarity: least cosine of a copy and what it copies, in (0, 1].
        least_words: shorter chunks are left alone: "no fever" is no copy.
        boilerplate_share: of patients that boilerplate stands with, at least, in (0, 1].
        far_from_codes: boilerplate is less similar than this to everything that any code is called, in (0, 1].
    """

    similarity: float = field(default=0.95, metadata=_inside(0, 1))
    least_words: int = field(default=6, metadata=at_least(1))
    boilerplate_share: float = field(default=0.02, metadata=_inside(0, 1))
    far_from_codes: float = field(default=0.5, metadata=_inside(0, 1))


@dataclass(frozen=True, slots=True)
class NoiseThresholds(Section):
    """What counts as a finding among codes.

    Args:
        share: of codes thought to be mistakes, in (0, 0.9]: the prior.
        implausible: least probability at which a code that stands there is called wrong, in (0, 1). The formula is
            shy: where it says 0.12 to 0.15, a third were wrong on the corpus that it was tuned on.
        missing: least probability at which a code is proposed, in (0, 1).
        least_weight: certainty of a code that is surely wrong, in [0, 1].
    """

    share: float = field(default=0.1, metadata=_inside(0, 0.9))
    implausible: float = field(default=0.12, metadata=_inside(0, 1, with_high=False))
    missing: float = field(default=0.5, metadata=_inside(0, 1, with_high=False))
    least_weight: float = field(default=0.3, metadata=between(0, 1))


@dataclass(frozen=True, slots=True)
class Measures(Section):
    """What is done about findings; nothing by default.

    Args:
        drop_duplicates: copies and boilerplate are cut out of notes.
        drop_implausible: codes that are likely wrong go.
        add_missing: codes that are likely missing are added, without evidence.
        weigh: codes get a certainty, which a network takes as its target: those that stand there 1, falling to
            ``least_weight`` the likelier they are wrong; those that were added, the probability that they are missing.
    """

    drop_duplicates: bool = False
    drop_implausible: bool = False
    add_missing: bool = False
    weigh: bool = False

    @property
    def taken(self) -> tuple[str, ...]:
        """Names of those that are taken."""
        return tuple(name for name, chosen in asdict(self).items() if chosen)


@dataclass(frozen=True, slots=True)
class CleaningConfig(Section):
    """How a corpus is looked through, and what is done about findings.

    Args:
        encoders: "lexical", "minilm", a folder, or owner/name on the model hub; several complement each other, and
            the first one finds duplicates and the words that a finding points at.
        synonyms: wordings of a code, its title included.
        max_words: of a chunk.
        folds: parts of the cross-fitting; no patient is in two.
        seed: of every random choice.
        thresholds: what counts as a finding among codes.
        duplicates: what counts as a copy or boilerplate.
        measures: what is done.
    """

    encoders: tuple[str, ...] = ("minilm",)
    synonyms: int = field(default=6, metadata=at_least(1))
    max_words: int = field(default=60, metadata=at_least(1))
    folds: int = field(default=5, metadata=at_least(2))
    seed: int = field(default=0, metadata=at_least(0))
    thresholds: NoiseThresholds = field(default_factory=NoiseThresholds)
    duplicates: DuplicateRule = field(default_factory=DuplicateRule)
    measures: Measures = field(default_factory=Measures)

    def __post_init__(self) -> None:
        Section.__post_init__(self)
        if not self.encoders or len(set(self.encoders)) < len(self.encoders):
            raise ConfigError("encoders: name at least one, and none twice")
