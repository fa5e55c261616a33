"""Language models in model folders: how one is described there, told from another, and built again."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from typing import Any

import torch

from nosology.checkpoint import ModelFolder
from nosology.config.llm import LlmConfig, LoraConfig, PretrainedBackboneConfig
from nosology.errors import ConfigError, ModelError
from nosology.llm.backbone import Backbone, wrap
from nosology.llm.loading import build_backbone, give_own_output, has_own_output, kind_of, tokenizer_of, tuned

_SAMPLES = 64


def describe_kept(config: LlmConfig, backbone: Backbone) -> dict[str, Any]:
    """By its name and a fingerprint where only adapters were trained and the recipe wants no more; else whole."""
    own = config.backbone
    if isinstance(own, PretrainedBackboneConfig) and isinstance(config.tuning, LoraConfig) and not own.portable:
        return {"name": own.name, "fingerprint": backbone_fingerprint(backbone)}
    return describe_backbone(backbone)


def stored_backbone(config: LlmConfig, described: Mapping[str, Any], folder: ModelFolder) -> Backbone:
    """The language model that ``described`` names, as ``tuning`` wants it; weights come after.

    Raises:
        ConfigError: the named language model is not to be had, or the description is damaged.
        ModelError: it is not the one that the adapters were trained beside.
    """
    if "name" not in described:
        return tuned(rebuild_backbone(described), config.tuning)
    name = str(described["name"])
    backbone = build_backbone(config.backbone, config.tuning, tokenizer_of(name))
    if backbone_fingerprint(backbone) != described["fingerprint"]:
        raise ModelError(
            f"the language model {name!r} is not the one that this model's adapters were trained beside; put that one "
            "back, or train again",
            path=folder.path,
        )
    return backbone


def describe_backbone(backbone: Backbone) -> dict[str, Any]:
    """What ``rebuild_backbone`` needs beside the weights, as JSON can hold it."""
    config: Any = backbone.model.config
    own_output = has_own_output(backbone.model)
    return {"config": config.to_dict(), "filler": backbone.filler, "end": backbone.end, "own_output": own_output}


def rebuild_backbone(described: Mapping[str, Any]) -> Backbone:
    """The language model that was described, with fresh weights: needs neither the hub nor the folder it came from.

    Raises:
        ConfigError: the description is no model's.
    """
    from transformers import AutoConfig

    try:
        settings = dict(described["config"])
        config: Any = AutoConfig.for_model(settings.pop("model_type"), **settings)
        model = kind_of(config).from_config(config)
        if described.get("own_output") and not has_own_output(model):
            give_own_output(model)
        return wrap(model, int(described["filler"]), int(described["end"]))
    except (KeyError, TypeError, ValueError) as error:
        raise ConfigError(f"the description of the language model is damaged ({type(error).__name__})") from error


def backbone_fingerprint(backbone: Backbone) -> str:
    """A hash of a sample of the weights that no adapter and no precision changes: embeddings and vectors."""
    embedding: Any = backbone.model.get_input_embeddings().weight
    vectors = [value for _, value in sorted(backbone.model.named_parameters()) if value.dim() == 1]
    digest = hashlib.sha256()
    for tensor in (embedding, *vectors):
        flat = tensor.detach().flatten()
        sample = flat[:: max(1, len(flat) // _SAMPLES)].to("cpu", torch.bfloat16).float()
        digest.update(f"{tuple(tensor.shape)}".encode() + sample.numpy().tobytes())
    return digest.hexdigest()[:16]
