"""The statements of group commit on PostgreSQL: each writes all rows of one kind of command, and says what it did.

Rows are looked up by key whatever the statistics say: in a plan that is made while there are few rows, a plain ``=``
becomes a join filter over all of them, and a plain condition on PENDING reads the whole index on what is PENDING.

The fence is read FOR SHARE, so that a claim either waits for this batch or is seen by it. A cancelled workflow's writes
still count, and the cancellation is reported back.
"""

from __future__ import annotations

from durably.ledger.listening import FOR_EXECUTORS, FOR_WAITERS


def _rows(**columns: str) -> str:
    """The commands as rows ``r``; every kind has its ``position`` in the batch."""
    listed = ", ".join(f"{name} {kind}" for name, kind in {**columns, "position": "integer"}.items())
    return f"json_to_recordset(?::json) AS r({listed})"


def _told(kind: str, workflow_id: str, source: str) -> str:
    """A common table expression that tells other processes, when the batch commits, of news about workflows.

    Several ids go into one notification, whose payload may have 8,000 bytes; an id that fits
    into an index has 2,700 at most.
    """
    return (
        f"told AS MATERIALIZED (SELECT pg_notify('{FOR_WAITERS}', string_agg('{kind}:' || {workflow_id}, E'\\n'))"  # noqa: S608
        f" FROM (SELECT {workflow_id},"
        f" sum(octet_length({workflow_id}) + 3) OVER (ROWS UNBOUNDED PRECEDING) / 5000 AS share"
        f" FROM (SELECT DISTINCT {workflow_id} FROM {source}) d) n GROUP BY share)"
    )


_TOLD = "(SELECT count(*) FROM told) >= 0"
_BY_KEY = "s.workflow_uuid = ANY (ARRAY[r.workflow_id])"
_FENCE = "s.executor_id = r.executor_id AND s.attempt = r.attempt"
_PENDING = "s.status IS NOT DISTINCT FROM 'PENDING'"
#: Each command whose workflow is held as it says, with the workflow's status.
_HELD = (
    "held AS MATERIALIZED (SELECT r.*, s.status FROM r"  # noqa: S608
    f" JOIN {{t}}workflow_status s ON {_BY_KEY} AND {_FENCE} {{for_share}})"
)

_PLACE = {
    "workflow_id": "text",
    "branch": "text",
    "function_id": "integer",
    "executor_id": "text",
    "attempt": "integer",
}

_START_ROWS = _rows(
    workflow_id="text",
    run_id="text",
    status="text",
    name="text",
    class_name="text",
    config_name="text",
    application_name="text",
    application_version="text",
    executor_id="text",
    attempt="integer",
    parent_workflow_id="text",
    timeout_ms="bigint",
    deadline_ms="bigint",
    inherits_deadline="boolean",
    attributes="text",
    inputs="text",
    serialization="text",
)
START = (
    f"WITH r AS MATERIALIZED (SELECT * FROM {_START_ROWS}),"  # noqa: S608
    " i AS (INSERT INTO {t}workflow_inputs (workflow_uuid, inputs, serialization)"
    " SELECT workflow_id, inputs, serialization FROM r ON CONFLICT DO NOTHING)"
    " INSERT INTO {t}workflow_status (workflow_uuid, run_id, status, name, class_name, config_name, application_name,"
    " application_version, executor_id, attempt, parent_workflow_id, workflow_timeout_ms, attributes,"
    " workflow_deadline_epoch_ms, created_at, started_at_epoch_ms)"
    " SELECT workflow_id, run_id, status, name, class_name, config_name, application_name, application_version,"
    " executor_id, attempt, parent_workflow_id, timeout_ms, attributes::jsonb,"
    " coalesce(deadline_ms, CASE WHEN executor_id IS NOT NULL THEN {now} + timeout_ms END,"
    " CASE WHEN inherits_deadline THEN (SELECT p.workflow_deadline_epoch_ms FROM {t}workflow_status p"
    " WHERE p.workflow_uuid = r.parent_workflow_id) END), {now},"
    " CASE WHEN executor_id IS NOT NULL THEN {now} END FROM r"
    " ON CONFLICT DO NOTHING RETURNING run_id,"
    f" CASE WHEN executor_id IS NULL THEN pg_notify('{FOR_EXECUTORS}', 'w:' || application_name) END"
)

