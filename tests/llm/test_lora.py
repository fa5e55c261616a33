"""How many weights learn: predicted from shapes, and what peft makes."""

from __future__ import annotations

import pytest
import torch
from llm_pieces import FAMILIES, backbone, notes, prompt
from transformers import LlamaConfig, T5Config

from nosology.config.llm import PRESETS, FullTuningConfig, LlmConfig, LoraConfig, PretrainedBackboneConfig, vanilla
from nosology.errors import ConfigError
from nosology.llm.lora import predict_share, shapes_of, share_of

T5_LARGE = {"d_model": 1024, "d_kv": 64, "d_ff": 4096, "num_layers": 24, "num_heads": 16, "vocab_size": 32128}


@pytest.mark.parametrize(("rank", "percent"), [(4, 0.16), (8, 0.32), (32, 1.26)])
def test_the_paper_s_ratios_of_t5_large(rank: int, percent: float) -> None:
    share = predict_share(shapes_of(T5Config(**T5_LARGE)), LoraConfig(rank=rank))
    assert share.total - share.learning == 737_668_096
    assert round(100 * share.ratio, 2) == percent


def test_llama_7b_at_rank_8_is_twice_what_the_paper_says() -> None:
    share = predict_share(shapes_of(LlamaConfig()), LoraConfig(rank=8))
    assert share.describe() == "4,194,304 of 6,742,609,920 weights learn (0.06%)"
    one = predict_share(shapes_of(LlamaConfig()), LoraConfig(rank=8, targets=("q_proj",)))
    assert round(100 * one.ratio, 2) == 0.03  # the paper's figure would be that of one projection, or of rank 4


@pytest.mark.parametrize(("rank", "targets"), [(1, ()), (3, ("q",)), (4, ("k", "wo")), (2, ("q_proj", "down_proj"))])
@pytest.mark.parametrize("family", FAMILIES)
def test_the_prediction_is_what_peft_makes(family: str, rank: int, targets: tuple[str, ...]) -> None:
    config = LoraConfig(rank=rank, targets=targets)
    bare = backbone(family)
    if targets and ("q_proj" in targets) != (family == "llama"):
        with pytest.raises(ConfigError, match="targets of LoRA that match no linear layer"):
            predict_share(bare.model, config)
        return
    made = backbone(family, tuning=config)
    assert predict_share(bare.model, config) == share_of(made.model)
    assert all("lora_" in name for name, value in made.named_parameters() if value.requires_grad)


@pytest.mark.parametrize("family", FAMILIES)
def test_adapters_start_as_nothing(family: str) -> None:
    bare, made = backbone(family), backbone(family, tuning=LoraConfig(rank=4))
    prompts = prompt(bare).around(notes(), bare.filler, left=bare.pads_left)
    assert torch.allclose(bare.read(prompts), made.eval().read(prompts), atol=1e-5)


def test_targets_that_match_nothing_list_what_there_is() -> None:
    with pytest.raises(ConfigError) as caught:
        backbone("llama", tuning=LoraConfig(targets=("q_proj", "query", "c_attn")))
    assert str(caught.value) == (
        "targets of LoRA that match no linear layer: query, c_attn; there are: down_proj, gate_proj, k_proj, lm_head, "
        "o_proj, q_proj, up_proj, v_proj"
    )


def test_the_presets_are_the_paper_s() -> None:
    assert len(PRESETS) == 8
    for name, preset in PRESETS.items():
        config = preset()
        assert config.window == config.trainer.max_tokens == 2048
        assert isinstance(config.backbone, PretrainedBackboneConfig)
        if "t5" in name:
            assert config.trainer.learning_rate == 1e-4
            assert isinstance(config.tuning, FullTuningConfig)
        else:
            assert config.trainer.learning_rate == 3e-4
            assert isinstance(config.tuning, LoraConfig)
            assert (config.tuning.rank, config.tuning.alpha) == (8, 16.0)
        assert vanilla(config).task == "gen"
        assert isinstance(config, LlmConfig)
