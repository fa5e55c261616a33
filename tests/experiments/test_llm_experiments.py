"""Claims of papers judged by a paired test, two readings of one training, and the declared experiments on language
models."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from nosology.config import load_recipe
from nosology.config.llm import PRESETS, LlmModelConfig
from nosology.errors import ConfigError
from nosology.evaluation import BootstrapPlan, Judgements, judge_predictions
from nosology.evaluation.comparison import compare_systems
from nosology.experiments.claims import claims_markdown, judge_claims
from nosology.experiments.declaration import Arm, Claim, Experiment, experiment_names, find_experiment
from nosology.experiments.report_files import page_of
from nosology.experiments.runner import Request, Results, run_experiment
from nosology.experiments.score_table import Setting, System
from nosology.shipped_recipes import shipped_recipes
from nosology.types import CodedEncounter, SuggestedCode
from tiny_corpus import TABLE, make_corpus, write_table

DECLARED = [name for name in experiment_names() if name.startswith(("llm-", "llama-"))]
CORPUS = make_corpus(40)


def judged(keep: Callable[[int, str], bool]) -> Judgements:
    """A system that finds those gold codes that ``keep`` says, and nothing else."""
    found = [
        CodedEncounter(
            one.encounter_id,
            tuple(
                SuggestedCode(code, "icd10cm", 0.9, True, (), ()) for code in sorted(one.code_set) if keep(number, code)
            ),
            False,
        )
        for number, one in enumerate(CORPUS)
    ]
    return judge_predictions(CORPUS, found)


def systems() -> list[System]:
    good, bad = judged(lambda number, code: True), judged(lambda number, code: number % 4 == 0)
    return [System("good", (good,)), System("bad", (bad,)), System("same", (good,))]


def setting() -> Setting:
    return Setting.of(CORPUS, {}, "codiesp", BootstrapPlan(replicates=200))


def test_a_claim_is_held_not_held_or_undecided() -> None:
    claims = (
        Claim("T1", "good", "bad"),
        Claim("T2", "bad", "good"),
        Claim("T3", "good", "same"),
        Claim("elsewhere", "good", "bad", corpus="another"),
        Claim("absent", "good", "missing"),
    )
    found = judge_claims(claims, systems(), setting(), "here")
    assert [(one.claim.text, one.verdict) for one in found] == [
        ("T1", "held"),
        ("T2", "not held"),
        ("T3", "undecided"),
    ]
    good, bad, _ = (system.judged for system in systems())
    groups = setting().groups
    direct = compare_systems(good, bad, groups, figures=["micro.f1"], plan=setting().plan)["micro.f1"]
    assert found[0].difference == direct.difference == -found[1].difference
    assert found[0].low <= found[0].difference <= found[0].high
    assert found[0].p_value == pytest.approx(min(1.0, 3 * direct.p_randomisation))  # Holm: the smallest of three
    assert found[2].p_value == 1.0
    page = claims_markdown(found, 0.95)
    assert "| T1 (good > bad) | micro.f1 | +" in page
    assert "Holm-corrected" in page
    assert claims_markdown((), 0.95) == ""


def test_a_claim_about_nothing_is_refused() -> None:
    arms = (Arm("Tiny", "prior", "prior_simulated"),)
    with pytest.raises(ConfigError, match="x: no table has both methods of a claim: 'best', 'prior'"):
        Experiment("x", "y", "prior", {"cpu": arms, "full": ()}, claims=(Claim("t", "best", "prior"),))


TINY_T5: dict[str, object] = {
    **TABLE,
    "training.folds": 2,
    "model.llm.validation": "att",
    "model.llm.window": 256,
    "model.llm.backbone.hidden": 16,
    "model.llm.backbone.vocabulary_size": 300,
    "model.llm.decoding.beams": 1,
    "model.llm.trainer.epochs": 1,
}


@pytest.fixture(scope="module")
def carried_out(tmp_path_factory: pytest.TempPathFactory) -> Results:
    """A prior, and one small T5 trained once and read in two ways."""
    folder = tmp_path_factory.mktemp("llm")
    write_table(folder, train=16, dev=6)
    rows = (
        Arm("Tiny notes", f"T5 {reading}", "t5_tiny_cmp", {**TINY_T5, "model.llm.reading": reading})
        for reading in ("gen", "att")
    )
    arms = (Arm("Tiny notes", "prior", "prior_simulated", {**TABLE, "training.folds": 2}), *rows)
    claims = (Claim("table 1", "T5 gen", "T5 att"),)
    experiment = Experiment("Tiny", "What for?", "prior", {"cpu": arms, "full": ()}, claims=claims, areas=True)
    request = Request("tiny", "cpu", (0,), folder, folder, BootstrapPlan(replicates=20))
    return run_experiment(experiment, request, progress=lambda stage, share: None, tell=lambda line: None)


def test_two_readings_share_one_training(carried_out: Results) -> None:
    work = carried_out.request.work / "runs"
    assert len(list((work / "trained").iterdir())) == 1
    gen, att = (carried_out.runs[arm.name][0] for arm in carried_out.arms[1:])
    assert gen.facts.config != att.facts.config
    assert gen.facts.remarks[-1].startswith("reads by lambda = 1")
    assert att.facts.remarks[-1].startswith("reads by lambda = 0")
    said = [[one.codes for one in run.predictions()] for run in (gen, att)]
    assert said[0] != said[1]


def test_claims_areas_and_remarks_stand_on_the_page(carried_out: Results) -> None:
    page = page_of(carried_out)
    assert "## Claims\n\n| claim | figure | difference | p | |\n" in page
    assert "| Tiny notes: T5 gen | 0." in page
    assert "* Tiny notes: T5 att: reads by lambda = 0; held-out micro-F1: generation" in page
    written: dict[str, Any] = json.loads(json.dumps(carried_out.to_dict()))
    assert written["claims"][0]["claim"]["better"] == "T5 gen"
    assert written["claims"][0]["verdict"] in ("held", "not held", "undecided")
    assert [one["method"] for one in written["areas"]] == ["prior", "T5 gen", "T5 att"]
    assert all(0.0 <= one["micro.auc"] <= 1.0 for one in written["areas"])


@pytest.mark.parametrize("name", DECLARED)
def test_every_size_judges_claims(name: str) -> None:
    experiment = find_experiment(name)
    for arms in experiment.arms.values():
        tables = dict[str, list[str]]()
        for arm in arms:
            tables.setdefault(arm.corpus, []).append(arm.method)
        for corpus, methods in tables.items():
            assert any(claim.stands_in(corpus, methods) for claim in experiment.claims), corpus


@pytest.mark.parametrize(("recipe", "preset"), [("t5_base_mimic3_50", "t5-base"), ("llama_7b_mimic3_50", "llama")])
def test_recipes_at_paper_size_are_the_presets(recipe: str, preset: str, tmp_path: Path) -> None:
    model = load_recipe(shipped_recipes()[recipe]).model
    assert isinstance(model, LlmModelConfig)
    wanted = PRESETS[preset]()
    assert (model.llm.backbone, model.llm.tuning, model.llm.head, model.llm.window) == (
        wanted.backbone,
        wanted.tuning,
        wanted.head,
        wanted.window,
    )
    assert model.llm.trainer == wanted.trainer
