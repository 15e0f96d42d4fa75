"""A blocking call is made on the spot by blocking code, and on another thread under an event loop."""

from __future__ import annotations

import asyncio
import threading
import time
from collections.abc import Callable

import pytest

from durably.drive import Offload, drive


def in_thread(work: Callable[[], None]) -> None:
    threading.Thread(target=work).start()


async def who() -> int:
    return await Offload(threading.get_ident, in_thread)


async def fails() -> None:
    def call() -> None:
        raise ValueError("no")

    await Offload(call, in_thread)


def test_blocking_code_makes_the_call_itself() -> None:
    assert drive(who()) == threading.get_ident()


def test_an_event_loop_never_makes_it_itself() -> None:
    assert asyncio.run(who()) != threading.get_ident()


def test_its_error_comes_back_on_both_drivers() -> None:
    with pytest.raises(ValueError, match="no"):
        drive(fails())
    with pytest.raises(ValueError, match="no"):
        asyncio.run(fails())


def test_the_loop_goes_on_meanwhile() -> None:
    async def main() -> int:
        ticks = 0
        call = asyncio.ensure_future(slow())
        while not call.done():
            await asyncio.sleep(0.01)
            ticks += 1
        return ticks

    async def slow() -> None:
        await Offload(lambda: time.sleep(0.1), in_thread)

    assert asyncio.run(main()) >= 3


def test_a_task_that_is_cancelled_leaves_the_call_to_end_by_itself() -> None:
    ended = threading.Event()

    def call() -> None:
        time.sleep(0.05)
        ended.set()

    async def offloaded() -> None:
        await Offload(call, in_thread)

    async def main() -> None:
        task = asyncio.create_task(offloaded())
        await asyncio.sleep(0.01)
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task

    asyncio.run(main())
    assert ended.wait(5)
