"""What an engine executes: everything its application has, only its own, or nothing; never what it does not know."""

from __future__ import annotations

import asyncio
import logging
import threading

import pytest

import durably
from durably import Durably, NotExecutingError, Status, workflow
from durably.registry import Snapshot, registry
from tests.execution.rows import rows


@workflow(name="roles.flow")
def flow(number: int) -> tuple[int, str | None]:
    found = durably.workflow_id()
    return number, found


@workflow(name="roles.flow_later")
async def flow_later(number: int) -> tuple[int, str | None]:
    return number, durably.workflow_id()


def test_none_leaves_a_start_for_an_executor(system_url: str) -> None:
    web = Durably("roles", system_database_url=system_url, executes="none")
    worker = Durably("roles", system_database_url=system_url)
    with web:
        with durably.workflow_options(workflow_id="w"):
            handle = durably.start_workflow(flow, 7)
        later = durably.start_workflow(flow_later, 8)
        status = handle.get_status()
        assert (status.status, status.executor_id, status.attempt) == (Status.ENQUEUED, None, 0)
        with pytest.raises(durably.WaitTimeoutError):
            handle.get_result(timeout_seconds=0.05)
        with worker:
            assert handle.get_result(timeout_seconds=30) == (7, "w")
            assert later.get_result(timeout_seconds=30) == (8, later.workflow_id)


def test_none_cannot_run_a_workflow_itself(system_url: str) -> None:
    async def main() -> None:
        async with Durably("roles", system_database_url=system_url, executes="none"):
            with pytest.raises(NotExecutingError, match="executes='none'"):
                await flow_later(1)

    with (
        Durably("roles", system_database_url=system_url, executes="none"),
        durably.workflow_options(workflow_id="w"),
        pytest.raises(NotExecutingError, match=r"use durably\.start_workflow"),
    ):
        flow(1)
    asyncio.run(main())
    assert rows(system_url, "SELECT workflow_uuid FROM durably.workflow_status") == []


def test_none_has_no_lease_and_no_threads(system_url: str) -> None:
    with Durably("roles", system_database_url=system_url, executes="none"):
        names = {thread.name for thread in threading.enumerate()}
        assert rows(system_url, "SELECT executor_id FROM durably.executors") == []
        assert {"durably-heartbeat", "durably-takeover"} & names == set()


def test_the_second_start_of_an_id_is_no_second_row(system_url: str) -> None:
    with Durably("roles", system_database_url=system_url, executes="none"):
        for number in (1, 2):
            with durably.workflow_options(workflow_id="w"):
                durably.start_workflow(flow, number)
        with durably.workflow_options(workflow_id="w"), pytest.raises(durably.WorkflowIdConflictError):
            durably.start_workflow(flow_later, 1)
    with Durably("roles", system_database_url=system_url):
        assert durably.get_result("w", timeout_seconds=30) == (1, "w")


def test_own_runs_its_own_and_leaves_the_rest(system_url: str) -> None:
    web = Durably("roles", system_database_url=system_url, executes="none")
    own = Durably("roles", system_database_url=system_url, executes="own", lease_seconds=0.3)
    with web:
        left = durably.start_workflow(flow, 1)
    with own:
        assert flow(2)[0] == 2
        assert durably.start_workflow(flow, 3).get_result(timeout_seconds=30)[0] == 3
        # Several of its looks for work later …
        with pytest.raises(durably.WaitTimeoutError):
            durably.get_result(left.workflow_id, timeout_seconds=0.6)
        assert durably.get_workflow_status(left.workflow_id).status is Status.ENQUEUED
    with Durably("roles", system_database_url=system_url):
        assert durably.get_result(left.workflow_id, timeout_seconds=30)[0] == 1


def test_own_does_not_take_over_from_the_dead(system_url: str) -> None:
    with Durably("roles", system_database_url=system_url, executes="none"):
        left = durably.start_workflow(flow, 1).workflow_id
    rows(
        system_url,
        "INSERT INTO durably.executors (application_name, executor_id, started_at, heartbeat_at, lease_expires_at)"
        " VALUES ('roles', 'gone', 1, 1, 1)",
    )
    rows(system_url, "UPDATE durably.workflow_status SET status = 'PENDING', executor_id = 'gone', attempt = 1")
    with (
        Durably("roles", system_database_url=system_url, executes="own", lease_seconds=0.3),
        pytest.raises(durably.WaitTimeoutError),
    ):
        durably.get_result(left, timeout_seconds=0.6)
    with Durably("roles", system_database_url=system_url):
        assert durably.get_result(left, timeout_seconds=30)[0] == 1


def test_an_unknown_function_is_left_for_who_knows_it(system_url: str, caplog: pytest.LogCaptureFixture) -> None:
    known = registry.snapshot()
    with Durably("roles", system_database_url=system_url, executes="none"):
        waiting = durably.start_workflow(flow, 1).workflow_id
        lost = durably.start_workflow(flow, 2).workflow_id
    rows(
        system_url,
        "INSERT INTO durably.executors (application_name, executor_id, started_at, heartbeat_at, lease_expires_at)"
        " VALUES ('roles', 'gone', 1, 1, 1)",
    )
    rows(
        system_url,
        "UPDATE durably.workflow_status SET status = 'PENDING', executor_id = 'gone', attempt = 1"
        " WHERE workflow_uuid = ?",
        (lost,),
    )
    registry.restore(Snapshot({}, {}))

    @workflow
    def ping() -> str:
        return "pong"

    said = threading.Event()

    class Heard(logging.Handler):
        def emit(self, record: logging.LogRecord) -> None:
            if "cannot be taken over here" in record.getMessage():
                said.set()

    handler = Heard()
    logging.getLogger("durably.executor").addHandler(handler)
    try:
        with Durably("roles", system_database_url=system_url, lease_seconds=0.3):
            assert ping() == "pong"
            assert said.wait(30)
            statuses = [durably.get_workflow_status(one) for one in (waiting, lost)]
    finally:
        logging.getLogger("durably.executor").removeHandler(handler)
    assert [one.status for one in statuses] == [Status.ENQUEUED, Status.PENDING]
    assert [one.attempt for one in statuses] == [0, 1]
    assert "'roles.flow' is not registered in this process" in caplog.text
    assert "aliases=('roles.flow',)" in caplog.text
    registry.restore(known)
    with Durably("roles", system_database_url=system_url):
        assert durably.get_result(waiting, timeout_seconds=30)[0] == 1
        assert durably.get_result(lost, timeout_seconds=30)[0] == 2


def test_a_version_runs_what_was_started_under_it_or_under_none(system_url: str) -> None:
    def left(version: str | None) -> str:
        with Durably("roles", system_database_url=system_url, executes="none", application_version=version):
            return durably.start_workflow(flow, 1).workflow_id

    one, two, none = left("1"), left("2"), left(None)
    with Durably("roles", system_database_url=system_url, application_version="2", lease_seconds=0.3):
        for workflow_id in (two, none):
            durably.get_result(workflow_id, timeout_seconds=30)
        assert durably.get_workflow_status(one).status is Status.ENQUEUED
    with Durably("roles", system_database_url=system_url, application_version="1"):
        durably.get_result(one, timeout_seconds=30)
