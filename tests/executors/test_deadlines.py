"""A workflow that is past its deadline is cancelled, on time, whatever it is at, whatever was restarted meanwhile."""

from __future__ import annotations

import asyncio
import threading
import time
from collections.abc import Iterator
from datetime import datetime, timedelta, timezone
from typing import Any

import pytest

import durably
from durably import ConfigurationError, Durably, Status, WorkflowCancelledError, workflow
from tests.execution.rows import rows
from tests.executors.clocks import FreezingClock
from tests.managing.flows import LONG, WAITER, Stand, echo, note, renew, start, stay

#: How late a cancellation may come where an executor lives; it is milliseconds where the machine is idle.
LATE = 0.7


@pytest.fixture
def stand() -> Iterator[Stand]:
    fresh = renew()
    yield fresh
    fresh.go.set()


@pytest.fixture
def clock() -> Iterator[FreezingClock]:
    frozen = FreezingClock()
    yield frozen
    frozen.thaw()


def cancelled_after(began: float, seconds: float, *workflow_ids: str) -> None:
    """Those workflows are cancelled so many seconds after that moment: not before, and little later."""
    for workflow_id in workflow_ids:
        with pytest.raises(WorkflowCancelledError):
            durably.get_result(workflow_id, timeout_seconds=LONG)
    assert seconds - 0.05 <= time.monotonic() - began < seconds + LATE


@workflow
def patient() -> str:
    """Stands still in its only step."""
    return stay("patient")


@pytest.mark.parametrize("kind", ["plain", "coroutine"])
@pytest.mark.parametrize("how", ["sleep", "recv"])
def test_while_it_waits(system_url: str, stand: Stand, kind: str, how: str) -> None:
    with Durably("deadlines", system_database_url=system_url):
        began = time.monotonic()
        handle = start(WAITER[kind], "w", how, timeout_seconds=0.3)
        cancelled_after(began, 0.3, "w")
        status = handle.get_status()
        assert status.status is Status.CANCELLED
        assert status.timeout_ms == 300
        assert status.deadline is not None
        assert status.completed_at is not None
        assert status.deadline <= status.completed_at < status.deadline + LATE * 1000
    assert stand.ran == {"before": 1}


def test_while_a_step_runs(system_url: str, stand: Stand) -> None:
    @workflow
    def flow() -> str:
        return stay("first") + note("second")

    with Durably("deadlines", system_database_url=system_url):
        began = time.monotonic()
        start(flow, "w", timeout_seconds=0.2)
        cancelled_after(began, 0.2, "w")
        stand.go.set()
    assert stand.ran == {"first": 1}
    assert rows(system_url, "SELECT count(*) FROM durably.operation_outputs") == [(1,)]


def test_of_a_workflow_that_is_called(system_url: str, stand: Stand) -> None:
    with Durably("deadlines", system_database_url=system_url):
        began = time.monotonic()
        with durably.workflow_options(timeout_seconds=0.2), pytest.raises(WorkflowCancelledError):
            WAITER["plain"]("sleep")
        assert 0.15 <= time.monotonic() - began < 0.2 + LATE


def test_each_on_time_one_after_another(system_url: str, stand: Stand) -> None:
    """Not only the first one that is due; the executor's next look at the database is seconds away."""
    late: dict[str, float] = {}
    seconds = {f"w{number}": 0.2 + 0.15 * number for number in range(8)}

    def wait(workflow_id: str, began: float) -> None:
        with app.current(), pytest.raises(WorkflowCancelledError):
            durably.get_result(workflow_id, timeout_seconds=LONG)
        late[workflow_id] = time.monotonic() - began - seconds[workflow_id]

    with Durably("deadlines", system_database_url=system_url, lease_seconds=60) as app:
        threads = []
        for workflow_id, timeout in sorted(seconds.items(), reverse=True):
            began = time.monotonic()
            start(WAITER["coroutine"], workflow_id, "sleep", timeout_seconds=timeout)
            threads.append(threading.Thread(target=wait, args=(workflow_id, began)))
            threads[-1].start()
        for thread in threads:
            thread.join(LONG)
    assert set(late) == set(seconds)
    assert all(-0.05 <= one < LATE for one in late.values()), late


def test_it_counts_from_execution(system_url: str, stand: Stand) -> None:
    """What waits for an executor is not late, however long it waits."""
    with Durably("deadlines", system_database_url=system_url, executes="none"):
        handle = start(patient, "w", timeout_seconds=0.4)
        assert handle.get_status().deadline is None
    time.sleep(0.6)
    with Durably("deadlines", system_database_url=system_url, lease_seconds=60):
        stand.arrived()
        began = time.monotonic()
        claimed = durably.get_workflow_status("w")
        assert claimed.status is Status.PENDING
        assert claimed.started_at is not None
        assert claimed.deadline is not None
        assert claimed.deadline - claimed.started_at == pytest.approx(400, abs=5)
        cancelled_after(began, 0.4 - 0.3, "w")
        stand.go.set()


