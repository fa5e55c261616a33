"""Where a run stands, on disk: everything that its next update depends on, written whole or not at all.

    run/
      metrics.jsonl
      checkpoints/step-00000120/    config.json (hashes), state.json, and as safetensors weights, optimizer,
                                  averages, objective, best

Only the newest whole checkpoint is kept. Random numbers need no place in it: they are seeded anew for every batch from
seed, step and the batch's number. Nor does the schedule: it is a function of the step.
"""

from __future__ import annotations

import json
import os
import shutil
from collections.abc import Generator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path
from typing import Any, cast

import torch
from torch import Tensor, nn

from nosology.checkpoint import ModelFolder, open_model_folder, writing_model_folder
from nosology.config.trainer import MAY_CHANGE
from nosology.errors import ConfigError, ModelError
from nosology.training.weights import load_tensors, placed, save_tensors, whole

_PREFIX = "step-"
_BEST = "best.safetensors"
_PARTS = ("weights", "optimizer", "averages", "objective")


@dataclass(frozen=True, slots=True)
class Validation:
    """What dev said at one step.

    Args:
        step, epoch: after how many updates, in which epoch (counted from 1).
        metric: the figure that decides.
        threshold: from which a score counted as assigned.
        figures: all figures of the evaluation report.
    """

    step: int
    epoch: int
    metric: float
    threshold: float
    figures: Mapping[str, float] = field(default_factory=dict[str, float])


@dataclass(frozen=True, slots=True)
class Position:
    """How far a run has come.

    Args:
        step: updates done.
        epoch: epochs done.
        step_in_epoch: updates done in the epoch that has begun.
        history: every validation so far.
        finished: nothing is left to do.
        scaler: the state of fp16's loss scaling.
    """

    step: int = 0
    epoch: int = 0
    step_in_epoch: int = 0
    history: tuple[Validation, ...] = ()
    finished: bool = False
    scaler: Mapping[str, float] = field(default_factory=dict[str, float])


@dataclass(frozen=True, slots=True, eq=False)
class Snapshot:
    """A position and the tensors that belong to it; ``optimizer`` and ``averages`` are empty in a finished run.

    Args:
        position: how far.
        weights: of the model.
        optimizer: its state, by parameter and key.
        averages: of the weights, where they are averaged.
        objective: what the loss remembers of earlier batches, if anything.
        best: the weights of the best validation; ``None``: those of the checkpoint before.
    """

    position: Position
    weights: Mapping[str, Tensor]
    optimizer: Mapping[str, Tensor]
    averages: Mapping[str, Tensor]
    objective: Mapping[str, Tensor]
    best: Mapping[str, Tensor] | None


class CheckpointStore:
    """The checkpoints of one run.

    Args:
        folder: the run's.
        identity: what a run that goes on must agree in: labels, tokenizer, data, model, settings.
    """

    def __init__(self, folder: Path, identity: Mapping[str, Any]) -> None:
        self._folder = folder / "checkpoints"
        self._identity = json.loads(json.dumps(identity))

    def newest(self) -> ModelFolder | None:
        """The newest checkpoint, checked file by file.

        Raises:
            ModelError: it is damaged, or of a run that differs from this one.
        """
        found = self._whole()
        if not found:
            return None
        folder = open_model_folder(found[-1])
        _check_identity(_read_state(folder)["identity"], self._identity, folder.path)
        return folder

    def read(self, folder: ModelFolder) -> Snapshot:
        """The tensors and the position of a checkpoint."""
        tensors = {
            name: load_tensors(folder.file(f"{name}.safetensors")) if f"{name}.safetensors" in folder.files else {}
            for name in _PARTS
        }
        return Snapshot(_position(folder), **tensors, best=None)

    def best_weights(self, folder: ModelFolder) -> Path:
        """The file of the weights to keep."""
        return folder.file(_BEST)

    def write(self, snapshot: Snapshot) -> None:
        """Put a checkpoint in place of those before it."""
        before = self._whole()
        target = self._folder / f"{_PREFIX}{snapshot.position.step:08d}"
        with writing_model_folder(target, overwrite=True, hints={"kind": "training checkpoint"}) as building:
            for name in _PARTS:
                tensors = cast(Mapping[str, Tensor], getattr(snapshot, name))
                if tensors:
                    save_tensors(tensors, building / f"{name}.safetensors")
            self._put_best(snapshot, before, building / _BEST)
            state = {"position": asdict(snapshot.position), "identity": self._identity}
            (building / "state.json").write_text(json.dumps(state), encoding="utf-8")
        for old in before:
            if old != target:
                shutil.rmtree(old, ignore_errors=True)

    def _put_best(self, snapshot: Snapshot, before: list[Path], target: Path) -> None:
        if snapshot.best is not None:
            save_tensors(snapshot.best, target)
        elif before and (before[-1] / _BEST).is_file():
            _link(before[-1] / _BEST, target)

    def clear(self) -> None:
        """Remove every checkpoint: the run starts over."""
        shutil.rmtree(self._folder, ignore_errors=True)

    def clean(self) -> None:
        """Remove what a killed run left half written, and checkpoints older than the newest."""
        whole = self._whole()
        kept = whole[-1:]
        for path in self._folder.glob("*") if self._folder.is_dir() else ():
            if path not in kept:
                shutil.rmtree(path, ignore_errors=True)

    def _whole(self) -> list[Path]:
        """Checkpoints that were put in place, oldest first."""
        return sorted(self._folder.glob(f"{_PREFIX}{'[0-9]' * 8}")) if self._folder.is_dir() else []


