"""Older weights into safetensors, with equal outputs."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from llm_pieces import backbone, tokenizer

from nosology.cli.main import run
from nosology.errors import ModelError
from nosology.llm.convert import convert
from nosology.llm.loading import give_own_output, has_own_output, load_backbone

IDS = torch.arange(5, 25)[None]


def logits(model: Any) -> torch.Tensor:
    options = {"decoder_input_ids": IDS[:, :4]} if model.config.is_encoder_decoder else {}
    with torch.no_grad():
        return model.eval()(input_ids=IDS, **options).logits


def folder_of(model: Any, place: Path) -> Path:
    place.mkdir()
    model.config.save_pretrained(place)
    (place / "tokenizer.json").write_text(tokenizer().source, encoding="utf-8")
    config = {"tokenizer_class": "PreTrainedTokenizerFast", "pad_token": "<pad>", "eos_token": "</s>"}
    (place / "tokenizer_config.json").write_text(json.dumps(config), encoding="utf-8")
    return place


def write_flax(model: Any, file: Path, *, chunked: str = "") -> None:
    """As flax.serialization does: a tree of arrays, each (shape, type, bytes) in an extension of type 1."""
    msgpack = pytest.importorskip("msgpack", reason="msgpack is not installed")

    def array(value: np.ndarray) -> Any:
        packed = msgpack.packb((value.shape, value.dtype.name, value.tobytes("C")), use_bin_type=True)
        return msgpack.ExtType(1, packed)

    left_out = ["encoder.embed_tokens.weight", "decoder.embed_tokens.weight"]
    if not has_own_output(model):
        left_out.append("lm_head.weight")
    tree: dict[str, Any] = {}
    for name, value in model.state_dict().items():
        if name in left_out:
            continue
        *path, last = name.split(".")
        data = value.numpy()
        if path[-1] in ("shared", "relative_attention_bias"):
            last = "embedding"
        elif "layer_norm" not in path[-1]:
            last, data = "kernel", data.T.copy()
        branch = tree
        for key in path:
            branch = branch.setdefault(key, {})
        if name == chunked:
            parts = np.array_split(data.reshape(-1), 3)
            branch[last] = {
                "__msgpack_chunked_array__": True,
                "shape": {str(n): size for n, size in enumerate(data.shape)},
                "chunks": {str(n): array(part) for n, part in enumerate(parts)},
            }
        else:
            branch[last] = array(data)
    file.write_bytes(msgpack.packb(tree, strict_types=True))


@pytest.mark.parametrize("chunked", ["", "shared.weight"])
def test_flax_weights_of_t5(tmp_path: Path, chunked: str) -> None:
    model = backbone("t5", spread=2.0).model
    source = folder_of(model, tmp_path / "flax")
    write_flax(model, source / "flax_model.msgpack", chunked=chunked)
    found = convert(source, tmp_path / "out")
    assert (found.source, found.has_tokenizer) == ("flax", True)
    loaded = load_backbone(str(tmp_path / "out"))
    assert torch.equal(logits(loaded.model), logits(model))


@pytest.mark.parametrize("format", ["flax", "torch"])
def test_an_output_layer_of_its_own_stays(tmp_path: Path, format: str) -> None:
    """As T5 1.1 and Flan-T5 have it; transformers 5 would put one of the two matrices in both places."""
    model = backbone("t5", spread=2.0).model
    give_own_output(model)
    torch.nn.init.normal_(model.lm_head.weight)
    source = folder_of(model, tmp_path / "source")
    if format == "flax":
        write_flax(model, source / "flax_model.msgpack")
    else:
        torch.save(dict(model.state_dict()), source / "pytorch_model.bin")
    assert convert(source, tmp_path / "out").source == format
    loaded = load_backbone(str(tmp_path / "out"))
    assert has_own_output(loaded.model)
    assert torch.equal(logits(loaded.model), logits(model))


@pytest.mark.parametrize("sharded", [False, True])
@pytest.mark.parametrize("family", ["t5", "llama"])
def test_bin_weights(tmp_path: Path, family: str, sharded: bool) -> None:
    model = backbone(family, spread=2.0).model
    source = folder_of(model, tmp_path / "bin")
    state = dict(model.state_dict())
    if family == "llama":  # what older versions of transformers also kept
        state["model.layers.0.self_attn.rotary_emb.inv_freq"] = torch.ones(4)
    if sharded:
        names = sorted(state)
        parts = {"pytorch_model-00001-of-00002.bin": names[::2], "pytorch_model-00002-of-00002.bin": names[1::2]}
        for file, part in parts.items():
            torch.save({name: state[name] for name in part}, source / file)
        index = {"weight_map": {name: file for file, part in parts.items() for name in part}}
        (source / "pytorch_model.bin.index.json").write_text(json.dumps(index))
    else:
        torch.save(state, source / "pytorch_model.bin")
    assert convert(source, tmp_path / "out").source == "torch"
    assert torch.equal(logits(load_backbone(str(tmp_path / "out")).model), logits(model))


def test_half_precision_stays(tmp_path: Path) -> None:
    model = backbone("llama").model.to(torch.float16)
    source = folder_of(model, tmp_path / "bin")
    torch.save(model.state_dict(), source / "pytorch_model.bin")
    convert(source, tmp_path / "out")
    from safetensors.torch import load_file

    assert {tensor.dtype for tensor in load_file(tmp_path / "out" / "model.safetensors").values()} == {torch.float16}


class Evil:
    def __reduce__(self) -> Any:
        return (exec, ("raise SystemExit('code ran')",))


def test_a_bin_that_holds_code_is_refused(tmp_path: Path) -> None:
    source = folder_of(backbone("t5").model, tmp_path / "bin")
    torch.save({"x": Evil()}, source / "pytorch_model.bin")
    with pytest.raises(ModelError, match="damaged, or it holds code, which never runs"):
        convert(source, tmp_path / "out")
    assert not (tmp_path / "out").exists()


def test_what_cannot_be_converted(tmp_path: Path) -> None:
    model = backbone("t5").model
    with pytest.raises(ModelError, match=r"is no folder with a config\.json"):
        convert(tmp_path / "nowhere", tmp_path / "out")
    source = folder_of(model, tmp_path / "bin")
    with pytest.raises(ModelError, match=r"holds neither flax_model\.msgpack nor pytorch_model\.bin"):
        convert(source, tmp_path / "out")
    weights = source / "pytorch_model.bin"
    weights.write_bytes(b"PK\x03\x04 half a file")
    with pytest.raises(ModelError, match="no plain tensors"):
        convert(source, tmp_path / "out")
    state = dict(model.state_dict())
    torch.save({**state, "further.weight": torch.ones(2)}, weights)
    with pytest.raises(ModelError, match=r"they hold, as strangers, further\.weight"):
        convert(source, tmp_path / "out")
    torch.save({name: value for name, value in state.items() if "final_layer_norm" not in name}, weights)
    with pytest.raises(ModelError, match=r"they lack decoder\.final_layer_norm\.weight, encoder"):
        convert(source, tmp_path / "out")
    torch.save({**state, "encoder.final_layer_norm.weight": torch.ones(3)}, weights)
    with pytest.raises(ModelError, match=r"they have another shape for encoder\.final_layer_norm"):
        convert(source, tmp_path / "out")
    (tmp_path / "taken").mkdir()
    torch.save(state, weights)
    with pytest.raises(ModelError, match="exists already; name a new folder"):
        convert(source, tmp_path / "taken")


def test_damaged_flax_weights(tmp_path: Path) -> None:
    pytest.importorskip("msgpack", reason="msgpack is not installed")
    source = folder_of(backbone("t5").model, tmp_path / "flax")
    for content in (b"", b"\xc1", b"\x81\xa1x\xc7", b"\x93\x01\x02\x03"):
        (source / "flax_model.msgpack").write_bytes(content)
        with pytest.raises(ModelError):
            convert(source, tmp_path / "out")


def test_the_command(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    model = backbone("llama").model
    source = folder_of(model, tmp_path / "bin")
    torch.save(model.state_dict(), source / "pytorch_model.bin")
    assert run(["convert", str(source), str(tmp_path / "out")]) == 0
    assert "tensors of torch" in capsys.readouterr().err
    assert run(["convert", str(source), str(tmp_path / "out")]) == 2
    assert "exists already" in capsys.readouterr().err
