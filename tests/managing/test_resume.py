"""A workflow that was cancelled or set aside goes on where it stopped; its recorded steps do not run again."""

from __future__ import annotations

import asyncio
import threading

import pytest

import durably
from durably import (
    Client,
    Durably,
    RecoveryAttemptsExceededError,
    Status,
    WorkflowCancelledError,
    WorkflowNotFoundError,
    workflow,
)
from tests.execution.rows import checkpoints, rows
from tests.managing.flows import KINDS, LONG, THREE, WAITER, Stand, echo, note, start


def cancelled(workflow_id: str) -> None:
    """Cancel a workflow, and wait for its end."""
    durably.cancel_workflow(workflow_id)
    with pytest.raises(WorkflowCancelledError):
        durably.get_result(workflow_id, timeout_seconds=LONG)


@pytest.mark.parametrize("kind", KINDS)
def test_it_goes_on_where_it_stopped(system_url: str, stand: Stand, kind: str) -> None:
    with Durably("resume", system_database_url=system_url) as app:
        handle = start(THREE[kind], "w", 0)
        stand.arrived()
        cancelled("w")
        stand.go.set()  # so that the step that runs is recorded
        app._require().services.active.drained().wait(LONG)
        assert len(durably.list_workflow_steps("w")) == 2
        handle.resume()
        assert handle.get_result(timeout_seconds=LONG) == ["one", "two", "three"]
        status = handle.get_status()
        assert (status.status, status.attempt, status.recovery_attempts) == (Status.SUCCESS, 2, 0)
    assert stand.ran == {"one": 1, "two": 1, "three": 1}


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("here", [True, False], ids=["here", "elsewhere"])
def test_while_the_step_that_was_cancelled_still_runs(system_url: str, stand: Stand, kind: str, here: bool) -> None:
    """It runs again, since what it is at will be refused: only one of its results counts."""
    with Durably("resume", system_database_url=system_url, executes="all" if here else "own") as app:
        handle = start(THREE[kind], "w", 0)
        stand.arrived()
        cancelled("w")
        handle.resume()
        if here:
            stand.arrived()
            stand.go.set()
            assert handle.get_result(timeout_seconds=LONG) == ["one", "two", "three"]
        else:
            with Durably("resume", system_database_url=system_url):
                stand.arrived()
                stand.go.set()
                assert app.get_workflow_status("w").attempt == 2
                with app.current():
                    assert durably.get_result("w", timeout_seconds=LONG) == ["one", "two", "three"]
    assert stand.ran == {"one": 1, "two": 2, "three": 1}
    assert len(checkpoints(system_url, "w")) == 3


def test_though_this_process_has_not_heard_of_the_cancellation(system_url: str, stand: Stand) -> None:
    """The claim itself is proof that the earlier one is lost."""
    with Durably("resume", system_database_url=system_url, notifications=False, lease_seconds=60):
        handle = start(THREE["plain"], "w", 0)
        stand.arrived()
        with Client(system_url, name="resume") as client:
            client.cancel_workflow("w")
        handle.resume()
        stand.arrived()
        stand.go.set()
        assert handle.get_result(timeout_seconds=LONG) == ["one", "two", "three"]
    assert stand.ran == {"one": 1, "two": 2, "three": 1}


def test_again_and_again(system_url: str, stand: Stand) -> None:
    with Durably("resume", system_database_url=system_url):
        handle = start(WAITER["plain"], "w", "sleep")
        for life in range(1, 6):
            stand.arrived()
            assert handle.get_status().attempt == life
            cancelled("w")
            handle.resume()
        stand.arrived()
        assert handle.get_status().status is Status.PENDING
        cancelled("w")
    assert stand.ran == {"before": 1}


