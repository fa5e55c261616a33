"""The simulated corpus: exact evidence, fixed texts, patient-disjoint splits, MIMIC's shape, errors."""

from __future__ import annotations

import hashlib
import os
import subprocess
import sys
from collections import Counter, defaultdict
from datetime import date
from itertools import pairwise

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from nosology.codes import open_code_system
from nosology.corpora.simulated import SimulatedConfig, Simulation, simulate_corpus, simulate_with_truth
from nosology.corpora.simulation.population import planned_counts
from nosology.corpora.simulation.truth import Role, SimulationTruth
from nosology.corpora.simulation.world import build_world
from nosology.errors import ConfigError, CorpusError
from nosology.types import Corpus

SMALL = SimulatedConfig(n_admissions=300, n_codes=500, seed=3)


@pytest.fixture(scope="module")
def simulated() -> tuple[Corpus, SimulationTruth]:
    return simulate_with_truth(SMALL)


@pytest.fixture(scope="module")
def corpus(simulated: tuple[Corpus, SimulationTruth]) -> Corpus:
    return simulated[0]


def digest(corpus: Corpus) -> str:
    """A fingerprint of everything in a corpus."""
    content = repr([(e, [note.text for note in e.notes]) for e in corpus])
    return hashlib.sha256(content.encode()).hexdigest()


def test_size_names_and_languages(corpus: Corpus) -> None:
    assert (corpus.name, corpus.systems, corpus.language, len(corpus)) == ("simulated", ("icd10cm",), "en", 300)
    note_ids = [note.note_id for encounter in corpus for note in encounter.notes]
    assert len(set(note_ids)) == len(note_ids)
    assert all(note.language == "en" and note.category for encounter in corpus for note in encounter.notes)


def test_evidence_of_a_gold_code_is_a_mention_of_it(simulated: tuple[Corpus, SimulationTruth]) -> None:
    corpus, truth = simulated
    by_place = {(m.note_id, m.span): m for m in truth.mentions()}
    checked = 0
    for encounter in corpus:
        for gold in encounter.codes or ():
            for evidence in gold.evidence:
                mention = by_place[evidence.note_id, evidence.parts[0]]
                assert (mention.code, mention.role) == (gold.code, Role.LABEL)
                checked += 1
    assert checked > 2000


def test_spans_hold_a_wording_of_their_code_or_of_a_sibling_exactly(simulated: tuple[Corpus, SimulationTruth]) -> None:
    corpus, truth = simulated
    world = build_world("icd10cm", 500).codes
    codes = {code.code: code for code in world}
    texts = {note.note_id: note.text for encounter in corpus for note in encounter.notes}
    for mention in truth.mentions():
        code = codes[mention.code]
        if mention.wording == "sibling":
            assert mention.role is Role.LABEL
            siblings = [other for other in world if other.code[:3] == code.code[:3] and other is not code]
            wordings = [wording.text for other in siblings for wording in other.hidden]
        else:
            wordings = code.readable if mention.is_known else [w.text for w in (*code.hidden, *code.implied)]
        words = texts[mention.note_id][mention.span.start : mention.span.end]
        assert words.lower() in {wording.lower() for wording in wordings}


def test_rare_codes_are_mentioned_less_often_and_in_siblings_words() -> None:
    _, truth = simulate_with_truth(SimulatedConfig(n_admissions=600, n_codes=1000))
    frequent = set(truth.label_space[:50])
    absent = {True: 0, False: 0}
    mentioned = {True: 0, False: 0}
    for encounter in truth.encounters.values():
        of_labels = {mention.code for mention in encounter.mentions if mention.role is Role.LABEL}
        for code in encounter.absent:
            absent[code in frequent] += 1
        for code in of_labels:
            mentioned[code in frequent] += 1
    shares = {group: absent[group] / (absent[group] + mentioned[group]) for group in absent}
    assert shares[False] > 1.5 * shares[True]
    siblings = [mention for mention in truth.mentions() if mention.wording == "sibling"]
    assert len(siblings) > 100
    assert sum(mention.code in frequent for mention in siblings) < 0.2 * len(siblings)


def test_mentions_never_overlap(simulated: tuple[Corpus, SimulationTruth]) -> None:
    for encounter in simulated[1].encounters.values():
        spans = sorted((m.note_id, *m.span) for m in encounter.mentions)
        assert all(a[0] != b[0] or a[2] <= b[1] for a, b in pairwise(spans))


def test_distractors_are_never_gold(simulated: tuple[Corpus, SimulationTruth]) -> None:
    corpus, truth = simulated
    for encounter in corpus:
        for mention in truth.encounters[encounter.encounter_id].mentions:
            assert (mention.code in encounter.code_set) == (mention.role is Role.LABEL)


def test_absent_labels_are_exactly_those_without_evidence(simulated: tuple[Corpus, SimulationTruth]) -> None:
    corpus, truth = simulated
    for encounter in corpus:
        without = {gold.code for gold in encounter.codes or () if not gold.evidence}
        assert without == set(truth.encounters[encounter.encounter_id].absent)


