"""A bounded wait tells whether the promise was kept in time, on a thread and on an event loop."""

from __future__ import annotations

import asyncio
import threading
import time
from collections.abc import Callable, Coroutine
from typing import Any

import pytest

from durably.clock import SystemClock
from durably.drive import Promise, Within, drive

Driver = Callable[[Coroutine[Any, Any, bool]], bool]


@pytest.fixture(params=["thread", "loop"])
def run(request: pytest.FixtureRequest) -> Driver:
    return drive if request.param == "thread" else asyncio.run


async def within(promise: Promise[int], seconds: float) -> bool:
    return await Within(promise, seconds)


def test_it_tells_that_the_time_is_over(run: Driver) -> None:
    began = time.monotonic()
    assert run(within(Promise(), 0.05)) is False
    assert 0.04 < time.monotonic() - began < 2


def test_it_tells_that_the_promise_was_kept(run: Driver) -> None:
    promise: Promise[int] = Promise()
    threading.Timer(0.02, promise.set_result, (1,)).start()
    began = time.monotonic()
    assert run(within(promise, 30)) is True
    assert time.monotonic() - began < 5


def test_a_promise_kept_before_needs_no_wait(run: Driver) -> None:
    promise: Promise[int] = Promise()
    promise.set_result(1)
    assert run(within(promise, 0)) is True


def test_it_does_not_raise_the_error_that_was_delivered(run: Driver) -> None:
    promise: Promise[int] = Promise()
    promise.set_error(ValueError("for whoever asks for the result"))
    assert run(within(promise, 1)) is True


def test_waiting_again_after_the_time_was_over(run: Driver) -> None:
    async def twice() -> bool:
        promise: Promise[int] = Promise()
        assert not await Within(promise, 0.01)
        threading.Timer(0.02, promise.set_result, (1,)).start()
        return await Within(promise, 30)

    assert run(twice())


def test_the_clock_sleeps_on_both_drivers(run: Driver) -> None:
    async def sleep() -> bool:
        await SystemClock().sleep(0.05)
        await SystemClock().sleep(-1)
        return True

    began = time.monotonic()
    assert run(sleep())
    assert 0.04 < time.monotonic() - began < 2


def test_tasks_sleep_side_by_side() -> None:
    async def main() -> None:
        await asyncio.gather(*(within(Promise(), 0.1) for _ in range(50)))

    began = time.monotonic()
    asyncio.run(main())
    assert time.monotonic() - began < 1
