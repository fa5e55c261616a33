from __future__ import annotations

from nosology.experiments.ladder import RUNGS, place_on_ladder, score_ladder
from nosology.types import CodedEncounter, Corpus, Encounter, Evidence, GoldCode, Note, Span, SuggestedCode


def case(key: str, text: str, **evidence: str) -> Encounter:
    """A case whose codes (``R50_9`` for R50.9) are marked at these words, several joined by a bar."""
    codes = tuple(
        GoldCode(code.replace("_", "."), "icd10cm", tuple(span(key, text, words) for words in marked.split("|")))
        for code, marked in evidence.items()
    )
    return Encounter(key, (Note(key, text, language="es"),), codes)


def span(key: str, text: str, words: str) -> Evidence:
    return Evidence(key, (Span(text.index(words), text.index(words) + len(words)),))


TRAIN = Corpus(
    "codiesp",
    ("icd10cm",),
    (
        case("t1", "Presenta edema de los párpados.", H02_843="edema de los párpados"),
        case("t2", "Fiebre alta. Litiasis renal.", R50_9="Fiebre", N20_0="Litiasis renal"),
    ),
    "es",
)
SCORED = Corpus(
    "codiesp",
    ("icd10cm",),
    (
        case("exact", "Con FIEBRE desde ayer.", R50_9="FIEBRE"),
        case("inflected", "Párpados con edemas.", H02_843="Párpados con edemas"),
        case("other", "Temperatura de 39 grados.", R50_9="Temperatura de 39 grados"),
        case("best", "Temperatura de 39 grados, fiebre.", R50_9="Temperatura de 39 grados|fiebre"),
        case("sibling", "Cálculo en el uréter.", N20_1="Cálculo en el uréter"),
        case("elsewhere", "Psoriasis.", L40_9="Psoriasis"),
        case("borrowed", "Litiasis renal.", N13_2="Litiasis renal"),
    ),
    "es",
)
RUNG_OF = {
    ("exact", "R50.9"): "exact",
    ("inflected", "H02.843"): "inflected",
    ("other", "R50.9"): "other words",
    ("best", "R50.9"): "exact",
    ("sibling", "N20.1"): "sibling",
    ("elsewhere", "L40.9"): "elsewhere",
    ("borrowed", "N13.2"): "elsewhere",
}


def test_each_gold_code_stands_on_the_first_rung_that_holds() -> None:
    assert place_on_ladder(TRAIN, SCORED) == RUNG_OF


def test_a_code_without_evidence_stands_on_no_rung() -> None:
    bare = Encounter("bare", (Note("bare", "Fiebre", language="es"),), (GoldCode("R50.9", "icd10cm"),))
    assert place_on_ladder(TRAIN, TRAIN.with_encounters([bare])) == {}


def test_recall_on_each_rung() -> None:
    coded = [
        CodedEncounter("exact", (SuggestedCode("R50.9", "icd10cm", 0.9, assigned=True),)),
        CodedEncounter("best", (SuggestedCode("R50.9", "icd10cm", 0.2, assigned=False),)),
        CodedEncounter("sibling", (SuggestedCode("N20.0", "icd10cm", 0.9, assigned=True),)),
    ]
    scores = score_ladder(RUNG_OF, coded)
    assert [row.rung for row in scores] == list(RUNGS)
    assert [row.gold for row in scores] == [2, 1, 1, 1, 2]
    assert [row.candidate_recall for row in scores] == [1.0, 0.0, 0.0, 0.0, 0.0]
    assert [row.recall for row in scores] == [0.5, 0.0, 0.0, 0.0, 0.0]
