"""Any encoder of the transformers library, over notes of any length."""

from __future__ import annotations

import difflib
from collections.abc import Generator, Mapping
from contextlib import contextmanager, nullcontext
from pathlib import Path
from typing import Any

import torch
from jaxtyping import Float
from torch import Tensor, nn

from nosology.encoders.base import Batch, Encoder, EncoderOutput
from nosology.encoders.chunks import Chunks, cut, merge
from nosology.encoders.smollm2 import SMOLLM2, smollm2_folder
from nosology.errors import ConfigError
from nosology.preprocessing.subword_tokenizer import MINILM, minilm_folder

PACKAGED = (MINILM, SMOLLM2)
"""Models that packages hold; no hub is asked for them."""

# Encoders that people code with; shown where a name is not found, and loaded like any other name.
KNOWN_ENCODERS = (
    MINILM,
    "allenai/longformer-base-4096",
    "answerdotai/ModernBERT-base",
    "emilyalsentzer/Bio_ClinicalBERT",
    "FacebookAI/roberta-base",
    "FacebookAI/xlm-roberta-base",
    "google-bert/bert-base-multilingual-cased",
    "google-bert/bert-base-uncased",
    "google-t5/t5-base",
    "luqh/ClinicalT5-base",
    "meta-llama/Llama-2-7b-hf",
    "microsoft/BiomedNLP-BiomedBERT-base-uncased-abstract-fulltext",
    "PlanTL-GOB-ES/bsc-bio-ehr-es",
    "PlanTL-GOB-ES/roberta-base-biomedical-clinical-es",
    SMOLLM2,
    "yikuan8/Clinical-BigBird",
    "yikuan8/Clinical-Longformer",
)


class Transformer(Encoder):
    """Last hidden states of a transformers model, chunk by chunk.

    A chunk may be framed by two special tokens whose states are dropped again: models that were trained on framed
    sentences expect them (Longformer's global attention is on the first of them). The chunks of all notes run as one
    batch; chunks of padding alone do not run.

    Args:
        model: an encoder, or a decoder such as LLaMA; it takes ``input_ids`` and ``attention_mask``.
        chunk_tokens: tokens that the model sees at once, its frame not counted.
        overlap_tokens: tokens that neighbouring chunks share.
        frame: ids of the special tokens before and after every chunk.
        frozen: the model is not trained, and runs without dropout and without keeping anything for the gradient.
        gradient_checkpointing: computes activations again in the backward pass, for memory.
        chunks_at_once: how many chunks run together, at most; bounds the memory of a very long note.
        in_bf16: matrix products are computed in bf16; states are float32 all the same.

    Raises:
        ConfigError: the chunk does not fit the model, or the overlap does not fit the chunk.
    """

    def __init__(
        self,
        model: nn.Module,
        *,
        chunk_tokens: int = 512,
        overlap_tokens: int = 0,
        frame: tuple[int, int] | None = None,
        frozen: bool = False,
        gradient_checkpointing: bool = False,
        chunks_at_once: int = 256,
        in_bf16: bool = False,
    ) -> None:
        config: Any = model.config
        super().__init__(int(config.hidden_size))
        if not 0 <= overlap_tokens < chunk_tokens:
            raise ConfigError(
                f"overlap_tokens = {overlap_tokens} must be at least 0 and below chunk_tokens = {chunk_tokens}"
            )
        _check_room(config, chunk_tokens + (2 if frame else 0))
        config.use_cache = False  # a decoder's keys and values are for writing
        self.model = _without_pooler(model)
        self.chunk_tokens, self.overlap_tokens, self.frame = chunk_tokens, overlap_tokens, frame
        self.frozen, self.chunks_at_once, self.in_bf16 = frozen, chunks_at_once, in_bf16
        self.filler = int(getattr(config, "pad_token_id", None) or 0)
        self.first_is_global = config.model_type == "longformer" and frame is not None
        if frozen:
            model.requires_grad_(False)
        elif gradient_checkpointing:
            _checkpoint_activations(model)
        if not self.first_is_global:
            _freeze_global_attention(model)

    def train(self, mode: bool = True) -> Transformer:
        """As ``nn.Module.train``, but a frozen model stays without dropout."""
        super().train(mode)
        if self.frozen:
            self.model.eval()
        return self

    def forward(self, batch: Batch) -> EncoderOutput:
        """See ``Encoder``."""
        chunks = cut(batch.mask, self.chunk_tokens, self.overlap_tokens)
        if len(chunks.notes) == 0:
            states = next(self.model.parameters()).new_zeros(*batch.mask.shape, self.hidden_size)
            return EncoderOutput(states, batch.mask)
        ids = batch.token_ids[chunks.notes[:, None], chunks.positions].masked_fill(~chunks.mask, self.filler)
        with torch.set_grad_enabled(torch.is_grad_enabled() and not self.frozen):
            parts = [self._run(ids[at], mask) for at, mask in _portions(chunks, self.chunks_at_once)]
        return EncoderOutput(merge(torch.cat(parts), chunks, batch.mask), batch.mask)

    def _run(self, ids: Tensor, mask: Tensor) -> Float[Tensor, "chunk place hidden"]:
        if self.frame is None:
            return self._states(ids, mask)
        ids, mask = _framed(ids, mask, self.frame)
        return self._states(ids, mask)[:, 1:-1]

    def _states(self, ids: Tensor, mask: Tensor) -> Tensor:
        """The model's states; notes whose chunks have holes or end early rely on its attention mask."""
        options: dict[str, Tensor] = {}
        if self.first_is_global:
            options["global_attention_mask"] = torch.zeros_like(ids).index_fill_(1, ids.new_zeros(1), 1)
        with torch.autocast(ids.device.type, torch.bfloat16) if self.in_bf16 else nullcontext():
            states = self.model(input_ids=ids, attention_mask=mask.long(), **options).last_hidden_state
        return states.float() if self.in_bf16 else states


