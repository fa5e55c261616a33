"""Parts of the data and the code tree, against slow counting and small tables written by hand."""

from __future__ import annotations

from collections import Counter
from pathlib import Path

import numpy as np
import pytest

from nosology.codes import CodeSystem, FrequencyBands, open_code_system
from nosology.errors import ConfigError
from nosology.evaluation import Parting, evaluate, evaluate_judged, judge_codes
from nosology.evaluation.hierarchy import LEVELS, score_hierarchy
from nosology.evaluation.judgements import Judgements
from nosology.evaluation.subsets import length_subsets, metadata_subsets, split_name, systems_of
from nosology.types import CodedEncounter, Corpus, Encounter, GoldCode, Note, SuggestedCode

TABLE = """code,description,parent
A,first chapter,
A1,category one,A
A1.0,one zero,A1
A1.00,one zero zero,A1.0
A1.01,one zero one,A1.0
A1.1,one one,A1
A2,category two,A
A2.0,two zero,A2
B,second chapter,
B1,category three,B
"""
TREE = {"A1": "A", "A1.0": "A1", "A1.00": "A1.0", "A1.01": "A1.0", "A1.1": "A1", "A2": "A", "A2.0": "A2", "B1": "B"}
CODES = [code for code in TREE if code != "A1.0"]


@pytest.fixture(scope="module")
def table(tmp_path_factory: pytest.TempPathFactory) -> CodeSystem:
    path = tmp_path_factory.mktemp("table") / "own.csv"
    path.write_text(TABLE, encoding="utf-8")
    return CodeSystem.from_table(path, "own")


def judged_of(*rows: tuple[set[str], set[str]]) -> Judgements:
    listed = [[(code, 0.9, True) for code in sorted(assigned)] for _, assigned in rows]
    return judge_codes([f"e{i}" for i in range(len(rows))], [gold for gold, _ in rows], listed)


def scored(table: CodeSystem, *rows: tuple[set[str], set[str]]):
    judged = judged_of(*rows)
    return score_hierarchy(judged, dict.fromkeys(judged.labels, "own"), {"own": table})


def line_up(code: str) -> list[str]:
    """The code and its ancestors, from the code up."""
    return [code, *line_up(TREE[code])] if code in TREE else [code]


def random_rows(n: int, seed: int) -> list[tuple[set[str], set[str]]]:
    rng = np.random.default_rng(seed)
    return [({c for c in CODES if rng.random() < 0.3}, {c for c in CODES if rng.random() < 0.3}) for _ in range(n)]


# --- hierarchy ------------------------------------------------------------------------------------------------------


def test_sets_are_augmented_with_ancestors(table: CodeSystem) -> None:
    rows = random_rows(40, 0)
    both = assigned = gold = 0
    for wanted, given in rows:
        up_wanted, up_given = ({node for code in codes for node in line_up(code)} for codes in (wanted, given))
        both, assigned, gold = both + len(up_wanted & up_given), assigned + len(up_given), gold + len(up_wanted)
    scores = scored(table, *rows).scores
    assert (scores.precision, scores.recall) == pytest.approx((both / assigned, both / gold))
    assert scores.f1 == pytest.approx(2 * both / (assigned + gold))


def test_a_sibling_gets_the_credit_of_its_ancestors(table: CodeSystem) -> None:
    """Gold A1.00 has four nodes, assigned A1.01 has four; A, A1 and A1.0 are shared."""
    scores = scored(table, ({"A1.00"}, {"A1.01"})).scores
    assert (scores.precision, scores.recall, scores.f1) == (0.75, 0.75, 0.75)
    nothing = scored(table, ({"B1"}, {"A1.01"})).scores
    assert (nothing.precision, nothing.recall, nothing.f1) == (0.0, 0.0, 0.0)


@pytest.mark.parametrize(
    ("gold", "wrong", "level"),
    [
        ({"A1.00"}, "A1.0", "more general"),
        ({"A1"}, "A1.00", "more specific"),
        ({"A1.00", "B1"}, "A1.01", "stem"),
        ({"A1.1"}, "A1.01", "category"),
        ({"A2.0"}, "A1.01", "chapter"),
        ({"B1"}, "A1.01", "elsewhere"),
        (set[str](), "A1.01", "no gold code"),
        ({"A1", "A1.00"}, "A1.01", "stem"),  # the nearest counts: A1.0 is shared with A1.00
    ],
)
def test_where_a_wrong_code_diverges(table: CodeSystem, gold: set[str], wrong: str, level: str) -> None:
    found = {one.level: one.wrong for one in scored(table, (gold, {wrong})).divergences}
    expected = dict.fromkeys(LEVELS, 0) | {level: 1}
    assert found == expected


