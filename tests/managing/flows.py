"""Workflows that stand still where a test wants them, plain and as coroutines, and what they did."""

from __future__ import annotations

import threading
from collections import Counter
from collections.abc import Callable
from typing import Any

import durably
from durably import step, workflow

#: Whatever goes wrong, no test waits longer (seconds).
LONG = 30.0

KINDS = ("plain", "coroutine")


class Stand:
    """Where workflows stand still: ``inside`` tells that one has come, ``go`` lets all go on."""

    def __init__(self) -> None:
        self.inside = threading.Semaphore(0)
        self.go = threading.Event()
        self.ran: Counter[str] = Counter()

    def __call__(self, name: str = "stand") -> str:
        self.ran[name] += 1
        self.inside.release()
        assert self.go.wait(LONG)
        return name

    def arrived(self, count: int = 1) -> None:
        """Wait until so many more have come."""
        for _ in range(count):
            assert self.inside.acquire(timeout=LONG)


#: One for each test, put in place by the fixture ``stand``.
_stand: list[Stand] = []


def current() -> Stand:
    """The stand of this test."""
    return _stand[-1]


def renew() -> Stand:
    """A new stand."""
    _stand.append(Stand())
    return _stand[-1]


@step
def note(name: str) -> str:
    """A step that is done at once."""
    current().ran[name] += 1
    return name


@step
async def note_later(name: str) -> str:
    """The same, as a coroutine."""
    current().ran[name] += 1
    return name


@step
def stay(name: str) -> str:
    """A step that stands still."""
    return current()(name)


@workflow
def three(number: int) -> list[str]:
    """Three steps; the second one stands still."""
    return [note("one"), stay("two"), note("three")][: number or 3]


@workflow
async def three_later(number: int) -> list[str]:
    """The same, as a coroutine."""
    return [await note_later("one"), await durably.aio.run_step(stay, "two"), await note_later("three")][: number or 3]


THREE: dict[str, Callable[..., Any]] = {"plain": three, "coroutine": three_later}


@workflow
def waiter(how: str) -> str:
    """One step, then a wait that nothing ends, then another step."""
    note("before")
    current().inside.release()
    if how == "sleep":
        durably.sleep(600)
    elif how == "recv":
        durably.recv("never", timeout_seconds=600)
    elif how == "event":
        durably.get_event("nobody", "never", timeout_seconds=600)
    elif how == "result":
        durably.get_result("other")
    elif how == "stream":
        list(durably.read_stream("other", "never"))
    elif how == "wait_first":
        durably.wait_first([durably.retrieve_workflow("other")])
    elif how == "wait_all":
        durably.wait_all([durably.retrieve_workflow("other")])
    return note("after")


@workflow
async def waiter_later(how: str) -> str:
    """The same, as a coroutine."""
    await note_later("before")
    current().inside.release()
    if how == "sleep":
        await durably.aio.sleep(600)
    elif how == "recv":
        await durably.aio.recv("never", timeout_seconds=600)
    elif how == "event":
        await durably.aio.get_event("nobody", "never", timeout_seconds=600)
    elif how == "result":
        await durably.aio.get_result("other")
    elif how == "stream":
        async for _ in durably.aio.read_stream("other", "never"):
            raise AssertionError("nobody writes to it")
    elif how == "wait_first":
        await durably.aio.wait_first([await durably.aio.retrieve_workflow("other")])
    elif how == "wait_all":
        await durably.aio.wait_all([await durably.aio.retrieve_workflow("other")])
    elif how == "gather":
        await durably.aio.gather(durably.aio.sleep(600), durably.aio.recv("never", timeout_seconds=None))
    return await note_later("after")


WAITER: dict[str, Callable[..., Any]] = {"plain": waiter, "coroutine": waiter_later}
WAITS = ("sleep", "recv", "event", "result", "stream", "wait_first", "wait_all")


@workflow
def other() -> str:
    """What a waiter waits for; it stands still."""
    return current()("other")


@workflow
def echo(value: Any) -> Any:
    """Ends at once."""
    return value


def start(flow: Callable[..., Any], workflow_id: str, *args: Any, **options: Any) -> durably.WorkflowHandle[Any]:
    """Start a workflow under an id."""
    with durably.workflow_options(workflow_id=workflow_id, **options):
        return durably.start_workflow(flow, *args)
