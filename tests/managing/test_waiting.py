"""Waiting for the first of several workflows, or for all: outside and, recorded, inside workflows."""

from __future__ import annotations

import asyncio
import threading
import time
from dataclasses import dataclass
from typing import Any

import pytest

import durably
from durably import (
    Client,
    ConfigurationError,
    Durably,
    WaitTimeoutError,
    WorkflowCancelledError,
    WorkflowHandle,
    WorkflowNotFoundError,
    workflow,
)
from durably.ledger import commit
from tests.execution.rows import checkpoints
from tests.managing.flows import KINDS, LONG, WAITER, Stand, echo, start
from tests.messaging.forms import FORMS, Form, Verbs
from tests.messaging.lives import SECONDS


@dataclass
class Part:
    """A class that only annotations name."""

    number: int


GATES: dict[int, threading.Event] = {}


@workflow
def gated(number: int) -> Part:
    """Ends when its gate opens; fails if its number is negative."""
    assert GATES[number].wait(LONG)
    if number < 0:
        raise ValueError(f"no {number}")
    return Part(number)


def begin(*numbers: int) -> list[WorkflowHandle[Part]]:
    """Start gated workflows."""
    GATES.update({number: threading.Event() for number in numbers})
    return [start(gated, f"g{number}", number) for number in numbers]


def open_gates(*numbers: int) -> None:
    for number in numbers:
        GATES[number].set()


def test_the_first_is_the_one_that_ends_first(system_url: str) -> None:
    with Durably("waiting", system_database_url=system_url):
        handles = begin(1, 2, 3)
        timer = threading.Timer(0.1, open_gates, [2])
        timer.start()
        first = durably.wait_first(handles, timeout_seconds=LONG)
        assert first is handles[1]
        assert first.get_result() == Part(2)
        # One that failed, was cancelled or does not exist has ended, too.
        handles[2].cancel()
        assert durably.wait_first([handles[0], handles[2]], timeout_seconds=LONG) is handles[2]
        # Of several that have ended, it is the first in order.
        open_gates(1, 3)
        assert handles[0].get_result() == Part(1)
        for order in ([0, 1, 2], [2, 1, 0], [1, 2, 0]):
            asked = [handles[one] for one in order]
            assert durably.wait_first(asked) is asked[0]


def test_duplicates(system_url: str) -> None:
    with Durably("waiting", system_database_url=system_url):
        handles = begin(1, 2)
        again = durably.retrieve_workflow("g1", expect=Part)
        open_gates(1)
        assert durably.wait_first([handles[1], again, handles[0], again], timeout_seconds=LONG) is again
        open_gates(2)
        assert durably.wait_all([*handles, again, handles[0]], timeout_seconds=LONG) == list(map(Part, (1, 2, 1, 1)))


def test_all_in_their_order(system_url: str) -> None:
    with Durably("waiting", system_database_url=system_url):
        handles = begin(1, 2, 3)
        timer = threading.Timer(0.05, open_gates, [3, 2, 1])
        timer.start()
        assert durably.wait_all(handles, timeout_seconds=LONG) == [Part(1), Part(2), Part(3)]
        assert durably.wait_all([]) == []


def test_the_first_error_in_order_is_raised_once_all_have_ended(system_url: str) -> None:
    with Durably("waiting", system_database_url=system_url):
        handles = begin(1, -2, -3, 4)
        open_gates(1, -2, -3)
        with pytest.raises(WaitTimeoutError):
            durably.wait_all(handles, timeout_seconds=0.2)
        open_gates(4)
        with pytest.raises(ValueError, match="no -2"):
            durably.wait_all(handles, timeout_seconds=LONG)
        with pytest.raises(ValueError, match="no -3"):
            durably.wait_all(handles[::-1], timeout_seconds=LONG)


def test_of_cancelled_and_missing_ones(system_url: str, stand: Stand) -> None:
    with Durably("waiting", system_database_url=system_url) as app:
        waiting = start(WAITER["plain"], "w", "sleep")
        stand.arrived()
        waiting.cancel()
        with pytest.raises(WorkflowCancelledError):
            durably.wait_all([waiting], timeout_seconds=LONG)
        missing: WorkflowHandle[Any] = WorkflowHandle("nobody", app)
        assert durably.wait_first([missing], timeout_seconds=LONG) is missing
        with pytest.raises(WorkflowNotFoundError):
            durably.wait_all([missing], timeout_seconds=LONG)


