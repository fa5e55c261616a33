"""What every source of candidates keeps to, in one table; a new source joins with a row of ``SOURCES``."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from nosology.codes.titles import TitleTable
from nosology.knowledge.base import Expression, KnowledgeBase, Source
from nosology.knowledge.stream import build_stream
from nosology.ranking import fitting
from nosology.ranking.association import AssociationOptions, AssociationSource
from nosology.ranking.candidates import CandidateGenerator, Proposal
from nosology.ranking.fitting import Candidates, cross_fit, fit_generator, plan_sources
from nosology.ranking.mentions import MentionSource
from nosology.ranking.retrieval import RetrievalSource
from nosology.ranking.source import ArraySource, SourceOutput, TrainingSet
from nosology.types import Encounter, Evidence, GoldCode, Note, Span
from tiny_corpus import (
    WORDINGS,
    make_corpus,
    make_encounter,
    make_recipe,
    run_python,
    training_set,
    without_evidence,
)

TERMS = [
    *(Expression(words, code, "icd10cm", Source.TERM_LIST) for code, found in WORDINGS.items() for words in found),
    Expression("rupture of the spleen", "S36.09XA", "icd10cm", Source.TERM_LIST),
]
KNOWLEDGE = KnowledgeBase(TERMS)

SOURCES: dict[str, Callable[[TrainingSet], ArraySource | None]] = {
    "mentions": MentionSource.fit,
    "association": lambda training: AssociationSource.fit(training, {}, AssociationOptions()),
    "association_few": lambda training: AssociationSource.fit(training, {}, AssociationOptions(candidates=2)),
    "retrieval": lambda training: RetrievalSource.fit(training, TERMS),
}


def _long_note(words: int) -> str:
    texts = [make_encounter(number).notes[0].text for number in range(30)]
    lines = [f"{line}\n" for line in texts * (1 + words // sum(len(text.split()) for text in texts))]
    return " ".join(" ".join(lines).split(" ")[:words])


STREAMS = {
    "a training note": build_stream(make_encounter(0)),
    "a new note": build_stream(make_encounter(50)),
    "several notes": build_stream(
        Encounter("e", (Note("a", "Known pneumonia"), Note("b", ""), Note("c", "and anemia. Brittle bones")))
    ),
    "no words": build_stream(Encounter("e", (Note("n", " \n.;"),))),
    "no text": build_stream(Encounter("e", (Note("n", ""),))),
    "no notes": build_stream(Encounter("e", ())),
    "one word": build_stream(Encounter("e", (Note("n", "pneumonia"),))),
    "one unknown word": build_stream(Encounter("e", (Note("n", "qwxyz"),))),
    "stop words": build_stream(Encounter("e", (Note("n", "of the and. the of"),))),
    "no letters": build_stream(Encounter("e", (Note("n", "12 \x00 3.5 ½ ﬁ é ñ 5" * 3),))),
    "another language": build_stream(Encounter("e", (Note("n", "Paciente con neumonía y diabetes.", language="es"),))),
    "20,000 words": build_stream(Encounter("e", (Note("n", _long_note(20_000)),))),
}


@pytest.fixture(scope="module", params=SOURCES)
def fitted(request: pytest.FixtureRequest) -> ArraySource:
    source = SOURCES[request.param](training_set(make_corpus(20).encounters))
    assert source is not None
    return source


@pytest.mark.parametrize("name", STREAMS)
def test_output_is_well_formed(fitted: ArraySource, name: str) -> None:
    stream = STREAMS[name]
    output = fitted.candidates(stream)
    assert len(set(output.codes)) == len(output.codes)
    assert set(output.codes) <= set(fitted.labels)
    assert output.features.shape == (len(output.codes), len(fitted.feature_names))
    assert output.features.dtype == np.float32
    assert np.isfinite(output.features).all()
    assert set(output.mentions) <= set(output.codes)
    for mentions in output.mentions.values():
        for mention in mentions:
            assert list(mention.words) == sorted(set(mention.words))
            assert 0 <= mention.words[0] <= mention.words[-1] < len(stream)
            assert stream.notes[mention.words[0]] == stream.notes[mention.words[-1]]
            assert 0.0 <= mention.strength <= 1.0
            assert mention.expression


def test_finds_the_codes_of_new_notes(fitted: ArraySource) -> None:
    encounters = [make_encounter(number) for number in range(50, 60)]
    found = sum(len(e.code_set.intersection(fitted.candidates(build_stream(e)).codes)) for e in encounters)
    gold = sum(len(e.code_set) for e in encounters)
    assert found / gold > (0.3 if len(fitted.candidates(STREAMS["a new note"]).codes) <= 2 else 0.9)


def test_feature_names_differ(fitted: ArraySource) -> None:
    assert len(set(fitted.feature_names)) == len(fitted.feature_names)


def test_mined_expressions_are_words_of_known_codes(fitted: ArraySource) -> None:
    for text, code, kind in fitted.mined():
        assert text == " ".join(text.split())
        assert text
        assert code in fitted.labels
        assert kind in (Source.MINED_EVIDENCE, Source.MINED_ASSOCIATION)


def _same(first: SourceOutput | Proposal, second: SourceOutput | Proposal) -> bool:
    return (
        first.codes == second.codes
        and first.features.tobytes() == second.features.tobytes()
        and {code: list(m) for code, m in first.mentions.items()}
        == {code: list(m) for code, m in second.mentions.items()}
    )


def test_state_round_trip_through_files_is_exact(fitted: ArraySource, tmp_path: Path) -> None:
    arrays, strings = fitted.state()
    np.savez(tmp_path / "part.npz", **arrays)
    (tmp_path / "part.json").write_text(json.dumps(strings), encoding="utf-8")
    with np.load(tmp_path / "part.npz", allow_pickle=False) as file:
        again = type(fitted).from_state(dict(file), json.loads((tmp_path / "part.json").read_text(encoding="utf-8")))
    assert again.feature_names == fitted.feature_names
    assert list(again.labels) == list(fitted.labels)
    assert list(again.mined()) == list(fitted.mined())
    for stream in STREAMS.values():
        assert _same(again.candidates(stream), fitted.candidates(stream))


def test_coding_changes_nothing_in_a_source(fitted: ArraySource) -> None:
    before = [fitted.candidates(stream) for stream in STREAMS.values()]
    after = [fitted.candidates(stream) for stream in STREAMS.values()]
    assert all(map(_same, before, after))


@pytest.mark.parametrize("name", SOURCES)
@pytest.mark.parametrize(
    "encounters",
    [
        pytest.param([], id="none"),
        pytest.param([make_encounter(0)], id="one"),
        pytest.param([replace(make_encounter(0), codes=())], id="one without codes"),
        pytest.param([Encounter("e", (Note("n", ""),), (GoldCode("I10", "icd10cm"),))], id="an empty note"),
        pytest.param([without_evidence(make_encounter(number)) for number in range(4)], id="no evidence"),
        pytest.param(
            [
                Encounter(f"e{word}", (Note(f"n{word}", word),), (GoldCode("I10", "icd10cm"),))
                for word in ("alpha", "bravo")
            ],
            id="nothing in common",
        ),
        pytest.param(
            [
                Encounter(
                    f"e{language}",
                    (Note(f"n{language}", "loss de the la vision", language=language),),
                    (GoldCode("H54.7", "icd10cm", (Evidence(f"n{language}", (Span(0, 21),)),)),),
                )
                for language in ("en", "es", "en", "es")
            ],
            id="two languages",
        ),
    ],
)
def test_odd_training_sets_give_a_source_that_works_or_none(name: str, encounters: list[Encounter]) -> None:
    source = SOURCES[name](training_set(encounters))
    if source is not None:
        for kind in ("a new note", "no words", "one word"):
            output = source.candidates(STREAMS[kind])
            assert output.features.shape == (len(output.codes), len(source.feature_names))
            assert np.isfinite(output.features).all()


# --- cross-fitting --------------------------------------------------------------------------------------------------

FOLDS = np.arange(18) // 2 % 3


def _cross_fitted(encounters: list[Encounter]) -> list[Candidates]:
    training = training_set(encounters)
    plan = plan_sources(training, KNOWLEDGE, TitleTable(), make_recipe())
    return cross_fit(training, plan, FOLDS, lambda stage, share: None)


def _with_codes_moved(encounters: list[Encounter], fold: int) -> list[Encounter]:
    """The encounters of one fold get each other's codes, with evidence in the wrong places."""
    inside = [number for number, own in enumerate(FOLDS) if own == fold]
    moved = list(encounters)
    for taker, giver in zip(inside, inside[1:] + inside[:1], strict=True):
        note = encounters[taker].notes[0].note_id
        codes = tuple(
            replace(gold, evidence=tuple(replace(evidence, note_id=note) for evidence in gold.evidence))
            for gold in encounters[giver].codes or ()
        )
        moved[taker] = replace(encounters[taker], codes=codes)
    return moved


