"""A workflow's row and its inputs, written one workflow at a time.

By the ledger on SQLite, and on the user's own connection where a start joins the transaction that the caller has open.
"""

from __future__ import annotations

#: Answers with one row if the workflow id was free. Takes the ``row`` of a ``StartWorkflow``.
START = (
    "INSERT INTO {t}workflow_status (workflow_uuid, run_id, status, name, class_name, config_name, application_name,"
    " application_version, executor_id, attempt, parent_workflow_id, workflow_timeout_ms, attributes,"
    " workflow_deadline_epoch_ms, created_at, started_at_epoch_ms)"
    " VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, {json},"
    " coalesce(CAST(? AS bigint), {now} + CAST(? AS bigint), (SELECT p.workflow_deadline_epoch_ms"
    " FROM {t}workflow_status p WHERE p.workflow_uuid = CAST(? AS text))), {now},"
    " CASE WHEN CAST(? AS text) IS NOT NULL THEN {now} END)"
    " ON CONFLICT DO NOTHING RETURNING 1"
)
#: Takes the workflow id, the inputs and their serialization.
INPUTS = "INSERT INTO {t}workflow_inputs (workflow_uuid, inputs, serialization) VALUES (?, ?, ?)"
