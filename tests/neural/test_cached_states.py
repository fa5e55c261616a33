"""States of a frozen encoder on disk: of a tiny LLaMA with random weights, under MultiResCNN and a linear layer."""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
import sys
import time
from dataclasses import replace
from pathlib import Path

import pytest
import torch

from nosology.builders import build_encoder
from nosology.coder import Coder
from nosology.config import NetworkConfig, NeuralConfig, Recipe, SimulatedConfig, load_recipe
from nosology.config.architectures import DirectConfig, MultiResCnnConfig, TransformerConfig
from nosology.config.neural import PretrainedSubwordsConfig
from nosology.config.trainer import TrainerConfig
from nosology.encoders.transformer import Transformer
from nosology.errors import ConfigError
from nosology.model import Batch, CodingModel
from nosology.neural import reading_ahead
from nosology.neural.reading_ahead import read_ahead
from nosology.neural.remembered import RememberedEncoder, remembering
from nosology.neural.states import StatesFolder, encoder_hash, open_states, states_bytes
from nosology.preprocessing.subword_tokenizer import SubwordTokenizer
from nosology.shipped_recipes import shipped_recipes
from nosology.training.scoring import pad_tokens
from tiny_corpus import make_corpus, make_encounter

TRAINER = TrainerConfig(epochs=3, learning_rate=0.02, encounters_per_batch=8, patience=0, device="cpu")
NARROW = MultiResCnnConfig(width=8, widths=(6,), kernels=(3, 5))
NOTES = Batch(
    torch.tensor([[5, 6, 7, 0], [9, 0, 0, 0], [5, 6, 7, 8]]),
    torch.tensor([[1, 1, 1, 0], [1, 0, 0, 0], [1, 1, 1, 1]]).bool(),
)