def test_timeouts(system_url: str) -> None:
    with Durably("waiting", system_database_url=system_url):
        handles = begin(1, 2)
        for seconds in (0, 0.1):
            began = time.monotonic()
            with pytest.raises(WaitTimeoutError, match="none of 2 workflows"):
                durably.wait_first(handles, timeout_seconds=seconds)
            with pytest.raises(WaitTimeoutError, match="'g1'"):
                durably.wait_all(handles, timeout_seconds=seconds)
            assert time.monotonic() - began < 2
        open_gates(1, 2)
        assert durably.wait_all(handles, timeout_seconds=LONG) == [Part(1), Part(2)]


def test_the_first_of_none_is_an_error(system_url: str) -> None:
    with (
        Durably("waiting", system_database_url=system_url),
        pytest.raises(ConfigurationError, match="at least one handle"),
    ):
        durably.wait_first([])


class Killed(BaseException):
    """Stands for a crash."""


LIVES: list[list[Any]] = []


@workflow
def waiter() -> list[Any]:
    """Waits for all it can, outside code of its own; is killed once, then replayed."""
    handles = [durably.retrieve_workflow(one) for one in ("g1", "g2")]
    first = durably.wait_first(handles)
    with pytest.raises(WaitTimeoutError):
        durably.wait_all(handles, timeout_seconds=0.01)
    with pytest.raises(WaitTimeoutError):
        durably.wait_first([durably.retrieve_workflow("g2")], timeout_seconds=0.01)
    open_gates(2, -3)
    values = durably.wait_all([*handles, durably.retrieve_workflow("g1", expect=Part)])
    with pytest.raises(ValueError, match="no -3"):
        durably.wait_all([durably.retrieve_workflow("g-3"), *handles])
    LIVES.append([first.workflow_id, values, durably.get_result("g2", expect=Part)])
    if len(LIVES) == 1:
        raise Killed
    return [one if isinstance(one, str) else None for one in LIVES[-1]]


@workflow
async def waiter_later() -> list[Any]:
    """The same, as a coroutine."""
    handles = [await durably.aio.retrieve_workflow(one) for one in ("g1", "g2")]
    first = await durably.aio.wait_first(handles)
    with pytest.raises(WaitTimeoutError):
        await durably.aio.wait_all(handles, timeout_seconds=0.01)
    with pytest.raises(WaitTimeoutError):
        await durably.aio.wait_first([await durably.aio.retrieve_workflow("g2")], timeout_seconds=0.01)
    open_gates(2, -3)
    values = await durably.aio.wait_all([*handles, await durably.aio.retrieve_workflow("g1", expect=Part)])
    with pytest.raises(ValueError, match="no -3"):
        await durably.aio.wait_all([await durably.aio.retrieve_workflow("g-3"), *handles])
    LIVES.append([first.workflow_id, values, await durably.aio.get_result("g2", expect=Part)])
    if len(LIVES) == 1:
        raise Killed
    return [one if isinstance(one, str) else None for one in LIVES[-1]]


@pytest.mark.parametrize("kind", KINDS)
def test_in_a_workflow_it_is_recorded(system_url: str, kind: str) -> None:
    """A replay sees the same, though the others are gone by then, and does not wait for them."""
    LIVES.clear()
    with Durably("waiting", system_database_url=system_url, lease_seconds=0.6):
        begin(1, 2, -3)
        open_gates(1)
        start(waiter if kind == "plain" else waiter_later, "w")
        end = time.monotonic() + LONG
        while not LIVES:
            assert time.monotonic() < end
            time.sleep(0.01)
        durably.delete_workflows(["g1", "g2", "g-3"])
        assert durably.get_result("w", timeout_seconds=LONG) == ["g1", None, None]
    assert [["g1", [Part(1), Part(2), Part(1)], Part(2)]] * 2 == LIVES


