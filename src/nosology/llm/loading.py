"""Language models by name, fresh ones by size, and how a model folder brings one along."""

from __future__ import annotations

import difflib
from collections.abc import Callable
from importlib.util import find_spec
from pathlib import Path
from typing import Any, assert_never

import torch
from torch import nn

from nosology.config.llm import (
    PRESETS,
    BackboneConfig,
    FreshBackboneConfig,
    FullTuningConfig,
    LoraConfig,
    PretrainedBackboneConfig,
    TuningConfig,
)
from nosology.encoders.smollm2 import SMOLLM2, smollm2_folder
from nosology.encoders.transformer import without_progress_bar
from nosology.errors import ConfigError
from nosology.llm.backbone import Backbone, wrap
from nosology.llm.lora import attach
from nosology.preprocessing.subword_tokenizer import SubwordTokenizer

_ALSO_KNOWN = (
    "google/flan-t5-base",
    "google/long-t5-tglobal-base",
    "google-t5/t5-large",
    "google-t5/t5-small",
    "HuggingFaceTB/SmolLM2-135M-Instruct",
    "meta-llama/Llama-3.1-8B",
    "mistralai/Mistral-7B-v0.3",
    "Qwen/Qwen3-4B",
)


def known_names() -> list[str]:
    """Names to show where one is not found; any other name of the hub is loaded all the same."""
    presets = (preset().backbone for preset in PRESETS.values())
    named = [backbone.name for backbone in presets if isinstance(backbone, PretrainedBackboneConfig)]
    return sorted([SMOLLM2, *named, *_ALSO_KNOWN])


def load_backbone(name: str, *, dtype: torch.dtype = torch.float32, four_bit: bool = False) -> Backbone:
    """The language model behind a name.

    Weights are read from safetensors alone, and no code that comes with a model ever runs.

    Args:
        name: "smollm2" (inside a package, no download), a folder, or owner/name on the model hub.
        dtype: of the weights.
        four_bit: hold the weights of linear layers in 4 bits.

    Raises:
        ConfigError: there is no such model, it has no tokenizer, or it cannot be loaded that way; says which names are
            close.
        MissingExtraError: "smollm2" is not installed.
    """
    from transformers import AutoConfig

    options: dict[str, Any] = {"trust_remote_code": False}
    more = _in_four_bits() if four_bit else {"dtype": dtype}
    source = source_of(name)
    tokenizer = tokenizer_of(name)
    try:
        config: Any = AutoConfig.from_pretrained(source, **options)
        with without_progress_bar():
            model = kind_of(config).from_pretrained(source, use_safetensors=True, **more, **options)
    except (OSError, ValueError, KeyError) as error:
        raise ConfigError(_not_loaded(name)) from error
    return _wrapped(model, tokenizer)


def tokenizer_of(name: str) -> SubwordTokenizer:
    """The tokenizer of a named language model; see ``load_backbone``."""
    return SubwordTokenizer.from_pretrained(source_of(name))


def source_of(name: str) -> str:
    """Where a named language model lies: a folder, or its name on the hub."""
    if name == SMOLLM2:
        return str(smollm2_folder())
    if "/" not in name and not Path(name).is_dir():
        raise ConfigError(_not_loaded(name))
    return name


def build_backbone(config: BackboneConfig, tuning: TuningConfig, tokenizer: SubwordTokenizer) -> Backbone:
    """The language model of a recipe, ready to be trained; fresh weights come from torch's global generator.

    Args:
        config: which one.
        tuning: what of it learns.
        tokenizer: a fresh model's; a pretrained one has its own.
    """
    match config:
        case PretrainedBackboneConfig():
            four_bit = isinstance(tuning, LoraConfig) and tuning.four_bit
            backbone = load_backbone(config.name, dtype=_dtype(config, tuning), four_bit=four_bit)
        case FreshBackboneConfig():
            if isinstance(tuning, LoraConfig) and tuning.four_bit:
                raise ConfigError("four_bit is for pretrained language models; a fresh one is small enough without")
            backbone = _wrapped(_kind_of_fresh(config)(config, tokenizer), tokenizer)
        case _:
            assert_never(config)
    return tuned(backbone, tuning)


def tuned(backbone: Backbone, tuning: TuningConfig) -> Backbone:
    """The same language model, with adapters where the recipe asks for them."""
    match tuning:
        case FullTuningConfig():
            backbone.model.requires_grad_(True)
        case LoraConfig():
            attach(backbone.model, tuning)
        case _:
            assert_never(tuning)
    return backbone


def _dtype(config: PretrainedBackboneConfig, tuning: TuningConfig) -> torch.dtype:
    if isinstance(tuning, FullTuningConfig):
        if config.precision == "bf16":
            raise ConfigError('precision = "bf16" is for weights that do not learn; full tuning learns in fp32')
        return torch.float32
    on_gpu = torch.cuda.is_available() and torch.cuda.is_bf16_supported()
    return torch.bfloat16 if config.precision == "bf16" or (config.precision == "auto" and on_gpu) else torch.float32


