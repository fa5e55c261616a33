"""Neural coders on a GPU: tokens a second and memory in bfloat16, at peers' sizes; says so where there is none.

python benchmarks/neural_gpu.py
"""

from __future__ import annotations

import sys
import time
from collections.abc import Callable
from typing import Any

LABELS, NOTES, TOKENS, VOCABULARY = 8_692, 8, 2_500, 30_000
MODELS = ("caml", "multirescnn", "laat", "plm_icd", "plm_ca")
STEPS = 10


def build(name: str) -> Any:
    """A named model on the GPU."""
    from nosology import builders

    return builders.build_model(getattr(builders, name)(), builders.Labels(LABELS), vocabulary_size=VOCABULARY).cuda()


def step_of(model: Any) -> Callable[[], None]:
    """One training step with AdamW under bfloat16 autocast, with the trainer's default loss."""
    import torch

    from nosology.model import Batch
    from nosology.training.objective import LabelObjective, Targets, TrainedModel

    ids = torch.randint(1000, VOCABULARY, (NOTES, TOKENS), device="cuda")
    batch = Batch(ids, torch.ones_like(ids, dtype=torch.bool))
    trained = TrainedModel(model, LabelObjective())
    targets = (torch.rand(NOTES, LABELS, device="cuda") < 0.002).float()
    optimizer = torch.optim.AdamW(model.parameters(), lr=1e-4)

    def step() -> None:
        optimizer.zero_grad()
        with torch.autocast("cuda", dtype=torch.bfloat16):
            terms = trained(batch, Targets(targets))
        sum(terms.values()).backward()
        optimizer.step()

    return step


def timed(work: Callable[[], object]) -> float:
    """Seconds of one of ``STEPS`` runs, after two to warm up."""
    import torch

    for _ in range(2):
        work()
    torch.cuda.synchronize()
    started = time.perf_counter()
    for _ in range(STEPS):
        work()
    torch.cuda.synchronize()
    return (time.perf_counter() - started) / STEPS


def main() -> int:
    """Print the table, or why there is none."""
    try:
        import torch
    except ImportError:
        print("torch is not installed: pip install 'nosology[neural]'")
        return 0
    if not torch.cuda.is_available():
        print("no GPU is present: nothing to measure")
        return 0
    print(f"{torch.cuda.get_device_name()}, {NOTES} x {TOKENS} tokens, {LABELS} labels, bfloat16\n")
    print("| model | training step s | tokens/s | peak GiB | scoring s | tokens/s |\n|---|---|---|---|---|---|")
    for name in MODELS:
        print(row(name), flush=True)
    return 0


def row(name: str) -> str:
    """One model's figures."""
    import torch

    torch.manual_seed(0)
    torch.cuda.reset_peak_memory_stats()
    model = build(name)
    step = step_of(model)
    seconds = timed(step)
    gib = torch.cuda.max_memory_allocated() / 2**30
    scoring = timed(scoring_of(model))
    tokens = NOTES * TOKENS
    return f"| {name} | {seconds:.3f} | {tokens / seconds:,.0f} | {gib:.2f} | {scoring:.3f} | {tokens / scoring:,.0f} |"


def scoring_of(model: Any) -> Callable[[], None]:
    """Scores of one batch."""
    import torch

    from nosology.model import Batch

    ids = torch.randint(1000, VOCABULARY, (NOTES, TOKENS), device="cuda")
    batch = Batch(ids, torch.ones_like(ids, dtype=torch.bool))
    model.eval()

    def score() -> None:
        with torch.no_grad(), torch.autocast("cuda", dtype=torch.bfloat16):
            model(batch)

    return score


if __name__ == "__main__":
    sys.exit(main())
