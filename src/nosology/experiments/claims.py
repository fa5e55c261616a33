"""What a paper says of two methods, marked held, not held or undecided by a paired test."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Literal

from nosology.evaluation.comparison import Comparison, compare_systems
from nosology.experiments.declaration import Claim
from nosology.experiments.score_table import Setting, System, holm

Verdict = Literal["held", "not held", "undecided"]

DECIDED = 0.05
"""A p-value below it decides."""


@dataclass(frozen=True, slots=True)
class JudgedClaim:
    """A claim and what the runs say of it.

    Args:
        corpus: the table whose runs it was judged by.
        claim: see ``Claim``.
        difference: the figure of the method said to be better minus the other's, means over seeds.
        low, high: interval of the difference.
        p_value: of no difference, by paired randomisation, corrected by Holm's method for the claims on this table.
        verdict: "held" if chance does not explain a difference in the claim's favour, "not held" if it does not explain
            one against it, "undecided" otherwise.
    """

    corpus: str
    claim: Claim
    difference: float
    low: float
    high: float
    p_value: float
    verdict: Verdict

    def to_dict(self) -> dict[str, object]:
        """Plain dicts, strings and numbers."""
        return asdict(self)


def judge_claims(
    claims: Sequence[Claim], systems: Sequence[System], setting: Setting, corpus: str
) -> tuple[JudgedClaim, ...]:
    """Test every claim whose two methods stand in a table.

    Args:
        claims: of an experiment.
        systems: of the table.
        setting: what they were scored on.
        corpus: the table's name.

    Raises:
        ConfigError: an unknown figure.
    """
    by_name = {system.name: system for system in systems}
    own = [claim for claim in claims if claim.stands_in(corpus, by_name)]
    found = [_compare(claim, by_name, setting) for claim in own]
    p_values = holm({str(number): one.p_randomisation for number, one in enumerate(found)})
    return tuple(
        _judged(corpus, claim, one, p_values[str(number)])
        for number, (claim, one) in enumerate(zip(own, found, strict=True))
    )


def claims_markdown(judged: Sequence[JudgedClaim], level: float) -> str:
    """A section of a page; empty without claims."""
    if not judged:
        return ""
    several = len({one.corpus for one in judged}) > 1
    rows = [f"| claim | figure | difference | p | |{' on |' if several else ''}"]
    rows.append("| --- | --- | ---: | ---: | --- |" + (" --- |" if several else ""))
    for one in judged:
        difference = f"{one.difference:+.3f} [{one.low:+.3f}, {one.high:+.3f}]"
        cells = [_text(one.claim), one.claim.figure, difference, f"{one.p_value:.3f}", one.verdict]
        rows.append(f"| {' | '.join([*cells, one.corpus] if several else cells)} |")
    how = (
        f"The first method's figure minus the second's, with its {100 * level:g} % interval. Held: p < {DECIDED} and "
        f"the difference above 0; not held: p < {DECIDED} and below 0; undecided otherwise. Paired randomisation test, "
        "Holm-corrected over the claims on one corpus."
    )
    return "\n".join(["## Claims", "", *rows, "", how, "", ""])


def _compare(claim: Claim, by_name: Mapping[str, System], setting: Setting) -> Comparison:
    better, worse = (by_name[name].judged for name in (claim.better, claim.worse))
    figures, space = [claim.figure], list(setting.train_counts)
    found = compare_systems(better, worse, setting.groups, figures=figures, label_space=space, plan=setting.plan)
    return found[claim.figure]


def _judged(corpus: str, claim: Claim, found: Comparison, p_value: float) -> JudgedClaim:
    verdict = _verdict(found.difference, p_value)
    return JudgedClaim(corpus, claim, found.difference, found.low, found.high, p_value, verdict)


def _verdict(difference: float, p_value: float) -> Verdict:
    if p_value >= DECIDED or difference == 0.0:
        return "undecided"
    return "held" if difference > 0.0 else "not held"


def _text(claim: Claim) -> str:
    return f"{claim.text} ({claim.better} > {claim.worse})".replace("|", r"\|")
