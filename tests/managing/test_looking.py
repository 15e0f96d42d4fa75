"""Statuses, payloads, steps and what is stranded; in a workflow, what it saw is recorded."""

from __future__ import annotations

import asyncio
import logging
from dataclasses import dataclass
from typing import Any

import pytest

import durably
from durably import Client, Durably, RemoteError, Status, WorkflowNotFoundError, WorkflowQuery, step, workflow
from durably.registry import registry
from tests.execution.rows import rows
from tests.managing.flows import LONG, THREE, WAITER, Stand, echo, note, note_later, start


@dataclass
class Order:
    """A class that only its own annotations name."""

    number: int
    lines: list[str]


class OddError(Exception):
    """An error of this module's own."""


@step
def pack(order: Order) -> Order:
    return Order(order.number, [*order.lines, "packed"])


@workflow
def place(order: Order, urgent: bool = False) -> Order:
    return pack(order)


@workflow
def failing(order: Order) -> None:
    raise OddError(order.number)


ORDER = Order(1, ["tea"])


def test_payloads_only_on_request(system_url: str) -> None:
    with Durably("looking", system_database_url=system_url):
        with durably.workflow_options(workflow_id="done"):
            durably.start_workflow(place, ORDER, urgent=True).get_result()
        with pytest.raises(OddError):
            start(failing, "failed", ORDER).get_result(timeout_seconds=LONG)
        assert [(one.inputs, one.output, one.error) for one in durably.list_workflows()] == [(None, None, None)] * 2
        done, failed = durably.list_workflows(WorkflowQuery(payloads=True))
        assert (done.inputs, done.output, done.error) == (
            ((ORDER,), {"urgent": True}),
            Order(1, ["tea", "packed"]),
            None,
        )
        assert (failed.inputs, failed.output) == (((ORDER,), {}), None)
        assert isinstance(failed.error, OddError)
        assert failed.error.args == (1,)


def test_payloads_of_what_has_none_yet(system_url: str, stand: Stand) -> None:
    with Durably("looking", system_database_url=system_url):
        start(THREE["plain"], "w", 2)
        stand.arrived()
        (running,) = durably.list_workflows(WorkflowQuery(payloads=True))
        assert (running.inputs, running.output, running.error) == (((2,), {}), None, None)
        stand.go.set()


def test_payloads_of_code_that_is_not_here(system_url: str, caplog: pytest.LogCaptureFixture) -> None:
    """Names that are not registered are listed like others; what cannot be decoded is given as its text."""
    with Durably("looking", system_database_url=system_url):
        start(place, "odd", ORDER).get_result(timeout_seconds=LONG)
        start(echo, "plain", {"a": [1, (2,)]}).get_result(timeout_seconds=LONG)
    here = registry.snapshot()
    registry.restore(here._replace(declarations={}))
    try:
        with caplog.at_level(logging.WARNING, "durably"), Client(system_url, name="looking") as client:
            odd, plain = client.list_workflows(WorkflowQuery(payloads=True))
            (packed,) = client.list_workflow_steps("odd", payloads=True)
    finally:
        registry.restore(here)
    assert odd.name.endswith("place")
    assert isinstance(odd.inputs, str)
    assert '"tea"' in odd.inputs
    assert isinstance(odd.output, str)
    assert isinstance(packed.output, str)
    assert (plain.inputs, plain.output) == ((({"a": [1, (2,)]},), {}), {"a": [1, (2,)]})
    assert "listed as the text that is stored: cannot read the output of workflow 'odd'" in caplog.text


def test_an_error_of_code_that_is_not_here(system_url: str) -> None:
    with Durably("looking", system_database_url=system_url), pytest.raises(OddError):
        start(failing, "w", ORDER).get_result(timeout_seconds=LONG)
    rows(system_url, 'UPDATE durably.workflow_outputs SET error = \'{"type": "gone:Error", "message": "why"}\'')
    with Client(system_url, name="looking") as client:
        (listed,) = client.list_workflows(WorkflowQuery(payloads=True))
        assert isinstance(listed.error, RemoteError)
        assert "why" in str(listed.error)


def test_a_status(system_url: str, stand: Stand) -> None:
    with Durably("looking", system_database_url=system_url, application_version="3"):
        handle = start(THREE["plain"], "w", 3, attributes={"a": 1}, timeout_seconds=600)
        stand.arrived()
        running = handle.get_status()
        assert (running.status, running.name, running.attempt) == (
            Status.PENDING,
            THREE["plain"].__module__ + ".three",
            1,
        )
        assert (running.application_name, running.application_version) == ("looking", "3")
        assert (running.timeout_ms, running.attributes) == (600_000, {"a": 1})
        assert running.started_at is not None
        assert running.deadline is not None
        assert running.created_at <= running.started_at <= running.deadline - 600_000 + 1_000
        stand.go.set()
        handle.get_result(timeout_seconds=LONG)
        ended = handle.get_status()
        assert ended.completed_at is not None
        assert ended.completed_at >= running.started_at
        with pytest.raises(WorkflowNotFoundError, match="nobody"):
            durably.get_workflow_status("nobody")


# -- steps -------------------------------------------------------------------------------------------------------


@workflow
async def branching() -> list[Any]:
    """Steps, a gather with a gather in it, a child, and an error."""
    first = await note_later("first")
    arms = await durably.aio.gather(arm("a"), arm("b"))
    child = await (await durably.aio.start_workflow(echo, 1)).get_result()
    try:
        await durably.aio.run_step(refuse)
    except OddError as error:
        return [first, arms, child, *error.args]
    return []


