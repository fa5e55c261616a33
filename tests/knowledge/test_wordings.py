from __future__ import annotations

from nosology.codes.titles import TitleTable
from nosology.knowledge.base import Expression, KnowledgeBase, Source
from nosology.knowledge.wordings import Wordings

TITLES = TitleTable([("I10", "icd10cm", "Essential (primary) hypertension")])
TERMS = [
    Expression("Essential primary hypertension", "I10", "icd10cm", Source.TITLE_VARIANT),
    Expression("High blood pressure", "I10", "icd10cm", Source.INCLUSION_TERM),
    Expression("HTN", "I10", "icd10cm", Source.TERM_LIST),
    Expression("Diabetes", "E11.9", "icd10cm", Source.TERM_LIST),
]


def test_the_title_comes_first_and_no_wording_twice() -> None:
    built = list[int]()
    wordings = Wordings(TITLES, lambda: built.append(1) or KnowledgeBase(TERMS))
    assert wordings.title("I10") == "Essential (primary) hypertension"
    assert not built
    assert wordings.synonyms("I10", 5) == ["Essential (primary) hypertension", "High blood pressure", "HTN"]
    assert wordings.synonyms("I10", 2) == ["Essential (primary) hypertension", "High blood pressure"]
    assert built == [1]


def test_a_code_that_no_table_has_is_called_by_itself() -> None:
    assert Wordings(TITLES).title("Q99") == "Q99"
    assert Wordings(TITLES).synonyms("Q99", 3) == ["Q99"]