_CHECKPOINT = (
    "INSERT INTO {t}operation_outputs (workflow_uuid, branch, function_id, function_name, output, error,"
    " serialization, child_workflow_id, started_at_epoch_ms, completed_at_epoch_ms)"
)
_RECORD_ROWS = _rows(
    **_PLACE,
    function_name="text",
    output="text",
    error="text",
    serialization="text",
    child_workflow_id="text",
    started_at="bigint",
)
RECORD = (
    f"WITH r AS MATERIALIZED (SELECT * FROM {_RECORD_ROWS}), {_HELD},"  # noqa: S608
    f" written AS ({_CHECKPOINT}"
    " SELECT workflow_id, branch, function_id, function_name, output, error, serialization, child_workflow_id,"
    " started_at, {now} FROM held ON CONFLICT DO NOTHING RETURNING workflow_uuid, branch, function_id)"
    " SELECT workflow_uuid, branch, function_id, NULL FROM written"
    " UNION ALL SELECT workflow_id, branch, function_id, status FROM held WHERE status <> 'PENDING'"
)

_SEND_ROWS = _rows(
    **_PLACE,
    message_id="text",
    topic="text",
    message="text",
    serialization="text",
    sender="text",
    function_name="text",
    started_at="bigint",
)
# Answers for each command: its position, whether the destination is there, the status in which the sender is held.
SEND = (
    f"WITH r AS MATERIALIZED (SELECT r.*,"  # noqa: S608
    " EXISTS (SELECT 1 FROM {t}workflow_status d WHERE d.workflow_uuid = r.workflow_id) AS known,"
    " (SELECT s.status FROM {t}workflow_status s WHERE s.workflow_uuid = r.sender"
    f" AND {_FENCE} {{for_share}}) AS held FROM {_SEND_ROWS}),"
    " sendable AS MATERIALIZED (SELECT * FROM r WHERE known AND (sender IS NULL OR held IS NOT NULL)),"
    " sent AS (INSERT INTO {t}notifications (destination_uuid, message_uuid, topic, message, serialization,"
    " created_at_epoch_ms) SELECT workflow_id, message_id, topic, message, serialization, {now} FROM sendable"
    " ORDER BY position ON CONFLICT DO NOTHING RETURNING destination_uuid),"
    f" written AS ({_CHECKPOINT} SELECT sender, branch, function_id, function_name, NULL, NULL, serialization, NULL,"
    " started_at, {now} FROM sendable WHERE sender IS NOT NULL ON CONFLICT DO NOTHING),"
    f" {_told('m', 'destination_uuid', 'sent')}"
    f" SELECT position, known, held FROM r WHERE {_TOLD}"
)

_RECEIVE_ROWS = _rows(**_PLACE, function_name="text", topic="text", started_at="bigint")
# Two that wait for one topic of one workflow take the first two messages. What was recorded before is given again.
RECEIVE = (
    f"WITH wanted AS MATERIALIZED (SELECT r.*, o.output AS recorded, o.serialization AS recorded_serialization,"  # noqa: S608
    " (SELECT s.status = 'PENDING' FROM {t}workflow_status s WHERE s.workflow_uuid = r.workflow_id"
    f" AND {_FENCE} {{for_share}}) AS held, coalesce(o.found, false) AS found FROM {_RECEIVE_ROWS}"
    " LEFT JOIN LATERAL (SELECT true AS found, o.output, o.serialization FROM {t}operation_outputs o"
    " WHERE o.workflow_uuid = r.workflow_id AND o.branch = r.branch AND o.function_id = r.function_id) o ON true),"
    " picked AS MATERIALIZED (SELECT w.*, m.message_uuid, m.message, m.serialization FROM (SELECT *,"
    " row_number() OVER (PARTITION BY workflow_id, topic, held AND NOT found ORDER BY position) AS nth FROM wanted) w"
    " LEFT JOIN LATERAL (SELECT n.message_uuid, n.message, n.serialization FROM {t}notifications n"
    " WHERE n.destination_uuid = w.workflow_id AND n.topic = w.topic AND NOT n.consumed"
    " ORDER BY n.position LIMIT 1 OFFSET w.nth - 1) m ON w.held AND NOT w.found),"
    " consumed AS (UPDATE {t}notifications n SET consumed = true FROM picked p"
    " WHERE n.destination_uuid = p.workflow_id AND n.message_uuid = p.message_uuid),"
    f" written AS ({_CHECKPOINT} SELECT workflow_id, branch, function_id, function_name, message, NULL, serialization,"
    " NULL, started_at, {now} FROM picked WHERE message_uuid IS NOT NULL ON CONFLICT DO NOTHING)"
    " SELECT position, coalesce(held, false), coalesce(recorded, message),"
    " coalesce(recorded_serialization, serialization) FROM picked"
)

