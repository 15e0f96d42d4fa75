"""The ledger's reads and its single changes, one function each; the statements are the same on every database."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable, Sequence
from typing import Any, NamedTuple

from durably.ledger.backend import Session
from durably.model import Checkpoint, CheckpointKey, Outcome, Status, WorkflowStatus

#: In the order of the fields of ``WorkflowStatus``.
STATUS_COLUMNS = (
    "workflow_uuid",
    "run_id",
    "status",
    "name",
    "class_name",
    "config_name",
    "application_name",
    "application_version",
    "executor_id",
    "queue_name",
    "attempt",
    "recovery_attempts",
    "created_at",
    "started_at_epoch_ms",
    "completed_at",
    "parent_workflow_id",
    "workflow_timeout_ms",
    "workflow_deadline_epoch_ms",
    "forked_from",
    "authenticated_user",
    "attributes",
)
_STATUS_COLUMNS = ", ".join(STATUS_COLUMNS)


def statuses(session: Session, workflow_ids: Sequence[str]) -> dict[str, WorkflowStatus]:
    """The rows of those workflows that exist, by workflow id."""
    return statuses_of(session.execute(*statuses_statement(workflow_ids)))


def statuses_statement(workflow_ids: Sequence[str]) -> tuple[str, tuple[str]]:
    """The statement of ``statuses``, for another connection than the ledger's."""
    sql = f"SELECT {_STATUS_COLUMNS} FROM {{t}}workflow_status WHERE workflow_uuid IN ({{in_json}})"  # noqa: S608
    return sql, (json.dumps(list(workflow_ids)),)


def statuses_of(rows: Iterable[tuple[Any, ...]]) -> dict[str, WorkflowStatus]:
    """What the rows of ``statuses_statement`` say, by workflow id."""
    return {row[0]: status_of(row) for row in rows}


def status_of(row: Sequence[Any]) -> WorkflowStatus:
    """What a row that begins with ``STATUS_COLUMNS`` says."""
    fields: list[Any] = list(row[: len(STATUS_COLUMNS)])
    attributes = fields.pop()
    # Some drivers decode JSON by themselves.
    read = json.loads(attributes) if isinstance(attributes, (str, bytes)) else attributes
    fields[2] = Status(fields[2])
    fields.append(read or {})
    return WorkflowStatus(*fields)


def outcomes(session: Session, workflow_ids: Iterable[str]) -> dict[str, Outcome | None]:
    """For each of those workflows that exists: its outcome, or None while it has none."""
    rows = session.execute(
        "SELECT s.workflow_uuid, s.status, o.output, o.error, o.serialization FROM {t}workflow_status s"
        " LEFT JOIN {t}workflow_outputs o ON o.workflow_uuid = s.workflow_uuid"
        " WHERE s.workflow_uuid IN ({in_json})",
        (json.dumps(list(workflow_ids)),),
    )
    return {
        row[0]: Outcome(Status(row[1]), row[2], row[3], row[4] or "") if Status(row[1]).is_final else None
        for row in rows
    }


def history(session: Session, workflow_ids: Sequence[str]) -> dict[str, dict[CheckpointKey, Checkpoint]]:
    """Every checkpoint of those workflows, in one read."""
    found: dict[str, dict[CheckpointKey, Checkpoint]] = {one: {} for one in workflow_ids}
    rows = session.execute(
        "SELECT workflow_uuid, branch, function_id, function_name, output, error, serialization"
        " FROM {t}operation_outputs WHERE workflow_uuid IN ({in_json})",
        (json.dumps(list(workflow_ids)),),
    )
    for workflow_id, branch, function_id, *checkpoint in rows:
        found[workflow_id][CheckpointKey(branch, function_id)] = Checkpoint(*checkpoint)
    return found


def checkpoint(session: Session, workflow_id: str, key: CheckpointKey) -> Checkpoint | None:
    """One checkpoint, or None."""
    rows = session.execute(
        "SELECT function_name, output, error, serialization FROM {t}operation_outputs"
        " WHERE workflow_uuid = ? AND branch = ? AND function_id = ?",
        (workflow_id, key.branch, key.function_id),
    )
    return Checkpoint(*rows[0]) if rows else None


# -- claiming ----------------------------------------------------------------------------------------------------


class Claimed(NamedTuple):
    """A workflow that this executor has just taken, with its inputs."""

    status: WorkflowStatus
    inputs: str
    serialization: str


class Claimant(NamedTuple):
    """Who claims, and what it can run: the registered names, and the version whose rows it takes."""

    application_name: str
    executor_id: str
    application_version: str | None
    names: tuple[str, ...]