@pytest.mark.parametrize("fold", [0, 2])
@pytest.mark.parametrize("change", ["moved", "gone", "new codes"])
def test_labels_and_evidence_of_a_fold_never_reach_its_own_candidates(fold: int, change: str) -> None:
    encounters = [make_encounter(number) for number in range(18)]
    if change == "moved":
        changed = _with_codes_moved(encounters, fold)
    else:
        codes = () if change == "gone" else (GoldCode("Z99.89", "icd10cm"),)
        changed = [replace(e, codes=codes) if FOLDS[n] == fold else e for n, e in enumerate(encounters)]
    before, after = _cross_fitted(encounters), _cross_fitted(changed)
    same = [
        first.codes == second.codes and first.features.tobytes() == second.features.tobytes()
        for first, second in zip(before, after, strict=True)
    ]
    assert all(equal for equal, own in zip(same, FOLDS, strict=True) if own == fold)
    assert not all(equal for equal, own in zip(same, FOLDS, strict=True) if own != fold)


def test_words_of_the_first_fold_alone_are_learnt_by_the_last_fit() -> None:
    """What all fits share is prepared by the first one, which does not see the notes of the first fold."""
    encounters = [
        Encounter(f"e{n}", (Note(f"n{n}", "zwicky plumbum" if FOLDS[n] == 0 else "known pneumonia"),), codes)
        for n in range(18)
        for codes in [(GoldCode("I10" if FOLDS[n] == 0 else "J18.9", "icd10cm"),)]
    ]
    training = training_set(encounters)
    plan = plan_sources(training, KnowledgeBase(), TitleTable(), make_recipe())
    cross_fit(training, plan, FOLDS, lambda stage, share: None)
    association = next(s for s in fit_generator(training, plan).sources if isinstance(s, AssociationSource))
    output = association.candidates(build_stream(Encounter("e", (Note("n", "zwicky plumbum"),))))
    assert output.codes[0] == "I10"
    assert output.features[0, 1] > 0.1