def test_same_seed_same_corpus_other_seed_another(corpus: Corpus) -> None:
    assert digest(simulate_corpus(SMALL)) == digest(corpus)
    assert digest(simulate_corpus(SimulatedConfig(n_admissions=300, n_codes=500, seed=4))) != digest(corpus)


def test_texts_do_not_depend_on_the_hash_seed() -> None:
    script = (
        "import hashlib; from nosology.corpora.simulated import *;"
        "c = simulate_corpus(SimulatedConfig(n_admissions=20, n_codes=200));"
        "print(hashlib.sha256(repr([(e, [n.text for n in e.notes]) for e in c]).encode()).hexdigest())"
    )
    runs = {
        subprocess.run(
            [sys.executable, "-c", script],
            env={**os.environ, "PYTHONHASHSEED": hash_seed},
            capture_output=True,
            text=True,
            check=True,
        ).stdout
        for hash_seed in ("0", "4321")
    }
    assert runs == {digest(simulate_corpus(SimulatedConfig(n_admissions=20, n_codes=200))) + "\n"}


def test_slices_written_apart_equal_the_whole(corpus: Corpus) -> None:
    simulation = Simulation(SMALL)
    late = [encounter for encounter, _ in simulation.encounters(200, 210)]
    assert tuple(late) == corpus.encounters[200:210]


def test_no_patient_is_in_two_splits_and_shares_are_kept(corpus: Corpus) -> None:
    splits: dict[str, set[str]] = defaultdict(set)
    for encounter in corpus:
        splits[encounter.group_id].add(encounter.split)
    assert {len(names) for names in splits.values()} == {1}
    counts = Counter(encounter.split for encounter in corpus)
    assert abs(counts["train"] - 240) <= 6
    assert abs(counts["dev"] - 30) <= 6


def test_patients_come_back_and_some_charts_have_several_notes(corpus: Corpus) -> None:
    admissions = Counter(encounter.group_id for encounter in corpus)
    assert max(admissions.values()) >= 2
    several = sum(len(encounter.notes) > 1 for encounter in corpus)
    assert 0.04 < several / len(corpus) < 0.18


def test_metadata_fits_the_codes(corpus: Corpus) -> None:
    dates: dict[str, list[date]] = defaultdict(list)
    for encounter in corpus:
        meta = encounter.metadata
        admitted, discharged = date.fromisoformat(meta["admission_date"]), date.fromisoformat(meta["discharge_date"])
        assert admitted < discharged
        dates[encounter.group_id].append(discharged)
        for code in encounter.code_set:
            assert not (code.startswith("O") and meta["sex"] == "M")
            assert not (code.startswith("P") and int(meta["age"]) > 0)
    assert all(days == sorted(days) for days in dates.values())


def test_codes_are_valid_on_the_discharge_date(corpus: Corpus) -> None:
    system = open_code_system("icd10cm")
    last = max(date.fromisoformat(encounter.metadata["discharge_date"]) for encounter in corpus)
    assert all(system.is_billable(code, last) for encounter in corpus for code in encounter.code_set)


def test_sections_and_deidentification_brackets(corpus: Corpus) -> None:
    for encounter in corpus:
        text = encounter.notes[0].text
        for heading in ("Chief Complaint:", "Brief Hospital Course:", "Discharge Diagnosis:", "Family History:"):
            assert heading in text or heading.upper() in text
        assert "[**" in text
        assert text.count("[**") == text.count("**]")
        assert "{" not in text


def test_icd9cm_gives_icd9_codes() -> None:
    corpus = simulate_corpus(SimulatedConfig(n_admissions=60, n_codes=300, system="icd9cm"))
    counts = Counter(code for encounter in corpus for code in encounter.code_set)
    assert counts["401.9"] == max(counts.values())
    assert all(open_code_system("icd9cm").get(code) is not None for code in counts)


@pytest.mark.parametrize("words", [350, 1500])
def test_notes_have_about_the_asked_number_of_words(words: int) -> None:
    corpus = simulate_corpus(SimulatedConfig(n_admissions=200, words_per_note=words))
    mean = np.mean([len(encounter.notes[0].text.split()) for encounter in corpus])
    assert 0.9 * words < mean < 1.25 * words


