"""CodiEsp's official scores against a slow, independent reading of the organisers' scripts with pandas."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from nosology.evaluation.codiesp import score_codiesp, score_explained, score_ranked, system_of
from nosology.evaluation.metrics import Scores
from nosology.types import CodedEncounter, Encounter, Evidence, GoldCode, Note, Span, SuggestedCode

EXACT = 1e-12
DOCUMENTS, CODES = ["S1", "S2", "S3", "S4"], ["r52", "R52", "i10", "e11.9", "bw24", "BW24", "j45"]


# ----------------------------------------------------------------------------------------- the scripts, read slowly


def as_rows(codes: Mapping[str, Sequence[str]]) -> pd.DataFrame:
    rows = [(document, code) for document, listed in codes.items() for code in listed]
    return pd.DataFrame(rows, columns=["document", "code"], dtype=object)


def cleaned(frame: pd.DataFrame, valid: set[str] | None) -> pd.DataFrame:
    frame = frame.assign(code=frame["code"].str.lower()).drop_duplicates(["document", "code"], keep="first")
    return frame if valid is None else frame[frame["code"].isin(valid)]


def official_map(gold: pd.DataFrame, run: pd.DataFrame) -> tuple[float, int]:
    """The sum of average precisions as trectools forms it, and the number of documents of the run."""
    total = 0.0
    for document, listed in run.groupby("document", sort=False):
        relevant = set(gold[gold["document"] == document]["code"])
        hits = [code in relevant for code in listed["code"].head(1000)]
        precisions = [sum(hits[: i + 1]) / (i + 1) for i, hit in enumerate(hits) if hit]
        total += sum(precisions) / len(relevant) if relevant else 0.0
    return total, run["document"].nunique()


def official_f1(gold: pd.DataFrame, run: pd.DataFrame) -> tuple[float, float, float]:
    hits = len(gold.merge(run, on=["document", "code"]))
    return ratios(hits, len(run), len(gold))


def official_x(gold: pd.DataFrame, run: pd.DataFrame, tolerance: int) -> tuple[float, float, float]:
    both = run.merge(gold, on=["document", "code"], suffixes=("_run", "_gold"))
    before, after = both["start_gold"] - both["start_run"], both["end_run"] - both["end_gold"]
    valid = both[before.between(0, tolerance) & after.between(0, tolerance)]
    pairs = ["document", "code"]
    return ratios(len(valid.drop_duplicates(pairs)), len(run.drop_duplicates(pairs)), len(gold.drop_duplicates(pairs)))


def ratios(hits: int, predicted: int, gold: int) -> tuple[float, float, float]:
    p, r = (hits / predicted if predicted else 0.0), (hits / gold if gold else 0.0)
    return p, r, (2 * p * r / (p + r) if p + r else 0.0)


def triple(scores: Scores) -> tuple[float, float, float]:
    return scores.precision, scores.recall, scores.f1


# ------------------------------------------------------------------------------------------------------ comparisons

lists = st.dictionaries(st.sampled_from(DOCUMENTS), st.lists(st.sampled_from(CODES), max_size=6))
valid_sets = st.none() | st.sets(st.sampled_from(["r52", "i10", "e11.9", "bw24"]))


@given(lists, lists, valid_sets)
@settings(max_examples=150, deadline=None)
def test_ranked_tracks(gold: dict[str, list[str]], run: dict[str, list[str]], valid: set[str] | None) -> None:
    assigned = {document: listed[::2] for document, listed in run.items()}
    ours = score_ranked(gold, run, assigned, valid_codes=valid)
    gold_rows, run_rows = cleaned(as_rows(gold), None), cleaned(as_rows(run), valid)
    total, answered = official_map(gold_rows, run_rows)
    documents = gold_rows["document"].nunique()
    assert ours.documents == documents
    assert ours.mean_average_precision == pytest.approx(total / documents if documents else 0.0, abs=EXACT)
    assert ours.mean_average_precision_as_scripted == pytest.approx(total / answered if answered else 0.0, abs=EXACT)
    assigned_rows = cleaned(as_rows(assigned), valid)
    assert triple(ours.micro) == pytest.approx(official_f1(gold_rows, assigned_rows), abs=EXACT)
    assigned_total, _ = official_map(gold_rows, assigned_rows)
    expected = assigned_total / documents if documents else 0.0
    assert ours.mean_average_precision_assigned == pytest.approx(expected, abs=EXACT)


@st.composite
def annotated(draw: st.DrawFn) -> dict[tuple[str, str], list[Evidence]]:
    found: dict[tuple[str, str], list[Evidence]] = {}
    for _ in range(draw(st.integers(0, 12))):
        document, code = draw(st.sampled_from(DOCUMENTS[:2])), draw(st.sampled_from(CODES))
        cuts = sorted(draw(st.sets(st.integers(0, 45), min_size=2, max_size=4)))
        parts = tuple(Span(a, b) for a, b in zip(cuts[::2], cuts[1::2], strict=False))
        found.setdefault((document, code), []).append(Evidence(document, parts))
    return found


def span_rows(references: Mapping[tuple[str, str], Sequence[Evidence]]) -> pd.DataFrame:
    rows = [(d, c.lower(), e.start, e.end) for (d, c), spans in references.items() for e in spans]
    frame = pd.DataFrame(rows, columns=["document", "code", "start", "end"])
    return frame.astype({"document": object, "code": object, "start": int, "end": int})


@given(annotated(), annotated(), st.sampled_from([0, 3, 10]))
@settings(max_examples=300, deadline=None)
def test_explained_track(
    gold: dict[tuple[str, str], list[Evidence]], run: dict[tuple[str, str], list[Evidence]], tolerance: int
) -> None:
    ours = score_explained(gold, run, tolerance_chars=tolerance)
    assert triple(ours) == pytest.approx(official_x(span_rows(gold), span_rows(run), tolerance), abs=EXACT)


def one(start: int, end: int, note: str = "S1") -> list[Evidence]:
    return [Evidence(note, (Span(start, end),))]


@pytest.mark.parametrize(
    ("start", "end", "found"),
    [
        (20, 30, True),
        (10, 40, True),  # 10 characters to spare on both sides
        (9, 40, False),
        (10, 41, False),
        (21, 30, False),  # the reference must lie inside
        (20, 29, False),
    ],
)
def test_tolerance(start: int, end: int, found: bool) -> None:
    scores = score_explained({("S1", "r52"): one(20, 30)}, {("S1", "R52"): one(start, end)})
    assert scores.f1 == (1.0 if found else 0.0)


def test_discontinuous_references_run_from_first_start_to_last_end() -> None:
    reference = [Evidence("S1", (Span(5, 8), Span(30, 34)))]
    assert score_explained({("S1", "r52"): reference}, {("S1", "r52"): one(5, 34)}).f1 == 1.0
    assert score_explained({("S1", "r52"): reference}, {("S1", "r52"): one(5, 8)}).f1 == 0.0


def test_pairs_without_evidence_count_but_are_never_found() -> None:
    gold = {("S1", "r52"): one(0, 5), ("S1", "i10"): []}
    scores = score_explained(gold, {("S1", "r52"): [*one(50, 60), *one(0, 5)], ("S1", "i10"): [], ("S1", "j45"): []})
    assert triple(scores) == pytest.approx((1 / 3, 1 / 2, 2 / 5))


def test_evidence_of_another_note_does_not_count() -> None:
    assert score_explained({("S1", "r52"): one(0, 5)}, {("S1", "r52"): one(0, 5, note="S2")}).f1 == 0.0


def test_no_more_than_a_thousand_codes_a_document_are_ranked() -> None:
    listed = [f"x{i}" for i in range(1000)]
    assert score_ranked({"S1": ["r52"]}, {"S1": [*listed, "r52"]}, {}).mean_average_precision == 0.0
    assert score_ranked({"S1": ["r52"]}, {"S1": [*listed[1:], "r52"]}, {}).mean_average_precision == 1 / 1000


def test_silence_costs_under_our_denominator_and_not_under_the_scripts() -> None:
    ours = score_ranked({"S1": ["r52"], "S2": ["i10"]}, {"S1": ["r52"], "S2": []}, {})
    assert (ours.mean_average_precision, ours.mean_average_precision_as_scripted) == (0.5, 1.0)


@pytest.mark.parametrize(
    ("code", "system"),
    [("R52", "icd10cm"), ("e11.9", "icd10cm"), ("bw24", "icd10pcs"), ("0DTJ4ZZ", "icd10pcs"), ("R10", "icd10cm")],
)
def test_systems_are_told_apart_by_shape(code: str, system: str) -> None:
    assert system_of(code) == system


def encounter(name: str, *codes: tuple[str, str, list[Evidence]]) -> Encounter:
    gold = tuple(GoldCode(code, system, tuple(evidence)) for code, system, evidence in codes)
    return Encounter(name, (Note(name, "x" * 50),), gold)


def suggested(code: str, assigned: bool, evidence: list[Evidence]) -> SuggestedCode:
    return SuggestedCode(code, "", 0.9 if assigned else 0.1, assigned, tuple(evidence))


ENCOUNTERS = [
    encounter("S1", ("R52", "icd10cm", one(0, 5)), ("BW24", "icd10pcs", one(8, 12))),
    encounter("S2", ("I10", "icd10cm", one(1, 4, "S2"))),
]
CODED = [
    CodedEncounter("S1", (suggested("R52", True, one(0, 5)), suggested("BW24", True, one(20, 24)))),
    CodedEncounter("S2", (suggested("I10", False, one(1, 4, "S2")),)),
]


def test_tracks_are_scored_apart_and_explained_together() -> None:
    scores = score_codiesp(ENCOUNTERS, CODED, ("icd10cm", "icd10pcs"))
    assert scores.diagnoses is not None
    assert scores.procedures is not None
    assert scores.explained is not None
    assert (scores.diagnoses.mean_average_precision, scores.diagnoses.micro.recall) == (1.0, 0.5)
    assert (scores.procedures.documents, scores.procedures.mean_average_precision) == (1, 1.0)
    assert triple(scores.explained) == pytest.approx((1 / 2, 1 / 3, 2 / 5))
    assert scores.explained_systems == ("icd10cm", "icd10pcs")


def test_a_corpus_of_one_system_has_one_track() -> None:
    scores = score_codiesp(ENCOUNTERS, CODED, ("icd10cm",))
    assert scores.procedures is None
    assert scores.explained is not None
    assert triple(scores.explained) == pytest.approx((1.0, 1 / 2, 2 / 3))
    assert scores.explained_systems == ("icd10cm",)


def test_a_corpus_without_evidence_has_no_explained_track() -> None:
    bare = [encounter("S1", ("R52", "icd10cm", []))]
    scores = score_codiesp(bare, CODED[:1], ("icd10cm", "icd10pcs"))
    assert (scores.explained, scores.explained_systems) == (None, ())