def test_news_of_the_cancellation_that_is_late_does_no_harm(system_url: str, stand: Stand) -> None:
    with Durably("resume", system_database_url=system_url) as app:
        handle = start(WAITER["plain"], "w", "sleep")
        stand.arrived()
        old = app._require().services.active.runs()[0].life
        cancelled("w")
        handle.resume()
        stand.arrived()
        from durably.ledger.news import Kind

        app._require().services.ledger.news.happened(Kind.CANCELLED, str(old))
        run = app._require().services.active.get("w")
        assert run is not None
        assert run.stopped is None
        cancelled("w")


@pytest.mark.parametrize("kind", KINDS)
def test_with_all_its_children(system_url: str, stand: Stand, kind: str) -> None:
    @workflow
    def parent() -> list[str]:
        note("parent")
        handles = [durably.start_workflow(THREE[kind], 2) for _ in range(3)]
        return [part for one in durably.wait_all(handles) for part in one]

    with Durably("resume", system_database_url=system_url):
        handle = start(parent, "p")
        stand.arrived(3)
        durably.cancel_workflow("p", children=True)
        durably.resume_workflows(["p", *(f"p-{number}" for number in (2, 3, 4))])
        stand.arrived(3)
        stand.go.set()
        assert handle.get_result(timeout_seconds=LONG) == ["one", "two"] * 3
    assert stand.ran == {"parent": 1, "one": 3, "two": 6, "three": 3}


def test_what_runs_or_has_ended_is_left_alone(system_url: str, stand: Stand) -> None:
    @workflow
    def failing() -> None:
        raise ValueError("no")

    with Durably("resume", system_database_url=system_url):
        done, failed, running = start(echo, "done", 1), start(failing, "failed"), start(WAITER["plain"], "w", "sleep")
        stand.arrived()
        assert done.get_result() == 1
        with pytest.raises(ValueError, match="no"):
            failed.get_result()
        before = [one.get_status() for one in (done, failed, running)]
        durably.resume_workflows(["done", "failed", "w"])
        assert [one.get_status() for one in (done, failed, running)] == before
        running.cancel()


def test_what_waits_for_an_executor_is_left_alone(system_url: str) -> None:
    with Durably("resume", system_database_url=system_url, executes="none"):
        handle = start(echo, "w", 1)
        handle.resume()
        assert handle.get_status().status is Status.ENQUEUED
    with Durably("resume", system_database_url=system_url):
        assert durably.get_result("w", timeout_seconds=LONG) == 1
        assert durably.get_workflow_status("w").attempt == 1


def test_a_missing_id_is_an_error_and_the_others_are_resumed(system_url: str, stand: Stand) -> None:
    with Durably("resume", system_database_url=system_url):
        start(WAITER["plain"], "w", "sleep")
        stand.arrived()
        cancelled("w")
        with pytest.raises(WorkflowNotFoundError, match="'nobody', 'nothing'") as caught:
            durably.resume_workflows(["nobody", "w", "nothing"])
        assert caught.value.workflow_id == "nobody"  # type: ignore[attr-defined]
        stand.arrived()
        with pytest.raises(WorkflowNotFoundError, match="nobody"):
            durably.resume_workflow("nobody")
        durably.cancel_workflow("w")


def test_without_its_old_deadline(system_url: str, stand: Stand) -> None:
    with Durably("resume", system_database_url=system_url):
        handle = start(THREE["plain"], "w", 0, timeout_seconds=0.1)
        stand.arrived()
        with pytest.raises(WorkflowCancelledError):
            handle.get_result(timeout_seconds=LONG)
        assert handle.get_status().deadline is not None
        handle.resume()
        stand.arrived()
        status = handle.get_status()
        assert (status.deadline, status.timeout_ms, status.completed_at) == (None, None, None)
        stand.go.set()
        assert handle.get_result(timeout_seconds=LONG) == ["one", "two", "three"]


