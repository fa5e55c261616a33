"""How fast notes become tokens, and what the training loop costs beside a bare loop of PyTorch on the same batches.

Notes are made up. Both loops train the same small CAML from the same weights on the same batches; they take turns, so
that a busy machine slows both. Processor time is what counts; wall time is printed beside it.

Usage: python benchmarks/training.py [--small]
"""

from __future__ import annotations

import importlib.util
import sys
import tempfile
import time
from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path
from random import Random

import numpy as np

from nosology.preprocessing.batching import BatchSize, collate, encode_encounters, plan_epoch
from nosology.preprocessing.subword_tokenizer import SubwordTokenizer
from nosology.preprocessing.tokenization import Tokenizer
from nosology.preprocessing.word_tokenizer import WordTokenizer
from nosology.types import Encounter, GoldCode, Note

WORDS, LABELS = 8000, 1000
GOAL = 0.05  # the loop may cost this share more than the bare one


def make_encounters(count: int, words_each: int) -> list[Encounter]:
    """Notes of made-up words whose frequencies fall as 1 / rank, with 15 codes each."""
    random, numbers = Random(0), np.random.default_rng(0)
    letters = "aeioubcdfglmnprst"
    words = ["".join(random.choices(letters, k=random.randint(2, 11))) for _ in range(WORDS)]
    share = 1.0 / np.arange(1, WORDS + 1)
    found = list[Encounter]()
    for number in range(count):
        drawn = numbers.choice(WORDS, size=int(words_each * numbers.uniform(0.3, 1.7)), p=share / share.sum())
        text = " ".join(words[place] + random.choice(("", "", "", ",", ".\n")) for place in drawn)
        codes = tuple(GoldCode(f"C{code:04d}", "icd10cm") for code in sorted(random.sample(range(LABELS), 15)))
        found.append(Encounter(f"e{number}", (Note(f"n{number}", text),), codes))
    return found


def timed(work: Callable[[], object]) -> tuple[float, float]:
    """Processor and wall seconds."""
    cpu, wall = time.process_time(), time.perf_counter()
    work()
    return time.process_time() - cpu, time.perf_counter() - wall


# --- tokenizers -----------------------------------------------------------------------------------------------------


def show_tokenizers(encounters: Sequence[Encounter]) -> None:
    """Training and reading, in MB of text a second."""
    size = sum(len(note.text) for encounter in encounters for note in encounter.notes) / 1e6
    print(f"tokenizers on {size:.1f} MB of made-up notes, MB a second of processor (wall) time")
    print(f"{'':<14}{'training':>16}{'reading':>16}{'characters/token':>18}")
    makers: dict[str, Callable[[], Tokenizer]] = {
        "words": lambda: WordTokenizer.fit(encounters),
        "WordPiece": lambda: SubwordTokenizer.fit(encounters),
        "byte BPE": lambda: SubwordTokenizer.fit(encounters, algorithm="byte_bpe"),
        "MiniLM": SubwordTokenizer.from_pretrained,
    }
    for name, make in makers.items():
        made = list[Tokenizer]()
        fitting = timed(lambda make=make, made=made: made.append(make()))
        tokens = list[int]()
        reading = timed(lambda made=made, tokens=tokens: tokens.extend(map(len, made[0].encode_many(encounters))))
        trained = "-" if name == "MiniLM" else f"{size / fitting[0]:.1f} ({size / fitting[1]:.1f})"
        speed = f"{size / reading[0]:.1f} ({size / reading[1]:.1f})"
        print(f"{name:<14}{trained:>16}{speed:>16}{size * 1e6 / sum(tokens):>18.1f}")


# --- the loop -------------------------------------------------------------------------------------------------------


def show_loop(encounters: Sequence[Encounter], rounds: int) -> bool:
    """The loop beside a bare one; whether its overhead is within the goal."""
    import torch
    from torch import nn
    from torch.nn.functional import binary_cross_entropy_with_logits

    from nosology.builders import Labels, build_model, caml
    from nosology.config.trainer import TrainerConfig
    from nosology.training.objective import to_batch, to_targets
    from nosology.training.trainer import Trainer

    tokenizer = WordTokenizer.fit(encounters, least_notes=2)
    labels = [f"C{number:04d}" for number in range(LABELS)]
    config = TrainerConfig(
        epochs=1,
        schedule="constant",
        encounters_per_batch=8,
        tokens_per_batch=8000,
        device="cpu",
        checkpoint_steps=10**6,
    )
    encoded = encode_encounters(encounters, tokenizer, labels, max_tokens=config.max_tokens)
    size = BatchSize(config.tokens_per_batch, config.encounters_per_batch)
    plan = plan_epoch(encoded.tokens.lengths, size, batches_per_step=1, seed=0, epoch=0)
    batches = [collate(encoded, rows) for (rows,) in plan.steps]
    tokens = int(encoded.tokens.lengths.sum())

    def fresh() -> nn.Module:
        torch.manual_seed(0)
        architecture = caml()
        return build_model(architecture, Labels(LABELS), vocabulary_size=tokenizer.vocabulary_size)

    def bare() -> None:
        model = fresh().train()
        optimizer = torch.optim.AdamW(model.parameters(), lr=config.learning_rate, fused=True)
        for padded in batches:
            logits = model(to_batch(padded, "cpu")).logits
            loss = binary_cross_entropy_with_logits(logits, to_targets(padded, LABELS, "cpu").labels)
            loss.backward()
            nn.utils.clip_grad_norm_(model.parameters(), config.clip_norm)
            optimizer.step()
            optimizer.zero_grad()

    def ours(epochs: int) -> None:
        with tempfile.TemporaryDirectory() as folder:
            own = replace(config, epochs=epochs)
            Trainer(tokenizer, labels).fit(fresh(), encounters, None, own, Path(folder) / "run")

    ours(1)  # the first run also imports
    turns = [(timed(bare)[0], timed(lambda: ours(1))[0], timed(lambda: ours(3))[0]) for _ in range(rounds)]
    plain, one, three = (min(turn[part] for turn in turns) for part in range(3))
    each = (three - one) / 2
    print(f"\nCAML, {LABELS:,} labels, {tokens:,} tokens in {len(batches)} steps, {torch.get_num_threads()} threads")
    print(f"{'':<42}{'seconds':>8}{'tokens/s':>10}   processor time, best of {rounds}")
    for name, seconds in (("an epoch of a bare loop", plain), ("an epoch of the loop", each)):
        print(f"{name:<42}{seconds:>8.2f}{tokens / seconds:>10,.0f}")
    print(f"{'once: reading, checkpoint, loading the best':<42}{one - each:>8.2f}")
    overhead = each / plain - 1
    print(f"{'overhead':<42}{overhead:>8.1%}   goal {GOAL:.0%}: {'reached' if overhead <= GOAL else 'missed'}")
    return overhead <= GOAL


def main(arguments: list[str]) -> int:
    if importlib.util.find_spec("torch") is None:
        print("torch is not installed: nothing to measure; pip install 'nosology[neural]'")
        return 0
    small = "--small" in arguments
    show_tokenizers(make_encounters(200 if small else 1500, 1200))
    show_loop(make_encounters(60 if small else 160, 700), rounds=2 if small else 4)
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
