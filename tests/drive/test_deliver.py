"""A batch of deliveries wakes each event loop once, however many of its tasks wait."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Callable
from typing import Any

import pytest

from durably.drive import Promise, deliver


class CountingLoop(asyncio.SelectorEventLoop):
    """Counts how often another thread wakes it."""

    wake_ups = 0

    def call_soon_threadsafe(  # type: ignore[override]  # typeshed's variadic form differs from release to release
        self, callback: Callable[..., object], *args: Any, context: Any = None
    ) -> asyncio.Handle:
        self.wake_ups += 1
        return super().call_soon_threadsafe(callback, *args, context=context)


def on(
    loop: asyncio.AbstractEventLoop, promises: list[Promise[int]], ready: threading.Barrier, found: list[int]
) -> None:
    async def awaited(promise: Promise[int]) -> int:
        return await promise

    async def main() -> None:
        tasks = [asyncio.create_task(awaited(promise)) for promise in promises]
        await asyncio.sleep(0)
        ready.wait(5)
        found.extend(await asyncio.gather(*tasks))

    try:
        loop.run_until_complete(main())
    finally:
        loop.close()


def test_each_loop_is_woken_once_for_a_whole_batch() -> None:
    loops = [CountingLoop(), CountingLoop()]
    promises: list[Promise[int]] = [Promise() for _ in range(100)]
    ready = threading.Barrier(3)
    found: list[int] = []
    threads = [
        threading.Thread(target=on, args=(loop, promises[half::2], ready, found)) for half, loop in enumerate(loops)
    ]
    for thread in threads:
        thread.start()
    ready.wait(5)
    deliver([(promise, number, None) for number, promise in enumerate(promises)])
    for thread in threads:
        thread.join(5)
    assert sorted(found) == list(range(100))
    assert [loop.wake_ups for loop in loops] == [1, 1]


def test_errors_and_results_travel_in_one_batch() -> None:
    kept: Promise[int] = Promise()
    broken: Promise[int] = Promise()
    deliver([(kept, 1, None), (broken, None, ValueError("no"))])
    assert kept.result() == 1
    with pytest.raises(ValueError, match="no"):
        broken.result()


def test_what_was_settled_before_keeps_its_value_and_the_rest_is_delivered() -> None:
    old: Promise[int] = Promise()
    new: Promise[int] = Promise()
    old.set_result(1)
    deliver([(old, 2, None), (new, 2, None)])
    assert (old.result(), new.result()) == (1, 2)


def test_a_closed_loop_does_not_keep_the_others_from_waking() -> None:
    promise: Promise[int] = Promise()
    closed = asyncio.new_event_loop()
    promise.future(closed)
    closed.close()

    async def main() -> int:
        asyncio.get_running_loop().call_soon(deliver, [(promise, 4, None)])
        return await promise

    assert asyncio.run(main()) == 4
