"""Counts for those who look after a system database: its executors, and its workflows by status."""

from __future__ import annotations

from typing import NamedTuple

from durably.ledger.backend import Session
from durably.model import Status


class Executor(NamedTuple):
    """One executor: what it is, what it holds, and how long its lease is good for (seconds; negative: it ran out)."""

    executor_id: str
    label: str | None
    hostname: str | None
    application_version: str | None
    holds: int
    lease_seconds: float


def executors(session: Session, application_name: str) -> list[Executor]:
    """The executors of an application, in the order in which they were launched."""
    rows = session.execute(
        "SELECT e.executor_id, e.label, e.hostname, e.application_version,"
        " (SELECT count(*) FROM {t}workflow_status s WHERE s.executor_id = e.executor_id AND s.status = 'PENDING'),"
        " e.lease_expires_at - {now} FROM {t}executors e WHERE e.application_name = ?"
        " ORDER BY e.started_at, e.executor_id",
        (application_name,),
    )
    return [Executor(row[0], row[1], row[2], row[3], int(row[4]), int(row[5]) / 1000) for row in rows]


def workflows(session: Session, application_name: str) -> dict[Status, int]:
    """How many workflows of an application there are, by status; only those that occur. Reads every row."""
    rows = session.execute(
        "SELECT status, count(*) FROM {t}workflow_status WHERE application_name = ? GROUP BY status ORDER BY status",
        (application_name,),
    )
    return {Status(row[0]): int(row[1]) for row in rows}