@contextmanager
def only_run_in(folder: Path) -> Generator[None, None, None]:
    """Hold a run's folder; another process that asks for it meanwhile is refused. A killed process lets go.

    Raises:
        ConfigError: another process trains here, or the folder cannot be written.
    """
    try:
        folder.mkdir(parents=True, exist_ok=True)
        stream = (folder / ".lock").open("a")
    except OSError as error:
        raise ConfigError(f"{folder}: cannot be written ({error.strerror}); choose another place") from None
    with stream:
        with suppress(ImportError):  # Windows has no such locks
            import fcntl

            try:
                fcntl.flock(stream, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except OSError:
                raise ConfigError(f"{folder}: another process trains here; wait for it or choose another") from None
        yield


def _link(source: Path, target: Path) -> None:
    try:
        os.link(source, target)
    except OSError:  # another file system, or one without links
        shutil.copyfile(source, target)


def _read_state(folder: ModelFolder) -> dict[str, Any]:
    path = folder.file("state.json")
    try:
        state = json.loads(path.read_bytes())
        return {"position": dict(state["position"]), "identity": dict(state["identity"])}
    except (ValueError, KeyError, TypeError):
        raise ModelError("damaged: not the state of a training; start over", path=path) from None


def _position(folder: ModelFolder) -> Position:
    try:
        position = Position(**_read_state(folder)["position"])
        history = tuple(Validation(**cast(dict[str, Any], entry)) for entry in position.history)
    except TypeError:
        raise ModelError("written by another version of nosology; start over", path=folder.path) from None
    return replace(position, history=history)


_TOLD = {
    "labels": "another label space",
    "tokenizer": "another tokenizer",
    "train": "other training encounters",
    "dev": "other dev encounters",
    "model": "a model of another shape",
    "objective": "another loss",
    "batches_per_step": "another number of processes x accumulation",
}


def _check_identity(found: Mapping[str, Any], wanted: Mapping[str, Any], path: Path) -> None:
    told = [
        f"{words} ({found.get(key)} there, {wanted.get(key)} here)"
        for key, words in _TOLD.items()
        if found.get(key) != wanted.get(key)
    ]
    then, now = (dict(identity.get("config", {})) for identity in (found, wanted))
    told += [
        f"{key} = {json.dumps(then.get(key))} there, {json.dumps(now.get(key))} here"
        for key in sorted(then.keys() | now.keys())
        if key not in MAY_CHANGE and then.get(key) != now.get(key)
    ]
    if told:
        raise ModelError(
            f"this run began with {'; '.join(told)}; go on with what it began with, or train into another folder "
            "(or start over with resume off)",
            path=path,
        )


# --- the optimiser --------------------------------------------------------------------------------------------------


def optimizer_tensors(model: nn.Module, optimizer: torch.optim.Optimizer) -> dict[str, Tensor]:
    """The optimiser's state as whole tensors: ``<parameter>|<key>``; every process must ask."""
    found = dict[str, Tensor]()
    for name, parameter in model.named_parameters():
        for key, value in optimizer.state.get(parameter, {}).items():
            found[f"{name}|{key}"] = whole(cast(Tensor, value)).clone()
    return found


def restore_optimizer(model: nn.Module, optimizer: torch.optim.Optimizer, tensors: Mapping[str, Tensor]) -> None:
    """Give an optimiser what ``optimizer_tensors`` took from it.

    Raises:
        ModelError: a parameter has gone.
    """
    parameters = dict(model.named_parameters())
    for full_name, tensor in tensors.items():
        name, _, key = full_name.rpartition("|")
        if name not in parameters:
            raise ModelError(f"the optimiser's state has {name}, the model does not; train into another folder")
        parameter = parameters[name]
        like = parameter.detach()
        scalar = tensor.dim() == 0
        optimizer.state[parameter][key] = tensor.to(like.device) if scalar else placed(tensor, like)