_CLAIMABLE = (
    "SELECT workflow_uuid FROM {t}workflow_status"
    " WHERE application_name = ?"
    " AND (application_version IS NULL OR application_version = ?) AND name IN ({in_json})"
    # What is late already is left to be cancelled.
    " AND (workflow_deadline_epoch_ms IS NULL OR workflow_deadline_epoch_ms > {now})"
    " AND _CONDITION_"
)
_CLAIM = (
    f"WITH picked AS MATERIALIZED ({_CLAIMABLE} ORDER BY created_at LIMIT ? {{skip_locked}})"  # noqa: S608
    " UPDATE {t}workflow_status SET status = 'PENDING', executor_id = ?, attempt = attempt + 1,"
    " started_at_epoch_ms = {now}, workflow_deadline_epoch_ms = coalesce(workflow_deadline_epoch_ms,"
    " {now} + workflow_timeout_ms)_CHANGES_"
    f" WHERE workflow_uuid IN (SELECT workflow_uuid FROM picked) RETURNING {_STATUS_COLUMNS}"
)
_WAITING, _LOST = "status = 'ENQUEUED' AND queue_name IS NULL", "status = 'PENDING' AND executor_id = ?"
_CLAIM_WAITING = _CLAIM.replace("_CONDITION_", _WAITING).replace("_CHANGES_", "")
_CHECKPOINTS = "(SELECT count(*) FROM {t}operation_outputs o WHERE o.workflow_uuid = {t}workflow_status.workflow_uuid)"
# Progress since the last take-over starts the count of recovery attempts anew.
_CLAIM_LOST = _CLAIM.replace("_CONDITION_", _LOST).replace(
    "_CHANGES_",
    f", recovery_attempts = CASE WHEN {_CHECKPOINTS} > progress THEN 1 ELSE recovery_attempts + 1 END,"
    f" progress = {_CHECKPOINTS}",
)


Claim = Callable[[Session], "list[Claimed]"]


def claim_waiting_by(claimant: Claimant, limit: int) -> Claim:
    """Take up to ``limit`` workflows that wait for any executor, oldest first."""
    params = (claimant.application_name, claimant.application_version, json.dumps(claimant.names), limit)
    return lambda session: _claimed(session, session.execute(_CLAIM_WAITING, (*params, claimant.executor_id)))


def claim_lost_by(claimant: Claimant, lost_executor_id: str, limit: int) -> Claim:
    """Take up to ``limit`` workflows of an executor that is dead or lost its lease, oldest first."""
    params = (claimant.application_name, claimant.application_version, json.dumps(claimant.names))
    return lambda session: _claimed(
        session, session.execute(_CLAIM_LOST, (*params, lost_executor_id, limit, claimant.executor_id))
    )


def claimable(session: Session, claimant: Claimant, lost_executor_id: str | None = None) -> bool:
    """Whether something can be claimed: what waits, or what that executor left. A claim passes over what is locked."""
    params = (claimant.application_name, claimant.application_version, json.dumps(claimant.names))
    if lost_executor_id is None:
        return bool(session.execute(f"{_CLAIMABLE.replace('_CONDITION_', _WAITING)} LIMIT 1", params))
    return bool(session.execute(f"{_CLAIMABLE.replace('_CONDITION_', _LOST)} LIMIT 1", (*params, lost_executor_id)))


def _claimed(session: Session, rows: list[tuple[Any, ...]]) -> list[Claimed]:
    if not rows:
        return []
    inputs = session.execute(
        "SELECT workflow_uuid, inputs, serialization FROM {t}workflow_inputs WHERE workflow_uuid IN ({in_json})",
        (json.dumps([row[0] for row in rows]),),
    )
    by_id = {row[0]: (row[1], row[2]) for row in inputs}
    claimed = [Claimed(status_of(row), *by_id[row[0]]) for row in rows]
    return sorted(claimed, key=lambda one: one.status.created_at)


def claimed_inputs(session: Session, workflow_ids: Sequence[str], executor_id: str) -> list[Claimed]:
    """Workflows that this executor holds already, as if they had just been claimed."""
    rows = session.execute(
        f"SELECT {_STATUS_COLUMNS} FROM {{t}}workflow_status"  # noqa: S608
        " WHERE workflow_uuid IN ({in_json}) AND executor_id = ? AND status = 'PENDING'",
        (json.dumps(list(workflow_ids)), executor_id),
    )
    return _claimed(session, rows)


def held(session: Session, executor_id: str) -> list[tuple[str, str]]:
    """(workflow id, name) of all that an executor holds."""
    rows = session.execute(
        "SELECT workflow_uuid, name FROM {t}workflow_status WHERE executor_id = ? AND status = 'PENDING'",
        (executor_id,),
    )
    return [(row[0], row[1]) for row in rows]


def hand_back(session: Session, executor_id: str, workflow_ids: Sequence[str]) -> int:
    """Put workflows that this executor holds back for any executor; how many."""
    rows = session.execute(
        "UPDATE {t}workflow_status SET status = 'ENQUEUED', executor_id = NULL, started_at_epoch_ms = NULL"
        " WHERE workflow_uuid IN ({in_json}) AND executor_id = ? AND status = 'PENDING' RETURNING 1",
        (json.dumps(list(workflow_ids)), executor_id),
    )
    return len(rows)


