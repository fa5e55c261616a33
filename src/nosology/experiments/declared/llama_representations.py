"""What a language model's states are worth to MultiResCNN: Boukhers et al. 2024 (arXiv:2411.06823)."""

from __future__ import annotations

from collections.abc import Mapping

from nosology.experiments.declaration import Arm, Claim, Experiment

REFERENCE = "label prior"
DIRECT, LORA = "last state, linear layer", "last state, linear layer, LoRA"
WORDS = "MultiResCNN, own word vectors"
FIGURES = {"micro.f1": "micro-F1", "macro.f1.labels_in_split": "macro-F1", "p@5": "P@5", "p@8": "P@8", "p@15": "P@15"}
_REDUCTIONS = {"linear": "linear projection", "pca": "PCA", "convolution": "CNN"}
_ENCODER, _HEAD = "model.network.encoder", "model.network.head"
_MINILM: Mapping[str, object] = {
    _ENCODER: {
        "kind": "transformer",
        "name": "minilm",
        "chunk_tokens": 126,
        "overlap_tokens": 16,
        "frozen": True,
        "cache": "states",
    }
}
_LLAMA_2: Mapping[str, object] = {
    f"{_ENCODER}.name": "meta-llama/Llama-2-7b-hf",
    f"{_ENCODER}.chunk_tokens": 2048,
    "model.network.trainer.max_tokens": 4000,
    "model.network.trainer.epochs": 20,
    f"{_HEAD}.width": 100,
    f"{_HEAD}.widths": [50],
}
_QUICK_LORA: Mapping[str, object] = {
    "model.llm.backbone.precision": "bf16",
    "model.llm.trainer.mixed_precision": "bf16",
    "model.llm.trainer.epochs": 4,
}


def over(states: str, reduction: str = "linear") -> str:
    """The row of MultiResCNN over a model's states."""
    return f"MultiResCNN over {states}, {_REDUCTIONS[reduction]}"


def _frozen(corpus: str, states: str, settings: Mapping[str, object]) -> tuple[Arm, ...]:
    """The direct classifier, and MultiResCNN with every reduction."""
    direct = {"kind": "direct", "pooling": "last", "dropout": 0.1}
    rows = (
        Arm(corpus, over(states, how), "llama_multirescnn_tiny", {**settings, f"{_HEAD}.reduction": how})
        for how in _REDUCTIONS
    )
    head_of = {key: value for key, value in settings.items() if not key.startswith(_HEAD)}
    return (Arm(corpus, DIRECT, "llama_multirescnn_tiny", {**head_of, _HEAD: direct}), *rows)


def _cpu(corpus: str, variant: str, lora: Mapping[str, object] | None = None) -> tuple[Arm, ...]:
    where: dict[str, object] = {"corpus.admissions": 500, "corpus.words": 48, "corpus.variant": variant}
    plain = {"corpus.reader": "simulated_mimic3", **where}
    top = {"model.network.candidates": 50 if variant == "50" else 1000}
    return (
        Arm(corpus, REFERENCE, "prior_simulated", plain),
        *_frozen(corpus, "SmolLM2", {**where, **top}),
        *(() if lora is None else (Arm(corpus, LORA, "llama_direct_tiny", {**where, **lora}),)),
        Arm(corpus, over("MiniLM"), "llama_multirescnn_tiny", {**where, **top, **_MINILM}),
        Arm(corpus, WORDS, "multirescnn_sim50", {**where, **top}),
    )


def _full(corpus: str, path: str, words: str, candidates: int) -> tuple[Arm, ...]:
    where: dict[str, object] = {"corpus.reader": "prepared", "corpus.path": path}
    top = {"model.network.candidates": candidates}
    lora = {
        **where,
        "model.llm.backbone.name": "meta-llama/Llama-2-7b-hf",
        "model.llm.window": 2048,
        "model.llm.candidates": candidates,
        "model.llm.trainer.gradient_checkpointing": True,
        "model.llm.trainer.encoder_learning_rate": 3e-4,
        "model.llm.trainer.learning_rate": 1e-3,
    }
    return (
        Arm(corpus, REFERENCE, "prior_simulated", where),
        *_frozen(corpus, "LLaMA-2", {**where, **top, **_LLAMA_2}),
        Arm(corpus, LORA, "llama_direct_tiny", lora),
        Arm(corpus, over("MiniLM"), "llama_multirescnn_tiny", {**where, **top, **_MINILM}),
        Arm(corpus, WORDS, words, {**where, **top}),
    )


_KEY = "Key results: as text representations for MultiResCNN they beat the direct classifier"


def _claims(states: str) -> tuple[Claim, ...]:
    own, plain, cnn = over(states), WORDS, over(states, "convolution")
    return (
        Claim(_KEY, own, DIRECT),
        Claim("Mechanism 1: they carry more than conventional word vectors", own, plain),
        Claim("Mechanism 2: a CNN keeps more than a linear projection", cnn, own),
        Claim("Mechanism 2: a CNN keeps more than principal components", cnn, over(states, "pca")),
        Claim("Question 1: they carry more than a small sentence encoder's states", own, over("MiniLM")),
    )


EXPERIMENT = Experiment(
    title="A language model's states as representations",
    question=(
        "Do a decoder's frozen states help MultiResCNN, and how are they best narrowed? Boukhers et al. 2024 with "
        "LLaMA-2, on the 50 most frequent codes and on a large set; the comparison of representations and reductions "
        "answers questions that the paper leaves open. States are read once, into the folder `states` where the "
        "command runs. At size cpu SmolLM2-135M stands in LLaMA-2's place, and LoRA learns for four epochs, on the 50 "
        "codes alone; size full has the paper's."
    ),
    reference=REFERENCE,
    bands="published",
    figures=FIGURES,
    areas=True,
    claims=(
        *_claims("SmolLM2"),
        *_claims("LLaMA-2"),
        *(Claim(f"{_KEY}, LoRA", over(states), LORA) for states in ("SmolLM2", "LLaMA-2")),
    ),
    arms={
        "cpu": (
            *_cpu("Simulated MIMIC-III-50, first 48 words", "50", _QUICK_LORA),
            *_cpu("Simulated MIMIC-III, all codes, first 48 words", "full"),
        ),
        "full": (
            *_full("MIMIC-III-50", "mimic3-50", "multirescnn_mimic3_50", 50),
            *_full("MIMIC-III, 4,216 codes", "mimic3-top4216", "multirescnn_mimic3_full", 1000),
        ),
    },
)
