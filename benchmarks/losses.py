"""Losses: value and gradient beside PyTorch's own cross-entropy; segments of as many labels as MIMIC-III has.

python benchmarks/losses.py

Batch 8 x 8,921 labels, about 16 of them carried a note, one thread. Processor time; each loss alternates with the plain
cross-entropy, and the fastest rounds of both count, for other work on the machine only ever adds. Segmenting runs in a
process of its own, whose largest resident memory is told.
"""

from __future__ import annotations

import importlib.util
import resource
import subprocess
import sys
import time
from collections.abc import Callable
from typing import Any

import numpy as np

from nosology.config.loss_terms import AsymmetricTermConfig, FocalTermConfig, SegmentationConfig
from nosology.losses.facts import LabelFacts, LabelRows

NOTES, LABELS, ENCOUNTERS, A_NOTE = 8, 8_921, 50_000, 15
GOAL_SEGMENTED, GOAL_OTHERS = 1.3, 4.0
GOAL_SECONDS, GOAL_MEGABYTES = 10.0, 1000.0
SEGMENT = "--segment"


def make_rows(encounters: int = ENCOUNTERS) -> LabelRows:
    """Labels by Zipf's law, in clusters that come together; every label has one encounter at least."""
    random = np.random.default_rng(0)
    rates = np.cumsum(1.0 / np.arange(1, LABELS + 1))
    rates /= rates[-1]
    labels = np.empty((encounters, A_NOTE + 4), dtype=np.int64)
    labels[:, 0] = np.arange(encounters) % LABELS
    drawn = np.searchsorted(rates, random.random((encounters, A_NOTE + 3)))
    near = np.clip(drawn[:, :1] + random.integers(-20, 20, drawn.shape), 0, LABELS - 1)
    labels[:, 1:] = np.where(random.random(drawn.shape) < 0.3, near, drawn)
    labels.sort(axis=1)
    kept = np.ones(labels.shape, dtype=np.bool_)
    kept[:, 1:] = labels[:, 1:] != labels[:, :-1]
    bounds = np.concatenate([[0], np.cumsum(kept.sum(1))]).astype(np.int64)
    return LabelRows(tuple(f"{n // 100:03d}.{n % 100:02d}" for n in range(LABELS)), labels[kept], bounds)


def show_segmenting() -> bool:
    """Time and memory of segmenting, in a fresh process."""
    process = subprocess.run([sys.executable, __file__, SEGMENT], capture_output=True, text=True, check=True)
    seconds, before, megabytes, segments, codes = (float(part) for part in process.stdout.split())
    good = seconds <= GOAL_SECONDS and megabytes <= GOAL_MEGABYTES
    print(f"segmenting {LABELS:,} labels x {ENCOUNTERS:,} notes, {codes:.1f} a note: {segments:.0f} segments")
    print(f"  {seconds:.2f} s of processor time (goal {GOAL_SECONDS:.0f})")
    print(f"  {megabytes:,.0f} MB resident at most, {before:,.0f} before it began (goal {GOAL_MEGABYTES:,.0f})")
    print(f"  {'reached' if good else 'missed'}\n")
    return good


def measure_segmenting() -> None:
    """In a process of its own."""
    from nosology.losses.segmentation import segment_labels

    rows = make_rows()
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1e3
    began = time.process_time()
    found = segment_labels(rows, SegmentationConfig())
    seconds = time.process_time() - began
    most = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1e3
    print(seconds, before, most, len(found), len(rows.columns) / len(rows))


def losses(rows: LabelRows) -> dict[str, Any]:
    """Every kind of loss, the segmented one in its readings."""
    from nosology.config import losses as sections
    from nosology.losses.build import build_loss

    paths = [[label.split(".")[0], label[0]] for label in rows.labels]
    facts = LabelFacts(rows, lambda: paths)
    configs = {kind().kind: kind() for kind in _kinds(sections)}
    segmented = sections.SegmentedHarmonicConfig
    configs |= {
        "segmented_harmonic, positives only": segmented(positives_only=True),
        "segmented_harmonic, focal": segmented(base=FocalTermConfig()),
        "segmented_harmonic, asymmetric": segmented(base=AsymmetricTermConfig()),
        "segmented_harmonic, instance": segmented(reading="instance"),
        "class_balanced, average_w": sections.ClassBalancedConfig(weighting="average_w"),
        "splc, correcting": sections.SplcConfig(first_epoch=0),
        "bce, smoothed": sections.BceConfig(smoothing=0.1),
    }
    return {name: build_loss(config, facts) for name, config in configs.items()}


def _kinds(sections: Any) -> list[Any]:
    from typing import get_args

    return list(get_args(sections.LossConfig))


def show_losses(rounds: int) -> bool:
    """The table."""
    import torch
    from torch.nn import functional

    from nosology.losses.wrapped import RDrop

    torch.set_num_threads(1)
    generator = torch.Generator().manual_seed(0)
    logits, other = (torch.randn(NOTES, LABELS, generator=generator) * 2 - 4 for _ in range(2))
    targets = (torch.rand(NOTES, LABELS, generator=generator) < 16 / LABELS).float()

    def step(call: Callable[..., Any]) -> Callable[[], None]:
        def run() -> None:
            call(logits.detach().requires_grad_()).backward()

        return run

    plain = step(lambda z: functional.binary_cross_entropy_with_logits(z, targets))
    print(f"value and gradient at {NOTES} x {LABELS:,}, {int(targets.sum())} positives, one thread")
    print(f"{'':<38}{'microseconds':>14}{'x plain':>9}{'goal':>7}")
    everyone = True
    for name, loss in losses(make_rows(9_000)).items():
        own = step(lambda z, loss=loss: loss(z, targets))
        if isinstance(loss, RDrop):
            own = step(lambda z, loss=loss: two_passes(loss, z, other.detach().requires_grad_(), targets))
        ratio, seconds = compare(own, plain, rounds)
        # R-Drop is two passes: its cost is compared with twice the plain loss.
        ratio, note = (ratio / 2, " (of two passes)") if isinstance(loss, RDrop) else (ratio, "")
        goal = GOAL_SEGMENTED if name == "segmented_harmonic" else GOAL_OTHERS
        everyone &= ratio <= goal
        verdict = "" if ratio <= goal else "   missed"
        print(f"{name:<38}{seconds * 1e6:>14,.0f}{ratio:>9.2f}{goal:>7.1f}{verdict}{note}")
    return everyone


def two_passes(loss: Any, first: Any, second: Any, targets: Any) -> Any:
    """R-Drop, as the trainer's objective has it."""
    return (loss(first, targets) + loss(second, targets)) / 2 + loss.disagreement(first, second)


def compare(own: Callable[[], None], plain: Callable[[], None], rounds: int) -> tuple[float, float]:
    """How many times as long ``own`` takes, and its seconds, both by the fastest rounds."""
    for _ in range(5):
        own(), plain()
    found = [(_timed(own), _timed(plain)) for _ in range(rounds)]
    seconds = min(a for a, _ in found)
    return seconds / min(b for _, b in found), seconds


def _timed(work: Callable[[], None], repetitions: int = 20) -> float:
    began = time.process_time()
    for _ in range(repetitions):
        work()
    return (time.process_time() - began) / repetitions


def main(arguments: list[str]) -> int:
    if SEGMENT in arguments:
        measure_segmenting()
        return 0
    good = show_segmenting()
    if importlib.util.find_spec("torch") is None:
        print("torch is not installed: no losses to measure; pip install 'nosology[neural]'")
        return int(not good)
    return int(not (show_losses(5 if "--small" in arguments else 25) and good))


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