def test_what_ends_in_time_is_left_alone(system_url: str) -> None:
    with Durably("deadlines", system_database_url=system_url):
        handle = start(echo, "w", 1, timeout_seconds=0.2)
        assert handle.get_result() == 1
        time.sleep(0.4)
        assert handle.get_status().status is Status.SUCCESS
        assert handle.get_result() == 1


@pytest.mark.parametrize("zone", [timezone.utc, timezone(timedelta(hours=-7))], ids=["utc", "elsewhere"])
def test_a_deadline_is_a_moment(system_url: str, stand: Stand, zone: timezone) -> None:
    with Durably("deadlines", system_database_url=system_url):
        began = time.monotonic()
        deadline = datetime.now(zone) + timedelta(seconds=0.3)
        handle = start(WAITER["plain"], "w", "sleep", deadline=deadline)
        assert handle.get_status().deadline == int(deadline.timestamp() * 1000)
        cancelled_after(began, 0.3, "w")


def test_a_deadline_does_not_wait_for_execution(system_url: str, stand: Stand) -> None:
    """Unlike a time-out, it may pass before anybody has claimed the workflow, which then never begins."""
    with Durably("deadlines", system_database_url=system_url, executes="none"):
        start(patient, "w", deadline=datetime.now(timezone.utc) + timedelta(seconds=0.1))
        start(patient, "past", deadline=datetime.now(timezone.utc) - timedelta(days=1))
        start(echo, "beside", 1)
    time.sleep(0.2)
    with Durably("deadlines", system_database_url=system_url):
        cancelled_after(time.monotonic(), 0.0, "w", "past")
        assert durably.get_result("beside", timeout_seconds=LONG) == 1
        assert durably.get_workflow_status("w").attempt == 0
    assert stand.ran == {}


@workflow
def parent(how: str, detached: bool) -> None:
    """Has a child that waits for ever, by itself or called."""
    options: dict[str, Any] = {"timeout_seconds": None} if detached else {}
    with durably.workflow_options(**options):
        if how == "called":
            child(how)
        else:
            durably.start_workflow(child, how)
            durably.sleep(600)


@workflow
def child(how: str) -> None:
    """Has one more."""
    durably.start_workflow(WAITER["coroutine"], "sleep")
    durably.sleep(600)


FAMILY = ("p", "p-1", "p-1-1")


@pytest.mark.parametrize("how", ["called", "started"])
def test_children_inherit_it(system_url: str, stand: Stand, how: str) -> None:
    with Durably("deadlines", system_database_url=system_url):
        began = time.monotonic()
        start(parent, "p", how, False, timeout_seconds=0.5)
        stand.arrived()
        deadlines = {durably.get_workflow_status(one).deadline for one in FAMILY}
        assert len(deadlines) == 1
        assert None not in deadlines
        assert durably.get_workflow_status("p-1").timeout_ms is None
        cancelled_after(began, 0.5, *FAMILY)
    # The parents have not recorded their children's end as a result: when all are resumed, they wait again.
    assert rows(system_url, "SELECT count(*) FROM durably.operation_outputs WHERE error IS NOT NULL") == [(0,)]


@pytest.mark.parametrize("how", ["called", "started"])
def test_none_detaches_a_child(system_url: str, stand: Stand, how: str) -> None:
    with Durably("deadlines", system_database_url=system_url):
        began = time.monotonic()
        start(parent, "p", how, True, timeout_seconds=0.3)
        stand.arrived()
        assert [durably.get_workflow_status(one).deadline is None for one in FAMILY] == [False, True, True]
        cancelled_after(began, 0.3, "p")
        assert durably.get_workflow_status("p-1").status is Status.PENDING
        durably.cancel_workflow("p", children=True)


def test_a_childs_own_takes_the_place_of_its_parents(system_url: str, stand: Stand) -> None:
    @workflow
    def with_own() -> None:
        with durably.workflow_options(timeout_seconds=600):
            durably.start_workflow(WAITER["coroutine"], "sleep")
        with durably.workflow_options(deadline=datetime.now(timezone.utc) + timedelta(seconds=900)):
            durably.start_workflow(WAITER["coroutine"], "sleep")
        durably.sleep(600)

    with Durably("deadlines", system_database_url=system_url):
        start(with_own, "p", timeout_seconds=0.4)
        stand.arrived(2)
        first, second, own = (durably.get_workflow_status(one) for one in ("p-1", "p-2", "p"))
        assert own.deadline is not None
        assert first.deadline is not None
        assert second.deadline is not None
        assert own.deadline + 500_000 < first.deadline < second.deadline
        cancelled_after(time.monotonic(), 0.0, "p")
        durably.cancel_workflows(["p-1", "p-2"])


def test_it_survives_a_restart(system_url: str, stand: Stand) -> None:
    began = time.monotonic()
    app = Durably("deadlines", system_database_url=system_url)
    with app:
        deadline = start(WAITER["plain"], "w", "sleep", timeout_seconds=0.8).get_status().deadline
        stand.arrived()
        app.shutdown(timeout_seconds=0)
    with Durably("deadlines", system_database_url=system_url, lease_seconds=60):
        while durably.get_workflow_status("w").attempt != 2:
            assert time.monotonic() - began < LONG
            time.sleep(0.01)
        # By now it may be over, on a slow machine; the deadline is the same in any case.
        assert durably.get_workflow_status("w").deadline == deadline
        cancelled_after(began, 0.8, "w")
    assert stand.ran == {"before": 1}


