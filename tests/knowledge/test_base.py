"""The knowledge base: what counts as a repetition, queries, and files."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from nosology.errors import ModelError
from nosology.knowledge.base import Expression, KnowledgeBase, Source
from nosology.knowledge.string_table import StringTable
from nosology.preprocessing.languages import words_of

FEVER = Expression("Fever, unspecified", "R50.9", "icd10cm", Source.CODE_TABLE)
FIEBRE = Expression("Fiebre", "R50.9", "icd10cm", Source.MINED_EVIDENCE, "es")
COLD = Expression("Common cold", "J00", "icd10cm", Source.INCLUSION_TERM)

EXPRESSIONS = st.builds(
    Expression,
    st.sampled_from(["Fever", "fever!", "común", "COMUN", "肺炎", "--", "", "fatty liver"]),
    st.sampled_from(["R50.9", "J00", "041"]),
    st.sampled_from(["icd10cm", "icd9cm"]),
    st.sampled_from(list(Source)),
    st.sampled_from(["en", "es"]),
)


@given(st.lists(EXPRESSIONS, max_size=40))
@settings(max_examples=80, deadline=None)
def test_each_wording_of_a_code_is_kept_once_for_each_source(expressions: list[Expression]):
    base = KnowledgeBase(expressions)
    first = dict[object, Expression]()
    for expression in expressions:
        words = tuple(words_of(expression.text))
        if words:
            first.setdefault((words, expression.code, expression.system, expression.source), expression)
    assert list(base) == list(first.values())
    assert [base[index] for index in range(len(base))] == list(base)
    assert list(base.phrases) == list(dict.fromkeys(" ".join(words_of(e.text)) for e in base))


@given(st.lists(EXPRESSIONS, max_size=30))
@settings(max_examples=60, deadline=None)
def test_arrays_hold_everything(expressions: list[Expression]):
    base = KnowledgeBase(expressions)
    again = KnowledgeBase.from_arrays(*base.arrays())
    assert list(again) == list(base)
    assert again.describe() == base.describe()
    assert list(again.phrases) == list(base.phrases)
    assert again.codes == base.codes


@given(st.lists(st.text(st.characters(exclude_categories=["Cs"])), max_size=20))
@settings(max_examples=60, deadline=None)
def test_a_string_table_is_a_sequence_of_its_strings(strings: list[str]):
    table = StringTable.of(strings)
    assert list(table) == strings
    assert [table[index] for index in range(len(table))] == strings
    assert table[1:3] == strings[1:3]
    with pytest.raises(IndexError):
        table[len(strings)]


def test_queries():
    base = KnowledgeBase([FEVER, FIEBRE, COLD])
    assert base.of_code("R50.9") == (FEVER, FIEBRE)
    assert base.of_code("R50.9", "icd9cm") == ()
    assert base.of_code("unknown") == ()
    assert base.codes == ("R50.9", "J00")
    assert base.sources == {Source.CODE_TABLE: 1, Source.INCLUSION_TERM: 1, Source.MINED_EVIDENCE: 1}
    assert base.describe() == {
        "code table": {"en": 1},
        "inclusion term": {"en": 1},
        "mined evidence": {"es": 1},
    }


def test_a_phrase_leads_to_all_its_expressions():
    other = Expression("FIEBRE", "A99", "icd10cm", Source.TERM_LIST, "es")
    base = KnowledgeBase([FEVER, FIEBRE, COLD, other])
    assert base.with_phrase(list(base.phrases).index("fiebre")) == (FIEBRE, other)
    assert [base.phrases[int(number)] for number in base.phrase_ids] == [
        "fever unspecified",
        "fiebre",
        "common cold",
        "fiebre",
    ]


def test_adding_expressions_changes_no_other_base():
    base = KnowledgeBase([FEVER])
    larger = base.with_expressions([COLD, FEVER], [FIEBRE])
    assert list(larger) == [FEVER, COLD, FIEBRE]
    assert list(base) == [FEVER]


def test_a_saved_base_is_read_again_without_pickle(tmp_path: Path):
    base = KnowledgeBase([FEVER, FIEBRE, COLD])
    base.save(tmp_path)
    assert list(KnowledgeBase.load(tmp_path)) == list(base)
    assert [path.name for path in tmp_path.iterdir()] == ["knowledge.npz"]
    with np.load(tmp_path / "knowledge.npz", allow_pickle=False) as file:
        assert all(file[name].dtype != object for name in file.files)


def test_a_base_without_expressions_can_be_saved(tmp_path: Path):
    KnowledgeBase().save(tmp_path)
    assert len(KnowledgeBase.load(tmp_path)) == 0


def test_a_missing_or_damaged_file_is_a_model_error(tmp_path: Path):
    with pytest.raises(ModelError, match=r"knowledge\.npz: this model has no knowledge\.npz; train it again"):
        KnowledgeBase.load(tmp_path)
    path = tmp_path / "knowledge.npz"
    KnowledgeBase([FEVER, FIEBRE, COLD]).save(tmp_path)
    whole = path.read_bytes()
    for damaged in (b"", b"not an archive", whole[: len(whole) // 2], whole[:60] + b"\xff" * 40 + whole[100:]):
        path.write_bytes(damaged)
        with pytest.raises(ModelError, match="cannot be read; copy the model again"):
            KnowledgeBase.load(tmp_path)


@pytest.mark.parametrize("name", ["code_ids", "phrase_ids", "system_ids", "source_ids", "language_ids"])
def test_arrays_that_do_not_fit_together_are_refused(name: str):
    arrays, strings = KnowledgeBase([FEVER, FIEBRE, COLD]).arrays()
    with pytest.raises(ValueError, match="do not fit together"):
        KnowledgeBase.from_arrays(arrays | {name: arrays[name][:-1]}, strings)
    with pytest.raises(ValueError, match="do not fit together"):
        KnowledgeBase.from_arrays(arrays | {name: np.full(3, 99)}, strings)
