"""A promise is settled once, and wakes whoever waits for it, on threads and on event loops."""

from __future__ import annotations

import asyncio
import contextlib
import gc
import inspect
import threading
import time
import tracemalloc

import pytest

from durably.drive import Promise, Within, drive


async def awaited(promise: Promise[int]) -> int:
    return await promise


def test_a_kept_promise_is_there_at_once() -> None:
    promise: Promise[int] = Promise()
    assert not promise.done()
    promise.set_result(7)
    assert promise.done()
    assert promise.wait()
    assert drive(awaited(promise)) == 7
    assert asyncio.run(awaited(promise)) == 7


def test_the_first_delivery_counts() -> None:
    promise: Promise[int] = Promise()
    promise.set_result(1)
    promise.set_result(2)
    promise.set_error(ValueError("late"))
    assert promise.result() == 1


def test_an_error_is_raised_at_every_waiter() -> None:
    promise: Promise[int] = Promise()
    promise.set_error(ValueError("no"))
    for _ in range(2):
        with pytest.raises(ValueError, match="no"):
            drive(awaited(promise))
    assert promise.wait(), "waiting itself does not raise the error"


def test_none_is_a_result_like_any_other() -> None:
    promise: Promise[None] = Promise()
    promise.set_result(None)
    assert promise.done()
    assert promise.result() is None


def test_many_threads_wait_for_one_promise() -> None:
    promise: Promise[int] = Promise()
    found: list[int] = []
    threads = [threading.Thread(target=lambda: found.append(drive(awaited(promise)))) for _ in range(32)]
    for thread in threads:
        thread.start()
    time.sleep(0.02)
    promise.set_result(3)
    for thread in threads:
        thread.join(5)
    assert found == [3] * 32


def test_many_tasks_of_several_loops_and_threads_wait_for_one_promise() -> None:
    promise: Promise[int] = Promise()
    found: list[int] = []

    async def tasks() -> None:
        found.extend(await asyncio.gather(*(awaited(promise) for _ in range(20))))

    threads = [threading.Thread(target=lambda: asyncio.run(tasks())) for _ in range(3)]
    threads += [threading.Thread(target=lambda: found.append(drive(awaited(promise)))) for _ in range(3)]
    for thread in threads:
        thread.start()
    time.sleep(0.05)
    promise.set_result(5)
    for thread in threads:
        thread.join(5)
    assert found == [5] * 63


def test_racing_deliveries_settle_once_and_leave_nobody_behind() -> None:
    for _ in range(200):
        promise: Promise[int] = Promise()
        found: list[int] = []
        waiters = [threading.Thread(target=lambda p=promise, f=found: f.append(drive(awaited(p)))) for _ in range(3)]
        givers = [threading.Thread(target=promise.set_result, args=(value,)) for value in range(3)]
        for thread in (*waiters, *givers):
            thread.start()
        for thread in (*waiters, *givers):
            thread.join(5)
        assert found == [promise.result()] * 3


def test_a_timed_wait_ends_in_time_and_says_so() -> None:
    promise: Promise[int] = Promise()
    began = time.monotonic()
    assert not promise.wait(0.05)
    assert 0.04 < time.monotonic() - began < 2
    assert not promise.wait(-1), "a time that is over already is no time"
    threading.Timer(0.02, promise.set_result, (1,)).start()
    assert promise.wait(5)


def test_a_task_that_is_cancelled_while_it_waits_does_not_disturb_the_others() -> None:
    async def main() -> None:
        promise: Promise[int] = Promise()
        gone, stays = asyncio.create_task(awaited(promise)), asyncio.create_task(awaited(promise))
        await asyncio.sleep(0)
        gone.cancel()
        with contextlib.suppress(asyncio.CancelledError):
            await gone
        threading.Thread(target=promise.set_result, args=(9,)).start()
        assert await asyncio.wait_for(stays, 5) == 9
        assert gone.cancelled()

    asyncio.run(main())


def test_a_loop_that_is_closed_has_nobody_left_to_wake() -> None:
    promise: Promise[int] = Promise()
    loop = asyncio.new_event_loop()
    promise.future(loop)
    loop.close()
    promise.set_result(1)
    assert promise.result() == 1


def test_waits_that_timed_out_leave_nothing_behind() -> None:
    promise: Promise[int] = Promise()

    async def on_a_loop() -> None:
        for _ in range(300):
            await Within(promise, 0)

    def futures() -> int:
        """Those that wait for this promise; others in this process are somebody else's."""
        gc.collect()
        return sum(isinstance(each, asyncio.Future) for each in gc.get_referents(*gc.get_referents(promise)))

    def allocated() -> int:
        """What was allocated here and in the code under test; other threads of this process allocate as they like."""
        here = [tracemalloc.Filter(True, file) for file in (inspect.getfile(Promise), __file__)]
        return sum(one.size for one in tracemalloc.take_snapshot().filter_traces(here).statistics("filename"))

    tracemalloc.start()
    try:
        promise.wait(0)
        before = allocated()
        for _ in range(3000):
            promise.wait(0)
        assert allocated() - before < 20_000
    finally:
        tracemalloc.stop()
    asyncio.run(on_a_loop())
    assert futures() < 10
