"""The loop: batches -> updates -> validations -> checkpoints, until the steps are done or dev stops improving."""

from __future__ import annotations

import time
from collections.abc import Callable, Generator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, cast

import torch
from torch import Tensor

from nosology.config.trainer import TrainerConfig
from nosology.preprocessing.batching import BatchSize, EncodedEncounters, EpochPlan, PaddedBatch, collate, plan_epoch
from nosology.training.averaging import WeightAverage
from nosology.training.checkpoints import (
    CheckpointStore,
    Position,
    Snapshot,
    Validation,
    optimizer_tensors,
    restore_optimizer,
)
from nosology.training.failures import not_finite, telling_memory
from nosology.training.objective import TrainedModel, to_batch, to_targets
from nosology.training.optimizers import build_optimizer, set_rate
from nosology.training.processes import adding_up, drop_gathered, seed_batch, share
from nosology.training.sampling import sampled_rows
from nosology.training.schedules import best_at, rate_share, since_best
from nosology.training.tracking import Tracker, log_all
from nosology.training.validation import Judge, score_top
from nosology.training.weights import put_weights, weights_of, whole

Progress = Callable[[str, float], None]


@dataclass(frozen=True, slots=True, eq=False)
class RunData:
    """What a run reads.

    Args:
        train: encounters with tokens.
        dev: encounters, in the judge's order; ``None``: no validation.
        judge: of dev.
        n_labels: columns of the targets.
    """

    train: EncodedEncounters
    dev: EncodedEncounters | None
    judge: Judge | None
    n_labels: int


class Plans:
    """The epochs of a run, each planned when it is asked for.

    Args:
        config: sizes, seed, and how long.
        train: the encounters.
        batches_per_step: processes x accumulation.
    """

    def __init__(self, config: TrainerConfig, train: EncodedEncounters, batches_per_step: int) -> None:
        self._config, self._train, self._lengths = config, train, train.tokens.lengths
        self._together = batches_per_step
        self.size = BatchSize(config.tokens_per_batch, config.encounters_per_batch)
        planned = sum(len(self.epoch(number)) for number in range(config.epochs))
        self.total_steps = planned if config.max_steps is None else min(planned, config.max_steps)

    def epoch(self, number: int) -> EpochPlan:
        """One epoch, counted from 0."""
        rows = sampled_rows(self._train.labels, self._config, number)
        seed, together = self._config.seed, self._together
        return plan_epoch(self._lengths, self.size, batches_per_step=together, seed=seed, epoch=number, rows=rows)


