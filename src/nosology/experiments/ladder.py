"""How far the evidence of a scored code lies from everything that training has shown: the ladder.

Each gold pair (encounter, code) stands on the first rung that holds for any of its evidence:

1. ``exact``: training evidence of the same code has the same words, but for case, accents and punctuation;
2. ``inflected``: the same concepts in other forms or another order, stop words apart;
3. ``other words``: training has the code, but never in these words;
4. ``sibling``: training lacks the code and has another one of its category (its first three characters);
5. ``elsewhere``: training has no code of its category.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass

from nosology.codes.formats import compact_code
from nosology.knowledge.stream import build_stream
from nosology.knowledge.vocabulary import key_of
from nosology.types import CodedEncounter, Corpus, Encounter, GoldCode

RUNGS = ("exact", "inflected", "other words", "sibling", "elsewhere")

_CATEGORY_CHARACTERS = 3

Pair = tuple[str, str]
"""(encounter id, code)."""
_Phrase = tuple[str, tuple[str, ...]]
"""(code, words or concepts)."""


@dataclass(frozen=True, slots=True)
class RungScores:
    """One rung.

    Args:
        rung: its name, of ``RUNGS``.
        gold: gold pairs on it.
        candidate_recall: share of them among the candidates; 0 on an empty rung.
        recall: share of them that are assigned; 0 on an empty rung.
    """

    rung: str
    gold: int
    candidate_recall: float
    recall: float


def place_on_ladder(train: Corpus, scored: Corpus) -> dict[Pair, str]:
    """The rung of every gold pair that has evidence.

    Args:
        train: encounters with evidence.
        scored: encounters with evidence.
    """
    surfaces, keys = set[_Phrase](), set[_Phrase]()
    for encounter in train:
        for gold, words, concepts in _phrases(encounter):
            surfaces.add((gold.code, words))
            keys.add((gold.code, concepts))
    seen = {gold.code for encounter in train for gold in encounter.codes or ()}
    categories = {_category(gold) for encounter in train for gold in encounter.codes or ()}
    best = dict[Pair, int]()
    for encounter in scored:
        for gold, words, concepts in _phrases(encounter):
            if (gold.code, words) in surfaces:
                rung = 0
            elif (gold.code, concepts) in keys:
                rung = 1
            elif gold.code in seen:
                rung = 2
            else:
                rung = 3 if _category(gold) in categories else 4
            pair = (encounter.encounter_id, gold.code)
            best[pair] = min(rung, best.get(pair, rung))
    return {pair: RUNGS[rung] for pair, rung in best.items()}


def score_ladder(rungs: Mapping[Pair, str], coded: Iterable[CodedEncounter]) -> tuple[RungScores, ...]:
    """The coder's recall on each rung, from the easiest to the hardest.

    Args:
        rungs: of each gold pair, as ``place_on_ladder`` gives them.
        coded: predictions for the same encounters.
    """
    listed, assigned = set[Pair](), set[Pair]()
    for encounter in coded:
        listed.update((encounter.encounter_id, code.code) for code in encounter.codes)
        assigned.update((encounter.encounter_id, code.code) for code in encounter.assigned)
    return tuple(_score(rung, {pair for pair, at in rungs.items() if at == rung}, listed, assigned) for rung in RUNGS)


def _score(rung: str, pairs: set[Pair], listed: set[Pair], assigned: set[Pair]) -> RungScores:
    total = max(1, len(pairs))
    return RungScores(rung, len(pairs), len(pairs & listed) / total, len(pairs & assigned) / total)


def _phrases(encounter: Encounter) -> Iterator[tuple[GoldCode, tuple[str, ...], tuple[str, ...]]]:
    """Each gold code with the words and the concepts of each of its evidence."""
    stream = build_stream(encounter)
    for gold in encounter.codes or ():
        for evidence in gold.evidence:
            words = [stream.words[index] for index in stream.indices_of(evidence)]
            if words:
                yield gold, tuple(words), key_of(words, stream.language)


def _category(gold: GoldCode) -> Pair:
    return gold.system, compact_code(gold.code, gold.system)[:_CATEGORY_CHARACTERS]