_EVENT_ROWS = _rows(**_PLACE, key="text", value="text", serialization="text")
SET_EVENT = (
    f"WITH r AS MATERIALIZED (SELECT * FROM {_EVENT_ROWS}), {_HELD},"  # noqa: S608
    " now AS (INSERT INTO {t}workflow_events (workflow_uuid, key, value, serialization)"
    " SELECT DISTINCT ON (workflow_id, key) workflow_id, key, value, serialization FROM held"
    " ORDER BY workflow_id, key, position DESC ON CONFLICT (workflow_uuid, key)"
    " DO UPDATE SET value = excluded.value, serialization = excluded.serialization RETURNING workflow_uuid),"
    " history AS (INSERT INTO {t}workflow_events_history (workflow_uuid, branch, function_id, key, value,"
    " serialization) SELECT DISTINCT ON (workflow_id, branch, function_id, key)"
    " workflow_id, branch, function_id, key, value, serialization FROM held"
    " ORDER BY workflow_id, branch, function_id, key, position DESC"
    " ON CONFLICT (workflow_uuid, branch, function_id, key)"
    " DO UPDATE SET value = excluded.value, serialization = excluded.serialization),"
    f" {_told('e', 'workflow_uuid', 'now')}"
    f" SELECT position, status FROM held WHERE {_TOLD}"
)

_STREAM_ROWS = _rows(**_PLACE, sequence="integer", key="text", value="text", serialization="text")
WRITE_STREAM = (
    f"WITH r AS MATERIALIZED (SELECT * FROM {_STREAM_ROWS}), {_HELD},"  # noqa: S608
    " new AS MATERIALIZED (SELECT DISTINCT ON (workflow_id, branch, function_id, sequence, key) * FROM held h"
    " WHERE NOT EXISTS (SELECT 1 FROM {t}streams w WHERE w.workflow_uuid = h.workflow_id AND w.branch = h.branch"
    " AND w.function_id = h.function_id AND w.sequence = h.sequence AND w.key = h.key)"
    " ORDER BY workflow_id, branch, function_id, sequence, key, position),"
    ' added AS (INSERT INTO {t}streams (workflow_uuid, key, "offset", value, serialization, branch, function_id,'
    " sequence) SELECT n.workflow_id, n.key,"
    ' coalesce((SELECT max("offset") FROM {t}streams w WHERE w.workflow_uuid = n.workflow_id AND w.key = n.key), -1)'
    " + row_number() OVER (PARTITION BY n.workflow_id, n.key ORDER BY n.position), n.value, n.serialization, n.branch,"
    " n.function_id, n.sequence FROM new n RETURNING workflow_uuid),"
    f" {_told('s', 'workflow_uuid', 'added')}"
    f" SELECT position, status FROM held WHERE {_TOLD}"
)

_FINISH_ROWS = _rows(
    workflow_id="text",
    executor_id="text",
    attempt="integer",
    status="text",
    output="text",
    error="text",
    serialization="text",
)
FINISH = (
    "WITH done AS (UPDATE {t}workflow_status s SET status = r.status, completed_at = {now}"  # noqa: S608
    f" FROM {_FINISH_ROWS} WHERE {_BY_KEY} AND {_FENCE}"
    f" AND {_PENDING} RETURNING s.workflow_uuid, r.output, r.error, r.serialization),"
    f" {_told('o', 'workflow_uuid', 'done')}"
    " INSERT INTO {t}workflow_outputs (workflow_uuid, output, error, serialization)"
    f" SELECT * FROM done WHERE {_TOLD} RETURNING workflow_uuid"
)