class Run:
    """One training, from its start or from a checkpoint.

    Args:
        model: the model and its objective; trained in place.
        data: what it reads.
        config: how.
        plans: the order of batches.
        accelerator: this process's.
        store: its checkpoints.
        progress: told what is being done and the share of it that is done.
    """

    def __init__(
        self,
        model: TrainedModel,
        data: RunData,
        config: TrainerConfig,
        plans: Plans,
        accelerator: Any,
        store: CheckpointStore,
        progress: Progress,
    ) -> None:
        self._data, self._config, self._plans, self._store = data, config, plans, store
        self._accelerator, self._tell = accelerator, progress
        self._inner = model.model
        self._model = share(accelerator, model, config)
        self._optimizer = accelerator.prepare(build_optimizer(self._inner, config))
        if config.compile:
            self._model.compile(dynamic=True)
        self._average = WeightAverage(self._inner, config.averaging) if config.averaging else None
        self.position = Position()
        self._pace = Pace()
        self._objective = model.objective

    # --- the whole ---

    def restore(self, snapshot: Snapshot, path: Path) -> None:
        """Go on from a checkpoint."""
        put_weights(self._inner, snapshot.weights, path)
        restore_optimizer(self._inner, self._bare_optimizer, snapshot.optimizer)
        if self._average is not None:
            self._average.restore(snapshot.averages)
        if self._accelerator.scaler is not None and snapshot.position.scaler:
            self._accelerator.scaler.load_state_dict(dict(snapshot.position.scaler))
        if snapshot.objective:
            cast(Any, self._objective).load_state(snapshot.objective)
        self.position = snapshot.position

    def train(self, trackers: list[Tracker]) -> None:
        """Update, validate and keep checkpoints until it is done."""
        self._model.train()
        self._pace = Pace()
        while not self._is_done():
            plan = self._plans.epoch(self.position.epoch)
            if hasattr(self._objective, "begin_epoch"):
                cast(Any, self._objective).begin_epoch(self.position.epoch)
            for number in range(self.position.step_in_epoch, len(plan)):
                figures = self._update(plan, number)
                self._advance(plan, figures, trackers)
                if self._is_done():
                    break

    def _is_done(self) -> bool:
        position, patience = self.position, self._config.patience
        stale = since_best(self._config.metric, [entry.metric for entry in position.history])
        return position.step >= self._plans.total_steps or (patience > 0 and stale >= patience)

    def _advance(self, plan: EpochPlan, figures: Mapping[str, float], trackers: list[Tracker]) -> None:
        """What follows an update: the next place, a line in the log, a validation, a checkpoint."""
        at, config = self.position, self._config
        ends = at.step_in_epoch + 1 == len(plan)
        here = replace(at, step=at.step + 1, step_in_epoch=0 if ends else at.step_in_epoch + 1, epoch=at.epoch + ends)
        self.position = here
        self._pace.add(figures)
        last = here.step >= self._plans.total_steps
        validate = self._data.dev is not None and (
            last or (ends if config.validation_steps == 0 else here.step % config.validation_steps == 0)
        )
        keep = validate or here.step % config.checkpoint_steps == 0 or last
        if here.step % config.log_steps == 0 or keep:
            log_all(trackers, here.step, self._pace.figures(at.epoch))
        self._show(at.epoch)
        if validate:
            log_all(trackers, here.step, self._validate(at.epoch + 1))
        if keep:
            self._write_checkpoint(finished=self._is_done(), new_best=validate and self._is_new_best())

    def _show(self, epoch: int) -> None:
        done, total = self.position.step, self._plans.total_steps
        left = self._pace.seconds_left(total - done)
        pace = f"{self._pace.tokens_per_second():,.0f} tokens/s"
        text = f"epoch {epoch + 1}, step {done}/{total}, loss {self._pace.loss():.4g}, {pace}, {_time(left)} left"
        self._tell(text, done / total)

    # --- one update ---

    def _update(self, plan: EpochPlan, number: int) -> dict[str, float]:
        batches = plan.steps[number]
        step = self.position.step
        share = rate_share(
            self._config, step, self._plans.total_steps, [entry.metric for entry in self.position.history]
        )
        set_rate(self._optimizer, share)
        rank, world = self._accelerator.process_index, self._accelerator.num_processes
        rounds = -(-len(batches) // world)
        encounters = sum(len(rows) for rows in batches)
        losses, terms, tokens = list[Tensor](), dict[str, Tensor](), 0
        for turn in range(rounds):
            mine = turn * world + rank
            padded = collate(self._data.train, batches[min(mine, len(batches) - 1)])
            weight = len(padded.rows) / encounters if mine < len(batches) else 0.0
            tokens += padded.real_tokens if weight else 0
            seed_batch(self._config.seed, step, mine)
            found = self._backward(padded, weight * world, last=turn == rounds - 1)
            losses.append(cast(Tensor, sum(found.values())))
            for name, value in found.items():
                terms[name] = terms.get(name, torch.zeros_like(value)) + weight * world * value
        self._check_losses(losses, batches, world)
        norm = self._apply(batches)
        return self._figures(terms, tokens, encounters, share, norm)

    def _backward(self, padded: PaddedBatch, weight: float, *, last: bool) -> dict[str, Tensor]:
        """Add the gradients of a batch; the terms of its loss."""
        device = self._accelerator.device
        together = adding_up(self._accelerator, self._model, last=last)
        with telling_memory(self._config, padded.mask.size, len(padded.rows)), together:
            batch, targets = to_batch(padded, device), to_targets(padded, self._data.n_labels, device)
            with self._accelerator.autocast():
                terms = cast(dict[str, Tensor], self._model(batch, targets))
            self._accelerator.backward(cast(Tensor, sum(terms.values())) * weight)
        return {name: value.detach().float() for name, value in terms.items()}

    def _check_losses(self, losses: list[Tensor], batches: tuple[Any, ...], world: int) -> None:
        everyone = cast(Tensor, self._accelerator.gather(torch.stack(losses))).reshape(world, len(losses))
        if bool(torch.isfinite(everyone).all()):
            return
        rank, turn = (int(found[0]) for found in torch.nonzero(~torch.isfinite(everyone), as_tuple=True))
        rows = batches[min(turn * world + rank, len(batches) - 1)]
        raise self._not_finite("loss", float(everyone[rank, turn]), [int(row) for row in rows])

    def _apply(self, batches: tuple[Any, ...]) -> float:
        """Clip, update, average; returns the norm of the gradients."""
        limit = self._config.clip_norm or float("inf")
        norm = float(whole(self._accelerator.clip_grad_norm_(self._model.parameters(), limit)))
        if norm - norm != 0.0 and self._accelerator.scaler is None:
            raise self._not_finite("gradient", norm, [int(row) for rows in batches for row in rows])
        self._optimizer.step()
        self._optimizer.zero_grad(set_to_none=True)
        if self._average is not None:
            self._average.update(self.position.step)
        return norm

    def _not_finite(self, what: str, value: float, rows: list[int]) -> Exception:
        ids = [self._data.train.encounter_ids[row] for row in rows]
        return not_finite(what, value, self.position.step + 1, self.position.epoch + 1, ids, self._config)

    def _figures(
        self, terms: Mapping[str, Tensor], tokens: int, encounters: int, share: float, norm: float
    ) -> dict[str, float]:
        """Of one update, over all processes."""
        values = torch.stack([*terms.values(), torch.tensor(float(tokens), device=self._accelerator.device)])
        if self._accelerator.num_processes > 1:
            values = cast(Tensor, self._accelerator.gather(values[None])).sum(dim=0)
            values[:-1] /= self._accelerator.num_processes
        *losses, tokens_read = values.tolist()
        found = {f"loss.{name}": value for name, value in zip(terms, losses, strict=True)} if len(terms) > 1 else {}
        rate = self._config.learning_rate * share
        own = {"loss": sum(losses), "learning_rate": rate, "gradient_norm": norm}
        return {**own, **found, "tokens": tokens_read, "encounters": float(encounters)}

    # --- dev and disk ---

    def _validate(self, epoch: int) -> dict[str, float]:
        assert self._data.dev is not None
        assert self._data.judge is not None
        began = time.perf_counter()
        self._tell(f"epoch {epoch}, reading dev", self.position.step / self._plans.total_steps)
        with self._kept_weights():
            found = score_top(
                self._model, self._data.dev, self._plans.size, self._config.validation_top, self._accelerator
            )
        figures, threshold = self._data.judge.figures(found)
        entry = Validation(self.position.step, epoch, figures[self._config.metric], threshold, figures)
        self.position = replace(self.position, history=(*self.position.history, entry))
        self._pace.leave_out(time.perf_counter() - began)
        return {f"dev.{name}": value for name, value in figures.items()} | {"dev.threshold": threshold}

    @contextmanager
    def _kept_weights(self) -> Generator[None, None, None]:
        """The weights that are validated and kept: the averages, where there are any."""
        if self._average is None:
            yield
            return
        drop_gathered(self._model)
        with self._average.swapped_in():
            yield
            drop_gathered(self._model)

    def _is_new_best(self) -> bool:
        history = [entry.metric for entry in self.position.history]
        return best_at(self._config.metric, history) == len(history) - 1

    def _write_checkpoint(self, *, finished: bool, new_best: bool) -> None:
        """Every process gathers, the first writes."""
        scaler = self._accelerator.scaler
        state = {} if scaler is None else {key: float(value) for key, value in scaler.state_dict().items()}
        self.position = replace(self.position, finished=finished, scaler=state)
        if new_best or (finished and self._data.dev is None):
            with self._kept_weights():
                best = {name: tensor.clone() for name, tensor in weights_of(self._inner).items()}
        else:
            best = None
        snapshot = Snapshot(
            self.position,
            weights_of(self._inner),
            {} if finished else optimizer_tensors(self._inner, self._bare_optimizer),
            {} if finished or self._average is None else self._average.state(),
            cast(Any, self._objective).state() if hasattr(self._objective, "state") and not finished else {},
            best,
        )
        began = time.perf_counter()
        if self._accelerator.is_main_process:
            self._store.write(snapshot)
        self._accelerator.wait_for_everyone()
        self._pace.leave_out(time.perf_counter() - began)

    @property
    def _bare_optimizer(self) -> torch.optim.Optimizer:
        return cast(torch.optim.Optimizer, self._optimizer.optimizer)


class Pace:
    """Speed and mean loss: since the last line of the log, and since the run went on."""

    def __init__(self) -> None:
        self._began = self._line_began = time.perf_counter()
        self._steps, self._tokens, self._recent = 0, 0.0, list[Mapping[str, float]]()
        self._shown = 0.0

    def add(self, figures: Mapping[str, float]) -> None:
        """Count an update."""
        self._steps += 1
        self._tokens += figures["tokens"]
        self._recent.append(figures)
        self._shown = figures["loss"] if self._steps == 1 else 0.95 * self._shown + 0.05 * figures["loss"]

    def leave_out(self, seconds: float) -> None:
        """Time that was no training."""
        self._began += seconds
        self._line_began += seconds

    def figures(self, epoch: int) -> dict[str, float]:
        """Means since the last call."""
        recent, self._recent = self._recent, []
        seconds = max(time.perf_counter() - self._line_began, 1e-9)
        self._line_began = time.perf_counter()
        names = dict.fromkeys(name for entry in recent for name in entry if name not in ("tokens", "encounters"))
        found = {name: _mean([entry[name] for entry in recent if name in entry]) for name in names}
        tokens, encounters = (sum(entry[name] for entry in recent) for name in ("tokens", "encounters"))
        return {"epoch": epoch + 1, **found, "tokens_per_second": tokens / seconds, "encounters": encounters}

    def loss(self) -> float:
        """Smoothed."""
        return self._shown

    def tokens_per_second(self) -> float:
        """Since the run went on."""
        return self._tokens / max(time.perf_counter() - self._began, 1e-9)

    def seconds_left(self, steps: int) -> float:
        """At the pace so far."""
        return steps * (time.perf_counter() - self._began) / max(self._steps, 1)


def _mean(values: list[float]) -> float:
    return sum(values) / len(values)


def _time(seconds: float) -> str:
    hours, rest = divmod(round(seconds), 3600)
    return f"{hours}:{rest // 60:02d}:{rest % 60:02d}" if hours else f"{rest // 60}:{rest % 60:02d}"
