"""Slices of work in forked processes, results in order, few of them waiting at any time."""

from __future__ import annotations

import multiprocessing
import os
import signal
import sys
import threading
import time
from collections import deque
from collections.abc import Callable, Generator, Sequence
from concurrent.futures import Future, ProcessPoolExecutor
from concurrent.futures.process import BrokenProcessPool
from contextlib import contextmanager
from typing import TypeVar, cast

from nosology.errors import NosologyError

Result = TypeVar("Result")

_AHEAD = 3
_STOPS = (signal.SIGINT, signal.SIGTERM)
_LOOK_SECONDS = 1.0
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
    fork = multiprocessing.get_context("fork")
    executor = ProcessPoolExecutor(workers, fork, initializer=_begin_work, initargs=(os.getpid(),))
    waiting: deque[Future[object]] = deque()
    try:
        for number in numbers:
            with _undisturbed():  # stopped while it starts its workers, a pool loses them
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
    """Ctrl-C and SIGTERM take effect after the block.

    Their handlers are exchanged: a blocked signal would still reach the threads of numerical libraries, and from them
    this one.
    """
    if threading.current_thread() is not threading.main_thread():  # handlers run in the main thread only
        yield
        return
    came: list[int] = []
    before = {number: signal.signal(number, lambda number, _: came.append(number)) for number in _STOPS}
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
        for number in came:
            signal.raise_signal(number)


def _begin_work(parent: int) -> None:
    """What the command line does on SIGTERM or Ctrl-C is its own business: a worker just ends, or is told to."""
    signal.signal(signal.SIGTERM, signal.SIG_DFL)
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    threading.Thread(target=_end_with, args=(parent,), daemon=True).start()


def _end_with(parent: int) -> None:
    """End when the parent has been killed; nobody else would tell."""
    while os.getppid() == parent:
        time.sleep(_LOOK_SECONDS)
    os._exit(1)


def _work(number: int) -> object:
    assert _task is not None
    return _task(number)