def test_it_passes_while_nothing_runs(system_url: str, stand: Stand) -> None:
    app = Durably("deadlines", system_database_url=system_url)
    with app:
        start(WAITER["plain"], "w", "sleep", timeout_seconds=0.5)
        stand.arrived()
        app.shutdown(timeout_seconds=0)
    time.sleep(0.6)
    with Durably("deadlines", system_database_url=system_url):
        cancelled_after(time.monotonic(), 0.0, "w")
        assert durably.get_workflow_status("w").attempt == 1


def test_any_executor_enforces_it(system_url: str, stand: Stand, clock: FreezingClock) -> None:
    """The one that runs it has fallen silent, and nobody may take over yet."""
    silent = Durably("deadlines", system_database_url=system_url, clock=clock, lease_seconds=60)
    with silent:
        with silent.current():
            start(patient, "w", timeout_seconds=0.5)
            stand.arrived()
        clock.freeze()
        with Durably("deadlines", system_database_url=system_url, lease_seconds=0.6) as peer, peer.current():
            began = time.monotonic()
            with pytest.raises(WorkflowCancelledError):
                durably.get_result("w", timeout_seconds=LONG)
            assert time.monotonic() - began < 0.6 + LATE
            assert durably.get_workflow_status("w").attempt == 1
        stand.go.set()
        clock.thaw()


def test_one_that_runs_another_version_does_too(system_url: str, stand: Stand) -> None:
    with Durably("deadlines", system_database_url=system_url, executes="none", application_version="1"):
        start(patient, "w", deadline=datetime.now(timezone.utc) + timedelta(seconds=0.3))
        start(patient, "later", timeout_seconds=0.1)
    with Durably("deadlines", system_database_url=system_url, application_version="2"):
        cancelled_after(time.monotonic(), 0.0, "w")
        assert durably.get_workflow_status("later").status is Status.ENQUEUED


def test_one_that_runs_only_its_own_does_too(system_url: str, stand: Stand) -> None:
    with Durably("deadlines", system_database_url=system_url, executes="own", lease_seconds=60):
        began = time.monotonic()
        start(WAITER["plain"], "w", "sleep", timeout_seconds=0.2)
        cancelled_after(began, 0.2, "w")


def test_other_applications_do_not(system_url: str, stand: Stand) -> None:
    with Durably("deadlines", system_database_url=system_url, executes="none"):
        start(patient, "w", deadline=datetime.now(timezone.utc))
    with Durably("elsewhere", system_database_url=system_url, lease_seconds=0.3):
        time.sleep(0.5)
        assert durably.get_workflow_status("w").status is Status.ENQUEUED


def test_more_than_one_sweep_takes(system_url: str) -> None:
    """A thousand at a time; the rest at once after it."""
    count = 1500
    with Durably("deadlines", system_database_url=system_url, executes="none"):
        start(echo, "first", 1)
    past = "INSERT INTO durably.workflow_status (workflow_uuid, run_id, status, name, application_name, created_at,"
    past += " workflow_deadline_epoch_ms) VALUES "
    past += ", ".join(f"('w{number}', 'r', 'ENQUEUED', 'nothing', 'deadlines', 1, 1)" for number in range(count))
    rows(system_url, past)
    with Durably("deadlines", system_database_url=system_url, lease_seconds=60):
        end = time.monotonic() + LONG
        while durably.count_workflows(durably.WorkflowQuery(statuses=["CANCELLED"])) != {(): count}:
            assert time.monotonic() < end
            time.sleep(0.02)
        assert durably.get_result("first", timeout_seconds=LONG) == 1


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"timeout_seconds": 0}, "positive"),
        ({"timeout_seconds": -1}, "positive"),
        ({"timeout_seconds": float("nan")}, "positive"),
        ({"timeout_seconds": float("inf")}, "positive"),
        ({"deadline": datetime(2030, 1, 1)}, "no time zone"),
        ({"deadline": datetime(2030, 1, 1, tzinfo=timezone.utc), "timeout_seconds": 1}, "not both"),
    ],
)
def test_errors(options: dict[str, Any], message: str) -> None:
    with pytest.raises(ConfigurationError, match=message), durably.workflow_options(**options):
        pass


def test_awaited(system_url: str, stand: Stand) -> None:
    async def main() -> None:
        async with Durably("deadlines", system_database_url=system_url):
            with durably.workflow_options(workflow_id="w", timeout_seconds=0.2):
                handle = await durably.aio.start_workflow(WAITER["coroutine"], "gather")
            with pytest.raises(WorkflowCancelledError):
                await handle.get_result(timeout_seconds=LONG)
            with durably.workflow_options(timeout_seconds=0.2), pytest.raises(WorkflowCancelledError):
                await WAITER["coroutine"]("recv")

    asyncio.run(main())