def _portions(chunks: Chunks, size: int) -> list[tuple[slice, Tensor]]:
    parts = [slice(start, start + size) for start in range(0, len(chunks.notes), size)]
    return [(part, chunks.mask[part]) for part in parts]


def _framed(ids: Tensor, mask: Tensor, frame: tuple[int, int]) -> tuple[Tensor, Tensor]:
    """The chunks with one token before, and one right after the last real token."""
    before = torch.full_like(ids[:, :1], frame[0])
    ids = torch.cat([before, ids, before], 1)
    mask = torch.cat([torch.ones_like(mask[:, :1]), mask, torch.zeros_like(mask[:, :1])], 1)
    end = (mask * torch.arange(1, mask.shape[1] + 1, device=mask.device)).amax(1, keepdim=True)
    return ids.scatter(1, end, frame[1]), mask.scatter(1, end, True)


def _without_pooler(model: Any) -> nn.Module:
    """The model without the layer that makes one vector of a sentence: nothing here reads it."""
    if isinstance(getattr(model, "pooler", None), nn.Module):
        model.pooler = None
    return model


def _checkpoint_activations(model: Any) -> None:
    """By its name in transformers 5.20 and later, or by the one before."""
    newer = getattr(model, "activation_checkpointing_enable", None)
    (newer or model.gradient_checkpointing_enable)()


def _freeze_global_attention(model: nn.Module) -> None:
    """Leave Longformer's global attention as it is where no token uses it: no gradient would ever reach it."""
    for name, parameter in model.named_parameters():
        if "_global." in name:
            parameter.requires_grad_(False)


def _check_room(config: Any, tokens: int) -> None:
    room = getattr(config, "max_position_embeddings", None)
    if room is None:
        return
    if config.model_type in ("roberta", "xlm-roberta", "camembert", "longformer", "data2vec-text"):
        room -= int(config.pad_token_id or 0) + 1
    if tokens > room:
        raise ConfigError(
            f"a chunk of {tokens} tokens with its frame does not fit this encoder's {room}; lower chunk_tokens"
        )


def has_fast_bf16() -> bool:
    """Whether this machine multiplies matrices in bf16 faster than in float32: its GPU, or a processor with AMX.

    An older PyTorch cannot tell of a processor; it counts as one without.
    """
    if torch.cuda.is_available():
        return torch.cuda.is_bf16_supported(including_emulation=False)
    capabilities: Any = getattr(torch.cpu, "get_capabilities", dict)
    return bool(capabilities().get("amx_bf16", False))


