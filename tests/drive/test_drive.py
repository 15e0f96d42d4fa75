"""Blocking code drives the engine's coroutines: to their end, through interruptions, and never a foreign awaitable."""

from __future__ import annotations

import asyncio
import inspect
import signal
import sys
import threading
import types
from collections.abc import Iterator

import pytest

from durably.drive import Promise, blocking, drive, refuse_on_loop, running_loop
from durably.errors import BlockingCallError


class Interrupting(Promise[int]):
    """Interrupts the wait itself, as Ctrl-C does."""

    def wait(self, seconds: float | None = None) -> bool:
        raise KeyboardInterrupt


def test_the_value_and_the_error_of_the_coroutine_come_out() -> None:
    async def value() -> int:
        return 1

    async def error() -> None:
        raise ValueError("no")

    assert drive(value()) == 1
    with pytest.raises(ValueError, match="no"):
        drive(error())


def test_an_interruption_is_thrown_into_the_coroutine_which_may_clean_up() -> None:
    done: list[str] = []

    async def work() -> None:
        try:
            await Interrupting()
        finally:
            ready: Promise[None] = Promise()
            threading.Timer(0.01, ready.set_result, (None,)).start()
            await ready
            done.append("cleaned up")

    with pytest.raises(KeyboardInterrupt):
        drive(work())
    assert done == ["cleaned up"]


def test_a_coroutine_may_go_on_after_an_interruption() -> None:
    async def work() -> str:
        try:
            await Interrupting()
        except KeyboardInterrupt:
            return "went on"
        return "never"

    assert drive(work()) == "went on"


def test_a_signal_reaches_a_thread_that_is_blocked() -> None:
    promise: Promise[int] = Promise()

    async def work() -> None:
        await promise

    def interrupt(number: int, frame: object) -> None:
        raise InterruptedError("signal")

    before = signal.signal(signal.SIGALRM, interrupt)
    try:
        signal.setitimer(signal.ITIMER_REAL, 0.05)
        with pytest.raises(InterruptedError, match="signal"):
            drive(work())
    finally:
        signal.signal(signal.SIGALRM, before)
    promise.set_result(1)
    assert promise.result() == 1


@pytest.mark.parametrize("seconds", [0, 0.01])
def test_an_awaitable_of_another_library_gives_the_clear_error(seconds: float) -> None:
    cleaned: list[str] = []

    async def work() -> None:
        try:
            if seconds:
                # asyncio's own future, without a loop to run it
                loop = asyncio.new_event_loop()
                try:
                    await loop.create_future()
                finally:
                    loop.close()
            await asyncio.sleep(0)
        finally:
            cleaned.append("yes")

    with pytest.raises(BlockingCallError, match=r"async def.*durably\.aio"):
        drive(work())
    assert cleaned == ["yes"]


def test_a_coroutine_may_catch_that_error_and_go_on() -> None:
    async def work() -> str:
        try:
            await asyncio.sleep(0)
        except BlockingCallError:
            promise: Promise[str] = Promise()
            promise.set_result("went on")
            return await promise
        return "never"

    assert drive(work()) == "went on"


def test_blocking_verbs_refuse_to_run_on_an_event_loop() -> None:
    ran: list[int] = []

    async def _get_it(number: int = 1) -> int:
        """The docstring."""
        ran.append(number)
        return number

    get_it = blocking(_get_it)
    assert get_it(2) == 2

    async def main() -> None:
        with pytest.raises(BlockingCallError, match=r"durably\.get_it\(\).*await durably\.aio\.get_it"):
            get_it(3)

    asyncio.run(main())
    assert ran == [2], "refused before anything ran"
    assert (get_it.__name__, get_it.__doc__) == ("get_it", "The docstring.")
    assert inspect.signature(get_it) == inspect.signature(_get_it)


def test_a_thread_beside_an_event_loop_may_block() -> None:
    async def main() -> None:
        await asyncio.to_thread(refuse_on_loop, "verb")
        with pytest.raises(BlockingCallError):
            refuse_on_loop("verb")

    asyncio.run(main())
    refuse_on_loop("verb")


def test_the_running_loop_is_found_and_asyncio_is_not_loaded_for_it(monkeypatch: pytest.MonkeyPatch) -> None:
    async def main() -> bool:
        return running_loop() is asyncio.get_running_loop()

    assert asyncio.run(main())
    assert running_loop() is None
    # As it is while another thread imports it.
    monkeypatch.setitem(sys.modules, "asyncio.events", types.ModuleType("asyncio.events"))
    assert running_loop() is None
    monkeypatch.delitem(sys.modules, "asyncio.events")
    assert running_loop() is None
    assert "asyncio.events" not in sys.modules


def test_a_coroutine_that_was_abandoned_is_closed() -> None:
    closed: list[str] = []

    class Odd:
        def __await__(self) -> Iterator[object]:
            yield object()

    async def work() -> None:
        try:
            await Odd()  # type: ignore[misc]
        except BlockingCallError:
            closed.append("told")
            raise

    with pytest.raises(BlockingCallError, match=r"builtins\.object"):
        drive(work())
    assert closed == ["told"]
