"""The large language model of a recipe: which one, how it is tuned, what it reads and writes, how answers are scored.

The named models at the end are those of Yoo and Kim 2025 ("How to leverage large language models for automatic ICD
coding"), table 2, with that paper's hyper-parameters.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field, replace
from typing import Literal

from nosology.config.architectures import HeadConfig, LabelAttentionConfig, MultiResCnnConfig
from nosology.config.losses import BceConfig, LossConfig
from nosology.config.rules import Section, above, at_least, between, not_empty, rule
from nosology.config.trainer import TrainerConfig
from nosology.errors import ConfigError

Task = Literal["gen", "att", "cmp"]
Reading = Literal["gen", "att", "auto"]
Order = Literal["frequency", "rarity", "code"]

_AT_LEAST_ONE = rule(lambda value: None if value is None or value >= 1 else f"{value!r} is below 1")


@dataclass(frozen=True, slots=True)
class PretrainedBackboneConfig(Section):
    """A language model with its weights.

    Args:
        kind: chooses this section.
        name: "smollm2" (inside a package, no download), a folder, or owner/name on the model hub.
        precision: of weights that do not learn; "auto" is bf16 on a GPU that has it, and fp32 elsewhere. Weights that
            learn are fp32.
        portable: the model folder keeps the whole language model, also where only an adapter was trained.
    """

    kind: Literal["pretrained"] = "pretrained"
    name: str = field(default="smollm2", metadata=not_empty())
    precision: Literal["auto", "fp32", "bf16"] = "auto"
    portable: bool = False


@dataclass(frozen=True, slots=True)
class FreshBackboneConfig(Section):
    """A small language model that knows nothing, with byte-level sub-words learnt from the training notes.

    Args:
        kind: chooses this section.
        family: an encoder-decoder ("t5") or a decoder alone ("llama").
        hidden: width of a state.
        layers: of the encoder and of the decoder.
        heads: of attention, in each layer; divide ``hidden``.
        feed_forward: width inside a layer.
        dropout: in training; LLaMA's is in its attention alone.
        vocabulary_size: ids of the sub-words, marks included.
    """

    kind: Literal["fresh"] = "fresh"
    family: Literal["t5", "llama"] = "t5"
    hidden: int = field(default=64, metadata=at_least(2))
    layers: int = field(default=2, metadata=at_least(1))
    heads: int = field(default=4, metadata=at_least(1))
    feed_forward: int = field(default=128, metadata=at_least(1))
    dropout: float = field(default=0.1, metadata=between(0, 0.99))
    vocabulary_size: int = field(default=2000, metadata=at_least(300))

    def __post_init__(self) -> None:
        Section.__post_init__(self)
        if self.hidden % (2 * self.heads):
            raise ConfigError(f"hidden = {self.hidden} is no multiple of 2 x heads = {2 * self.heads}")


BackboneConfig = PretrainedBackboneConfig | FreshBackboneConfig


@dataclass(frozen=True, slots=True)
class FullTuningConfig(Section):
    """Every weight of the language model learns.

    Args:
        kind: chooses this section.
    """

    kind: Literal["full"] = "full"


@dataclass(frozen=True, slots=True)
class LoraConfig(Section):
    """Low-rank adapters learn beside frozen weights: W x + alpha/rank B A x (Hu et al. 2021, arXiv:2106.09685).

    Args:
        kind: chooses this section.
        rank: r, rows of A and columns of B.
        alpha: the adapters' weight, over the rank.
        dropout: on what adapters read.
        targets: ends of the names of linear layers that get an adapter; left empty, the query and value projections.
        four_bit: the frozen weights are held in 4 bits (QLoRA); needs a CUDA GPU and bitsandbytes.
    """

    kind: Literal["lora"] = "lora"
    rank: int = field(default=8, metadata=at_least(1))
    alpha: float = field(default=16.0, metadata=above(0))
    dropout: float = field(default=0.0, metadata=between(0, 0.99))
    targets: tuple[str, ...] = ()
    four_bit: bool = False


TuningConfig = FullTuningConfig | LoraConfig


@dataclass(frozen=True, slots=True)
class DecodingConfig(Section):
    """How an answer is found, and what it says of each code.

    Args:
        beams: answers kept at once; 1 is greedy.
        constrained: nothing but codes of the label list, no code twice, can come out.
        in_order: constrained answers keep the order of the training targets, so that every set of codes is one answer.
        scores: of an assigned code: "beams" is 1, "positions" the probability of its tokens where it stands; either is
            averaged over the beams by their probability.
        cache: keep keys and values of tokens read; without, every step reads everything again.
    """

    beams: int = field(default=4, metadata=between(1, 4096))
    constrained: bool = True
    in_order: bool = True
    scores: Literal["beams", "positions"] = "positions"
    cache: bool = True

    def __post_init__(self) -> None:
        Section.__post_init__(self)
        if not self.constrained and (self.scores, self.in_order) != ("beams", False):
            raise ConfigError('free generation (constrained = false) needs scores = "beams" and in_order = false')


@dataclass(frozen=True, slots=True)
class LlmConfig(Section):
    """A language model that codes.

    Args:
        task: what is trained: writing the codes ("gen"), label attention over the model's states ("att"), or both at
            once ("cmp": the sum of both losses).
        reading: which answer counts; "auto" chooses on held-out encounters. "gen" and "att" of a task "cmp" are two
            readings of one trained model.
        mixing: with "auto" of a task "cmp", the weight of generation is 0 or 1 ("binary") or anything between.
        validation: which answer chooses the epoch; left out, what the task trains (for "cmp", the mean of both). An
            epoch chosen by "att" needs no generation while training.
        format: what goes in and out, as in the paper's table 1. 1: note -> codes; 2: note -> codes with descriptions;
            3: note and the list of all codes -> codes; 4: note and the list with descriptions -> codes.
        order: of the codes in a target: by falling or rising training frequency, or by the code itself.
        window: tokens that the model reads, with instruction, marks and, for a decoder alone, the answer. A longer
            note loses its end; instruction and answer are never cut.
        answer_tokens: the most that are written; left out, those of the longest training answer and half as many more.
        least_notes: training encounters that must carry a code for it to be learnt.
        candidates: codes that are listed a note, at most.
        backbone: the language model.
        tuning: what of it learns.
        decoding: how it writes.
        head: what scores codes from its states; read with "att" and "cmp".
        loss: of label attention, the L_att of L_total = L_gen + L_att; read with "att" and "cmp".
        trainer: how it is trained. ``max_tokens`` bounds the note beside ``window``; ``encoder_learning_rate`` is the
            language model's, ``learning_rate`` the head's.
    """

    task: Task = "cmp"
    reading: Reading = "auto"
    mixing: Literal["binary", "continuous"] = "binary"
    validation: Literal["gen", "att", "both"] | None = None
    format: Literal[1, 2, 3, 4] = 1
    order: Order = "frequency"
    window: int = field(default=2048, metadata=at_least(8))
    answer_tokens: int | None = field(default=None, metadata=_AT_LEAST_ONE)
    least_notes: int = field(default=1, metadata=at_least(1))
    candidates: int = field(default=100, metadata=between(1, 10_000))
    backbone: BackboneConfig = field(default_factory=PretrainedBackboneConfig)
    tuning: TuningConfig = field(default_factory=FullTuningConfig)
    decoding: DecodingConfig = field(default_factory=DecodingConfig)
    head: HeadConfig = field(default_factory=lambda: LabelAttentionConfig(attention_size=256))
    loss: LossConfig = field(default_factory=BceConfig)
    trainer: TrainerConfig = field(default_factory=TrainerConfig)

    def __post_init__(self) -> None:
        Section.__post_init__(self)
        for name, value in (("reading", self.reading), ("validation", self.validation)):
            if self.task != "cmp" and value not in (None, "auto", self.task):
                raise ConfigError(f'{name} = "{value}" needs task = "cmp"; a model of task "{self.task}" has no other')
        if self.mixing == "continuous" and (self.task, self.reading) != ("cmp", "auto"):
            raise ConfigError('mixing = "continuous" needs task = "cmp" and reading = "auto"')
        if isinstance(self.head, MultiResCnnConfig) and self.head.reduction == "pca":
            raise ConfigError('reduction = "pca" is for states that do not change: a frozen encoder of [model.network]')
        if self.loss != BceConfig() and self.task == "gen":
            raise ConfigError(f'loss of kind "{self.loss.kind}" is for label attention, which task = "gen" has none of')
        if self.trainer.evidence_weight and self.task == "gen":
            raise ConfigError('evidence_weight supervises label attention, which task = "gen" has none of')

    @property
    def generates(self) -> bool:
        """Whether writing codes is trained."""
        return self.task != "att"

    @property
    def attends(self) -> bool:
        """Whether the head is trained."""
        return self.task != "gen"

    @property
    def validates_by(self) -> Literal["gen", "att", "both"]:
        """Which answer chooses the epoch."""
        if self.task == "cmp":
            return self.validation or "both"
        return self.task


@dataclass(frozen=True, slots=True)
class LlmModelConfig(Section):
    """A large language model as coder.

    Args:
        kind: chooses this section.
        llm: what it is made of. The first part of the cross-fitting's folds is held out: it chooses the epoch and the
            weight of generation, and calibration and threshold come from it.
    """

    kind: Literal["llm"] = "llm"
    llm: LlmConfig = field(default_factory=LlmConfig)


# --- the models of the paper's table 2 ------------------------------------------------------------------------------

_T5_TARGETS = ("q", "v")
_LLAMA_TARGETS = ("q_proj", "v_proj")


def _encoder_decoder(name: str) -> LlmConfig:
    """Full fine-tuning at 1e-4. Batch size, epochs and decoding are not in the paper."""
    trainer = TrainerConfig(learning_rate=1e-4, max_tokens=2048, encounters_per_batch=8, epochs=10)
    return LlmConfig(backbone=PretrainedBackboneConfig(name=name), tuning=FullTuningConfig(), trainer=trainer)


def _decoder(name: str) -> LlmConfig:
    """LoRA (8, 16) at 3e-4. Batch size, epochs, adapted layers and decoding are not in the paper."""
    trainer = TrainerConfig(
        learning_rate=3e-4,
        max_tokens=2048,
        tokens_per_batch=4096,
        encounters_per_batch=2,
        accumulation=4,
        epochs=5,
        gradient_checkpointing=True,
    )
    tuning = LoraConfig(rank=8, alpha=16.0, targets=_LLAMA_TARGETS)
    return LlmConfig(backbone=PretrainedBackboneConfig(name=name), tuning=tuning, trainer=trainer)


def t5_base() -> LlmConfig:
    """T5-base, 220 million parameters (Raffel et al. 2020)."""
    return _encoder_decoder("google-t5/t5-base")


def clinical_t5() -> LlmConfig:
    """ClinicalT5-base (Lu et al. 2022); its weights are flax's: `nosology convert` first, then name that folder."""
    return _encoder_decoder("luqh/ClinicalT5-base")


