"""A run that is killed with SIGKILL at any moment and started again ends as an undisturbed run, bit for bit."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from dataclasses import replace
from pathlib import Path

import pytest
import torch
from training_pieces import LABELS, environment, make_config, make_encounters, make_model, make_tokenizer, run_script

from nosology.errors import ConfigError, ModelError
from nosology.preprocessing.word_tokenizer import WordTokenizer
from nosology.training.checkpoints import only_run_in
from nosology.training.trainer import Trainer

# Each killed part counts its calls of Python functions and kills itself at one drawn beforehand: in a step, in a
# validation, in the middle of a file or between two renames. Forked from one process, so that torch loads once.
SCRIPT = """
import json, os, random, signal, sys
from pathlib import Path
import torch
from training_pieces import LABELS, make_config, make_encounters, make_model, make_tokenizer
from nosology.training.trainer import Trainer
import accelerate, safetensors.torch, scipy.sparse, torch.distributed.tensor, torch._dynamo  # before the forks

torch.set_num_threads(1)
train, dev = make_encounters(96), make_encounters(16, 1, prefix="d")
tokenizer = make_tokenizer(train)
config = make_config(**json.loads(sys.argv[2]))

def fit(folder, kill_at=None):
    calls = 0
    def count(frame, event, argument):
        nonlocal calls
        calls += event == "call"
        if calls == kill_at:
            os.kill(os.getpid(), signal.SIGKILL)
    sys.setprofile(count)
    result = Trainer(tokenizer, LABELS).fit(make_model(tokenizer), train, dev, config, folder)
    sys.setprofile(None)
    history = [[entry.step, entry.metric, entry.threshold] for entry in result.history]
    Path(folder, "result.json").write_text(json.dumps([calls, result.steps, result.best_step, history]))

def forked(*arguments):
    child = os.fork()
    if child == 0:
        try:
            fit(*arguments)
        except BaseException:
            import traceback
            traceback.print_exc()
            os._exit(3)
        os._exit(0)
    return os.waitpid(child, 0)[1]