def _in_four_bits() -> dict[str, Any]:
    """Options of NF4 with bf16 arithmetic (Dettmers et al. 2023, QLoRA).

    Raises:
        ConfigError: there is no CUDA GPU, or bitsandbytes is not installed.
    """
    if not torch.cuda.is_available():
        raise ConfigError("four_bit needs a CUDA GPU, and there is none here; leave four_bit out")
    if find_spec("bitsandbytes") is None:
        raise ConfigError("four_bit needs the package bitsandbytes: pip install bitsandbytes; or leave four_bit out")
    from transformers import BitsAndBytesConfig

    quantised = BitsAndBytesConfig(
        load_in_4bit=True,
        bnb_4bit_quant_type="nf4",
        bnb_4bit_use_double_quant=True,
        bnb_4bit_compute_dtype=torch.bfloat16,
    )
    return {"quantization_config": quantised, "device_map": {"": torch.cuda.current_device()}}


def kind_of(config: Any) -> Any:
    """The class that loads models of a configuration: with an encoder, or a decoder alone."""
    from transformers import AutoModelForCausalLM, AutoModelForSeq2SeqLM

    return AutoModelForSeq2SeqLM if config.is_encoder_decoder else AutoModelForCausalLM


def has_own_output(model: Any) -> bool:
    """Whether the output layer has weights of its own, and does not share the word vectors'."""
    return model.get_output_embeddings().weight is not model.get_input_embeddings().weight


def give_own_output(model: Any) -> None:
    """Part the output layer from the word vectors.

    transformers 5 makes every T5 with shared ones, whatever its settings say, and parts them only while it loads
    weights that differ; T5 1.1 and Flan-T5 have an output layer of their own.
    """
    output = model.get_output_embeddings()
    output.weight = nn.Parameter(output.weight.detach().clone(), requires_grad=output.weight.requires_grad)


def _wrapped(model: Any, tokenizer: SubwordTokenizer) -> Backbone:
    ends = model.config.eos_token_id
    end = ends[0] if isinstance(ends, list | tuple) else ends
    if end is None:
        end = tokenizer.end_id
    if end is None:
        raise ConfigError("this language model has no token that ends a text: neither its settings nor its tokenizer")
    rows = int(model.get_input_embeddings().num_embeddings)
    if tokenizer.vocabulary_size > rows:
        raise ConfigError(
            f"the tokenizer has {tokenizer.vocabulary_size:,} ids, the language model {rows:,} rows for them; use the "
            "tokenizer that the model was made with"
        )
    filler = model.config.pad_token_id
    return wrap(model, int(tokenizer.pad_id if filler is None or not 0 <= filler < rows else filler), int(end))


def _not_loaded(name: str) -> str:
    if Path(name).is_dir():
        return (
            f"language model {name!r}: the folder holds no config.json and model.safetensors that transformers can load"
            "; 'nosology convert' makes them of older weights"
        )
    known = known_names()
    close = difflib.get_close_matches(name.lower(), [one.lower() for one in known], n=3, cutoff=0.4)
    near = [one for one in known if one.lower() in close]
    hint = f"; close names: {', '.join(near)}" if near else f"; known names: {', '.join(known)}"
    if "/" not in name:
        return f"language model {name!r} is neither a folder nor owner/name on the model hub{hint}"
    return (
        f"language model {name!r} is no folder, and the model hub has no such safetensors model or can't be "
        f"reached{hint}"
    )


# --- fresh models ---------------------------------------------------------------------------------------------------


def _kind_of_fresh(config: FreshBackboneConfig) -> Callable[[FreshBackboneConfig, SubwordTokenizer], nn.Module]:
    match config.family:
        case "t5":
            return _fresh_t5
        case "llama":
            return _fresh_llama


def _fresh_t5(config: FreshBackboneConfig, tokenizer: SubwordTokenizer) -> nn.Module:
    from transformers import T5Config, T5ForConditionalGeneration

    # transformers 5 shares word vectors and output layer in every T5; what "not tied" still means to it is that states
    # are not divided by sqrt(width) before the output, as in T5 1.1.
    more: dict[str, Any] = {"decoder_start_token_id": tokenizer.pad_id, "tie_word_embeddings": False}
    model = T5ForConditionalGeneration(
        T5Config(
            vocab_size=tokenizer.vocabulary_size,
            d_model=config.hidden,
            d_kv=config.hidden // config.heads,
            d_ff=config.feed_forward,
            num_layers=config.layers,
            num_heads=config.heads,
            dropout_rate=config.dropout,
            pad_token_id=tokenizer.pad_id,
            eos_token_id=tokenizer.end_id,
            **more,
        )
    )
    # T5's start of these vectors, a deviation of 1, is for long pretraining: a thousand notes would hardly move one.
    nn.init.normal_(model.shared.weight, 0.0, config.hidden**-0.5)
    return model


def _fresh_llama(config: FreshBackboneConfig, tokenizer: SubwordTokenizer) -> nn.Module:
    from transformers import LlamaConfig, LlamaForCausalLM

    return LlamaForCausalLM(
        LlamaConfig(
            vocab_size=tokenizer.vocabulary_size,
            hidden_size=config.hidden,
            intermediate_size=config.feed_forward,
            num_hidden_layers=config.layers,
            num_attention_heads=config.heads,
            attention_dropout=config.dropout,
            pad_token_id=tokenizer.pad_id,
            bos_token_id=tokenizer.begin_id,
            eos_token_id=tokenizer.end_id,
            tie_word_embeddings=True,
            # LLaMA's own .02 is for thousands of dimensions: with tens, attention and output begin as good as silent.
            initializer_range=config.hidden**-0.5,
        )
    )
