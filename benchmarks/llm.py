"""What the second loss of a language model costs: steps of T5-base's shape with generation alone, and with both losses.

python benchmarks/llm.py [--notes 1] [--tokens 512] [--labels 50] [--rounds 3] [--small]

Random weights; a step is forward and backward, without the optimiser, which costs both alike. The two take turns in one
process; figures are processor seconds, and the ratio is the mean of the rounds' own ratios. ``--small`` takes a small
model, to see that the script runs. Also told: what decoding costs with and without the cache of keys and values.
"""

from __future__ import annotations

import argparse
import time
from statistics import fmean

import torch
from transformers import T5Config, T5ForConditionalGeneration

from nosology.builders import Labels, build_head
from nosology.config.architectures import LabelAttentionConfig
from nosology.config.llm import DecodingConfig
from nosology.encoders.base import Batch
from nosology.heads.base import Head
from nosology.llm.backbone import wrap
from nosology.llm.decoding import write_answers
from nosology.llm.lora import share_of
from nosology.llm.model import LanguageCodingModel, Writer
from nosology.llm.parsing import CodeReader
from nosology.llm.prompts import Answers, Prompt
from nosology.llm.trie import CodeTrie
from nosology.training.objective import binary_cross_entropy

BASE = {"d_model": 768, "d_kv": 64, "d_ff": 3072, "num_layers": 12, "num_heads": 12, "vocab_size": 32_128}
SMALL = {"d_model": 64, "d_kv": 16, "d_ff": 128, "num_layers": 2, "num_heads": 4, "vocab_size": 32_128}
TOKENS_OF_A_CODE, CODES_OF_A_NOTE, PROMPT_TOKENS, END = 4, 6, 24, 1


def main() -> None:
    """Measure and print."""
    options = _options()
    torch.manual_seed(0)
    model = _model(options.labels, BASE if not options.small else SMALL)
    batch, targets = _work(options.notes, options.tokens, options.labels)
    head = model.head
    for attends in (None, head):
        _step(model, attends, batch, targets)
    rounds = [[_step(model, attends, batch, targets) for attends in (None, head)] for _ in range(options.rounds)]
    model.head = head
    print(f"{share_of(model.backbone).total:,} weights; {options.notes} notes of {options.tokens} tokens with prompt, ")
    print(f"answers of {CODES_OF_A_NOTE} codes, {options.labels} labels; {torch.get_num_threads()} threads\n")
    print("| a step | processor s | ratio |\n|---|---|---|")
    print(f"| generation alone | {fmean(one for one, _ in rounds):.2f} | 1 |")
    ratio = fmean(other / one for one, other in rounds)
    print(f"| generation + label attention | {fmean(other for _, other in rounds):.2f} | {ratio:.3f} |\n")
    for cache in (True, False):
        seconds, written = _decode(model, batch, cache)
        print(f"greedy answers, cache {'on' if cache else 'off'}: {seconds:.2f} processor s for {written} tokens")


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--notes", type=int, default=1)
    parser.add_argument("--tokens", type=int, default=512)
    parser.add_argument("--labels", type=int, default=50)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--small", action="store_true")
    return parser.parse_args()


def _model(labels: int, sizes: dict[str, int]) -> LanguageCodingModel:
    backbone = wrap(T5ForConditionalGeneration(T5Config(**sizes)), 0, END)
    draw = torch.randint(100, 30_000, (labels, TOKENS_OF_A_CODE), generator=torch.Generator().manual_seed(1))
    answers = Answers(tuple(map(tuple, draw.tolist())), tuple(range(labels)), (50,), END)
    reader = CodeReader([f"{number:05}" for number in range(labels)])
    writer = Writer(answers, DecodingConfig(beams=1), 60, str, reader)
    head = build_head(LabelAttentionConfig(attention_size=256), backbone.hidden_size, Labels(labels))
    prompt = Prompt(tuple(range(2, 2 + PROMPT_TOKENS - 2)), (60, END))
    return LanguageCodingModel(backbone, head, prompt, writer, labels, generates=True, validates_by="gen").train()


def _work(notes: int, tokens: int, labels: int) -> tuple[Batch, torch.Tensor]:
    ids = torch.randint(100, 30_000, (notes, tokens - PROMPT_TOKENS))
    targets = torch.zeros(notes, labels)
    for row in targets:
        row[torch.randperm(labels)[:CODES_OF_A_NOTE]] = 1.0
    return Batch(ids, torch.ones_like(ids, dtype=torch.bool)), targets


def _step(model: LanguageCodingModel, head: Head | None, batch: Batch, targets: torch.Tensor) -> float:
    """Processor seconds of one step, with or without the head."""
    model.head = head
    model.zero_grad(set_to_none=True)
    began = time.process_time()
    torch.stack(list(model.losses(batch, targets, binary_cross_entropy).values())).sum().backward()
    return time.process_time() - began


def _decode(model: LanguageCodingModel, batch: Batch, cache: bool) -> tuple[float, int]:
    model.eval()
    own = model.writer.answers
    trie = CodeTrie(own.items, own.separator, own.end, in_order=True)
    began = time.process_time()
    writing = model.backbone.write(model.encoder.prompts(batch), cache=cache)
    found = write_answers(writing, len(batch), trie, end=END, beams=1, most_tokens=30)
    return time.process_time() - began, sum(len(group[0].tokens) for group in found)


if __name__ == "__main__":
    main()