@pytest.mark.parametrize(("system", "procedures"), [("icd10cm", "icd10pcs"), ("icd9cm", "icd9proc")])
def test_procedures_stand_beside_diagnoses_and_are_done_or_not(system: str, procedures: str) -> None:
    config = SimulatedConfig(n_admissions=300, n_codes=400, system=system, procedure_share=0.25)
    corpus, truth = simulate_with_truth(config)
    assert corpus.systems == (system, procedures)
    table = open_code_system(procedures)
    done = {gold.code for encounter in corpus for gold in encounter.codes or () if gold.system == procedures}
    assert len(done) > 50
    assert all(table.is_billable(code) for code in done)
    share = sum(len(gold.evidence) > 0 for e in corpus for gold in e.codes or () if gold.system == procedures)
    assert share > 300
    mentions = [mention for mention in truth.mentions() if mention.code in done]
    sections = {mention.section for mention in mentions if mention.role is Role.LABEL}
    assert {"procedure", "course"} <= sections
    senses = {mention.role for mention in mentions}
    assert {Role.HISTORICAL, Role.RULED_OUT, Role.HYPOTHETICAL, Role.COPIED_FORWARD} <= senses
    assert not senses & {Role.NEGATED, Role.FAMILY, Role.ALLERGY, Role.UNCODED}


def test_the_most_frequent_codes_of_a_larger_label_space() -> None:
    whole, part = planned_counts(8929, 52_726, 15.88), planned_counts(2000, 52_726, 14.6, curve_codes=8929)
    assert part.sum() == pytest.approx(14.6 * 52_726, rel=0.01)
    ratios = part[50:1000] / whole[50:1000]
    assert ratios == pytest.approx(ratios.mean(), rel=0.05)


def test_frequencies_have_the_shape_of_mimic() -> None:
    counts = planned_counts(8929, 52_726, 15.88)
    quantiles = np.quantile(counts, [0.1, 0.25, 0.5, 0.75, 0.9, 0.99, 1.0])
    assert quantiles == pytest.approx([1, 2, 6, 28, 137, 1550, 20046], rel=0.1)
    assert counts[:50].sum() / counts.sum() == pytest.approx(0.339, rel=0.1)
    assert counts[:893].sum() / counts.sum() == pytest.approx(0.85, abs=0.02)


@given(n_codes=st.integers(50, 3000), n_encounters=st.integers(1, 5000), labels=st.floats(1.0, 20.0))
@settings(max_examples=40, deadline=None)
def test_planned_counts_fall_and_never_exceed_the_encounters(n_codes: int, n_encounters: int, labels: float) -> None:
    counts = planned_counts(n_codes, n_encounters, labels)
    assert counts.min() >= 0
    assert counts.max() <= n_encounters
    assert counts.sum() <= labels * n_encounters + 1
    assert (np.diff(counts) <= 1).all()  # rounding may lift a count by one


def test_diseases_come_together(corpus: Corpus) -> None:
    """A diabetic has other diabetes codes far more often than others do."""
    large = simulate_corpus(SimulatedConfig(n_admissions=1500, n_codes=500))
    with_insulin = [e for e in large if "Z79.4" in e.code_set]
    rate = sum(any(c.startswith("E1") for c in e.code_set) for e in with_insulin) / len(with_insulin)
    base = sum(any(c.startswith("E1") for c in e.code_set) for e in large) / len(large)
    assert rate > 1.5 * base


def test_term_lists_are_kept_out_of_the_hidden_wordings(tmp_path) -> None:
    listed = tmp_path / "terms.tsv"
    listed.write_text("code\tterm\nI10\tHTN\nE78.5\tHLD\n", encoding="utf-8")
    before = build_world("icd10cm", 100).codes[0]
    after = build_world("icd10cm", 100, (str(listed),)).codes[0]
    assert "HTN" in {wording.text for wording in before.hidden}
    assert "HTN" not in {wording.text for wording in after.hidden}


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"n_admissions": 0}, "simulated corpus: n_admissions must be at least 1, got 0"),
        ({"n_codes": 3}, "simulated corpus: n_codes must be at least 50, got 3"),
        ({"language": "es"}, "simulated corpus: only language 'en' is simulated, got 'es'"),
        ({"system": "icd11"}, "simulated corpus: system must be one of icd10cm, icd9cm, got 'icd11'"),
        (
            {"absent_share": 1.5, "seed": -1},
            "simulated corpus: seed must not be negative, got -1; shares must be in [0, 1): absent_share",
        ),
        (
            {"splits": (0.5, 0.1, 0.1)},
            "simulated corpus: splits must be three shares that add up to 1, got [0.5, 0.1, 0.1]",
        ),
    ],
)
def test_wrong_settings_are_all_named(options: dict[str, object], message: str) -> None:
    with pytest.raises(ConfigError) as caught:
        SimulatedConfig(**options)  # type: ignore[arg-type]
    assert str(caught.value) == message


def test_more_codes_than_the_tables_have_is_an_error() -> None:
    with pytest.raises(ConfigError, match=r"n_codes is 500000, but icd10cm has .* billable codes"):
        simulate_corpus(SimulatedConfig(n_codes=500_000))


def test_unreadable_term_lists_are_errors(tmp_path) -> None:
    headless = tmp_path / "terms.tsv"
    headless.write_text("I10\tHTN\n", encoding="utf-8")
    for path in (headless, tmp_path / "missing.tsv"):
        with pytest.raises(CorpusError, match=str(path)):
            build_world("icd10cm", 60, (str(path),))
