"""Language models in training: stopped and gone on, read again in another way, supervised, checkpointed."""

from __future__ import annotations

import json
import re
from dataclasses import replace
from pathlib import Path
from typing import Literal

import pytest
import torch
from llm_pieces import FAMILIES, NEW, WORDS, config, learning, one_note, overfitted, predictor_of, recipe

from nosology.cli.main import run
from nosology.coder import Coder
from nosology.config import LlmModelConfig, Recipe, load_recipe, to_toml
from nosology.config.architectures import LabelAttentionConfig
from nosology.config.llm import (
    DecodingConfig,
    FreshBackboneConfig,
    LoraConfig,
    PretrainedBackboneConfig,
)
from nosology.config.reading import dataclass_from_mapping, read_toml
from nosology.errors import ConfigError, MissingExtraError, ModelError
from nosology.llm.language_coder import LanguageCoder
from nosology.llm.model import LanguageCodingModel
from nosology.shipped_recipes import shipped_recipes
from nosology.training.trainer import Trainer
from tiny_corpus import TABLE, make_corpus, make_encounter, training_set, write_table


def test_a_stopped_training_goes_on_exactly(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    llm = config("t5", trainer=replace(learning(3), checkpoint_steps=2))
    llm = replace(llm, backbone=replace(llm.backbone, dropout=0.1), validation="att")
    whole = Coder.fit(make_corpus(20), recipe(llm), work=tmp_path / "whole")

    class StoppedError(Exception):
        pass

    from nosology.training import loop

    update, calls = loop.Run._update, list[int]()

    def stopping(self, plan, number):
        calls.append(1)
        if len(calls) == 4:
            raise StoppedError
        return update(self, plan, number)

    monkeypatch.setattr(loop.Run, "_update", stopping)
    with pytest.raises(StoppedError):
        Coder.fit(make_corpus(20), recipe(llm), work=tmp_path / "stopped")
    again = Coder.fit(make_corpus(20), recipe(llm), work=tmp_path / "stopped")
    ours, theirs = (predictor_of(one).coder.model.state_dict() for one in (again, whole))
    assert all(torch.equal(ours[name], theirs[name]) for name in theirs)
    assert [again.code(one) for one in NEW] == [whole.code(one) for one in NEW]


def test_another_reading_finds_the_trained_model(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    llm = config("t5", trainer=learning(1), reading="gen")
    first = Coder.fit(make_corpus(12), recipe(llm), work=tmp_path)
    from nosology.training import loop

    monkeypatch.setattr(loop.Run, "_update", lambda *_: pytest.fail("trained again"))
    second = Coder.fit(make_corpus(12), recipe(replace(llm, reading="att")), work=tmp_path)
    assert first.read_as("att").code(NEW[0]) == second.code(NEW[0])
    with pytest.raises(ModelError, match="this run began with"):
        Coder.fit(make_corpus(12), recipe(replace(llm, order="code")), work=tmp_path)


def test_the_epoch_is_chosen_by_what_the_recipe_says() -> None:
    assert config(task="gen").validates_by == "gen"
    assert config(task="att").validates_by == "att"
    assert config().validates_by == "both"
    assert config(validation="att").validates_by == "att"
    coder = LanguageCoder.fresh(training_set(make_corpus(8).encounters).examples, config(), WORDS, 0)[0]
    model, own = coder.model.eval(), coder.tokenizer.encode(make_encounter(3))
    batch = one_note(own)
    found = model.reading(batch, gen=True, att=True)
    assert found.gen is not None
    assert found.att is not None
    answers: dict[Literal["gen", "att", "both"], torch.Tensor] = {
        "gen": found.gen,
        "att": found.att,
        "both": (found.gen + found.att) / 2,
    }
    for model.validates_by, wanted in answers.items():
        with torch.no_grad():
            assert torch.allclose(model(batch).logits.sigmoid(), wanted.clamp(1e-6, 1 - 1e-6), atol=1e-4)
            some = torch.tensor([4, 1])
            assert torch.allclose(model(batch, some).logits, model(batch).logits[:, some])


def test_evidence_supervises_attention(tmp_path: Path) -> None:
    llm = config("t5", task="att", trainer=replace(learning(1), evidence_weight=0.5, log_steps=1))
    overfitted(llm, tmp_path)
    assert "loss.evidence" in json.loads((tmp_path / "metrics.jsonl").read_text().splitlines()[0])
    with pytest.raises(ConfigError, match="evidence_weight supervises label attention"):
        config(task="gen", trainer=replace(learning(1), evidence_weight=0.5))


def test_gradient_checkpointing_changes_nothing(tmp_path: Path) -> None:
    for family in FAMILIES:
        llm = config(family, tuning=LoraConfig(rank=2), trainer=learning(1))
        kept, _, _ = overfitted(llm, tmp_path / family / "kept")
        again, _, _ = overfitted(
            replace(llm, trainer=replace(llm.trainer, gradient_checkpointing=True)), tmp_path / family / "again"
        )
        for name, value in kept.model.state_dict().items():
            assert torch.allclose(again.model.state_dict()[name], value, atol=1e-5), name


def test_descriptions_start_the_queries() -> None:
    llm = config("t5", head=LabelAttentionConfig(queries="descriptions", tied=True))
    coder, *_ = LanguageCoder.fresh(training_set(make_corpus(8).encounters).examples, llm, WORDS, 0)
    plain, *_ = LanguageCoder.fresh(training_set(make_corpus(8).encounters).examples, config("t5"), WORDS, 0)
    assert coder.model.head is not None
    assert plain.model.head is not None
    assert "label_queries.inherited" in coder.model.head.state_dict()


def test_free_generation(tmp_path: Path) -> None:
    decoding = DecodingConfig(beams=2, constrained=False, in_order=False, scores="beams")
    llm = config("llama", task="gen", decoding=decoding, trainer=learning(1))
    coder = Coder.fit(make_corpus(12), recipe(llm))
    coder.save(tmp_path / "model")
    assert Coder.from_pretrained(tmp_path / "model").code(NEW[0]) == coder.code(NEW[0])
    with pytest.raises(ConfigError, match=r"free generation \(constrained = false\) needs"):
        DecodingConfig(constrained=False)


def test_a_recipe_is_read_back_equal(tmp_path: Path) -> None:
    for llm in (config(), replace(config(), tuning=LoraConfig(targets=("q",)), backbone=PretrainedBackboneConfig())):
        file = tmp_path / "recipe.toml"
        file.write_text(to_toml(recipe(llm)))
        assert dataclass_from_mapping(Recipe, read_toml(file), str(file)) == recipe(llm)
    with pytest.raises(ConfigError, match="hidden = 20 is no multiple of 2 x heads = 6"):
        FreshBackboneConfig(hidden=20, heads=3)


@pytest.mark.parametrize("name", ["t5_tiny_cmp", "smollm2_lora"])
def test_shipped_recipes_load_and_write_back(name: str, tmp_path: Path) -> None:
    shipped = load_recipe(shipped_recipes()[name])
    assert isinstance(shipped.model, LlmModelConfig)
    file = tmp_path / "r.toml"
    file.write_text(to_toml(shipped), encoding="utf-8")
    assert load_recipe(file) == shipped


@pytest.mark.parametrize(("missing", "where"), [("peft", "nosology.llm"), ("torch", "nosology.neural")])
def test_without_the_extra_it_names_the_install_line(missing: str, where: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(f"{where}.find_spec", lambda name: None if name == missing else name)
    with pytest.raises(MissingExtraError, match=r"needs an optional part: pip install 'nosology\[llm\]'"):
        Coder.fit(make_corpus(8), recipe(config()))


def test_the_command_line(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    write_table(tmp_path, train=14, dev=4)
    llm = config("t5", window=110, trainer=learning(1))
    settings = "\n".join(f'{key.removeprefix("corpus.")} = "{value}"' for key, value in TABLE.items())
    file = tmp_path / "recipe.toml"
    file.write_text(re.sub(r"\[corpus\]\n(.+\n)+", f"[corpus]\n{settings}\n", to_toml(recipe(llm))))
    assert run(["train", str(file), "--dry-run"]) == 0
    assert "language model: " in capsys.readouterr().out
    assert run(["train", str(file), "--out", str(tmp_path / "model")]) == 0
    told = capsys.readouterr().err
    assert "do not fit the window of 110 tokens: the end of the note is cut off" in told
    assert "reads by lambda" in told
    assert run(["evaluate", str(tmp_path / "model"), "--split", "dev"]) == 0
    assert "notes do not fit the window" in capsys.readouterr().err
    note = tmp_path / "note.txt"
    note.write_text("Known pneumonia. " * 100)
    assert run(["code", str(tmp_path / "model"), str(note)]) == 0
    assert "1 of 1 notes do not fit the window" in capsys.readouterr().err


def test_the_trainer_refuses_another_shape(tmp_path: Path) -> None:
    coder, encounters, _ = LanguageCoder.fresh(training_set(make_corpus(8).encounters).examples, config(), WORDS, 0)
    assert isinstance(coder.model, LanguageCodingModel)
    with pytest.raises(ConfigError, match="the model scores 7 labels, the label list has 2"):
        Trainer(coder.tokenizer, ["a", "b"]).fit(coder.model, encounters, None, learning(1), tmp_path)