def test_a_result_is_recorded_as_the_other_workflow_recorded_it(system_url: str) -> None:
    """Its classes are those of the other one's annotation, wherever that is registered."""
    lives: list[list[Any]] = []

    @workflow
    def asker() -> str:
        seen: list[Any] = [durably.get_result("g1"), durably.retrieve_workflow("g1").get_result()]
        for number in (-2, "nobody"):
            try:
                durably.get_result(f"g{number}", timeout_seconds=LONG)
            except (ValueError, WorkflowNotFoundError) as error:
                seen.append(str(error))
        with pytest.raises(WaitTimeoutError):
            durably.get_result("g3", timeout_seconds=0.01)
        lives.append(seen)
        if len(lives) == 1:
            raise Killed
        return "done"

    with Durably("waiting", system_database_url=system_url, lease_seconds=0.6):
        begin(1, -2, 3)
        open_gates(1, -2)
        with durably.workflow_options(workflow_id="a"), pytest.raises(Killed):
            asker()
        open_gates(3)
        assert durably.get_result("a", timeout_seconds=LONG) == "done"
        steps = [one for one in durably.list_workflow_steps("a", payloads=True) if one.name == "durably.get_result"]
    assert lives == [[Part(1), Part(1), "no -2", "there is no workflow with the id 'gnobody'"]] * 2
    assert [one.child_workflow_id for one in steps] == ["g1", "g1", "g-2", "gnobody", "g3"]
    assert [one.failed for one in steps] == [False, False, True, True, True]


@pytest.mark.parametrize("form", FORMS, ids=lambda form: form.name)
def test_a_result_is_recorded_before_anything_after_it_happens(
    system_url: str, form: Form, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Nobody waits for the record of a result itself."""
    monkeypatch.setattr(commit, "ECHO_SECONDS", 3600.0)
    seen: list[list[str]] = []

    def look() -> None:
        seen.append(checkpoints(system_url, "w"))

    async def flow(verbs: Verbs) -> None:
        for _ in range(2):
            await verbs.get_result("done")
        await verbs.run_step(look)
        await verbs.get_result("done")
        await verbs.delete_workflow("done")

    with Durably("managed", system_database_url=system_url):
        with durably.workflow_options(workflow_id="done"):
            echo(1)
        with durably.workflow_options(workflow_id="w"):
            handle = durably.start_workflow(form.workflow(flow))
        handle.get_result(timeout_seconds=SECONDS)
    assert seen == [["durably.get_result"] * 2]
    assert [name.rpartition(".")[2] for name in checkpoints(system_url, "w")] == [
        *["get_result", "get_result", "look", "get_result", "delete"]
    ]


def test_children_of_a_workflow(system_url: str) -> None:
    @workflow
    def parent() -> list[Any]:
        handles = [durably.start_workflow(echo, number) for number in range(20)]
        first = durably.wait_first(handles)
        return [first in handles, *durably.wait_all(handles)]

    with Durably("waiting", system_database_url=system_url):
        assert start(parent, "p").get_result(timeout_seconds=LONG) == [True, *range(20)]


def test_workflows_of_another_engine(system_url: str) -> None:
    """As far as the database tells: nobody polls for each."""
    with Durably("waiting", system_database_url=system_url):
        begin(1, 2, 3)
        with Client(system_url, name="waiting") as client:
            handles = [client.retrieve_workflow(f"g{number}", expect=Part) for number in (1, 2, 3)]
            open_gates(3)
            assert client.wait_first(handles, timeout_seconds=LONG) is handles[2]
            open_gates(1, 2)
            assert client.wait_all(handles, timeout_seconds=LONG) == [Part(1), Part(2), Part(3)]


def test_awaited(system_url: str) -> None:
    async def main() -> None:
        async with Durably("waiting", system_database_url=system_url):
            GATES.update({number: threading.Event() for number in (1, 2)})
            handles = [await durably.aio.start_workflow(gated, number) for number in (1, 2)]
            with pytest.raises(WaitTimeoutError):
                await durably.aio.wait_first(handles, timeout_seconds=0.01)
            waiting = asyncio.ensure_future(durably.aio.wait_all(handles))
            open_gates(2)
            assert await durably.aio.wait_first(handles) is handles[1]
            assert not waiting.done()
            open_gates(1)
            assert await asyncio.wait_for(waiting, LONG) == [Part(1), Part(2)]
            # Who gives up waiting leaves nothing behind.
            GATES[9] = threading.Event()
            late = await durably.aio.start_workflow(gated, 9)
            waiting = asyncio.ensure_future(durably.aio.wait_all([late]))
            await asyncio.sleep(0.01)
            waiting.cancel()
            with pytest.raises(asyncio.CancelledError):
                await waiting
            open_gates(9)
            assert await late.get_result(timeout_seconds=LONG) == Part(9)

    asyncio.run(main())
