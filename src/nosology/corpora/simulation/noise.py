"""Mistakes planted into a corpus's codes, so that what looks for such mistakes can be measured.

Half of them are swaps: a true code gives way to a relative in the hierarchy, the nearest that is a label of the corpus
and not a code of the encounter. Half are drops: a true code is missing. Notes stay as they are. Which codes are hit
depends on seed and ids alone, not on the order of encounters.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from hashlib import blake2b

from nosology.codes.kinship import Kinship
from nosology.errors import ConfigError, CorpusError
from nosology.types import Corpus, Encounter, GoldCode


@dataclass(frozen=True, slots=True)
class Swap:
    """A code that another one replaced."""

    encounter_id: str
    true_code: str
    wrong_code: str


@dataclass(frozen=True, slots=True)
class Drop:
    """A code that was taken away."""

    encounter_id: str
    true_code: str


@dataclass(frozen=True, slots=True)
class PlantedNoise:
    """What was done to a corpus; both sorted by encounter and code."""

    swaps: tuple[Swap, ...]
    drops: tuple[Drop, ...]

    @property
    def wrong(self) -> frozenset[tuple[str, str]]:
        """(encounter id, code) of every code that stands there and should not."""
        return frozenset((swap.encounter_id, swap.wrong_code) for swap in self.swaps)

    @property
    def missing(self) -> frozenset[tuple[str, str]]:
        """(encounter id, code) of every code that should stand there and does not."""
        return frozenset((one.encounter_id, one.true_code) for one in (*self.swaps, *self.drops))


def plant_noise(corpus: Corpus, share: float, seed: int) -> tuple[Corpus, PlantedNoise]:
    """Plant mistakes into a share of all codes, half of them swaps and half of them drops.

    A swapped code keeps its evidence, as a coder's who read the right words and chose the wrong code. Codes without a
    relative are never swapped; where too few are left to swap, there are fewer swaps.

    Args:
        corpus: with codes; encounters that nobody has coded stay as they are.
        share: of all assigned codes, in [0, 1].
        seed: of the choice.

    Raises:
        ConfigError: a share outside [0, 1].
        CorpusError: no encounter has a code.
    """
    if not 0 <= share <= 1:
        raise ConfigError(f"share of planted noise = {share} is not in [0, 1]")
    golds = [(encounter, gold) for encounter in corpus for gold in encounter.codes or ()]
    if not golds:
        raise CorpusError("no encounter has a code; there is nothing to plant noise into")
    golds.sort(key=lambda pair: _chance(seed, "which", pair[0].encounter_id, pair[1].code))
    wanted = round(share * len(golds))
    swaps = _swaps(golds, wanted - wanted // 2, seed)
    hit = {(swap.encounter_id, swap.true_code) for swap in swaps}
    left = (Drop(e.encounter_id, gold.code) for e, gold in golds if (e.encounter_id, gold.code) not in hit)
    drops = [drop for drop, _ in zip(left, range(wanted // 2), strict=False)]
    order = [(one.encounter_id, one.true_code) for one in drops]
    noise = PlantedNoise(tuple(sorted(swaps, key=_place)), tuple(sorted(drops, key=_place)))
    return _applied(corpus, noise, frozenset(order)), noise


def _place(one: Swap | Drop) -> tuple[str, str]:
    return one.encounter_id, one.true_code


def _swaps(golds: Sequence[tuple[Encounter, GoldCode]], wanted: int, seed: int) -> list[Swap]:
    kinship = Kinship((gold.code, gold.system) for _, gold in golds)
    return [swap for swap, _ in zip(_possible_swaps(golds, kinship, seed), range(wanted), strict=False)]


def _possible_swaps(golds: Sequence[tuple[Encounter, GoldCode]], kinship: Kinship, seed: int) -> Iterator[Swap]:
    given = dict[str, set[str]]()
    for encounter, gold in golds:
        taken = given.setdefault(encounter.encounter_id, set(encounter.code_set))
        relatives = kinship.nearest(gold.code, taken)
        if relatives:
            chance = _chance(seed, "whither", encounter.encounter_id, gold.code)
            wrong = relatives[chance % len(relatives)]
            taken.add(wrong)
            yield Swap(encounter.encounter_id, gold.code, wrong)


def _applied(corpus: Corpus, noise: PlantedNoise, dropped: frozenset[tuple[str, str]]) -> Corpus:
    wrong = {(swap.encounter_id, swap.true_code): swap.wrong_code for swap in noise.swaps}

    def codes(encounter: Encounter) -> Iterator[GoldCode]:
        for gold in encounter.codes or ():
            place = encounter.encounter_id, gold.code
            if place not in dropped:
                yield replace(gold, code=wrong[place]) if place in wrong else gold

    return corpus.with_encounters(
        [one if one.codes is None else replace(one, codes=tuple(codes(one))) for one in corpus]
    )


def _chance(seed: int, *words: str) -> int:
    """A number that seed and words decide, the same in every process."""
    return int.from_bytes(blake2b("\0".join((str(seed), *words)).encode(), digest_size=8).digest())
