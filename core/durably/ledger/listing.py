"""Lists and counts of workflows, and the steps of one; the statements are put together from a closed set of parts."""

from __future__ import annotations

import json
from collections.abc import Sequence
from typing import Any, NamedTuple

from durably.ledger.backend import Session
from durably.ledger.queries import STATUS_COLUMNS, status_of
from durably.model import GROUPS, StepInfo, WorkflowQuery, WorkflowStatus
from durably.serialization import Payload

Row = list[Any]


class Listed(NamedTuple):
    """A workflow of a list, with its payloads if they were asked for."""

    status: WorkflowStatus
    inputs: Payload | None
    output: Payload | None
    error: Payload | None


# Each filter of a query: the condition, with one parameter; a list goes in as a JSON array.
_AMONG = {
    "workflow_ids": "s.workflow_uuid",
    "statuses": "s.status",
    "names": "s.name",
    "application_versions": "s.application_version",
    "executor_ids": "s.executor_id",
    "queue_names": "s.queue_name",
    "users": "s.authenticated_user",
    "parent_workflow_ids": "s.parent_workflow_id",
    "forked_from": "s.forked_from",
}
_BETWEEN = {
    "created_after": "s.created_at >= ?",
    "created_before": "s.created_at < ?",
    "started_after": "s.started_at_epoch_ms >= ?",
    "started_before": "s.started_at_epoch_ms < ?",
    "completed_after": "s.completed_at >= ?",
    "completed_before": "s.completed_at < ?",
}
_EXISTS = {
    "has_parent": "s.parent_workflow_id",
    "has_queue": "s.queue_name",
    "is_fork": "s.forked_from",
}


def _conditions(query: WorkflowQuery, application_name: str | None) -> tuple[list[str], list[Any]]:
    conditions: list[str] = []
    params: list[Any] = []

    def add(condition: str, *values: Any) -> None:
        conditions.append(condition)
        params.extend(values)

    if application_name is not None and not query.every_application:
        add("s.application_name = ?", application_name)
    for name, column in _AMONG.items():
        if (values := getattr(query, name)) is not None:
            add(f"{column} IN ({{in_json}})", json.dumps([str(one) for one in values]))
    if query.workflow_id_prefix is not None:
        add(
            "substr(s.workflow_uuid, 1, CAST(? AS integer)) = ?",
            len(query.workflow_id_prefix),
            query.workflow_id_prefix,
        )
    if query.attributes:
        add("{has_attributes}", json.dumps(dict(query.attributes)))
    for name, condition in _BETWEEN.items():
        if (moment := getattr(query, name)) is not None:
            add(condition, int(moment.timestamp() * 1000))
    conditions += [
        f"{column} IS {'NOT ' if getattr(query, name) else ''}NULL"
        for name, column in _EXISTS.items()
        if getattr(query, name) is not None
    ]
    return conditions, params


def workflows(session: Session, query: WorkflowQuery, application_name: str | None) -> list[Row]:
    """One page of a list, for ``listed``."""
    conditions, params = _conditions(query, application_name)
    direction, beyond = ("DESC", "<") if query.newest_first else ("ASC", ">")
    if query.after is not None:
        created_at, _, workflow_id = query.after.partition("/")
        conditions.append(f"(s.created_at, s.workflow_uuid) {beyond} (CAST(? AS bigint), ?)")
        params += [int(created_at), workflow_id]
    payloads = "i.inputs, i.serialization, o.output, o.error, o.serialization" if query.payloads else "NULL"
    joins = (
        " LEFT JOIN {t}workflow_inputs i ON i.workflow_uuid = s.workflow_uuid"
        " LEFT JOIN {t}workflow_outputs o ON o.workflow_uuid = s.workflow_uuid"
        if query.payloads
        else ""
    )
    columns = ", ".join(f"s.{name}" for name in STATUS_COLUMNS)
    sql = (
        f"SELECT {columns}, {payloads} FROM {{t}}workflow_status s{joins}{_where(conditions)}"  # noqa: S608
        f" ORDER BY s.created_at {direction}, s.workflow_uuid {direction} LIMIT ?"
    )
    return [list(row) for row in session.execute(sql, (*params, query.limit))]


def _where(conditions: Sequence[str]) -> str:
    return f" WHERE {' AND '.join(conditions)}" if conditions else ""


def listed(row: Row) -> Listed:
    """What a row of ``workflows`` or ``stranded`` says."""
    status, payloads = status_of(row), row[len(STATUS_COLUMNS) :]
    if len(payloads) < 5:
        return Listed(status, None, None, None)
    inputs, inputs_by, output, error, outcome_by = payloads
    return Listed(
        status,
        Payload(inputs, inputs_by) if inputs is not None else None,
        Payload(output, outcome_by) if output is not None else None,
        Payload(error, outcome_by) if error is not None else None,
    )


def count(session: Session, query: WorkflowQuery, application_name: str | None, group_by: Sequence[str]) -> list[Row]:
    """How many workflows there are, and the values of the columns that are named, in each row."""
    conditions, params = _conditions(query, application_name)
    columns = ", ".join(f"s.{GROUPS[name]}" for name in group_by)
    sql = f"SELECT count(*){', ' + columns if columns else ''} FROM {{t}}workflow_status s{_where(conditions)}"  # noqa: S608
    return [list(row) for row in session.execute(f"{sql} GROUP BY {columns}" if columns else sql, params)]


_STEPS = (
    "SELECT branch, function_id, function_name, child_workflow_id, started_at_epoch_ms, completed_at_epoch_ms,"
    " error IS NOT NULL, _PAYLOADS_ FROM {t}operation_outputs WHERE workflow_uuid = ?"
    " AND branch NOT LIKE '%!' ORDER BY branch, function_id"
)


def steps(session: Session, workflow_id: str, payloads: bool) -> list[Row]:
    """The checkpoints of a workflow by branch and function id, for ``step``; with payloads if they were asked for."""
    sql = _STEPS.replace("_PAYLOADS_", "output, error, serialization" if payloads else "NULL, NULL, NULL")
    return [list(row) for row in session.execute(sql, (workflow_id,))]


def step(row: Row) -> tuple[StepInfo, Payload | None, Payload | None]:
    """What a row of ``steps`` says, with output and error."""
    branch, function_id, name, child, started_at, completed_at, failed, output, error, serialization = row
    return (
        StepInfo(branch, function_id, name, child, started_at, completed_at, bool(failed)),
        Payload(output, serialization) if output is not None else None,
        Payload(error, serialization) if error is not None else None,
    )


_STRANDED = (
    "SELECT {columns} FROM {t}workflow_status s WHERE (CAST(? AS text) IS NULL OR s.application_name = ?)"
    " AND s.application_version IS NOT NULL AND s.status IN ('ENQUEUED', 'DELAYED', 'PENDING')"
    " AND NOT EXISTS (SELECT 1 FROM {t}executors e"
    " WHERE e.application_name = s.application_name AND e.application_version = s.application_version"
    " AND e.lease_expires_at >= {now}) ORDER BY s.created_at, s.workflow_uuid LIMIT ?"
)


def stranded(session: Session, application_name: str | None, limit: int) -> list[Row]:
    """What is in flight on versions that no living executor runs, for ``listed``."""
    columns = ", ".join(f"s.{name}" for name in STATUS_COLUMNS)
    rows = session.execute(_STRANDED.replace("{columns}", columns), (application_name, application_name, limit))
    return [list(row) for row in rows]
