"""Independent fits side by side, one process a core, each of them single-threaded.

Threads of numerical libraries wait busily for each other; on cores that have other work they make a fit many times
slower. So fits get one thread each, and several of them run at once where the system can fork.
"""

from __future__ import annotations

import gc
import multiprocessing
import os
import signal
import sys
from collections.abc import Callable, Generator, Iterator, Sequence
from concurrent.futures import ProcessPoolExecutor, as_completed
from concurrent.futures.process import BrokenProcessPool
from contextlib import contextmanager
from typing import TypeVar, cast

from nosology.errors import NosologyError

Result = TypeVar("Result")

_task: Callable[[int], object] | None = None
"""What a forked worker does; set before the fork, so that nothing but numbers and results crosses over."""


@contextmanager
def single_threaded() -> Generator[None, None, None]:
    """Numerical libraries use one thread inside the block."""
    from importlib import import_module

    from threadpoolctl import threadpool_limits

    import_module("sklearn.ensemble")  # the limits reach only libraries that are loaded
    with threadpool_limits(1):
        yield


def each_number(task: Callable[[int], Result], numbers: Sequence[int]) -> Iterator[tuple[int, Result]]:
    """``(number, task(number))`` for every number, as they are done.

    Args:
        task: must not depend on what another call changes. It runs in a forked process where that is safe.
        numbers: what to call it with.
    """
    workers = min(len(numbers), os.cpu_count() or 1)
    if workers < 2 or sys.platform != "linux":
        for number in numbers:
            yield number, task(number)
        return
    global _task
    _task = task
    # A fork of a process whose OpenMP threads have run hangs as soon as it wants more than one of its own.
    with single_threaded(), _objects_frozen():
        context = multiprocessing.get_context("fork")
        executor = ProcessPoolExecutor(workers, mp_context=context, initializer=_forget_signal_handlers)
        try:
            for future in as_completed([executor.submit(_work, number) for number in numbers]):
                number, result = future.result()
                yield number, cast(Result, result)
        except BrokenProcessPool:
            raise NosologyError(
                "the system ended a training process, most likely for want of memory; "
                "free some, or train on fewer encounters"
            ) from None
        finally:
            executor.shutdown(cancel_futures=True)
            _task = None


@contextmanager
def _objects_frozen() -> Generator[None, None, None]:
    """Workers share the memory of all objects there are; their collectors would write to it, and so copy it."""
    gc.collect()
    gc.freeze()
    try:
        yield
    finally:
        gc.unfreeze()


def _forget_signal_handlers() -> None:
    """What the command line does on SIGTERM or Ctrl-C is its own business: a worker just ends, or is told to."""
    signal.signal(signal.SIGTERM, signal.SIG_DFL)
    signal.signal(signal.SIGINT, signal.SIG_IGN)


def _work(number: int) -> tuple[int, object]:
    assert _task is not None
    return number, _task(number)
