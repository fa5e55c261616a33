"""Neural coders against textbook ones that materialise labels x tokens: time, memory, candidates, scaling.

python benchmarks/neural.py [--part NAME ...] [--plot FILE]

Every figure is taken in a process of its own on at most two threads: the fastest of a few repetitions, its processor
time, and the process's largest resident memory. Ours and the textbook alternate, so that a busy machine hurts both.
The textbook models are written as the papers' and their reruns' code is: padding unmasked, attention kept for backward.
"""

from __future__ import annotations

import argparse
import json
import os
import resource
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

VOCABULARY, LABELS, NOTES, TOKENS = 30_000, 8_692, 8, 2_500
MODELS = ("caml", "multirescnn", "laat")
TRAINING_GOALS = {"caml": 3.0, "multirescnn": 1.2, "laat": 1.1}
NOTE_GOALS = {"caml": 5.0, "multirescnn": 1.8, "laat": 1.3}
MEMORY_GOAL, CANDIDATES, CANDIDATE_GOAL = 3.0, 200, 10.0
MANY_LABELS, MANY_NOTES, MANY_GIB = 60_000, 4, 8.0
PARTS = ("training", "note", "candidates", "scaling", "many")


# --- textbook models --------------------------------------------------------------------------------------------------


def textbook(name: str, labels: int) -> Any:
    """A model as its paper's code has it; takes token numbers, gives logits."""
    import torch
    from torch import nn

    class Attention(nn.Module):
        """softmax(U Z^T) H, then one weight vector a label; every intermediate of size labels x tokens is kept."""

        def __init__(self, hidden: int, projected: int | None) -> None:
            super().__init__()
            self.first = None if projected is None else nn.Linear(hidden, projected, bias=False)
            self.second = nn.Linear(projected or hidden, labels, bias=False)
            self.third = nn.Linear(hidden, labels)

        def forward(self, hidden: torch.Tensor) -> torch.Tensor:
            keys = hidden if self.first is None else torch.tanh(self.first(hidden))
            weights = torch.softmax(self.second(keys).transpose(1, 2), -1)
            return self.third.weight.mul(weights @ hidden).sum(2).add(self.third.bias)

    class Block(nn.Module):
        def __init__(self, kernel: int) -> None:
            super().__init__()
            half = kernel // 2
            self.left = nn.Sequential(
                nn.Conv1d(100, 50, kernel, padding=half, bias=False),
                nn.BatchNorm1d(50),
                nn.Tanh(),
                nn.Conv1d(50, 50, kernel, padding=half, bias=False),
                nn.BatchNorm1d(50),
            )
            self.shortcut = nn.Sequential(nn.Conv1d(100, 50, 1, bias=False), nn.BatchNorm1d(50))
            self.dropout = nn.Dropout(0.2)

        def forward(self, hidden: torch.Tensor) -> torch.Tensor:
            return self.dropout(torch.tanh(self.left(hidden) + self.shortcut(hidden)))

    class Caml(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.words, self.dropout = nn.Embedding(VOCABULARY, 100), nn.Dropout(0.2)
            self.convolution, self.attention = nn.Conv1d(100, 50, 10, padding=5), Attention(50, None)

        def forward(self, ids: torch.Tensor) -> torch.Tensor:
            words = self.dropout(self.words(ids)).transpose(1, 2)
            return self.attention(torch.tanh(self.convolution(words).transpose(1, 2)))

    class MultiResCnn(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.words, self.dropout, kernels = nn.Embedding(VOCABULARY, 100), nn.Dropout(0.2), (3, 5, 9, 15, 19, 25)
            self.channels = nn.ModuleList(
                nn.Sequential(nn.Conv1d(100, 100, kernel, padding=kernel // 2), nn.Tanh(), Block(kernel))
                for kernel in kernels
            )
            self.attention = Attention(300, None)

        def forward(self, ids: torch.Tensor) -> torch.Tensor:
            words = self.dropout(self.words(ids)).transpose(1, 2)
            return self.attention(torch.cat([channel(words) for channel in self.channels], 1).transpose(1, 2))

    class Laat(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.words, self.dropout = nn.Embedding(VOCABULARY, 100), nn.Dropout(0.3)
            self.lstm = nn.LSTM(100, 512, batch_first=True, bidirectional=True)
            self.attention = Attention(1024, 512)

        def forward(self, ids: torch.Tensor) -> torch.Tensor:
            return self.attention(self.dropout(self.lstm(self.dropout(self.words(ids)))[0]))

    return {"caml": Caml, "multirescnn": MultiResCnn, "laat": Laat}[name]()


# --- one measurement, in a process of its own -------------------------------------------------------------------------


def ours(name: str, labels: int) -> Any:
    """Our model of that name."""
    from nosology import builders

    return builders.build_model(getattr(builders, name)(), builders.Labels(labels), vocabulary_size=VOCABULARY)


def attention_products(name: str, notes: int, tokens: int, labels: int) -> float:
    """Multiply-adds times two of labels x tokens, forward: in GFLOP. A training step needs three times as much."""
    width = {"caml": 50 + 50, "multirescnn": 300 + 300, "laat": 512 + 1024}[name]
    return 2e-9 * notes * tokens * labels * width


def product_rate() -> float:
    """GFLOP/s of a large float32 matrix product, now."""
    import torch

    left = torch.randn(2048, 2048)
    return 2e-9 * 2048**3 / fastest(lambda: left @ left, 5)["seconds"]


def fastest(work: Callable[[], object], repetitions: int) -> dict[str, float]:
    """Wall and processor seconds of the fastest repetition, each by itself."""
    walls, processors = list[float](), list[float]()
    for _ in range(repetitions):
        wall, processor = time.perf_counter(), time.process_time()
        work()
        walls.append(time.perf_counter() - wall)
        processors.append(time.process_time() - processor)
    return {"seconds": min(walls), "processor": min(processors)}


def a_batch(notes: int, tokens: int) -> Any:
    """Random notes without padding."""
    import torch

    from nosology.model import Batch

    generator = torch.Generator().manual_seed(0)
    ids = torch.randint(1, VOCABULARY, (notes, tokens), generator=generator)
    return Batch(ids, torch.ones_like(ids, dtype=torch.bool))


def measure_model(job: dict[str, Any]) -> dict[str, float]:
    """One model's training step or scoring of one batch."""
    import torch

    notes, tokens, labels = job["notes"], job["tokens"], job["labels"]
    batch = a_batch(notes, tokens)
    mine = job["which"] == "ours"
    model = (ours if mine else textbook)(job["model"], labels)
    if job["work"] == "note":
        model.eval()
        with torch.no_grad():
            return fastest(lambda: model(batch if mine else batch.token_ids), job["repetitions"])
    targets = (torch.rand(notes, labels) < 0.002).float()
    loss = (our_loss if mine else textbook_loss)(model, batch, targets)
    optimizer = torch.optim.AdamW(model.parameters(), lr=1e-4) if job.get("optimised") else None

    def step() -> None:
        model.zero_grad()
        loss().backward()
        if optimizer is not None:
            optimizer.step()

    return fastest(step, job["repetitions"])


def our_loss(model: Any, batch: Any, targets: Any) -> Callable[[], Any]:
    """The loss as the trainer takes it by default: logits and gradients of the labels in one pass."""
    from nosology.training.objective import LabelObjective, Targets, TrainedModel

    trained = TrainedModel(model, LabelObjective())
    return lambda: sum(trained(batch, Targets(targets)).values())


def textbook_loss(model: Any, batch: Any, targets: Any) -> Callable[[], Any]:
    """The same loss, of the textbook's logits."""
    import torch

    return lambda: torch.nn.functional.binary_cross_entropy_with_logits(model(batch.token_ids), targets)


def measure_head(job: dict[str, Any]) -> dict[str, float]:
    """The attention part alone: forward over some labels, or a training step over all."""
    import torch

    head = ours(job["model"], job["labels"]).head
    hidden = torch.randn(job["notes"], job["tokens"], head.hidden_size)
    mask = torch.ones(hidden.shape[:2], dtype=torch.bool)
    chosen = torch.randperm(job["labels"])[: job["candidates"]] if job["candidates"] else None
    if job["work"] == "note":
        with torch.no_grad():
            return fastest(lambda: head(hidden, mask, chosen), job["repetitions"])
    from nosology.training.objective import binary_cross_entropy

    hidden.requires_grad_()
    targets = (torch.rand(job["notes"], job["labels"]) < 0.002).float()
    return fastest(
        lambda: head.losses(hidden, mask, targets, binary_cross_entropy)["labels"].backward(), job["repetitions"]
    )


def child(job: dict[str, Any]) -> None:
    """Measure one job and print its figures as one line of JSON."""
    import torch

    torch.set_num_threads(min(2, os.cpu_count() or 1))
    torch.manual_seed(0)
    figures = {"model": measure_model, "head": measure_head}[job["part"]](job)
    figures["peak_gib"] = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 2**20
    figures["rate"] = product_rate()
    print(json.dumps(figures))


def measured(**job: Any) -> dict[str, float]:
    """Figures of one job, from its own process; threads sleep rather than spin, or they would starve others."""
    job = {"notes": NOTES, "tokens": TOKENS, "labels": LABELS, "repetitions": 3, **job}
    command = [sys.executable, __file__, "--job", json.dumps(job)]
    done = subprocess.run(
        command, env={**os.environ, "OMP_WAIT_POLICY": "PASSIVE"}, stdout=subprocess.PIPE, text=True, check=True
    )
    return json.loads(done.stdout.splitlines()[-1])


# --- the tables -------------------------------------------------------------------------------------------------------


def verdict(reached: float, goal: float) -> str:
    """Reached or missed, with the goal."""
    return f"{'reached' if reached >= goal else 'MISSED'} ({goal:g})"


def against_textbook(work: str, notes: int, goals: dict[str, float], repetitions: dict[str, int]) -> None:
    """A table of ours beside the textbook's, one model a row."""
    print(
        "| model | textbook s (CPU s) | ours s (CPU s) | faster | by CPU s | textbook GiB | ours GiB | memory | floor |"
    )
    print("|---|---|---|---|---|---|---|---|---|")
    for model in MODELS:
        job = {"part": "model", "model": model, "work": work, "notes": notes, "repetitions": repetitions[model]}
        book, mine = measured(which="textbook", **job), measured(which="ours", **job)
        speed, processor = book["seconds"] / mine["seconds"], book["processor"] / mine["processor"]
        less = book["peak_gib"] / mine["peak_gib"]
        memory = f"{less:.1f} x, {verdict(less, MEMORY_GOAL)}" if work == "training" else f"{less:.1f} x"
        products = attention_products(model, notes, TOKENS, LABELS) * (3 if work == "training" else 1)
        print(
            f"| {model} | {book['seconds']:.2f} ({book['processor']:.2f}) | {mine['seconds']:.2f}"
            f" ({mine['processor']:.2f}) | {speed:.2f} x, {verdict(speed, goals[model])} | {processor:.2f} x"
            f" | {book['peak_gib']:.2f} | {mine['peak_gib']:.2f} | {memory}"
            f" | {products / mine['rate']:.2f} s at {mine['rate']:.0f} GFLOP/s |",
            flush=True,
        )
    print("\nfloor: the textbook's attention products alone, at the rate of one large product in the same process")


def training() -> None:
    """Forward and backward."""
    print(f"\nforward + backward, {NOTES} x {TOKENS} tokens, {LABELS} labels, vocabulary {VOCABULARY}\n")
    against_textbook("training", NOTES, TRAINING_GOALS, {"caml": 4, "multirescnn": 3, "laat": 2})


def note() -> None:
    """Scoring one note."""
    print(f"\nscoring one note of {TOKENS} tokens\n")
    against_textbook("note", 1, NOTE_GOALS, {"caml": 15, "multirescnn": 8, "laat": 5})


def candidates() -> None:
    """Scoring candidates instead of all labels."""
    print(f"\nattention of {CANDIDATES} candidates instead of {LABELS} labels, one note\n")
    print("| model | all ms | candidates ms | faster |\n|---|---|---|---|")
    for model in MODELS:
        job = {"part": "head", "model": model, "work": "note", "notes": 1, "repetitions": 10}
        every, few = measured(candidates=0, **job), measured(candidates=CANDIDATES, **job)
        ratio = every["seconds"] / few["seconds"]
        times = f"{1000 * every['seconds']:.1f} | {1000 * few['seconds']:.1f}"
        print(f"| {model} | {times} | {ratio:.1f} x, {verdict(ratio, CANDIDATE_GOAL)} |", flush=True)


def scaling(plot: Path) -> None:
    """Cost against labels and tokens."""
    by_labels = [(labels, TOKENS) for labels in (2_000, 4_000, 8_000, 16_000, 32_000)]
    by_tokens = [(LABELS, tokens) for tokens in (625, 1_250, 2_500, 5_000, 10_000)]
    rows = {"labels": by_labels, "tokens": by_tokens}
    figures: dict[str, list[tuple[int, float, float]]] = {}
    print("\nattention of one note (laat), training step\n\n| labels | tokens | CPU s | ns a label and token | GiB |")
    print("|---|---|---|---|---|")
    for name, sizes in rows.items():
        figures[name] = []
        for labels, tokens in sizes:
            job = {"part": "head", "model": "laat", "work": "training", "notes": 1, "candidates": 0}
            found = measured(labels=labels, tokens=tokens, **{**job, "repetitions": 2})
            each = 1e9 * found["processor"] / labels / tokens
            print(
                f"| {labels} | {tokens} | {found['processor']:.2f} | {each:.0f} | {found['peak_gib']:.2f} |", flush=True
            )
            figures[name].append((labels if name == "labels" else tokens, found["processor"], found["peak_gib"]))
    draw(figures, plot)
    print(f"\nplot: {plot}")


def draw(figures: dict[str, list[tuple[int, float, float]]], path: Path) -> None:
    """Time and memory over labels and over tokens, with straight lines through the largest."""
    import matplotlib

    matplotlib.use("Agg")
    import matplotlib.pyplot as plt

    figure, axes = plt.subplots(2, 2, figsize=(9, 6), sharex="col", layout="constrained")
    fixed = {"labels": f"{TOKENS:,} tokens", "tokens": f"{LABELS:,} labels"}
    for column, (name, rows) in enumerate(figures.items()):
        sizes, seconds, gib = zip(*rows, strict=True)
        for axis, values in ((axes[0, column], seconds), (axes[1, column], gib)):
            axis.plot(sizes, values, "o-", color="#1f5a8a")
            axis.set_ylim(0)
            axis.set_xlim(0)
            axis.grid(alpha=0.3)
        axes[0, column].plot([0, sizes[-1]], [0, seconds[-1]], ":", color="grey", label="proportional")
        axes[0, column].legend(frameon=False)
        axes[0, column].set_title(f"{fixed[name]}, more {name}", fontsize=10)
        axes[1, column].set_xlabel(name)
        axes[1, column].xaxis.set_major_formatter("{x:,.0f}")
    axes[0, 0].set_ylabel("processor seconds")
    axes[1, 0].set_ylabel("largest resident memory, GiB")
    figure.suptitle("Label attention, one note, forward + backward (LAAT's sizes)", fontsize=11)
    path.parent.mkdir(parents=True, exist_ok=True)
    figure.savefig(path, dpi=120)


def many() -> None:
    """A training step over very many labels."""
    job = {"part": "model", "which": "ours", "work": "training", "optimised": True, "repetitions": 2}
    print(f"\ntraining step with AdamW, {MANY_NOTES} x {TOKENS} tokens, {MANY_LABELS} labels\n")
    print("| model | s | GiB | within |\n|---|---|---|---|")
    for model in MODELS:
        found = measured(model=model, notes=MANY_NOTES, labels=MANY_LABELS, **job)
        fits = "reached" if found["peak_gib"] <= MANY_GIB else "MISSED"
        print(f"| {model} | {found['seconds']:.1f} | {found['peak_gib']:.2f} | {fits} ({MANY_GIB:g}) |", flush=True)


def main() -> None:
    """Run all parts, or those named."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--part", nargs="*", choices=PARTS, default=PARTS)
    parser.add_argument("--plot", type=Path, default=Path("build/neural_scaling.png"))
    parser.add_argument("--job", help=argparse.SUPPRESS)
    chosen = parser.parse_args()
    if chosen.job:
        child(json.loads(chosen.job))
        return
    print(f"{os.cpu_count()} cores, load {os.getloadavg()[0]:.1f} at the start")
    parts: dict[str, Callable[[], None]] = {
        "training": training,
        "note": note,
        "candidates": candidates,
        "scaling": lambda: scaling(chosen.plot),
        "many": many,
    }
    for name in chosen.part:
        parts[name]()


if __name__ == "__main__":
    main()