@pytest.fixture(scope="module")
def llama(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with a small LLaMA and its tokenizer."""
    from tokenizers import Tokenizer
    from transformers import LlamaConfig, LlamaModel, PreTrainedTokenizerFast

    folder = tmp_path_factory.mktemp("llama")
    tokenizer = SubwordTokenizer.fit(make_corpus(20).encounters, algorithm="byte_bpe", vocabulary_size=400, lower=False)
    PreTrainedTokenizerFast(tokenizer_object=Tokenizer.from_str(tokenizer.source)).save_pretrained(folder)
    sizes = {"hidden_size": 16, "num_hidden_layers": 2, "num_attention_heads": 2, "intermediate_size": 32}
    torch.manual_seed(0)
    LlamaModel(LlamaConfig(vocab_size=tokenizer.vocabulary_size, **sizes)).save_pretrained(folder)
    return folder


def _section(llama: Path, cache: Path | None, **more: object) -> TransformerConfig:
    own = {"chunk_tokens": 32, "overlap_tokens": 4, "framed": False, "frozen": True, **more}
    return TransformerConfig(name=str(llama), cache=None if cache is None else str(cache), **own)


def _encoder(llama: Path, **more: object) -> Transformer:
    found = build_encoder(_section(llama, None, **more)).eval()
    assert isinstance(found, Transformer)
    return found


def _opened(place: Path, encoder: Transformer) -> StatesFolder:
    found = open_states(place, encoder, create=True)
    assert found is not None
    return found


def _quiet(stage: str, share: float) -> None:
    """Progress for nobody."""


def _recipe(llama: Path, cache: Path | None, head: MultiResCnnConfig | DirectConfig = NARROW) -> Recipe:
    network = NetworkConfig(PretrainedSubwordsConfig(), _section(llama, cache), head, TRAINER)
    return Recipe(SimulatedConfig(), model=NeuralConfig(network=network))


def _reads(monkeypatch: pytest.MonkeyPatch) -> list[int]:
    """How many notes each call of a transformer reads, from now on."""
    calls, forward = list[int](), Transformer.forward
    monkeypatch.setattr(Transformer, "forward", lambda self, batch: calls.append(len(batch)) or forward(self, batch))
    return calls


def test_states_come_back_in_half_precision(llama: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    encoder = _encoder(llama)
    exact = encoder(NOTES).hidden
    first = RememberedEncoder(encoder, folder=_opened(tmp_path, encoder))(NOTES).hidden
    assert torch.allclose(first, exact, rtol=1e-3, atol=1e-3)
    assert torch.equal(first, RememberedEncoder(encoder)(NOTES).hidden)
    calls = _reads(monkeypatch)
    again = RememberedEncoder(encoder, folder=_opened(tmp_path, encoder))(NOTES).hidden
    assert torch.equal(again, first)
    assert calls == []
    files = list(tmp_path.glob("*/*.states"))
    assert sum(file.stat().st_size for file in files) == states_bytes(8, 3, 16)


def test_a_note_without_tokens_is_kept_too(llama: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    encoder = _encoder(llama)
    nothing = Batch(torch.zeros(1, 2, dtype=torch.long), torch.zeros(1, 2, dtype=torch.bool))
    for _ in range(2):
        hidden = RememberedEncoder(encoder, folder=_opened(tmp_path, encoder))(nothing).hidden
        assert torch.equal(hidden, torch.zeros(1, 2, 16))
    calls = _reads(monkeypatch)
    RememberedEncoder(encoder, folder=_opened(tmp_path, encoder))(nothing)
    assert calls == []


def test_the_hash_tells_weights_and_chunks_apart(llama: Path) -> None:
    encoder = _encoder(llama)
    assert encoder_hash(encoder) == encoder_hash(_encoder(llama))
    assert encoder_hash(encoder) != encoder_hash(_encoder(llama, chunk_tokens=31))
    assert encoder_hash(encoder) != encoder_hash(_encoder(llama, overlap_tokens=3))
    assert encoder_hash(encoder) != encoder_hash(_encoder(llama, precision="bf16"))
    other = _encoder(llama)
    with torch.no_grad():
        next(iter(other.model.parameters()))[3, 3] += 1e-6
    assert encoder_hash(encoder) != encoder_hash(other)


def test_the_file_tells_notes_apart(llama: Path, tmp_path: Path) -> None:
    folder = _opened(tmp_path, _encoder(llama))
    names = {folder.file(torch.tensor(ids).numpy().tobytes()) for ids in ([1, 2], [2, 1], [1, 2, 0], [1])}
    assert len(names) == 4


def _cut(file: Path) -> None:
    file.write_bytes(file.read_bytes()[:-3])


def _flip(file: Path) -> None:
    content = bytearray(file.read_bytes())
    content[-1] ^= 1
    file.write_bytes(content)


def _empty(file: Path) -> None:
    file.write_bytes(b"")


def _foreign(file: Path) -> None:
    file.write_bytes(b"x" * file.stat().st_size)


@pytest.mark.parametrize("damage", [_cut, _flip, _empty, _foreign])
def test_a_damaged_file_is_read_anew(damage, llama: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    encoder = _encoder(llama)
    first = RememberedEncoder(encoder, folder=_opened(tmp_path, encoder))(NOTES).hidden
    file = sorted(tmp_path.glob("*/*.states"))[0]
    sound = file.read_bytes()
    damage(file)
    calls = _reads(monkeypatch)
    again = RememberedEncoder(encoder, folder=_opened(tmp_path, encoder))(NOTES).hidden
    assert torch.allclose(again, first, atol=1e-2)
    assert calls == [1]
    assert len(file.read_bytes()) == len(sound)
    RememberedEncoder(encoder, folder=_opened(tmp_path, encoder))(NOTES)
    assert calls == [1]


def test_places_that_hold_something_else_are_refused(llama: Path, tmp_path: Path) -> None:
    encoder = _encoder(llama)
    (tmp_path / "file").write_text("mine")
    with pytest.raises(ConfigError, match="is a file; name a folder"):
        open_states(tmp_path / "file", encoder, create=True)
    folder = _opened(tmp_path / "cache", encoder).folder
    (folder / "encoder.json").write_text("{}")
    with pytest.raises(ConfigError, match=r"its encoder\.json is damaged or another encoder's; remove that folder"):
        open_states(tmp_path / "cache", encoder, create=True)
    assert open_states(tmp_path / "none", encoder, create=False) is None
    assert not (tmp_path / "none").exists()
    with pytest.raises(ConfigError, match="set frozen = true"):
        TransformerConfig(cache="states")
    with pytest.raises(ConfigError, match="is for an encoder that does not learn: set frozen = true"):
        TransformerConfig(precision="bf16")


@pytest.mark.parametrize("fast", [False, True])
def test_the_precision_may_be_the_machines(llama: Path, monkeypatch: pytest.MonkeyPatch, fast: bool) -> None:
    monkeypatch.setattr("nosology.builders.has_fast_bf16", lambda: fast)
    assert _encoder(llama, precision="auto").in_bf16 is fast
    assert _encoder(llama, precision="bf16").in_bf16
    assert not _encoder(llama).in_bf16


def test_the_size_is_told_before_anything_is_written(
    llama: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    encounters, tokenizer = make_corpus(20).encounters, SubwordTokenizer.from_pretrained(llama)
    section = _section(llama, tmp_path / "cache")
    encoder = remembering(build_encoder(section), section, create=True)
    told = list[tuple[str, int]]()

    def tell(stage: str, share: float) -> None:
        told.append((stage, len(list(tmp_path.glob("cache/*/*.states")))))

    read_ahead(encoder, tokenizer, encounters, TRAINER, tell)
    stage, written = next(one for one in told if "kB" in one[0])
    assert written == 0
    files = list(tmp_path.glob("cache/*/*.states"))
    assert f"{sum(file.stat().st_size for file in files) / 1e3:.1f} kB of {len(files)} encounters" in stage
    calls = _reads(monkeypatch)
    read_ahead(encoder, tokenizer, encounters, TRAINER, tell)
    assert calls == []
    assert told[-1][0].startswith("states: all 20 encounters are in ")


def test_a_full_disk_is_told_beforehand(llama: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    section = _section(llama, tmp_path)
    encoder = remembering(build_encoder(section), section, create=True)
    usage = type("Usage", (), {"free": 10})
    monkeypatch.setattr(reading_ahead.shutil, "disk_usage", lambda place: usage)
    tokenizer = SubwordTokenizer.from_pretrained(llama)
    with pytest.raises(ConfigError, match=r"the states need .* kB, and 0\.0 kB are free there"):
        read_ahead(encoder, tokenizer, make_corpus(4).encounters, TRAINER, _quiet)
    assert not list(tmp_path.glob("*/*.states"))


_SLOWLY = """
import sys, time
from pathlib import Path
from test_cached_states import TRAINER, _quiet, _section
from nosology.builders import build_encoder
from nosology.encoders.transformer import Transformer
from nosology.neural.reading_ahead import read_ahead
from nosology.neural.remembered import remembering
from nosology.preprocessing.subword_tokenizer import SubwordTokenizer
from tiny_corpus import make_corpus
llama, cache = Path(sys.argv[1]), Path(sys.argv[2])
forward = Transformer.forward
Transformer.forward = lambda self, batch: time.sleep(0.2) or forward(self, batch)
section = _section(llama, cache)
encoder = remembering(build_encoder(section), section, create=True)
read_ahead(encoder, SubwordTokenizer.from_pretrained(llama), make_corpus(60).encounters, TRAINER, _quiet)
"""


def test_a_killed_run_goes_on_with_what_it_has(llama: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = os.pathsep.join([str(Path(__file__).parent), *sys.path])
    cache = tmp_path / "cache"
    running = subprocess.Popen(
        [sys.executable, "-c", _SLOWLY, str(llama), str(cache)],
        env={**os.environ, "PYTHONPATH": path, "OMP_NUM_THREADS": "1"},
    )
    until = time.monotonic() + 60
    while len(list(cache.glob("*/*.states"))) < 9 and time.monotonic() < until and running.poll() is None:
        time.sleep(0.01)
    running.send_signal(signal.SIGKILL)
    running.wait()
    left = list(cache.glob("*/*.states"))
    assert 9 <= len(left) < 60
    (left[0].parent / f".{left[0].name}.building-{running.pid}-0a0b0c0d").write_bytes(b"half")
    section, tokenizer = _section(llama, cache), SubwordTokenizer.from_pretrained(llama)
    encoder = remembering(build_encoder(section), section, create=True)
    assert not list(cache.glob("*/.*building*"))
    calls, encounters = _reads(monkeypatch), make_corpus(60).encounters
    read_ahead(encoder, tokenizer, encounters, TRAINER, _quiet)
    files = list(cache.glob("*/*.states"))
    assert sum(calls) == len(files) - len(left) > 0
    notes = pad_tokens(list(tokenizer.encode_many(encounters, None)), 0, "cpu")
    fresh = RememberedEncoder(_encoder(llama))(notes).hidden
    assert torch.allclose(encoder(notes).hidden, fresh, atol=1e-2)


@pytest.mark.parametrize("head", [NARROW, DirectConfig(pooling="last")])
def test_a_coder_learns_the_same_from_disk_as_from_memory(head, llama: Path, tmp_path: Path) -> None:
    corpus = make_corpus(24)
    kept = Coder.fit(corpus, _recipe(llama, tmp_path / "cache", head))
    memory = Coder.fit(corpus, _recipe(llama, None, head))
    models = [coder.predictor.network.model.eval() for coder in (kept, memory)]  # type: ignore[attr-defined]
    one, other = (CodingModel(RememberedEncoder(model.encoder), model.head)(NOTES).logits for model in models)
    assert torch.allclose(one, other, atol=2e-2)


def test_a_saved_coder_finds_what_was_read(llama: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    cache = tmp_path / "cache"
    coder = Coder.fit(make_corpus(24), _recipe(llama, cache))
    coder.save(tmp_path / "model")
    again = Coder.from_pretrained(tmp_path / "model")
    calls = _reads(monkeypatch)
    known, new = make_corpus(24).encounters[3], make_encounter(99)
    assert again.code(known) == coder.code(known)
    assert calls == []
    assert [code.code for code in again.code(new).codes] == [code.code for code in coder.code(new).codes]
    assert calls == [1]  # the second coder found what the first had read
    shutil.rmtree(cache)
    third = Coder.from_pretrained(tmp_path / "model")
    assert [code.code for code in third.code(known).codes] == [code.code for code in coder.code(known).codes]
    assert not cache.exists()


def test_a_dry_run_tells_the_caches_size_and_writes_no_states(llama: Path, tmp_path: Path) -> None:
    place = tmp_path / "cache"
    corpus, recipe = make_corpus(8), _recipe(llama, place)
    told = Coder.dry_run(corpus, recipe)
    assert "steps" in told
    assert " kB of 8 encounters into " in told
    assert told.endswith("0 are there")
    assert not place.exists()
    Coder.fit(corpus, recipe)
    written = sum(file.stat().st_size for file in place.glob("*/*.states"))
    assert f"cache       {written / 1e3:.1f} kB of 8 encounters into {str(place)!r} (" in told
    assert "cache       0.0 kB of 0 encounters into" in (again := Coder.dry_run(corpus, recipe))
    assert again.endswith("8 are there")


@pytest.mark.parametrize("reduction", ["pca", "convolution"])
def test_states_are_narrowed_as_the_recipe_says(reduction: str, llama: Path, tmp_path: Path) -> None:
    narrow = replace(NARROW, reduction=reduction)
    coder = Coder.fit(make_corpus(24), _recipe(llama, None, narrow))
    (told,) = coder.training_remarks
    assert told.startswith("states narrowed from 16 to 8: the best linear reconstruction leaves ")
    coder.save(tmp_path / "model")
    again, new = Coder.from_pretrained(tmp_path / "model"), make_encounter(99)
    assert again.code(new) == coder.code(new)


def test_components_need_a_frozen_encoder(llama: Path) -> None:
    section = replace(_section(llama, None), frozen=False)
    with pytest.raises(ConfigError, match='reduction = "pca" is fitted to states that do not change: set frozen'):
        NetworkConfig(PretrainedSubwordsConfig(), section, replace(NARROW, reduction="pca"))


@pytest.mark.parametrize("name", ["llama_multirescnn_tiny", "llama_direct_tiny"])
def test_shipped_recipes_load(name: str) -> None:
    assert load_recipe(shipped_recipes()[name]).model is not None


def test_the_network_of_a_recipe_with_a_cache_keeps_its_shapes() -> None:
    found = load_recipe(shipped_recipes()["llama_multirescnn_tiny"]).model
    assert isinstance(found, NeuralConfig)
    encoder = found.network.encoder
    assert isinstance(encoder, TransformerConfig)
    assert (encoder.name, encoder.frozen, encoder.cache is not None) == ("smollm2", True, True)
    assert isinstance(found.network.head, MultiResCnnConfig)
    assert replace(encoder, cache=None).frozen
