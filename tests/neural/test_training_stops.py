"""What stops a training, and what it says; no message and no file holds note text."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor, nn
from training_pieces import (
    DEV,
    LABELS,
    TOKENIZER,
    TRAIN,
    TRAINER,
    TinyModel,
    assert_equal,
    make_config,
    make_model,
    run_script,
    weights,
)

from nosology.errors import ConfigError, CorpusError
from nosology.preprocessing.batching import BatchSize, encode_encounters, plan_epoch
from nosology.training.failures import TrainingError, is_out_of_memory, telling_memory
from nosology.training.trainer import Trainer
from nosology.types import Note


def test_a_loss_that_is_no_number_stops_with_step_and_encounters(tmp_path: Path) -> None:
    calls = 0

    def explode(logits: Tensor, targets: Tensor) -> Tensor:
        nonlocal calls
        calls += 1
        return logits.mean() * (float("nan") if calls == 5 else 1.0)

    config = make_config(encounters_per_batch=3, accumulation=2)
    with pytest.raises(TrainingError) as caught:
        replace(TRAINER, loss=explode).fit(make_model(TOKENIZER), TRAIN, None, config, tmp_path)
    encoded = encode_encounters(TRAIN, TOKENIZER, LABELS)
    size = BatchSize(config.tokens_per_batch, 3)
    plan = plan_epoch(encoded.tokens.lengths, size, batches_per_step=2, seed=0, epoch=0)
    ids = ", ".join(encoded.encounter_ids[row] for row in plan.steps[2][0])
    assert str(caught.value) == (
        f"the loss became nan at step 3 (epoch 1), encounters {ids}: lower learning_rate (0.01), lengthen "
        'warmup_steps (0), lower clip_norm (1); set mixed_precision = "no"; the last checkpoint stays, but another '
        "setting needs another folder"
    )


def test_a_gradient_that_is_no_number_stops_before_the_weights_are_spoilt(tmp_path: Path) -> None:
    def steep(logits: Tensor, targets: Tensor) -> Tensor:
        return torch.sqrt((logits - logits.detach()).square()).mean()

    model = make_model(TOKENIZER)
    before = weights(model)
    with pytest.raises(TrainingError, match="the gradient became nan at step 1"):
        replace(TRAINER, loss=steep).fit(model, TRAIN, None, make_config(), tmp_path)
    assert_equal(weights(model), before)


def test_a_lack_of_memory_names_the_option() -> None:
    config = make_config(tokens_per_batch=8000)
    for error in (torch.OutOfMemoryError("CUDA out of memory. Tried"), MemoryError()):
        with pytest.raises(TrainingError) as caught, telling_memory(config, 7000, 4):
            raise error
        assert str(caught.value).startswith(
            "out of memory at a batch of 4 encounters, 7,000 tokens: halve tokens_per_batch (8000) and double "
            "accumulation, or set gradient_checkpointing = true"
        )
    with pytest.raises(TrainingError, match="lower max_tokens"), telling_memory(config, 7000, 1):
        raise MemoryError
    with pytest.raises(RuntimeError, match="shapes"), telling_memory(config, 1, 1):
        raise RuntimeError("shapes differ")
    assert is_out_of_memory(RuntimeError("[enforce fail] DefaultCPUAllocator: can't allocate memory: you tried"))


LITTLE_MEMORY = """
import resource, sys
from training_pieces import LABELS, make_config, make_encounters, make_model, make_tokenizer
from nosology.errors import NosologyError
from nosology.training.trainer import Trainer
train = make_encounters(8, longest=400)
tokenizer = make_tokenizer(train)
trainer, config = Trainer(tokenizer, LABELS), make_config(tokens_per_batch=99999, epochs=1)
trainer.fit(make_model(tokenizer), train, None, config, sys.argv[1] + "/enough")  # loads all that is needed
used = int(open("/proc/self/status").read().split("VmData:")[1].split()[0]) * 1024
resource.setrlimit(resource.RLIMIT_DATA, (used + 60_000_000, used + 60_000_000))
try:
    trainer.fit(make_model(tokenizer, width=2000), train, None, config, sys.argv[1] + "/little")
except NosologyError as error:
    print(type(error).__name__, error)
"""


@pytest.mark.slow
def test_running_out_of_memory_for_real_names_the_option(tmp_path: Path) -> None:
    process = run_script(LITTLE_MEMORY, str(tmp_path))
    assert "TrainingError out of memory at a batch of" in process.stdout, process.stderr[-2000:]


def test_what_does_not_fit_is_told_before_long_work(tmp_path: Path) -> None:
    def refused(kind: type[Exception], match: str, model: nn.Module | None = None, **options: Any) -> None:
        trainer = options.pop("trainer", TRAINER)
        train, dev = options.pop("train", TRAIN), options.pop("dev", DEV)
        with pytest.raises(kind, match=match):
            trainer.fit(model or make_model(TOKENIZER), train, dev, make_config(**options), tmp_path / "run")
        assert not (tmp_path / "run").exists()

    refused(
        ConfigError,
        r"metric 'micro.f2' is no figure of the evaluation report; did you mean micro.f1",
        metric="micro.f2",
    )
    refused(ConfigError, "gradient_checkpointing needs a transformer", gradient_checkpointing=True)
    refused(ConfigError, 'mixed_precision = "fp16" needs a GPU', mixed_precision="fp16")
    refused(ConfigError, "the model scores 7 labels, the label list has 8", make_model(TOKENIZER, labels=7))
    refused(ConfigError, r"the tokenizer does not match the model: it has \d+ ids", TinyModel(5))
    refused(ConfigError, "names a code twice", trainer=Trainer(TOKENIZER, ("C01",) * 8))
    refused(CorpusError, "no coded encounter", train=[replace(one, codes=None) for one in TRAIN])
    refused(CorpusError, "no training encounter carries a code", trainer=Trainer(TOKENIZER, tuple("ABCDEFGH")))
    refused(CorpusError, "no encounter has a token", train=[replace(TRAIN[0], notes=(Note("n", "--"),))])
    refused(CorpusError, "no gold codes to evaluate against", dev=[replace(DEV[0], codes=None)])


@pytest.mark.parametrize("package", ["tensorboard", "mlflow"])
def test_a_missing_tracker_names_its_package(tmp_path: Path, package: str, monkeypatch: pytest.MonkeyPatch) -> None:
    import sys

    for name in ("torch.utils.tensorboard", "mlflow", "mlflow.tracking"):
        monkeypatch.setitem(sys.modules, name, None)
    config = make_config(tracking=(package,))
    with pytest.raises(ConfigError, match=f"needs a package: pip install {package}"):
        TRAINER.fit(make_model(TOKENIZER), TRAIN, DEV, config, tmp_path)


def test_no_message_and_no_file_holds_note_text(tmp_path: Path) -> None:
    canary = "zyxcanaryxyz"
    train = [replace(one, notes=(Note(one.notes[0].note_id, f"{canary} {one.notes[0].text}"),)) for one in TRAIN]

    def explode(logits: Tensor, targets: Tensor) -> Tensor:
        return logits.mean() * float("inf")

    model = make_model(TOKENIZER)
    TRAINER.fit(model, train, DEV, make_config(epochs=1), tmp_path)
    with pytest.raises(TrainingError) as caught:
        replace(TRAINER, loss=explode).fit(model, train, DEV, make_config(epochs=1), tmp_path / "other")
    assert canary not in str(caught.value)
    written = [path.read_bytes() for path in tmp_path.rglob("*") if path.is_file()]
    assert written
    assert not any(canary.encode() in content for content in written)