async def arm(name: str) -> list[str]:
    return [await note_later(name), *await durably.aio.gather(note_later(f"{name}1"), note_later(f"{name}2"))]


def refuse() -> None:
    raise OddError("no")


def test_steps(system_url: str, stand: Stand) -> None:
    with Durably("looking", system_database_url=system_url):
        start(branching, "w").get_result(timeout_seconds=LONG)
        bare = durably.list_workflow_steps("w")
        steps = durably.list_workflow_steps("w", payloads=True)
    assert [(one.branch, one.function_id) for one in bare] == sorted((one.branch, one.function_id) for one in bare)
    assert len({(one.branch, one.function_id) for one in bare}) == 10
    assert [(one.output, one.error) for one in bare] == [(None, None)] * 10
    own = [one for one in steps if one.branch == ""]
    assert [one.output for one in own] == ["first", "w-2", 1, None]
    assert [one.child_workflow_id for one in own] == [None, "w-2", "w-2", None]
    assert [one.failed for one in own] == [False, False, False, True]
    assert isinstance(own[3].error, OddError)
    inner = [(one.branch, one.function_id, one.output) for one in steps if one.branch]
    # The inner gather's steps were called in the arm, and are its own.
    assert inner == [
        (f"1.1.{place}", number + 1, f"{name}{number or ''}") for place, name in enumerate("ab") for number in range(3)
    ]
    for one in steps:
        assert one.completed_at is not None
        assert one.started_at is not None
        assert one.started_at <= one.completed_at + 1_000


def test_steps_leave_out_the_ends_of_waits(system_url: str, stand: Stand) -> None:
    with Durably("looking", system_database_url=system_url):
        start(WAITER["plain"], "w", "recv")
        stand.arrived()
        deadline = "SELECT count(*) FROM durably.operation_outputs WHERE branch = '!'"
        while not rows(system_url, deadline)[0][0]:
            stand.go.wait(0.05)
        assert [one.output for one in durably.list_workflow_steps("w", payloads=True)] == ["before"]
        durably.cancel_workflow("w")


# -- what nobody runs --------------------------------------------------------------------------------------------


def test_what_is_stranded(system_url: str, stand: Stand) -> None:
    for version, name in ((None, "any"), ("1", "one"), ("2", "two")):
        with Durably("looking", system_database_url=system_url, executes="none", application_version=version):
            start(echo, name, name)
            start(echo, f"ended-{name}", name).cancel()
    with Client(system_url, name="looking") as client:

        def stranded() -> list[str]:
            return [one.workflow_id for one in client.list_stranded_workflows()]

        # Without a version, any executor can run it.
        assert stranded() == ["one", "two"]
        assert [one.workflow_id for one in client.list_stranded_workflows(limit=1)] == ["one"]
        with Durably("looking", system_database_url=system_url, application_version="2"):
            assert client.get_result("two", timeout_seconds=LONG) == "two"
            assert stranded() == ["one"]
        with Durably("elsewhere", system_database_url=system_url, application_version="1"):
            assert stranded() == ["one"]
        with Durably("looking", system_database_url=system_url, application_version="1"):
            assert client.get_result("one", timeout_seconds=LONG) == "one"
        assert stranded() == []


# -- in workflows ------------------------------------------------------------------------------------------------


def test_in_a_workflow_what_was_seen_is_recorded(system_url: str) -> None:
    seen: list[tuple[Any, ...]] = []

    class Killed(BaseException):
        pass

    @workflow
    def looker() -> str:
        seen.append(
            (
                durably.list_workflows(WorkflowQuery(payloads=True, has_parent=False)),
                durably.count_workflows(group_by=["status", "user"]),
                durably.list_workflow_steps("done", payloads=True),
                durably.list_stranded_workflows(),
                durably.get_workflow_status("done"),
            )
        )
        if len(seen) == 1:
            raise Killed
        return "done"

    with Durably("looking", system_database_url=system_url, lease_seconds=0.6):
        start(place, "done", ORDER, attributes={"a": 1}).get_result(timeout_seconds=LONG)
        with durably.workflow_options(workflow_id="l"), pytest.raises(Killed):
            looker()
        durably.delete_workflow("done")
        assert durably.get_result("l", timeout_seconds=LONG) == "done"
        assert seen[1] == seen[0]
        found, count, steps, stranded, status = seen[1]
    assert [one.workflow_id for one in found] == ["done", "l"]
    assert (found[0].output, found[0].attributes) == (Order(1, ["tea", "packed"]), {"a": 1})
    assert count == {("SUCCESS", None): 1, ("PENDING", None): 1}
    assert steps[0].output == Order(1, ["tea", "packed"])
    assert (stranded, status.status) == ([], Status.SUCCESS)


def test_awaited(system_url: str, stand: Stand) -> None:
    async def main() -> None:
        async with Durably("looking", system_database_url=system_url):
            with durably.workflow_options(workflow_id="w"):
                handle = await durably.aio.start_workflow(place, ORDER)
            await handle.get_result()
            (listed,) = await durably.aio.list_workflows(WorkflowQuery(payloads=True))
            assert listed.inputs == ((ORDER,), {})
            assert await durably.aio.count_workflows(group_by=["name"]) == {(listed.name,): 1}
            assert [one.failed for one in await durably.aio.list_workflow_steps("w")] == [False]
            assert await durably.aio.list_stranded_workflows() == []
            assert (await durably.aio.get_workflow_status("w")).status is Status.SUCCESS

    asyncio.run(main())
    assert note("outside") == "outside"