def test_evidence_in_one_fold_only_leaves_rows_of_one_width() -> None:
    encounters = [make_encounter(n) if FOLDS[n] == 1 else without_evidence(make_encounter(n)) for n in range(18)]
    found = _cross_fitted(encounters)
    assert len({candidates.names for candidates in found}) == 2
    training = training_set(encounters)
    whole = fit_generator(training, plan_sources(training, KNOWLEDGE, TitleTable(), make_recipe()))
    for candidates in found:
        rows = candidates.rows(whole.feature_names)
        assert rows.shape == (len(candidates.codes), len(whole.feature_names))
        for place, name in enumerate(whole.feature_names):
            if name in candidates.names:
                assert (rows[:, place] == candidates.features[:, candidates.names.index(name)]).all()
            else:
                assert not rows[:, place].any()


# --- all sources together -------------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def generator() -> CandidateGenerator:
    training = training_set(make_corpus(18).encounters)
    return fit_generator(training, plan_sources(training, KNOWLEDGE, TitleTable(), make_recipe()))


def test_feature_names_of_all_sources_together_differ(generator: CandidateGenerator) -> None:
    assert len(set(generator.feature_names)) == len(generator.feature_names)


@pytest.mark.parametrize("name", STREAMS)
def test_a_proposal_joins_the_sources_row_by_row(generator: CandidateGenerator, name: str) -> None:
    stream = STREAMS[name]
    proposal = generator.propose(stream)
    assert len(set(proposal.codes)) == len(proposal.codes)
    assert set(proposal.codes) <= set(generator.labels)
    assert proposal.features.shape == (len(proposal.codes), len(generator.feature_names))
    assert proposal.features.dtype == np.float32
    assert np.isfinite(proposal.features).all()
    column = 0
    for source in generator.sources:
        output = source.candidates(stream)
        rows = dict(zip(output.codes, output.features, strict=True))
        width = len(source.feature_names)
        for code, row in zip(proposal.codes, proposal.features, strict=True):
            assert (row[column : column + width] == rows.get(code, np.zeros(width))).all()
        column += width