def test_one_that_was_set_aside(system_url: str, stand: Stand) -> None:
    @workflow(max_recovery_attempts=1)
    def flow() -> str:
        return note("done")

    with Durably("resume", system_database_url=system_url, executes="none"):
        start(flow, "w")
    rows(
        system_url,
        "UPDATE durably.workflow_status SET status = 'PENDING', executor_id = 'gone', recovery_attempts = 1"
        " WHERE workflow_uuid = 'w'",
    )
    with Durably("resume", system_database_url=system_url):
        with pytest.raises(RecoveryAttemptsExceededError):
            durably.get_result("w", timeout_seconds=LONG)
        durably.resume_workflow("w")
        assert durably.get_result("w", timeout_seconds=LONG) == "done"
        status = durably.get_workflow_status("w")
        assert (status.status, status.recovery_attempts) == (Status.SUCCESS, 0)


def test_from_a_client_by_any_executor(system_url: str, stand: Stand) -> None:
    with Durably("resume", system_database_url=system_url):
        start(WAITER["plain"], "w", "sleep")
        stand.arrived()
        cancelled("w")
    with Client(system_url, name="resume") as client:
        client.resume_workflow("w")
        assert client.get_workflow_status("w").status is Status.ENQUEUED
        with Durably("resume", system_database_url=system_url):
            stand.arrived()
            assert client.get_workflow_status("w").status is Status.PENDING
            client.cancel_workflow("w")


def test_who_asks_after_it_was_resumed_hears_nothing_of_the_cancellation(system_url: str, stand: Stand) -> None:
    """However many ask, resume and cancel at the same time."""
    wrong: list[str] = []

    def ask() -> None:
        with app.current():
            for _ in range(20):
                durably.cancel_workflow("w")
                durably.resume_workflow("w")
                try:
                    durably.get_result("w", timeout_seconds=0.01)
                    wrong.append("ended")
                except durably.WaitTimeoutError:
                    pass
                except WorkflowCancelledError:
                    wrong.append("cancelled")

    with Durably("resume", system_database_url=system_url) as app:
        start(WAITER["coroutine"], "w", "sleep")
        stand.arrived()
        thread = threading.Thread(target=ask)
        thread.start()
        thread.join(LONG)
        durably.cancel_workflow("w")
    assert wrong == []


def test_in_a_workflow_it_is_recorded(system_url: str, stand: Stand) -> None:
    lives: list[int] = []

    class Killed(BaseException):
        pass

    @workflow
    def resumer() -> str:
        with pytest.raises(WorkflowNotFoundError):
            durably.resume_workflow("nobody")
        durably.resume_workflow("w")
        lives.append(1)
        if len(lives) == 1:
            raise Killed
        return "done"

    with Durably("resume", system_database_url=system_url, lease_seconds=0.6):
        target = start(WAITER["plain"], "w", "sleep")
        stand.arrived()
        cancelled("w")
        with durably.workflow_options(workflow_id="r"), pytest.raises(Killed):
            resumer()
        stand.arrived()
        cancelled("w")
        assert durably.get_result("r", timeout_seconds=LONG) == "done"
        # The replay has not resumed it once more.
        assert target.get_status().status is Status.CANCELLED
        names = [one.name for one in durably.list_workflow_steps("r")]
        assert names == ["durably.resume", "durably.resume"]


def test_awaited(system_url: str, stand: Stand) -> None:
    async def main() -> list[str]:
        async with Durably("resume", system_database_url=system_url):
            with durably.workflow_options(workflow_id="w"):
                handle = await durably.aio.start_workflow(THREE["coroutine"], 0)
            await asyncio.to_thread(stand.arrived)
            await handle.cancel()
            with pytest.raises(WorkflowCancelledError):
                await handle.get_result()
            await durably.aio.resume_workflows(["w"])
            await handle.resume()
            await asyncio.to_thread(stand.arrived)
            stand.go.set()
            result: list[str] = await handle.get_result(timeout_seconds=LONG)
            return result

    assert asyncio.run(main()) == ["one", "two", "three"]