def llama() -> LlmConfig:
    """LLaMA-7B (Touvron et al. 2023)."""
    return _decoder("huggyllama/llama-7b")


def llama_2() -> LlmConfig:
    """LLaMA-2-7B (Touvron et al. 2023)."""
    return _decoder("meta-llama/Llama-2-7b-hf")


def pmc_llama() -> LlmConfig:
    """PMC-LLaMA-7B (Wu et al. 2023); weights in `.bin`: `nosology convert` first."""
    return _decoder("chaoyi-wu/PMC_LLAMA_7B")


def alpaca() -> LlmConfig:
    """Alpaca-7B (Taori et al. 2023), of a public reproduction; weights in `.bin`: `nosology convert` first."""
    return _decoder("chavinlo/alpaca-native")


def med_alpaca() -> LlmConfig:
    """MedAlpaca-7B (Han et al. 2023); weights in `.bin`: `nosology convert` first."""
    return _decoder("medalpaca/medalpaca-7b")


def vicuna() -> LlmConfig:
    """Vicuna-7B (Zheng et al. 2023); weights in `.bin`: `nosology convert` first."""
    return _decoder("lmsys/vicuna-7b-v1.3")


PRESETS: dict[str, Callable[[], LlmConfig]] = {
    "t5-base": t5_base,
    "clinical-t5": clinical_t5,
    "llama": llama,
    "llama-2": llama_2,
    "pmc-llama": pmc_llama,
    "alpaca": alpaca,
    "med-alpaca": med_alpaca,
    "vicuna": vicuna,
}
"""The paper's eight models by name."""


def vanilla(config: LlmConfig) -> LlmConfig:
    """The paper's baseline fine-tuning of a model: generation alone, no label attention."""
    return replace(config, task="gen", reading="gen")
