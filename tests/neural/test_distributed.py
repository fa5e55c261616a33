"""Two processes on the CPU (gloo): copies and parts of the model, started by torchrun and by accelerate launch."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest
import torch
from torch import nn
from training_pieces import LABELS, environment, make_config, make_encounters, make_laat, make_model, make_tokenizer

from nosology.preprocessing.word_tokenizer import WordTokenizer
from nosology.training.trainer import Trainer, TrainResult
from nosology.training.weights import load_tensors

SCRIPT = """
import json, os, sys
import torch
from training_pieces import LABELS, make_config, make_encounters, make_laat, make_model, make_tokenizer
from nosology.training.checkpoints import CheckpointStore
from nosology.training.trainer import Trainer

torch.set_num_threads(1)
folder, options, stop_at = sys.argv[1], json.loads(sys.argv[2]), int(sys.argv[3])
make_model = {"tiny": make_model, "laat": make_laat}[options.pop("model", "tiny")]
train, dev = make_encounters(60), make_encounters(13, 1, prefix="d")
if stop_at:  # both processes leave at once, as if the machine went down
    write = CheckpointStore.write
    def write_and_stop(store, snapshot):
        write(store, snapshot)
        if snapshot.position.step >= stop_at:
            os._exit(9)
    CheckpointStore.write = write_and_stop
tokenizer = make_tokenizer(train)
model = make_model(tokenizer)
result = Trainer(tokenizer, LABELS).fit(model, train, dev, make_config(**options), folder)
if os.environ["RANK"] == "0":
    held = sum(getattr(p, "to_local", lambda p=p: p)().numel() for p in model.parameters())
    share = held / sum(p.numel() for p in model.parameters())
    print("RESULT", json.dumps([result.steps, result.best_step, [entry.metric for entry in result.history], share]))
"""
OPTIONS = {"epochs": 2, "averaging": 0.8, "evidence_weight": 0.1, "checkpoint_steps": 3, "encounters_per_batch": 7}
TORCHRUN = ("-m", "torch.distributed.run", "--nproc_per_node=2", "--master_port=0", "--rdzv_backend=c10d")
LAUNCH = ("-m", "accelerate.commands.launch", "--multi_gpu", "--num_processes=2", "--num_machines=1")


def launch(
    tmp_path: Path, folder: Path, options: dict[str, object], *, stop_at: int = 0, by: tuple[str, ...] = TORCHRUN
) -> subprocess.CompletedProcess[str]:
    script = tmp_path / "script.py"
    script.write_text(SCRIPT, encoding="utf-8")
    port = ("--rdzv_endpoint=localhost:0",) if by is TORCHRUN else ("--main_process_port=0", "--mixed_precision=no")
    command = [sys.executable, *by, *port, str(script), str(folder), json.dumps(options), str(stop_at)]
    return subprocess.run(command, capture_output=True, text=True, env=environment(), check=False, timeout=300)


def result_of(process: subprocess.CompletedProcess[str]) -> list[object]:
    assert process.returncode == 0, process.stderr[-4000:]
    return json.loads(process.stdout.split("RESULT ", 1)[1].splitlines()[0])


def alone(folder: Path, make: Callable[[WordTokenizer], nn.Module] = make_model) -> TrainResult:
    """The same training by one process, which adds up two batches for each update."""
    train, dev = make_encounters(60), make_encounters(13, 1, prefix="d")
    tokenizer = make_tokenizer(train)
    config = make_config(**{**OPTIONS, "accumulation": 2})
    return Trainer(tokenizer, LABELS).fit(make(tokenizer), train, dev, config, folder)


def kept(folder: Path, name: str) -> dict[str, torch.Tensor]:
    (checkpoint,) = (folder / "checkpoints").iterdir()
    return load_tensors(checkpoint / f"{name}.safetensors")


def assert_same(first: Path, second: Path, tolerance: float) -> None:
    for name in ("weights", "best"):
        ours, theirs = kept(first, name), kept(second, name)
        assert ours.keys() == theirs.keys()
        for key in ours:
            torch.testing.assert_close(ours[key], theirs[key], atol=tolerance, rtol=0.0)


@pytest.mark.slow
@pytest.mark.parametrize("by", [TORCHRUN, LAUNCH], ids=["torchrun", "accelerate"])
def test_two_copies_learn_what_one_process_learns(tmp_path: Path, by: tuple[str, ...]) -> None:
    single = alone(tmp_path / "one")
    steps, best_step, metrics, share = result_of(launch(tmp_path, tmp_path / "two", OPTIONS, by=by))
    assert (steps, best_step, share) == (single.steps, single.best_step, 1.0)
    assert metrics == pytest.approx([entry.metric for entry in single.history], abs=1e-6)
    assert_same(tmp_path / "one", tmp_path / "two", 1e-6)


@pytest.mark.slow
@pytest.mark.parametrize("distributed", ["ddp", "fsdp"])
def test_a_loss_taken_in_one_pass_is_shared_too(tmp_path: Path, distributed: str) -> None:
    alone(tmp_path / "one", make_laat)
    options = {**OPTIONS, "model": "laat", "distributed": distributed}
    *_, share = result_of(launch(tmp_path, tmp_path / "two", options))
    assert share == pytest.approx(1.0 if distributed == "ddp" else 0.5, abs=0.05)
    assert_same(tmp_path / "one", tmp_path / "two", 1e-5)


@pytest.mark.slow
def test_two_parts_learn_what_one_process_learns_and_go_on_after_a_stop(tmp_path: Path) -> None:
    alone(tmp_path / "one")
    options = {**OPTIONS, "distributed": "fsdp"}
    *_, share = result_of(launch(tmp_path, tmp_path / "parts", options))
    assert share == pytest.approx(0.5, abs=0.05)
    assert_same(tmp_path / "one", tmp_path / "parts", 1e-5)
    stopped = launch(tmp_path, tmp_path / "stopped", options, stop_at=3)
    assert stopped.returncode != 0
    result_of(launch(tmp_path, tmp_path / "stopped", options))
    assert_same(tmp_path / "parts", tmp_path / "stopped", 0.0)


@pytest.mark.slow
def test_two_copies_go_on_after_a_stop_bit_for_bit(tmp_path: Path) -> None:
    result_of(launch(tmp_path, tmp_path / "whole", OPTIONS))
    stopped = launch(tmp_path, tmp_path / "stopped", OPTIONS, stop_at=3)
    assert stopped.returncode != 0
    result_of(launch(tmp_path, tmp_path / "stopped", OPTIONS))
    assert_same(tmp_path / "whole", tmp_path / "stopped", 0.0)
