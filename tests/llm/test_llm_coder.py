"""Language models as coders: fitted, read in two ways, kept, cut, resumed."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from llm_pieces import (
    FAMILIES,
    LABELS,
    NEW,
    backbone,
    config,
    learning,
    one_note,
    overfitted,
    predictor_of,
    quiet,
    recipe,
    tokenizer,
)

from nosology.coder import Coder
from nosology.config import PriorConfig, Recipe, SimulatedConfig
from nosology.config.architectures import DirectConfig, LabelAttentionConfig
from nosology.config.llm import (
    LoraConfig,
    PretrainedBackboneConfig,
)
from nosology.errors import ConfigError, CorpusError, ModelError
from nosology.knowledge.stream import build_stream
from nosology.llm.held_out import HeldReadings, mixed, top_candidates
from nosology.types import CodedEncounter, Encounter, Note
from tiny_corpus import make_corpus, training_set


@pytest.fixture(scope="module", params=FAMILIES)
def coder(request: pytest.FixtureRequest) -> Coder:
    """Trained a little, on both losses."""
    head = LabelAttentionConfig(attention_size=32)
    llm = config(request.param, head=head, trainer=learning(6), reading="att", validation="att")
    return Coder.fit(make_corpus(30), recipe(llm))


# --- learning ---------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("family", FAMILIES)
def test_label_attention_overfits_32_notes(family: str, tmp_path: Path) -> None:
    llm = config(family, task="att", trainer=learning(25), head=LabelAttentionConfig(attention_size=32))
    _, gen, att = overfitted(llm, tmp_path)
    assert gen is None
    assert att is not None
    assert att > 0.95


def test_both_losses_fall(tmp_path: Path) -> None:
    overfitted(config("llama", trainer=learning(12)), tmp_path)
    lines = [json.loads(line) for line in (tmp_path / "metrics.jsonl").read_text().splitlines()]
    for name in ("loss.generation", "loss.labels"):
        assert lines[-1][name] < 0.7 * lines[0][name]
        assert lines[-1]["loss"] == pytest.approx(lines[-1]["loss.generation"] + lines[-1]["loss.labels"], rel=1e-4)


@pytest.mark.slow
@pytest.mark.parametrize("tuning", ["full", "lora"])
@pytest.mark.parametrize("task", ["gen", "att", "cmp"])
@pytest.mark.parametrize("family", FAMILIES)
def test_every_path_overfits_32_notes(family: str, task: str, tuning: str, tmp_path: Path) -> None:
    # A fresh output layer that does not learn can't be sure of a token: its logits are too near one another.
    t5 = ("q", "k", "v", "o", "wi", "wo", "lm_head")
    llama = ("q_proj", "k_proj", "v_proj", "o_proj", "gate_proj", "up_proj", "down_proj", "lm_head")
    lora = LoraConfig(rank=16, alpha=32.0, targets=(t5 if family == "t5" else llama))
    llm = config(family, task=task, trainer=learning(100 if tuning == "full" else 300))
    _, gen, att = overfitted(llm if tuning == "full" else replace(llm, tuning=lora), tmp_path)
    for found, trained in ((gen, task != "att"), (att, task != "gen")):
        assert (found is not None) == trained
        assert found is None or found > 0.95


# --- reading ----------------------------------------------------------------------------------------------------------


def test_codes_and_points_at_words(coder: Coder) -> None:
    shown = 0
    for encounter in NEW:
        coded = coder.code(encounter)
        assert {code.code for code in coded.codes} <= set(LABELS)
        for code in coded.codes:
            assert 0.0 <= code.probability <= 1.0
            for evidence in code.evidence:
                shown += 1
                text = encounter.note(evidence.note_id).text[evidence.start : evidence.end]
                assert text
                assert text == text.strip()
    assert shown


def test_one_model_is_read_in_two_ways(coder: Coder) -> None:
    weights = {"gen": 1.0, "att": 0.0}
    for reading, weight in weights.items():
        again = coder.read_as(reading)  # type: ignore[arg-type]
        own = predictor_of(again)
        assert own.weight == weight
        assert own.coder.model is predictor_of(coder).coder.model
        assert again.recipe.model.llm.reading == reading  # type: ignore[union-attr]
        stream = build_stream(NEW[0])
        found = own.coder.read(stream, gen=reading == "gen", att=reading == "att")
        assert found is not None
        scores = found.gen if reading == "gen" else found.att
        said = own.predict(stream)
        assert scores is not None
        for code, score in zip(said.codes, said.scores.tolist(), strict=True):
            assert score == pytest.approx(float(scores[own.labels.index(code)]), abs=1e-6)
    best = max(("gen", "att"), key=lambda name: predictor_of(coder).held.f1(weights[name]))
    assert predictor_of(coder.read_as("auto")).weight == weights[best]
    same = coder.read_as("att")
    assert (same.threshold, same.facts) == (coder.threshold, coder.facts)
    assert same.code(NEW[1]) == coder.code(NEW[1])


def test_a_reading_that_was_not_trained_is_refused() -> None:
    with pytest.raises(ConfigError, match=r'reading = "gen" needs task = "cmp"'):
        config(task="att", reading="gen")
    held = HeldReadings(None, np.zeros((2, 3), np.float32), np.zeros((2, 3), np.bool_), 0, 5)
    with pytest.raises(ConfigError, match='not trained to be read as "gen"; train it with task = "cmp"'):
        held.weight("gen", "binary")
    prior = Recipe(SimulatedConfig(), model=PriorConfig())
    with pytest.raises(ConfigError, match="a model of kind 'prior' has one reading"):
        Coder.fit(make_corpus(12), prior).read_as("gen")


def test_lambda_is_chosen_on_held_out_encounters() -> None:
    random = np.random.default_rng(0)
    gold = random.random((200, 5)) < 0.3
    noise = random.normal(size=(2, 200, 5)) * 1.2
    gen, att = (1 / (1 + np.exp(-(2.0 * gold - 1.0 + part))) for part in noise)
    good, bad = gen.astype(np.float32), random.random((200, 5)).astype(np.float32)
    wins = HeldReadings(good, bad, gold, int(gold.sum()), 5)
    assert wins.weight("auto", "binary") == 1.0
    assert HeldReadings(bad, good, gold, int(gold.sum()), 5).weight("auto", "binary") == 0.0
    alike = HeldReadings(good, att.astype(np.float32), gold, int(gold.sum()), 5)
    between = alike.weight("auto", "continuous")
    assert 0.0 < between < 1.0  # two independent witnesses are better than either
    assert alike.f1(between) > max(alike.f1(0.0), alike.f1(1.0))
    assert np.allclose(mixed(good, bad, 0.25), 0.25 * good + 0.75 * bad)
    assert mixed(good, None, 1.0) is not None


def test_candidates_are_the_best_above_nothing() -> None:
    rows, columns = top_candidates(np.array([[0.1, 0.0, 0.3, 0.1], [0.0, 0.0, 0.0, 0.0]], np.float32), 3)
    assert (rows.tolist(), columns.tolist()) == ([0, 0, 0], [2, 0, 3])


def test_an_encounter_reads_as_it_does_among_others(coder: Coder) -> None:
    own = predictor_of(coder).coder
    examples = training_set(make_corpus(9, seed=7).encounters).examples
    gen, att = own.read_many(examples, quiet)
    assert gen is not None
    assert att is not None
    for row, example in enumerate(examples):
        found = own.read(example.stream, gen=True, att=True)
        assert found is not None
        assert np.allclose(found.gen, gen[row], atol=1e-4)
        assert np.allclose(found.att, att[row], atol=1e-4)


@pytest.mark.parametrize("text", ["", " \n", "\x00", "qwxyz", "Ñandú ½ 肺炎 \ud800", "..."])
def test_odd_notes(coder: Coder, text: str) -> None:
    for reading in ("gen", "att"):
        coded = coder.read_as(reading).code(Encounter("e", (Note("n", text),)))
        assert isinstance(coded, CodedEncounter)
        assert all(0.0 <= code.probability <= 1.0 for code in coded.codes)


# --- files ------------------------------------------------------------------------------------------------------------


def test_a_saved_coder_says_the_same(coder: Coder, tmp_path: Path) -> None:
    coder.save(tmp_path / "model")
    again = Coder.from_pretrained(tmp_path / "model")
    for reading in ("gen", "att", "auto"):
        for encounter in NEW[:3]:
            assert again.read_as(reading).code(encounter) == coder.read_as(reading).code(encounter)
    assert again.recipe == coder.recipe
    assert predictor_of(again).remarks == predictor_of(coder).remarks
    assert {path.suffix for path in (tmp_path / "model").iterdir()} <= {".npz", ".json", ".toml", ".md", ".safetensors"}


def _pretrained(folder: Path, family: str = "llama", seed: int = 0) -> None:
    backbone(family, seed=seed).model.save_pretrained(folder)
    (folder / "tokenizer.json").write_text(tokenizer().source, encoding="utf-8")


@pytest.mark.parametrize("portable", [False, True])
def test_adapters_are_kept_beside_their_model(portable: bool, tmp_path: Path) -> None:
    base = tmp_path / "base"
    _pretrained(base)
    named = PretrainedBackboneConfig(name=str(base), portable=portable)
    llm = replace(config(), backbone=named, tuning=LoraConfig(rank=2), trainer=learning(2))
    coder = Coder.fit(make_corpus(16), recipe(llm), work=tmp_path / "work")
    assert any("weights learn" in line for line in predictor_of(coder).remarks)
    coder.save(tmp_path / "model")
    size = (tmp_path / "model" / "llm.safetensors").stat().st_size
    whole = (base / "model.safetensors").stat().st_size
    assert (size > whole) == portable
    checkpoint = next((tmp_path / "work").rglob("best.safetensors"))
    assert (checkpoint.stat().st_size > whole) == portable
    if portable:
        for file in base.iterdir():
            file.unlink()
    again = Coder.from_pretrained(tmp_path / "model")
    assert [again.code(one) for one in NEW] == [coder.code(one) for one in NEW]
    if not portable:
        _pretrained(base, seed=5)
        with pytest.raises(ModelError, match="is not the one that this model's adapters were trained beside"):
            Coder.from_pretrained(tmp_path / "model")


@pytest.mark.parametrize("family", FAMILIES)
def test_frozen_weights_may_be_bf16(family: str, tmp_path: Path) -> None:
    _pretrained(tmp_path / "base", family)
    named = PretrainedBackboneConfig(name=str(tmp_path / "base"), precision="bf16")
    llm = replace(config(family), backbone=named, tuning=LoraConfig(rank=2), trainer=learning(2))
    coder, gen, att = overfitted(llm, tmp_path / "run")
    assert gen is not None
    assert att is not None
    for name, value in coder.model.named_parameters():
        assert value.dtype == (torch.float32 if value.requires_grad else torch.bfloat16), name


@pytest.mark.parametrize("name", ["llm.json", "llm.toml", "llm.safetensors", "reading.json", "held_out.npz"])
def test_damaged_files_are_refused(coder: Coder, name: str, tmp_path: Path) -> None:
    coder.save(tmp_path / "model")
    file = tmp_path / "model" / name
    file.write_bytes(file.read_bytes()[:-7])
    with pytest.raises(ModelError):
        Coder.from_pretrained(tmp_path / "model")


# --- windows ----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("family", FAMILIES)
def test_the_end_of_the_note_is_cut_and_nothing_else(family: str, tmp_path: Path) -> None:
    llm = config(family, window=110, trainer=learning(1))
    coder = Coder.fit(make_corpus(16), recipe(llm), work=tmp_path)
    own = predictor_of(coder)
    assert own.remarks[0].startswith("15 of 15 notes") or " notes do not fit the window of 110 tokens" in own.remarks[0]
    assert "the end of the note is cut off, never the instruction or the answer" in own.remarks[0]
    kept = own.coder.note_tokens
    model = own.coder.model
    answer = 0 if family == "t5" else model.writer.most_tokens
    assert kept == 110 - len(model.encoder.prompt) - answer
    long = Encounter("e", (Note("n", "Known pneumonia. " * 200),))
    assert own.cut_remark is None
    coder.code(long)
    assert own.cut_remark is not None
    assert own.cut_remark.startswith("1 of 1 notes do not fit the window of 110 tokens")
    tokens = own.coder.tokenizer.encode(long, kept)
    batch_ids = model.encoder.prompt.around(one_note(tokens), 0, left=False).ids[0].tolist()
    prompt = model.encoder.prompt
    assert batch_ids[: len(prompt.before)] == list(prompt.before)
    assert batch_ids[-len(prompt.after) :] == list(prompt.after)
    assert len(batch_ids) + answer == 110


def test_a_window_without_room_is_refused() -> None:
    with pytest.raises(ConfigError, match="window = 20 leaves no room for a note: the instruction takes"):
        Coder.fit(make_corpus(12), recipe(config(window=20)))
    with pytest.raises(ConfigError, match="answer_tokens = 2 is too few: the longest training answer has"):
        Coder.fit(make_corpus(12), recipe(config(answer_tokens=2)))
    with pytest.raises(CorpusError, match="no code is carried by 99 training encounters"):
        Coder.fit(make_corpus(12), recipe(config(least_notes=99)))


@pytest.mark.parametrize("number", [2, 3, 4])
def test_the_other_formats_train(number: int, tmp_path: Path) -> None:
    llm = config("t5", format=number, window=600, trainer=learning(1), head=DirectConfig())
    coder = Coder.fit(make_corpus(12), recipe(llm))
    coder.save(tmp_path / "model")
    again = Coder.from_pretrained(tmp_path / "model")
    assert again.code(NEW[0]) == coder.code(NEW[0])
    assert not any(code.evidence for code in coder.code(NEW[0]).codes)  # pooling points at no words
