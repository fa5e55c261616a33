"""The simulator is not circular, neither trivial nor hopeless: shares by matching, and baselines within bounds."""

from __future__ import annotations

import importlib.util
import sys
from pathlib import Path
from types import ModuleType

import pytest

from nosology.corpora.simulated import SimulatedConfig, simulate_with_truth
from nosology.corpora.simulation.expressions import normalized
from nosology.corpora.simulation.truth import Role, SimulationTruth
from nosology.types import Corpus

_BENCHMARK = Path(__file__).parents[2] / "benchmarks" / "simulator_difficulty.py"
_EASIEST, _HARDEST = 0.75, 0.40
_SYSTEMS = ("icd10cm", "icd9cm")


@pytest.fixture(scope="module")
def benchmark() -> ModuleType:
    spec = importlib.util.spec_from_file_location("simulator_difficulty", _BENCHMARK)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    sys.modules[spec.name] = module
    spec.loader.exec_module(module)
    return module


@pytest.fixture(scope="module", params=_SYSTEMS)
def simulated(request: pytest.FixtureRequest) -> tuple[Corpus, SimulationTruth]:
    return simulate_with_truth(SimulatedConfig(n_admissions=800, system=request.param, seed=1))


def test_shares_by_matching(simulated: tuple[Corpus, SimulationTruth], benchmark: ModuleType) -> None:
    corpus, truth = simulated
    shares, matches = truth.shares(), benchmark.match_shares(corpus, truth)
    assert shares["hidden"] >= 0.40
    assert 0.15 <= shares["absent"] <= 0.25
    assert matches.distractor_share >= 0.30
    assert matches.hidden_found == 0  # no hidden wording is found by an expression of its own code


def test_matching_finds_what_was_written_in_known_wordings(benchmark: ModuleType) -> None:
    """The matcher of the shares is not blind: it finds nearly every mention in a known wording."""
    corpus, truth = simulate_with_truth(SimulatedConfig(n_admissions=60, seed=2))
    dictionary = benchmark.Dictionary(truth.known_expressions)
    texts = {note.note_id: note.text for encounter in corpus for note in encounter.notes}
    found = {note_id: [(s, e) for s, e, _ in dictionary.find(text)] for note_id, text in texts.items()}
    known = [m for m in truth.mentions() if m.is_known]
    hit = sum(any(s < m.span.end and m.span.start < e for s, e in found[m.note_id]) for m in known)
    assert hit >= 0.99 * len(known)


def _hidden_from(wordings: frozenset[str] | set[str], corpus: Corpus, truth: SimulationTruth) -> float:
    """The share of label mentions whose whole wording is neither in the tables nor among these."""
    texts = {note.note_id: note.text for encounter in corpus for note in encounter.notes}
    mentions = [m for m in truth.mentions() if m.role is Role.LABEL]
    hidden = (
        not m.is_known and normalized(texts[m.note_id][m.span.start : m.span.end]) not in wordings for m in mentions
    )
    return sum(hidden) / len(mentions)


def test_hidden_also_from_the_knowledge_base(simulated: tuple[Corpus, SimulationTruth]) -> None:
    """Neither the knowledge base's variants of titles nor its abbreviations bring the hidden share below 40 %."""
    from importlib import resources

    from nosology.codes import open_code_system
    from nosology.knowledge.sources import expressions_from_code_table

    corpus, truth = simulated
    wordings = {normalized(e.text) for e in expressions_from_code_table(open_code_system(corpus.systems[0]))}
    abbreviations = resources.files("nosology.knowledge").joinpath("data", "abbreviations.tsv").read_text("utf-8")
    wordings |= {normalized(line.split("\t")[0]) for line in abbreviations.splitlines() if not line.startswith("#")}
    assert _hidden_from(wordings, corpus, truth) >= 0.40


def test_hidden_also_from_the_term_list(simulated: tuple[Corpus, SimulationTruth], data_dir: Path) -> None:
    rows = (data_dir / "lexicon" / "icd_synonyms.tsv").read_text("utf-8").splitlines()
    terms = {normalized(row.split("\t")[2]) for row in rows if row.count("\t") >= 2}
    assert _hidden_from(terms, *simulated) >= 0.40


def test_a_dictionary_is_neither_useless_nor_enough(
    simulated: tuple[Corpus, SimulationTruth], benchmark: ModuleType
) -> None:
    corpus, truth = simulated
    test = corpus.split("dev", "test")
    result = benchmark.difficulty(corpus.split("train"), test, benchmark.score_by_dictionary(test, truth), 0.5)
    assert 0.30 <= result.f1 <= 0.60


def _head_and_tail(result: object) -> tuple[float, float]:
    _, tail, _, head = result.by_band  # type: ignore[attr-defined]
    return head, tail


@pytest.mark.slow
def test_tfidf_baseline_lands_between_the_bounds(benchmark: ModuleType) -> None:
    corpus, _ = simulate_with_truth(SimulatedConfig(n_admissions=5000))
    train, dev, test = corpus.split("train"), corpus.split("dev"), corpus.split("test")
    on_dev, on_test = benchmark.score_by_tfidf(train, [dev, test])
    result = benchmark.tuned_difficulty(train, dev, test, on_dev, on_test)
    head, tail = _head_and_tail(result)
    assert _HARDEST <= result.f1 <= _EASIEST
    assert tail <= head / 2


@pytest.mark.slow
def test_default_coder_lands_between_the_bounds(benchmark: ModuleType) -> None:
    corpus, _ = simulate_with_truth(SimulatedConfig(n_admissions=2000))
    train, test = corpus.split("train"), corpus.split("test")
    result = benchmark.difficulty(train, test, benchmark.score_by_coder(train, test), 0.5)
    head, tail = _head_and_tail(result)
    assert _HARDEST <= result.f1 <= _EASIEST
    assert tail <= head / 2
