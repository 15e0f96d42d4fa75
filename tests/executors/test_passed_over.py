"""What a claim passes over: rows that somebody has locked are claimed soon after, and waiting takes up no room."""

from __future__ import annotations

import time
from collections.abc import Callable

import psycopg
import pytest

import durably
from durably import Durably, workflow
from durably.executors import takeover

#: Long enough that no look comes by chance.
LEASE = 60.0


def enqueued(url: str, function: Callable[[str], str], *workflow_ids: str) -> None:
    with Durably("passed", system_database_url=url, executes="none"):
        for workflow_id in workflow_ids:
            with durably.workflow_options(workflow_id=workflow_id):
                durably.start_workflow(function, workflow_id)


def test_a_row_that_was_locked_is_claimed_soon_after(postgres_url: str) -> None:
    @workflow
    def flow(name: str) -> str:
        return name

    enqueued(postgres_url, flow, "w")
    with psycopg.connect(postgres_url) as locked:
        locked.execute("SELECT 1 FROM durably.workflow_status FOR UPDATE")
        with Durably("passed", system_database_url=postgres_url, lease_seconds=LEASE):
            time.sleep(0.3)
            assert durably.get_workflow_status("w").status is durably.Status.ENQUEUED
            locked.rollback()
            assert durably.get_result("w", timeout_seconds=5) == "w"


def test_what_a_dead_executor_left_and_somebody_has_locked_is_taken_over_soon_after(postgres_url: str) -> None:
    @workflow
    def flow(name: str) -> str:
        return name

    enqueued(postgres_url, flow, "w")
    with psycopg.connect(postgres_url, autocommit=True) as system, psycopg.connect(postgres_url) as locked:
        system.execute(
            "INSERT INTO durably.executors (application_name, executor_id, started_at, heartbeat_at, lease_expires_at)"
            " VALUES ('passed', 'dead', 0, 0, 0)"
        )
        system.execute("UPDATE durably.workflow_status SET status = 'PENDING', executor_id = 'dead', attempt = 1")
        locked.execute("SELECT 1 FROM durably.workflow_status FOR SHARE")
        with Durably("passed", system_database_url=postgres_url, lease_seconds=LEASE):
            time.sleep(0.3)
            assert durably.get_workflow_status("w").executor_id == "dead"
            locked.rollback()
            assert durably.get_result("w", timeout_seconds=5) == "w"


def test_who_waits_takes_up_no_room(system_url: str, monkeypatch: pytest.MonkeyPatch) -> None:
    @workflow
    def flow(name: str) -> str:
        return str(durably.recv(timeout_seconds=60)) if name != "last" else "ended"

    monkeypatch.setattr(takeover, "FULL", 2)
    waiting = [f"waiting-{number}" for number in range(5)]
    enqueued(system_url, flow, *waiting, "last")
    with Durably("passed", system_database_url=system_url, lease_seconds=LEASE):
        assert durably.get_result("last", timeout_seconds=10) == "ended"
        for workflow_id in waiting:
            durably.send(workflow_id, "go")
        assert [durably.get_result(one, timeout_seconds=10) for one in waiting] == ["go"] * 5