def test_every_wrong_code_is_counted_once(table: CodeSystem) -> None:
    rows = random_rows(60, 1)
    found = scored(table, *rows)
    wrong = sum(len(given - wanted) for wanted, given in rows)
    assert sum(one.wrong for one in found.divergences) == wrong
    assert sum(one.share for one in found.divergences) == pytest.approx(1.0)


def test_confused_siblings(table: CodeSystem) -> None:
    rows = random_rows(60, 2)
    slow = Counter(
        (missed, wrong)
        for gold, given in rows
        for missed in gold - given
        for wrong in given - gold
        if TREE[missed] == TREE[wrong] and TREE[missed] not in ("A", "B")
    )
    found = scored(table, *rows).confusions
    assert {(one.gold, one.assigned): one.encounters for one in found} == dict(slow)
    assert [one.encounters for one in found] == sorted(slow.values(), reverse=True)
    first = found[0]
    assert (first.gold_title, first.assigned_title) == (
        table.description(first.gold),
        table.description(first.assigned),
    )


def test_codes_that_no_table_knows_are_trees_of_their_own(table: CodeSystem) -> None:
    found = scored(table, ({"Q9"}, {"Q9", "X1"}))
    assert found.codes_without_table == 2
    assert found.scores.precision == 0.5
    other = judged_of(({"A1"}, {"A1.1"}))
    alone = score_hierarchy(other, dict.fromkeys(other.labels, "unheard of"), {"own": table})
    assert (alone.scores.f1, alone.codes_without_table) == (0.0, 2)


def test_a_code_that_is_no_more_stands_below_its_beginning() -> None:
    judged = judged_of(({"S02.5XXA"}, {"S02.5"}))
    report = evaluate_judged(judged, intervals=False, hierarchy=True, train_counts={})
    assert report.hierarchy is not None  # without a corpus no system is known
    encounters = [Encounter("e0", (Note("n", "text"),), (GoldCode("S02.5XXA", "icd10cm"),))]
    corpus = Corpus("own", ("icd10cm",), tuple(encounters))
    given = CodedEncounter("e0", (SuggestedCode("S02.5", "", 0.9, True),))
    found = evaluate(corpus, [given], intervals=False, hierarchy=True).hierarchy
    assert found is not None
    assert {one.level: one.wrong for one in found.divergences}["more general"] == 1
    assert found.scores.precision == 1.0


# --- parts ------------------------------------------------------------------------------------------------------------


def encounter(index: int, words: int, service: str | None, *codes: tuple[str, str]) -> Encounter:
    gold = tuple(GoldCode(code, system) for code, system in codes)
    metadata = {} if service is None else {"service": service}
    return Encounter(f"e{index}", (Note(f"n{index}", "word " * words),), gold, f"p{index % 3}", "dev", metadata)


ENCOUNTERS = (
    encounter(0, 10, "surgery", ("I10", "icd10cm"), ("0DTJ4ZZ", "icd10pcs")),
    encounter(1, 20, "surgery", ("J45.909", "icd10cm")),
    encounter(2, 30, None, ("I10", "icd10cm")),
    encounter(3, 40, "medicine", ("E11.9", "icd10cm"), ("I10", "icd10cm")),
)
CORPUS = Corpus("tabular", ("icd10cm", "icd10pcs"), ENCOUNTERS)
PREDICTED = [
    CodedEncounter("e0", (SuggestedCode("0DTJ4ZZ", "", 0.9, True), SuggestedCode("I10", "", 0.8, True))),
    CodedEncounter("e1", (SuggestedCode("I10", "", 0.7, True), SuggestedCode("J45.909", "", 0.2, False))),
    CodedEncounter("e2", (SuggestedCode("I11.9", "", 0.6, True), SuggestedCode("I10", "", 0.5, True))),
    CodedEncounter("e3", (SuggestedCode("BW24ZZZ", "", 0.6, True),)),
]
COUNTS = {"I10": 60, "E11.9": 3, "J45.909": 700}


def test_figures_of_parts_are_those_of_the_part_alone() -> None:
    by = ("system", "band", "chapter", "block", "length", "service")
    report = evaluate(CORPUS, PREDICTED, train_counts=COUNTS, bands="published", by=by)
    figures = report.figures()
    assert figures["system.icd10pcs.micro.f1"] == pytest.approx(2 / 3)
    assert figures["system.icd10cm.micro.recall"] == pytest.approx(2 / 5)
    assert figures["system.icd10cm.map"] == pytest.approx((1 + 1 / 2 + 1 / 2 + 0) / 4)  # I10 is first among diagnoses
    assert figures["chapter.I00-I99.micro.precision"] == pytest.approx(2 / 4)
    assert figures["block.I10-I1A.micro.precision"] == figures["chapter.I00-I99.micro.precision"]
    assert figures["band.51-100.micro.f1"] == pytest.approx(2 * 2 / (3 + 3))
    assert figures["band.501+.micro.recall"] == 0.0
    assert figures["service.surgery.micro.f1"] == pytest.approx(2 * 2 / (3 + 3))
    assert figures["service.unknown.exact_match"] == 0.0
    assert figures["length.q1.micro.f1"] == 1.0
    parts = {part.name: part for part in report.parts}
    assert parts["service.surgery"].counts.encounters == 2
    assert parts["length.q4"].title == "40 to 40 words"
    assert parts["chapter.I00-I99"].title.startswith("Diseases of the circulatory system")
    assert all(part.intervals["micro_f1"].value == pytest.approx(part.assignment.micro.f1) for part in report.parts)


