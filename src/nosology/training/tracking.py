"""Where a run's figures go: a file of JSON lines always; TensorBoard and MLflow beside it on request, both local."""

from __future__ import annotations

import json
import os
import re
import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, Protocol, assert_never, cast

from nosology.config.trainer import TrainerConfig
from nosology.errors import ConfigError
from nosology.whole_files import writing_file


class Tracker(Protocol):
    """Takes figures by name, with the step they belong to."""

    def log(self, step: int, figures: Mapping[str, float]) -> None: ...

    def close(self) -> None: ...


class JsonLines:
    """One line an entry: ``step``, ``time`` (seconds since 1970) and figures.

    Args:
        path: the file.
        step: entries after this step are dropped; a run that goes on writes them again.
    """

    def __init__(self, path: Path, step: int) -> None:
        lines = [line for line in _lines(path) if _step(line) <= step] if step else []
        with writing_file(path) as building:
            building.write_bytes(b"".join(lines))
        self._stream = path.open("a", encoding="utf-8")

    def log(self, step: int, figures: Mapping[str, float]) -> None:
        entry = {"step": step, "time": round(time.time(), 3), **figures}
        self._stream.write(json.dumps(entry) + "\n")
        self._stream.flush()

    def close(self) -> None:
        self._stream.close()


def _lines(path: Path) -> list[bytes]:
    """Whole lines; the last may have been cut off by a kill."""
    content = path.read_bytes() if path.is_file() else b""
    return [line for line in content.splitlines(keepends=True) if line.endswith(b"\n")]


def _step(line: bytes) -> float:
    try:
        return int(json.loads(line)["step"])
    except (ValueError, KeyError, TypeError):
        return float("inf")


class TensorBoard:
    """Event files in the run's folder."""

    def __init__(self, folder: Path, step: int) -> None:
        try:
            from torch.utils.tensorboard import SummaryWriter
        except ImportError:
            raise ConfigError('tracking = ["tensorboard"] needs a package: pip install tensorboard') from None
        writer: Any = SummaryWriter
        self._writer = writer(str(folder / "tensorboard"), purge_step=step + 1)

    def log(self, step: int, figures: Mapping[str, float]) -> None:
        for name, value in figures.items():
            self._writer.add_scalar(name, value, step)

    def close(self) -> None:
        self._writer.close()


class MLflow:
    """An SQLite file in the run's folder; telemetry is off."""

    def __init__(self, folder: Path, step: int, config: Mapping[str, object]) -> None:
        os.environ.setdefault("MLFLOW_DISABLE_TELEMETRY", "true")
        os.environ.setdefault("DO_NOT_TRACK", "true")
        try:
            from mlflow.tracking import MlflowClient  # pyright: ignore[reportMissingImports]
        except ImportError:
            raise ConfigError('tracking = ["mlflow"] needs a package: pip install mlflow') from None
        self._client: Any = MlflowClient(f"sqlite:///{(folder / 'mlflow.db').absolute()}")
        kept = folder / "mlflow_run.txt"
        going_on = step > 0 and kept.is_file()
        self._run = kept.read_text(encoding="utf-8") if going_on else self._begin(folder.absolute().name, config)
        kept.write_text(self._run, encoding="utf-8")

    def _begin(self, name: str, config: Mapping[str, object]) -> str:
        found = self._client.get_experiment_by_name(name)
        experiment = found.experiment_id if found else self._client.create_experiment(name)
        run = str(self._client.create_run(experiment).info.run_id)
        for key, value in config.items():
            self._client.log_param(run, key, value)
        return run

    def log(self, step: int, figures: Mapping[str, float]) -> None:
        from mlflow.entities import Metric  # pyright: ignore[reportMissingImports]

        now, entity = round(time.time() * 1000), cast(Any, Metric)
        self._client.log_batch(self._run, [entity(_plain(name), value, now, step) for name, value in figures.items()])

    def close(self) -> None:
        self._client.set_terminated(self._run)


def _plain(name: str) -> str:
    """A name that MLflow takes: ``p@5`` and ``band.10+`` are none."""
    return re.sub(r"[^\w.: /-]", "_", name.replace("@", "_at_").replace("+", "_and_more"))


def open_trackers(folder: Path, config: TrainerConfig, step: int, settings: Mapping[str, object]) -> list[Tracker]:
    """Every place that figures go to.

    Args:
        folder: the run's.
        config: says which.
        step: how far the run has come.
        settings: told to MLflow.

    Raises:
        ConfigError: a package is missing; names it.
    """
    trackers = list[Tracker]()
    for name in config.tracking:
        match name:
            case "tensorboard":
                trackers.append(TensorBoard(folder, step))
            case "mlflow":
                trackers.append(MLflow(folder, step, settings))
            case _:
                assert_never(name)
    return [JsonLines(folder / "metrics.jsonl", step), *trackers]


def log_all(trackers: Sequence[Tracker], step: int, figures: Mapping[str, float]) -> None:
    """Tell every tracker."""
    for tracker in trackers:
        tracker.log(step, figures)
