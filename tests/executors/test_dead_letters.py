"""A workflow that loses its executor too often without progress is set aside, and everyone who waits is told."""

from __future__ import annotations

import logging
from pathlib import Path

import pytest

import durably
from durably import Durably, RecoveryAttemptsExceededError, Status, workflow
from tests.execution.rows import rows

LIMIT = 2


def lose(system_url: str, times: int, *, checkpoints: bool = False) -> None:
    """Let workflow ``w`` be held, ``times`` over, by executors that are gone; each may have recorded something."""
    for number in range(times):
        executor = f"gone-{number}"
        rows(
            system_url,
            "INSERT INTO durably.executors (application_name, executor_id, started_at, heartbeat_at, lease_expires_at)"
            " VALUES ('letters', ?, 1, 1, 1)",
            (executor,),
        )
        rows(
            system_url,
            "UPDATE durably.workflow_status SET status = 'PENDING', executor_id = ?, attempt = attempt + 1"
            " WHERE workflow_uuid = 'w'",
            (executor,),
        )


def leave(system_url: str, flow: object) -> None:
    """Write the row of workflow ``w``, for any executor."""
    with (
        Durably("letters", system_database_url=system_url, executes="none"),
        durably.workflow_options(workflow_id="w"),
    ):
        durably.start_workflow(flow)  # type: ignore[call-overload]


def held_with(system_url: str, recovery_attempts: int) -> None:
    lose(system_url, 1)
    rows(
        system_url,
        "UPDATE durably.workflow_status SET recovery_attempts = ? WHERE workflow_uuid = 'w'",
        (recovery_attempts,),
    )


def test_the_last_allowed_recovery_still_runs(system_url: str, tmp_path: Path) -> None:
    @workflow(max_recovery_attempts=LIMIT)
    def flow() -> str:
        return "survived"

    leave(system_url, flow)
    held_with(system_url, LIMIT - 1)
    with Durably("letters", system_database_url=system_url):
        assert durably.get_result("w", timeout_seconds=30) == "survived"
        status = durably.get_workflow_status("w")
        assert (status.status, status.recovery_attempts) == (Status.SUCCESS, LIMIT)


def test_one_more_dead_letters_it(system_url: str, caplog: pytest.LogCaptureFixture) -> None:
    ran: list[str] = []

    @workflow(max_recovery_attempts=LIMIT)
    def flow() -> None:
        ran.append("flow")

    leave(system_url, flow)
    held_with(system_url, LIMIT)
    with caplog.at_level(logging.ERROR, "durably"), Durably("letters", system_database_url=system_url):
        for _ in range(2):
            with pytest.raises(RecoveryAttemptsExceededError, match=r"'w'.*lost its executor 3 times") as caught:
                durably.get_result("w", timeout_seconds=30)
            assert caught.value.workflow_id == "w"  # type: ignore[attr-defined]
            assert caught.value.recovery_attempts == LIMIT + 1  # type: ignore[attr-defined]
        assert durably.get_workflow_status("w").status is Status.MAX_RECOVERY_ATTEMPTS_EXCEEDED
        with durably.workflow_options(workflow_id="w"), pytest.raises(RecoveryAttemptsExceededError):
            flow()
    assert ran == []
    assert "set aside" in caplog.text


def test_progress_starts_the_count_anew(system_url: str) -> None:
    @workflow(max_recovery_attempts=LIMIT)
    def flow() -> str | None:
        durably.run_step(durably.StepOptions(name="one"), lambda: None)
        return "survived"

    leave(system_url, flow)
    held_with(system_url, LIMIT)
    rows(
        system_url,
        "INSERT INTO durably.operation_outputs"
        " (workflow_uuid, branch, function_id, function_name, output, serialization)"
        " VALUES ('w', '', 1, 'one', 'null', 'json')",
    )
    with Durably("letters", system_database_url=system_url):
        assert durably.get_result("w", timeout_seconds=30) == "survived"
        assert durably.get_workflow_status("w").recovery_attempts == 1


def test_never_is_a_choice(system_url: str) -> None:
    @workflow(max_recovery_attempts=None)
    def flow() -> str:
        return "survived"

    leave(system_url, flow)
    held_with(system_url, 10_000)
    with Durably("letters", system_database_url=system_url):
        assert durably.get_result("w", timeout_seconds=30) == "survived"


def test_a_hand_back_is_not_a_lost_lease(system_url: str) -> None:
    """However often it is deployed anew, a workflow is not set aside for it."""
    import threading

    inside, lives = threading.Semaphore(0), 4
    release = threading.Event()
    left: list[int] = []

    @workflow(max_recovery_attempts=1)
    def flow() -> str:
        left.append(1)
        if len(left) <= lives:
            inside.release()
            assert release.wait(60)
        return "survived"

    leave(system_url, flow)
    for _ in range(lives):
        app = Durably("letters", system_database_url=system_url)
        app.launch()
        assert inside.acquire(timeout=30)
        app.shutdown(timeout_seconds=0)
    with Durably("letters", system_database_url=system_url):
        assert durably.get_result("w", timeout_seconds=30) == "survived"
        status = durably.get_workflow_status("w")
        assert (status.recovery_attempts, status.attempt) == (0, lives + 1)
    release.set()
