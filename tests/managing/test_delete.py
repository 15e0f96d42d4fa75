"""A deleted workflow leaves nothing behind, whatever it was at; its id can be used again."""

from __future__ import annotations

import asyncio
import threading
import time

import pytest

import durably
from durably import Client, Durably, Status, WorkflowNotFoundError, workflow
from tests.execution.rows import rows
from tests.managing.flows import KINDS, LONG, THREE, WAITER, Stand, echo, note, start, stay

SOON = 3.0

TABLES = {
    "workflow_status": "workflow_uuid",
    "workflow_inputs": "workflow_uuid",
    "workflow_outputs": "workflow_uuid",
    "operation_outputs": "workflow_uuid",
    "notifications": "destination_uuid",
    "workflow_events": "workflow_uuid",
    "workflow_events_history": "workflow_uuid",
    "streams": "workflow_uuid",
}


def left_of(system_url: str, workflow_id: str) -> dict[str, int]:
    """How many rows of a workflow there are, in the tables that have any."""
    counts = {
        table: rows(system_url, f"SELECT count(*) FROM durably.{table} WHERE {column} = ?", (workflow_id,))[0][0]
        for table, column in TABLES.items()
    }
    return {table: count for table, count in counts.items() if count}


@workflow
def talker() -> str:
    """Leaves a row in every table."""
    durably.set_event("key", 1)
    durably.write_stream("stream", 1)
    return note("done")


def test_nothing_of_it_is_left_and_nothing_else_is_touched(system_url: str, stand: Stand) -> None:
    with Durably("delete", system_database_url=system_url):
        for one in ("w", "beside"):
            start(talker, one).get_result(timeout_seconds=LONG)
            durably.send(one, "hello")
        before = left_of(system_url, "beside")
        assert set(left_of(system_url, "w")) == set(TABLES)
        durably.delete_workflow("w")
        assert left_of(system_url, "w") == {}
        assert left_of(system_url, "beside") == before
        with pytest.raises(WorkflowNotFoundError):
            durably.get_result("w", timeout_seconds=SOON)
        durably.delete_workflows(["w", "nobody"])
        assert durably.count_workflows() == {(): 1}


@pytest.mark.parametrize("children", [False, True])
def test_with_and_without_children(system_url: str, stand: Stand, children: bool) -> None:
    @workflow
    def parent(height: int) -> None:
        if height:
            parent(height - 1)
            durably.start_workflow(echo, height).get_result()

    with Durably("delete", system_database_url=system_url):
        start(parent, "p", 2).get_result(timeout_seconds=LONG)
        durably.delete_workflow("p", children=children)
        left = [one.workflow_id for one in durably.list_workflows()]
        assert sorted(left) == ([] if children else ["p-1", "p-1-1", "p-1-2", "p-2"])


@pytest.mark.parametrize("kind", KINDS)
def test_while_its_step_runs(system_url: str, stand: Stand, kind: str) -> None:
    """The step's result is refused, who waits is told, and the id is free at once."""
    with Durably("delete", system_database_url=system_url):
        handle = start(THREE[kind], "w", 0)
        stand.arrived()
        told: list[BaseException] = []

        def wait() -> None:
            try:
                handle.get_result(timeout_seconds=LONG)
            except WorkflowNotFoundError as error:
                told.append(error)

        thread = threading.Thread(target=wait)
        thread.start()
        durably.delete_workflow("w")
        thread.join(SOON)
        assert len(told) == 1
        assert left_of(system_url, "w") == {}
        again = start(THREE[kind], "w", 2)
        stand.arrived()
        stand.go.set()
        assert again.get_result(timeout_seconds=LONG) == ["one", "two"]
        assert [one.function_id for one in durably.list_workflow_steps("w")] == [1, 2, 3]
    assert stand.ran == {"one": 2, "two": 2, "three": 1}


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("how", ["sleep", "recv"])
def test_while_it_waits(system_url: str, stand: Stand, kind: str, how: str) -> None:
    with Durably("delete", system_database_url=system_url) as app:
        start(WAITER[kind], "w", how)
        stand.arrived()
        began = time.monotonic()
        durably.delete_workflow("w")
        while len(app._require().services.active):
            assert time.monotonic() - began < SOON
            time.sleep(0.005)
    assert left_of(system_url, "w") == {}


def test_from_elsewhere_and_the_id_used_again_before_this_process_hears_of_it(system_url: str, stand: Stand) -> None:
    with Durably("delete", system_database_url=system_url, notifications=False, lease_seconds=60):
        start(THREE["plain"], "w", 0)
        stand.arrived()
        with Client(system_url, name="delete") as client:
            client.delete_workflow("w")
        again = start(THREE["plain"], "w", 1)
        stand.arrived()
        stand.go.set()
        assert again.get_result(timeout_seconds=LONG) == ["one"]
    assert stand.ran == {"one": 2, "two": 2, "three": 1}


def test_before_it_is_claimed(system_url: str) -> None:
    with Durably("delete", system_database_url=system_url, executes="none"):
        start(echo, "w", 1)
        durably.delete_workflow("w")
    with Durably("delete", system_database_url=system_url):
        assert start(echo, "w", 2).get_result(timeout_seconds=LONG) == 2


def test_its_forks_stay(system_url: str) -> None:
    with Durably("delete", system_database_url=system_url):
        start(echo, "w", 1).get_result(timeout_seconds=LONG)
        forked = durably.fork_workflow("w")
        durably.delete_workflow("w", children=True)
        assert durably.get_result(forked, timeout_seconds=LONG) == 1


def test_in_a_workflow_it_is_recorded(system_url: str, stand: Stand) -> None:
    lives: list[int] = []

    class Killed(BaseException):
        pass

    @workflow
    def deleter() -> str:
        durably.delete_workflow("w")
        lives.append(1)
        if len(lives) == 1:
            raise Killed
        return "done"

    with Durably("delete", system_database_url=system_url, lease_seconds=0.6):
        start(echo, "w", 1).get_result(timeout_seconds=LONG)
        with durably.workflow_options(workflow_id="d"), pytest.raises(Killed):
            deleter()
        start(echo, "w", 2).get_result(timeout_seconds=LONG)
        assert durably.get_result("d", timeout_seconds=LONG) == "done"
        # The replay has not deleted the next one of this id.
        assert durably.get_result("w") == 2


def test_a_workflow_can_delete_itself(system_url: str, stand: Stand) -> None:
    """It ends there, and leaves no checkpoint that a later workflow of its id would meet."""

    @workflow
    def flow(parent: bool) -> None:
        if parent:
            flow(False)
        else:
            durably.delete_workflow("w", children=True)
        stay("after")

    with Durably("delete", system_database_url=system_url):
        with pytest.raises(WorkflowNotFoundError):
            start(flow, "w", True).get_result(timeout_seconds=SOON)
        stand.go.set()
    assert stand.ran == {}
    assert left_of(system_url, "w") == left_of(system_url, "w-1") == {}


def test_awaited(system_url: str, stand: Stand) -> None:
    async def main() -> None:
        async with Durably("delete", system_database_url=system_url):
            with durably.workflow_options(workflow_id="w"):
                handle = await durably.aio.start_workflow(WAITER["coroutine"], "sleep")
            await asyncio.to_thread(stand.arrived)
            assert (await handle.get_status()).status is Status.PENDING
            await durably.aio.delete_workflow("w")
            with pytest.raises(WorkflowNotFoundError):
                await handle.get_result(timeout_seconds=SOON)
            await durably.aio.delete_workflows(["w"], children=True)

    asyncio.run(main())