def load_transformer(name: str) -> nn.Module:
    """The model behind a name, in float32: "minilm" or "smollm2" (inside packages), a folder, or owner/name on the hub.

    Weights are read from safetensors alone, and no code that comes with a model ever runs.

    Raises:
        ConfigError: there is no such model, or it can't be loaded that way; says which names are close.
        MissingExtraError: "minilm" is not installed.
        MissingSmolLm2Error: "smollm2" is not installed.
    """
    from transformers import AutoConfig

    source = transformer_source(name)
    options: dict[str, Any] = {"trust_remote_code": False}
    try:
        config: Any = AutoConfig.from_pretrained(source, **options)
        with without_progress_bar():
            kind = _kind(config)
            model: Any = kind.from_pretrained(source, use_safetensors=True, dtype=torch.float32, **options)
    except (OSError, ValueError, KeyError) as error:
        raise ConfigError(_not_loaded(name)) from error
    return _encoder_of(model, config)


def describe_transformer(encoder: Transformer) -> dict[str, Any]:
    """What ``rebuild_transformer`` needs: the model's own settings and its frame, as JSON can hold them."""
    config: Any = encoder.model.config
    return {"config": config.to_dict(), "frame": encoder.frame}


def rebuild_transformer(described: Mapping[str, Any]) -> tuple[nn.Module, tuple[int, int] | None]:
    """The model that was described, with fresh weights, and its frame: needs neither the hub nor the first folder.

    Raises:
        ConfigError: the description is no model's.
    """
    from transformers import AutoConfig

    try:
        settings = dict(described["config"])
        config: Any = AutoConfig.for_model(settings.pop("model_type"), **settings)
        model = _kind(config).from_config(config)
        frame = described["frame"]
        return _encoder_of(model, config), None if frame is None else (int(frame[0]), int(frame[1]))
    except (KeyError, TypeError, ValueError) as error:
        raise ConfigError(f"the description of the encoder is damaged ({type(error).__name__})") from error


def _kind(config: Any) -> Any:
    from transformers import AutoModel, AutoModelForTextEncoding

    return AutoModelForTextEncoding if "t5" in config.model_type else AutoModel


def _encoder_of(model: Any, config: Any) -> nn.Module:
    return model.get_encoder() if config.is_encoder_decoder and "t5" not in config.model_type else model


@contextmanager
def without_progress_bar() -> Generator[None, None, None]:
    """Loading takes a moment; its bar would stand between the lines of our own progress."""
    from transformers.utils import logging

    shown = logging.is_progress_bar_enabled()
    logging.disable_progress_bar()
    try:
        yield
    finally:
        if shown:
            logging.enable_progress_bar()


def special_tokens(name: str) -> tuple[int, int]:
    """Ids of the tokens that a model's training put before and after a text.

    Raises:
        ConfigError: the model's tokenizer has none (T5, LLaMA).
    """
    from transformers import AutoTokenizer

    try:
        tokenizer: Any = AutoTokenizer.from_pretrained(transformer_source(name), trust_remote_code=False)
    except (OSError, ValueError, KeyError) as error:
        raise ConfigError(f"encoder {name!r}: its tokenizer can't be read; set framed = false") from error
    if tokenizer.cls_token_id is None or tokenizer.sep_token_id is None:
        raise ConfigError(f"encoder {name!r} has no tokens to frame a chunk with; set framed = false")
    return int(tokenizer.cls_token_id), int(tokenizer.sep_token_id)


def transformer_source(name: str) -> str:
    """Where a named model lies: a folder, or its name on the hub. Raises as ``load_transformer``."""
    if name == MINILM:
        return str(minilm_folder())
    if name == SMOLLM2:
        return str(smollm2_folder())
    if "/" not in name and not Path(name).is_dir():
        raise ConfigError(_not_loaded(name))
    return name


def _not_loaded(name: str) -> str:
    if Path(name).is_dir():
        return f"encoder {name!r}: the folder holds no config.json and model.safetensors that transformers can load"
    close = difflib.get_close_matches(name.lower(), [known.lower() for known in KNOWN_ENCODERS], n=3, cutoff=0.4)
    near = [known for known in KNOWN_ENCODERS if known.lower() in close]
    hint = f"; close names: {', '.join(near)}" if near else f"; known names: {', '.join(KNOWN_ENCODERS)}"
    if "/" not in name:
        return f"encoder {name!r} is neither a folder nor owner/name on the model hub{hint}"
    return f"encoder {name!r} is no folder, and the model hub has no such safetensors model or can't be reached{hint}"
