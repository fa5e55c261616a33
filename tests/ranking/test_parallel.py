"""Fits side by side: all results come, whatever handlers the caller has, and a worker that dies is told."""

from __future__ import annotations

import os
import signal
from collections.abc import Iterator

import pytest

from nosology.errors import NosologyError
from nosology.ranking.parallel import each_number


@pytest.fixture
def raising_handler() -> Iterator[None]:
    """The command line's way: SIGTERM raises, so that blocks that clean up do so."""

    def end(number: int, frame: object) -> None:
        raise KeyboardInterrupt

    before = signal.signal(signal.SIGTERM, end)
    yield
    signal.signal(signal.SIGTERM, before)


def test_every_number_comes_once() -> None:
    assert sorted(each_number(lambda number: number * number, range(7))) == [(n, n * n) for n in range(7)]


@pytest.mark.usefixtures("raising_handler")
def test_many_rounds_end_although_the_caller_handles_signals() -> None:
    for _ in range(10):
        assert len(list(each_number(lambda number: number, [0, 1, 2]))) == 3


def test_an_error_of_a_task_reaches_the_caller() -> None:
    def fail(number: int) -> int:
        raise NosologyError(f"number {number} is wrong")

    with pytest.raises(NosologyError, match="is wrong"):
        list(each_number(fail, [1, 2]))


@pytest.mark.skipif((os.cpu_count() or 1) < 2, reason="one core: nothing is forked")
def test_a_worker_that_the_system_ends_is_told() -> None:
    def die(number: int) -> int:
        os.kill(os.getpid(), signal.SIGKILL)
        return number

    with pytest.raises(NosologyError, match="ended a training process"):
        list(each_number(die, [1, 2, 3]))
