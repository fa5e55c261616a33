"""Stems: inflections meet, different words do not."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from nosology.errors import ConfigError
from nosology.preprocessing.stemming import STOP_WORDS, stem

SAME = {
    "es": """
    fractura/fracturas hipertensiva/hipertensivo edematoso/edematosa dolores/dolor infecciones/infeccion
    cardiaca/cardiacos bilateral/bilaterales agudas/agudo cronicamente/cronica tumores/tumor tumoral/tumorales
    diabetico/diabeticas quiste/quistes sindrome/sindromes cicatriz/cicatrices articular/articulares
    mujer/mujeres inmunosupresor/inmunosupresora imagen/imagenes enfermedad/enfermedades leve/leves
    dificultad/dificultades nodulo/nodulos extrasistole/extrasistoles vena/venas control/controles
    febril/febriles
    """,
    "en": """
    infections/infection bodies/body fractures/fracture diseases/disease masses/mass biopsies/biopsy
    metastases/metastasis diagnoses/diagnosis thromboses/thrombosis cardiopathies/cardiopathy abscesses/abscess
    chronically/chronic kidneys/kidney reflexes/reflex rashes/rash acutely/acute severely/severe
    headaches/headache cases/case nurses/nurse arches/arch viruses/virus sinuses/sinus prostheses/prosthesis
    bruises/bruise
    """,
}
DIFFERENT = {
    "es": """
    pelo/pele casa/caso masa/mes gastritis/gastrico ano/anal pie/piel peso/pesar coma/como tos/tosis
    colon/colico utero/uterino feto/fetal cara/caro parto/parte artritis/artrosis hepatitis/hepatico ojo/oja
    mal/mala
    """,
    "en": """
    gas/gus cast/case pus/put colitis/colon gastritis/gastric ileus/ileum anal/anus rely/relate fibrosis/fibroma
    pleura/pleural hepatitis/hepatic arm/arms2 lung/lunge
    """,
}


def pairs(table: dict[str, str]) -> list[tuple[str, str, str]]:
    return [(language, *pair.split("/")) for language, text in table.items() for pair in text.split()]  # type: ignore[misc]


@pytest.mark.parametrize(("language", "first", "second"), pairs(SAME))
def test_inflections_meet(language: str, first: str, second: str) -> None:
    assert stem(first, language) == stem(second, language)


@pytest.mark.parametrize(("language", "first", "second"), pairs(DIFFERENT))
def test_different_words_stay_apart(language: str, first: str, second: str) -> None:
    assert stem(first, language) != stem(second, language)


@pytest.mark.parametrize("word", ["", "gas", "b12", "n44", "t4", "virus", "crisis"])
@pytest.mark.parametrize("language", ["en", "es"])
def test_words_left_alone(word: str, language: str) -> None:
    assert stem(word, language) == word


@given(st.text("aeioulnrst", min_size=0, max_size=14), st.sampled_from(["en", "es"]))
def test_stems_are_never_empty_nor_much_longer(word: str, language: str) -> None:
    found = stem(word, language)
    assert bool(found) == bool(word)
    assert len(found) <= len(word) + 1


def test_stop_words_are_normalised() -> None:
    from nosology.preprocessing.normalisation import normalise

    assert {"de", "sin", "que"} <= STOP_WORDS["es"]
    assert {"the", "of"} <= STOP_WORDS["en"]
    assert all(normalise(word).text == word for words in STOP_WORDS.values() for word in words)


def test_unknown_language() -> None:
    with pytest.raises(ConfigError, match="no suffixes data for language 'xx'"):
        stem("fracturas", "xx")
