"""CodiEsp's official definitions (CLEF eHealth 2020), as the organisers' public scripts compute them.

D and P: codes in lower case; of a (document, code) pair listed twice the first counts; predictions outside the task's
list of valid codes are dropped first; MAP over the order of the submitted list, at most 1,000 codes a document; F1 over
distinct (document, code) pairs.

X: a (document, code) pair is found if any predicted span of that code encloses any gold reference of it with at most 10
characters to spare on each side; a discontinuous reference runs from its first start to its last end. Diagnoses and
procedures are pooled.

Differs from the scripts: the organisers' list of valid codes (CIE-10-ES 2018) is no part of this package, so nothing
is dropped unless ``valid_codes`` is given, which can only lower our precision. The scripts score one submitted file;
here MAP runs over all candidates and F1 over the assigned codes, and ``mean_average_precision_assigned`` the MAP of a
file that holds the assigned codes alone. The scripts' MAP divides by the number of documents *with predictions*
(trectools 0.0.42), so silence costs nothing; ``mean_average_precision`` divides by the number of documents with gold
codes and ``mean_average_precision_as_scripted`` is the scripts' figure. The two agree where every document with gold
codes, and no other, has a candidate.

Reference: Miranda-Escalada et al., 2020, CLEF eHealth; github.com/TeMU-BSC/codiesp-evaluation-script.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass

from nosology.evaluation.metrics import Scores, harmonic_mean
from nosology.types import CodedEncounter, Encounter, Evidence

TOLERANCE_CHARS = 10
DEPTH = 1000

DIAGNOSES, PROCEDURES = "icd10cm", "icd10pcs"


@dataclass(frozen=True, slots=True)
class RankedScores:
    """What CodiEsp D and P report.

    Args:
        mean_average_precision: over the documents with gold codes; one without candidates counts 0.
        mean_average_precision_as_scripted: the same sum over the number of documents with candidates.
        mean_average_precision_assigned: MAP of the assigned codes alone, over the documents with gold codes.
        micro: precision, recall and F1 of assigned codes over distinct (document, code) pairs.
        documents: documents with gold codes.
    """

    mean_average_precision: float
    mean_average_precision_as_scripted: float
    mean_average_precision_assigned: float
    micro: Scores
    documents: int


@dataclass(frozen=True, slots=True)
class CodiespScores:
    """The official scores of the tracks that a corpus has gold codes for; ``None`` where it has none.

    Args:
        diagnoses: track D.
        procedures: track P.
        explained: track X, over the code systems in ``explained_systems``.
        explained_systems: both for the official figure.
    """

    diagnoses: RankedScores | None
    procedures: RankedScores | None
    explained: Scores | None
    explained_systems: tuple[str, ...] = ()

    def figures(self) -> dict[str, float]:
        """The scores under dotted names: ``codiesp.d.map``, ``codiesp.p.f1``, ``codiesp.x.precision``."""
        found = dict[str, float]()
        for track, scores in (("d", self.diagnoses), ("p", self.procedures)):
            if scores is not None:
                found[f"codiesp.{track}.map"] = scores.mean_average_precision
                found[f"codiesp.{track}.map_as_scripted"] = scores.mean_average_precision_as_scripted
                found[f"codiesp.{track}.map_assigned"] = scores.mean_average_precision_assigned
                found |= _named(track, scores.micro)
        return found | (_named("x", self.explained) if self.explained is not None else {})


def _named(track: str, scores: Scores) -> dict[str, float]:
    values = {"precision": scores.precision, "recall": scores.recall, "f1": scores.f1}
    return {f"codiesp.{track}.{name}": value for name, value in values.items()}


Pairs = Mapping[str, Sequence[str]]
References = Mapping[tuple[str, str], Sequence[Evidence]]


def score_ranked(
    gold: Pairs, candidates: Pairs, assigned: Pairs, *, valid_codes: Collection[str] | None = None
) -> RankedScores:
    """CodiEsp D or P.

    Args:
        gold: the gold codes of each document.
        candidates: the codes listed for each document, best first.
        assigned: the codes assigned to each document, best first.
        valid_codes: the task's list; predictions outside it are dropped. By default nothing is dropped.
    """
    valid = None if valid_codes is None else {code.lower() for code in valid_codes}
    gold_codes = {document: set(_distinct(codes)) for document, codes in gold.items() if codes}
    ranked = _cleaned(candidates, valid)
    submitted = _cleaned(assigned, valid)
    total = _sum_of_average_precision(gold_codes, ranked)
    return RankedScores(
        mean_average_precision=_quotient(total, len(gold_codes)),
        mean_average_precision_as_scripted=_quotient(total, len(ranked)),
        mean_average_precision_assigned=_quotient(_sum_of_average_precision(gold_codes, submitted), len(gold_codes)),
        micro=_score_pairs(_pairs(gold_codes), _pairs(submitted)),
        documents=len(gold_codes),
    )


def score_explained(
    gold: References,
    predicted: References,
    *,
    valid_codes: Collection[str] | None = None,
    tolerance_chars: int = TOLERANCE_CHARS,
) -> Scores:
    """CodiEsp X.

    Args:
        gold: the references of each (document, code) pair; a pair without any can never be found.
        predicted: the spans of each assigned (document, code) pair; one without any counts as predicted, not as found.
        valid_codes: the tasks' lists together; predictions outside them are dropped. By default nothing is dropped.
        tolerance_chars: how many characters a prediction may exceed the reference by, on each side.
    """
    valid = None if valid_codes is None else {code.lower() for code in valid_codes}
    references = _by_lower_case(gold)
    spans = {pair: found for pair, found in _by_lower_case(predicted).items() if valid is None or pair[1] in valid}
    true_positives = sum(
        any(_encloses(span, reference, tolerance_chars) for span in found for reference in references.get(pair, ()))
        for pair, found in spans.items()
    )
    return _scores(true_positives, len(spans), len(references))


def score_codiesp(
    encounters: Sequence[Encounter],
    coded: Iterable[CodedEncounter],
    systems: Collection[str],
    *,
    valid_codes: Collection[str] | None = None,
) -> CodiespScores:
    """All tracks that ``systems`` has labels for.

    Args:
        encounters: coded by people.
        coded: what the coder said of them.
        systems: the code systems of the labels: ``icd10cm`` for D, ``icd10pcs`` for P, both for X.
        valid_codes: the tasks' lists together; by default nothing is dropped.
    """
    predictions = tuple(coded)
    tracks = {
        system: _score_track(encounters, predictions, system, valid_codes) if system in systems else None
        for system in (DIAGNOSES, PROCEDURES)
    }
    gold = {(e.encounter_id, g.code): g.evidence for e in encounters for g in e.codes or () if g.system in systems}
    predicted = {
        (c.encounter_id, s.code): s.evidence for c in predictions for s in c.assigned if system_of(s.code) in systems
    }
    with_evidence = any(gold.values())  # the English corpus has none
    return CodiespScores(
        tracks[DIAGNOSES],
        tracks[PROCEDURES],
        score_explained(gold, predicted, valid_codes=valid_codes) if with_evidence else None,
        tuple(system for system in (DIAGNOSES, PROCEDURES) if system in systems) if with_evidence else (),
    )


def system_of(code: str) -> str:
    """The code system a code of CodiEsp belongs to, told by its shape: only ICD-10-CM has dots or three characters."""
    return DIAGNOSES if "." in code or len(code) == 3 else PROCEDURES


def _score_track(
    encounters: Sequence[Encounter],
    predictions: Sequence[CodedEncounter],
    system: str,
    valid_codes: Collection[str] | None,
) -> RankedScores:
    return score_ranked(
        {e.encounter_id: [g.code for g in e.codes or () if g.system == system] for e in encounters},
        {c.encounter_id: [s.code for s in c.codes if system_of(s.code) == system] for c in predictions},
        {c.encounter_id: [s.code for s in c.assigned if system_of(s.code) == system] for c in predictions},
        valid_codes=valid_codes,
    )


def _distinct(codes: Iterable[str]) -> list[str]:
    return list(dict.fromkeys(code.lower() for code in codes))


def _cleaned(predicted: Pairs, valid: Collection[str] | None) -> dict[str, list[str]]:
    """Distinct valid codes in the order given; documents left without any are dropped, as in a submitted file."""
    lists = {
        document: [code for code in _distinct(codes) if valid is None or code in valid]
        for document, codes in predicted.items()
    }
    return {document: codes for document, codes in lists.items() if codes}


def _sum_of_average_precision(gold: Mapping[str, Collection[str]], ranked: Pairs) -> float:
    return sum(_average_precision(codes, ranked.get(document, ())) for document, codes in gold.items())


def _average_precision(gold: Collection[str], ranked: Sequence[str]) -> float:
    found, total = 0, 0.0
    for rank, code in enumerate(ranked[:DEPTH], start=1):
        if code in gold:
            found += 1
            total += found / rank
    return total / len(gold)


def _pairs(codes: Mapping[str, Collection[str]]) -> set[tuple[str, str]]:
    return {(document, code) for document, listed in codes.items() for code in listed}


def _by_lower_case(references: References) -> dict[tuple[str, str], list[Evidence]]:
    merged: dict[tuple[str, str], list[Evidence]] = {}
    for (document, code), spans in references.items():
        merged.setdefault((document, code.lower()), []).extend(spans)
    return merged


def _encloses(span: Evidence, reference: Evidence, tolerance: int) -> bool:
    return (
        span.note_id == reference.note_id
        and 0 <= reference.start - span.start <= tolerance
        and 0 <= span.end - reference.end <= tolerance
    )


def _score_pairs(gold: set[tuple[str, str]], predicted: set[tuple[str, str]]) -> Scores:
    return _scores(len(gold & predicted), len(predicted), len(gold))


def _scores(true_positives: int, predicted: int, gold: int) -> Scores:
    precision, recall = _quotient(true_positives, predicted), _quotient(true_positives, gold)
    return Scores(precision, recall, harmonic_mean(precision, recall))


def _quotient(numerator: float, denominator: int) -> float:
    return numerator / denominator if denominator else 0.0