def test_every_source_of_a_model_is_in_the_table_here() -> None:
    here = {type(SOURCES[name](training_set(make_corpus(6).encounters))) for name in SOURCES}
    own_tests = {"CompositionSource"}  # for ICD-10-PCS alone: test_composition.py
    assert {kind.__name__ for kind in fitting.SOURCES.values()} - own_tests == {kind.__name__ for kind in here}


_DIGEST = """
import hashlib, json
from test_candidates import digest
print(digest())
"""


def digest() -> str:
    """Of everything a generator holds and says; the same in every process."""
    training = training_set(make_corpus(12).encounters)
    found = fit_generator(training, plan_sources(training, KNOWLEDGE, TitleTable(), make_recipe()))
    whole = hashlib.sha256()
    for source in found.sources:
        arrays, strings = source.state()
        for name in sorted(arrays):
            whole.update(name.encode() + arrays[name].tobytes())
        whole.update(json.dumps(strings, sort_keys=True).encode())
    for name in ("a training note", "a new note", "several notes"):
        proposal = found.propose(STREAMS[name])
        whole.update(json.dumps(proposal.codes).encode() + proposal.features.tobytes())
        whole.update(json.dumps({code: list(map(list, m)) for code, m in proposal.mentions.items()}).encode())
    return whole.hexdigest()


def test_a_fit_does_not_depend_on_the_order_of_hashes() -> None:
    script = f"import sys; sys.path.insert(0, {str(Path(__file__).parent)!r})" + _DIGEST
    assert run_python(script, hash_seed=1) == run_python(script, hash_seed=2)


def test_a_misspelt_expression_is_found_where_it_stands() -> None:
    source = MentionSource.fit(training_set(make_corpus(20).encounters))
    assert source is not None
    stream = build_stream(Encounter("e", (Note("n", "Treated for pnuemonia at home."),)))
    mentions = source.candidates(stream).mentions["J18.9"]
    assert (2,) in [mention.words for mention in mentions]
    row = source.candidates(stream).features[source.candidates(stream).codes.index("J18.9")]
    assert row[source.feature_names.index("key_hits")] == 1.0
    assert row[source.feature_names.index("surface_hits")] == 0.0


@pytest.mark.parametrize("known", [False, True])
def test_a_word_of_training_notes_is_no_typo(known: bool) -> None:
    corpus = make_corpus(20)
    extra = Encounter("x", (Note("y", "Osteoporasis of fish." if known else "Fish."),), (), "p", "train")
    source = MentionSource.fit(training_set([*corpus.encounters, extra]))
    assert source is not None
    found = source.candidates(build_stream(Encounter("e", (Note("n", "Known osteoporasis."),))))
    keys = source.feature_names.index("key_hits")
    hits = {code: row[keys] for code, row in zip(found.codes, found.features, strict=True)}
    assert hits.get("M81.0", 0.0) == (0.0 if known else 1.0)