root = Path(sys.argv[1])
assert forked(root / "whole") == 0
calls = json.loads((root / "whole/result.json").read_text())[0]
rng = random.Random(int(sys.argv[3]))
killed = 0
while killed < 60:
    status = forked(root / "killed", rng.randrange(2000, calls // 4))
    if status == 0:
        break
    assert status == signal.SIGKILL, status
    killed += 1
assert status == 0, "never got to its end"
print(killed)
"""
OPTIONS = {
    "epochs": 3,
    "learning_rate": 0.004,
    "checkpoint_steps": 2,
    "validation_steps": 3,
    "averaging": 0.8,
    "evidence_weight": 0.1,
}


def kept(folder: Path) -> dict[str, bytes]:
    """Weights that a finished run keeps, by file."""
    (checkpoint,) = (folder / "checkpoints").iterdir()
    return {path.name: path.read_bytes() for path in checkpoint.glob("*.safetensors")}


@pytest.mark.parametrize(
    ("options", "seed"),
    [
        (OPTIONS, 0),
        pytest.param(
            {"epochs": 8, "checkpoint_steps": 3, "schedule": "plateau", "accumulation": 2, "max_steps": 40},
            1,
            marks=pytest.mark.slow,
        ),
    ],
)
def test_killed_runs_end_bit_for_bit_as_the_undisturbed_run(
    tmp_path: Path, options: dict[str, object], seed: int
) -> None:
    process = run_script(SCRIPT, str(tmp_path), json.dumps(options), str(seed))
    assert process.returncode == 0, process.stderr[-3000:]
    assert int(process.stdout.split()[-1]) >= 4
    whole, killed = tmp_path / "whole", tmp_path / "killed"
    assert kept(whole) == kept(killed)
    results = [json.loads((folder / "result.json").read_text())[1:] for folder in (whole, killed)]
    assert results[0] == results[1]
    lines = [[json.loads(line) for line in (folder / "metrics.jsonl").open()] for folder in (whole, killed)]
    timeless = [
        [{k: v for k, v in line.items() if k not in ("time", "tokens_per_second")} for line in own] for own in lines
    ]
    assert timeless[0] == timeless[1]


LONG = """
import sys
from training_pieces import LABELS, make_config, make_encounters, make_model, make_tokenizer
from nosology.training.trainer import Trainer
import torch
torch.set_num_threads(1)
train, dev = make_encounters(200, longest=200), make_encounters(20, 1, prefix="d")
tokenizer = make_tokenizer(train)
config = make_config(epochs=8, checkpoint_steps=7)
said = lambda text, share: print(text, flush=True)
Trainer(tokenizer, LABELS).fit(make_model(tokenizer), train, dev, config, sys.argv[1], progress=said)
"""


@pytest.mark.slow
def test_a_run_killed_from_outside_goes_on(tmp_path: Path) -> None:
    whole = run_script(LONG, str(tmp_path / "whole"))
    assert whole.returncode == 0, whole.stderr[-2000:]
    command = [sys.executable, "-c", LONG, str(tmp_path / "killed")]
    process = subprocess.Popen(command, stdout=subprocess.PIPE, text=True, env=environment())
    assert process.stdout is not None
    for line in process.stdout:
        if "step 60/" in line:
            break
    time.sleep(0.05)
    os.kill(process.pid, signal.SIGKILL)
    process.wait()
    again = run_script(LONG, str(tmp_path / "killed"))
    assert again.returncode == 0, again.stderr[-2000:]
    first = next(line for line in again.stdout.splitlines() if "step" in line)
    assert int(first.split("step ")[1].split("/")[0]) > 50
    assert kept(tmp_path / "whole") == kept(tmp_path / "killed")


# --- what a run cannot go on from -----------------------------------------------------------------------------------

TRAIN, DEV = make_encounters(20), make_encounters(8, 1, prefix="d")
TOKENIZER = make_tokenizer(TRAIN)
CONFIG = make_config(epochs=1)


@pytest.fixture(scope="module")
def finished(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("run")
    Trainer(TOKENIZER, LABELS).fit(make_model(TOKENIZER), TRAIN, DEV, CONFIG, folder)
    return folder


def refusal(folder: Path, trainer: Trainer, **options: object) -> str:
    config = replace(CONFIG, **options)
    model = make_model(trainer.tokenizer, labels=len(trainer.labels))  # type: ignore[arg-type]
    with pytest.raises(ModelError) as caught:
        trainer.fit(model, TRAIN, DEV, config, folder)
    return str(caught.value)


def test_another_label_space_is_refused(finished: Path) -> None:
    message = refusal(finished, Trainer(TOKENIZER, (*LABELS[:-1], "C99")))
    assert "another label space (8 labels, " in message
    assert "train into another folder" in message


def test_another_tokenizer_is_refused(finished: Path) -> None:
    other = WordTokenizer((*TOKENIZER.words[:2], *reversed(TOKENIZER.words[2:])))
    assert "this run began with another tokenizer (" in refusal(finished, Trainer(other, LABELS))


def test_other_settings_are_refused_by_name_and_log_settings_are_not(finished: Path) -> None:
    message = refusal(finished, Trainer(TOKENIZER, LABELS), learning_rate=0.02, log_steps=9)
    assert "learning_rate = 0.01 there, 0.02 here" in message
    assert "log_steps" not in message


def test_a_finished_run_gives_its_result_again(finished: Path) -> None:
    model = make_model(TOKENIZER, seed=5)
    result = Trainer(TOKENIZER, LABELS).fit(model, TRAIN, DEV, replace(CONFIG, log_steps=9), finished)
    again = Trainer(TOKENIZER, LABELS).fit(make_model(TOKENIZER), TRAIN, DEV, CONFIG, finished)
    assert result == again
    assert result.best is not None


def test_resume_off_starts_over(finished: Path, tmp_path: Path) -> None:
    trainer, model = Trainer(TOKENIZER, LABELS), make_model(TOKENIZER)
    trainer.fit(make_model(TOKENIZER), TRAIN, DEV, CONFIG, tmp_path)
    result = trainer.fit(model, TRAIN, DEV, replace(CONFIG, epochs=2), tmp_path, resume=False)
    assert result.steps > trainer.fit(model, TRAIN, DEV, CONFIG, finished).steps


def test_a_damaged_checkpoint_is_told(tmp_path: Path) -> None:
    Trainer(TOKENIZER, LABELS).fit(make_model(TOKENIZER), TRAIN, DEV, CONFIG, tmp_path)
    (weights,) = tmp_path.glob("checkpoints/*/weights.safetensors")
    weights.write_bytes(weights.read_bytes()[:-7])
    assert "truncated" in refusal(tmp_path, Trainer(TOKENIZER, LABELS))


def test_two_processes_never_share_a_folder(tmp_path: Path) -> None:
    with only_run_in(tmp_path), pytest.raises(ConfigError, match="another process trains here"):
        Trainer(TOKENIZER, LABELS).fit(make_model(TOKENIZER), TRAIN, DEV, CONFIG, tmp_path)


def test_generators_of_the_caller_stay_as_they_were(tmp_path: Path) -> None:
    model = make_model(TOKENIZER)
    torch.manual_seed(3)
    expected = torch.rand(3)
    torch.manual_seed(3)
    Trainer(TOKENIZER, LABELS).fit(model, TRAIN, DEV, CONFIG, tmp_path)
    assert torch.equal(torch.rand(3), expected)