# -- executors ---------------------------------------------------------------------------------------------------


class ExecutorRow(NamedTuple):
    """Another executor: its process, and whether its lease has run out by the database's clock."""

    executor_id: str
    process: str | None
    expired: bool


def register_executor(
    session: Session,
    claimant: Claimant,
    *,
    label: str | None,
    hostname: str,
    process: str,
    lease_ms: int,
) -> None:
    """Make an executor known, with its first lease."""
    session.execute(
        "INSERT INTO {t}executors (application_name, executor_id, label, application_version, hostname, process,"
        " started_at, heartbeat_at, lease_expires_at) VALUES (?, ?, ?, ?, ?, ?, {now}, {now}, {now} + ?)"
        " ON CONFLICT (application_name, executor_id) DO UPDATE SET heartbeat_at = excluded.heartbeat_at,"
        " lease_expires_at = excluded.lease_expires_at",
        (
            claimant.application_name,
            claimant.executor_id,
            label,
            claimant.application_version,
            hostname,
            process,
            lease_ms,
        ),
    )


def renew_lease(session: Session, claimant: Claimant, lease_ms: int) -> bool:
    """Renew the lease; False if the executor is no longer known (it was taken for dead)."""
    rows = session.execute(
        "UPDATE {t}executors SET heartbeat_at = {now}, lease_expires_at = {now} + ?"
        " WHERE application_name = ? AND executor_id = ? RETURNING 1",
        (lease_ms, claimant.application_name, claimant.executor_id),
    )
    return bool(rows)


# `> ''` keeps the second part on the index of what is PENDING, which is small.
_OTHERS = (
    "SELECT executor_id, process, lease_expires_at < {now} FROM {t}executors"
    " WHERE application_name = ? AND executor_id <> ?"
    " UNION ALL SELECT DISTINCT s.executor_id, NULL, 1 = 1 FROM {t}workflow_status s"
    " WHERE s.status = 'PENDING' AND s.executor_id > '' AND s.application_name = ? AND s.executor_id <> ?"
    " AND NOT EXISTS (SELECT 1 FROM {t}executors e WHERE e.application_name = s.application_name"
    " AND e.executor_id = s.executor_id)"
)
_AROUND = (
    f"SELECT 'executor', o.*, CAST(NULL AS bigint) FROM ({_OTHERS}) o"  # noqa: S608
    " UNION ALL SELECT 'held', workflow_uuid, NULL, NULL, NULL FROM {t}workflow_status"
    " WHERE executor_id = ? AND status = 'PENDING'"
    " UNION ALL SELECT 'deadline', NULL, NULL, NULL, min(workflow_deadline_epoch_ms) - {now} FROM {t}workflow_status"
    " WHERE application_name = ? AND workflow_deadline_epoch_ms IS NOT NULL"
    " AND status IN ('ENQUEUED', 'DELAYED', 'PENDING')"
)


def other_executors(session: Session, claimant: Claimant) -> list[ExecutorRow]:
    """Every other executor of the application; also one that holds workflows and is not known (any more).

    The server may still have a start of an executor that was proved dead and forgotten, and commit it after that.
    """
    others = (claimant.application_name, claimant.executor_id)
    return [ExecutorRow(row[0], row[1], bool(row[2])) for row in session.execute(_OTHERS, (*others, *others))]


class Around(NamedTuple):
    """What an executor looks for now and then, in one read."""

    others: list[ExecutorRow]
    #: The ids of all that it holds itself.
    held: set[str]
    #: In how many milliseconds the application's next deadline is; None if it has none.
    deadline_in: int | None


def around(session: Session, claimant: Claimant) -> Around:
    """``other_executors``, what the claimant holds itself, and the next deadline."""
    others = (claimant.application_name, claimant.executor_id)
    rows = session.execute(_AROUND, (*others, *others, claimant.executor_id, claimant.application_name))
    return Around(
        [ExecutorRow(row[1], row[2], bool(row[3])) for row in rows if row[0] == "executor"],
        {row[1] for row in rows if row[0] == "held"},
        next((row[4] for row in rows if row[0] == "deadline"), None),
    )


def forget_executor(session: Session, application_name: str, executor_id: str) -> None:
    """Remove an executor that holds nothing any more."""
    session.execute(
        "DELETE FROM {t}executors WHERE application_name = ? AND executor_id = ? AND NOT EXISTS"
        " (SELECT 1 FROM {t}workflow_status s WHERE s.executor_id = {t}executors.executor_id AND s.status = 'PENDING')",
        (application_name, executor_id),
    )


def executor_is_known(session: Session, executor_id: str) -> bool:
    """Whether an executor has a row here; through an adapter, this is the proof that both databases are one."""
    return bool(session.execute("SELECT 1 FROM {t}executors WHERE executor_id = ?", (executor_id,)))
