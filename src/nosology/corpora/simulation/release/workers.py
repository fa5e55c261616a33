"""Slices of work in forked processes, results in order, few of them waiting at any time."""

from __future__ import annotations

import multiprocessing
import os
import signal
import sys
from collections import deque
from collections.abc import Callable, Generator, Sequence
from concurrent.futures import Future, ProcessPoolExecutor
from concurrent.futures.process import BrokenProcessPool
from contextlib import contextmanager
from typing import TypeVar, cast

from nosology.errors import NosologyError

Result = TypeVar("Result")

_AHEAD = 3
_task: Callable[[int], object] | None = None
"""What a forked worker does; set before the fork, so that nothing but numbers and results crosses over."""


def in_order(task: Callable[[int], Result], numbers: Sequence[int], workers: int = 0) -> Generator[Result, None, None]:
    """``task(number)`` for every number, in order, at most three a worker ahead of the one that is awaited.

    Args:
        task: must not depend on what another call changes. It runs in a forked process where the system has them.
        numbers: what to call it with.
        workers: processes; 0: one a core.
    """
    workers = min(workers or os.cpu_count() or 1, len(numbers))
    if workers < 2 or sys.platform != "linux":
        yield from map(task, numbers)
        return
    global _task
    _task = task
    executor = ProcessPoolExecutor(workers, multiprocessing.get_context("fork"), initializer=_forget_signal_handlers)
    waiting: deque[Future[object]] = deque()
    try:
        with _undisturbed():  # stopped while it starts, a pool cannot be shut down
            waiting.append(executor.submit(_work, numbers[0]))
        for number in numbers[1:]:
            waiting.append(executor.submit(_work, number))
            if len(waiting) > _AHEAD * workers:
                yield cast(Result, waiting.popleft().result())
        while waiting:
            yield cast(Result, waiting.popleft().result())
    except BrokenProcessPool:
        raise NosologyError("the system ended a writing process, most likely for want of memory; free some") from None
    finally:
        executor.shutdown(cancel_futures=True)
        _task = None


@contextmanager
def _undisturbed() -> Generator[None, None, None]:
    """Ctrl-C and SIGTERM take effect after the block."""
    before = signal.pthread_sigmask(signal.SIG_BLOCK, (signal.SIGINT, signal.SIGTERM))
    try:
        yield
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, before)


def _forget_signal_handlers() -> None:
    """What the command line does on SIGTERM or Ctrl-C is its own business: a worker just ends, or is told to."""
    signal.pthread_sigmask(signal.SIG_SETMASK, ())
    signal.signal(signal.SIGTERM, signal.SIG_DFL)
    signal.signal(signal.SIGINT, signal.SIG_IGN)


def _work(number: int) -> object:
    assert _task is not None
    return _task(number)