def test_parts_by_code_add_up_to_the_whole() -> None:
    report = evaluate(
        CORPUS, PREDICTED, train_counts=COUNTS, by=("band", "chapter", "block", "system"), intervals=False
    )
    for by in ("band", "chapter", "block", "system"):
        parts = [part for part in report.parts if part.by == by]
        assert sum(part.counts.gold for part in parts) == report.counts.gold
        assert sum(part.counts.assigned for part in parts) == report.counts.assigned


def test_the_full_bands_agree_with_the_short_ones() -> None:
    plain = evaluate(CORPUS, PREDICTED, train_counts=COUNTS, bands="published", intervals=False).figures()
    full = evaluate(CORPUS, PREDICTED, train_counts=COUNTS, bands="published", by=("band",), intervals=False).figures()
    assert "band.51-100.map" in full
    for name, value in plain.items():
        assert full[name] == pytest.approx(value), name


def test_lengths_are_parted_by_quantiles() -> None:
    encounters = [encounter(i, words, None) for i, words in enumerate([5, 5, 5, 5, 9, 12, 20, 21])]
    found = {one.value: (len(one.encounters or ()), one.title) for one in length_subsets(encounters)}
    assert found == {"q1": (4, "5 to 5 words"), "q3": (2, "9 to 12 words"), "q4": (2, "20 to 21 words")}
    assert [one.value for one in length_subsets([encounter(0, 3, None)])] == ["q1"]


def test_systems_are_told_by_gold_codes_then_by_tables_then_by_shape() -> None:
    codes = ["I10", "0DTJ4ZZ", "BW24ZZZ", "E11.65", "odd one"]
    tables = {name: open_code_system(name) for name in ("icd10cm", "icd10pcs")}
    found = systems_of(codes, ENCOUNTERS, ("icd10cm", "icd10pcs"), tables)
    assert found == {
        "I10": "icd10cm", "0DTJ4ZZ": "icd10pcs", "BW24ZZZ": "icd10pcs", "E11.65": "icd10cm", "odd one": "icd10cm",
    }  # fmt: skip
    assert systems_of(["x"], (), ()) == {"x": "unknown"}


def test_names_of_figures_split_at_the_longest_subset() -> None:
    known = {"band.1", "band.1-10", "service.a.b"}
    assert split_name("band.1-10.micro.f1", known) == ("band.1-10", "micro.f1")
    assert split_name("service.a.b.map", known) == ("service.a.b", "map")
    assert split_name("micro.f1", known) == ("", "micro.f1")


def test_parts_that_cannot_be_made() -> None:
    with pytest.raises(ConfigError, match="cannot part encounters by 'ward': this corpus has service"):
        metadata_subsets(ENCOUNTERS, "ward")
    with pytest.raises(ConfigError, match="this corpus has no metadata columns"):
        metadata_subsets((), "ward")
    judged = judged_of(({"A1"}, {"A1"}))
    with pytest.raises(ConfigError, match="need the training counts"):
        Parting(bands=FrequencyBands.named("codiesp")).subsets(judged, "band")


def test_own_tables_part_codes_by_their_own_headings(table: CodeSystem) -> None:
    encounters = tuple(
        Encounter(f"e{i}", (Note(f"n{i}", "text"),), tuple(GoldCode(code, "own") for code in sorted(gold)))
        for i, (gold, _) in enumerate(random_rows(10, 3))
    )
    given = [CodedEncounter(e.encounter_id, ()) for e in encounters]
    corpus = Corpus("tabular", ("own",), encounters)
    report = evaluate(corpus, given, intervals=False, by=("chapter",), tables={"own": table})
    assert [part.name for part in report.parts] == ["chapter.A", "chapter.B"]


def test_a_table_is_a_file(tmp_path: Path) -> None:
    """The table above says what the tests think it says."""
    path = tmp_path / "own.csv"
    path.write_text(TABLE, encoding="utf-8")
    system = CodeSystem.from_table(path, "own")
    assert all(system.parent(code) == parent for code, parent in TREE.items())
