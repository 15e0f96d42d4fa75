"""What is done to workflows from outside: cancel, resume, fork, delete. Each in the transaction that is open.

Each may be repeated, since the acknowledgement of its commit may be lost.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Sequence
from enum import Enum
from typing import Any

from durably.ledger.backend import Session
from durably.ledger.talk import tell
from durably.model import Life

#: The workflows that are named, and with ``true`` as the second parameter all their descendants.
_TREE = (
    "WITH RECURSIVE tree (workflow_uuid) AS (SELECT s.workflow_uuid FROM {t}workflow_status s"
    " WHERE s.workflow_uuid IN ({in_json}) UNION SELECT c.workflow_uuid FROM {t}workflow_status c"
    " JOIN tree t ON c.parent_workflow_id = t.workflow_uuid WHERE CAST(? AS integer) = 1)"
    " SELECT workflow_uuid FROM tree"
)


def with_children(session: Session, workflow_ids: Sequence[str], children: bool) -> list[str]:
    """Those of the workflows that exist; with all their descendants if ``children``. In one order for everybody."""
    return sorted(row[0] for row in session.execute(_TREE, (_ids(workflow_ids), int(children))))


_CANCEL = (
    "UPDATE {t}workflow_status SET status = 'CANCELLED', completed_at = {now} WHERE workflow_uuid IN ({in_json})"
    " AND status IN ('ENQUEUED', 'DELAYED', 'PENDING') RETURNING run_id, attempt, workflow_uuid"
)


def cancel(session: Session, workflow_ids: Sequence[str], children: bool = False) -> list[Life]:
    """Cancel those that have no outcome; which, by id."""
    everyone = with_children(session, workflow_ids, children)
    return _ended(session, session.execute(_CANCEL, (_ids(everyone),)))


_CANCEL_LATE = (
    "WITH late AS MATERIALIZED (SELECT workflow_uuid FROM {t}workflow_status WHERE application_name = ?"
    " AND workflow_deadline_epoch_ms IS NOT NULL AND workflow_deadline_epoch_ms <= {now}"
    " AND status IN ('ENQUEUED', 'DELAYED', 'PENDING') LIMIT 1000 {skip_locked})"
    " UPDATE {t}workflow_status SET status = 'CANCELLED', completed_at = {now}"
    " WHERE workflow_uuid IN (SELECT workflow_uuid FROM late) RETURNING run_id, attempt, workflow_uuid"
)
_NEXT = (
    "SELECT min(workflow_deadline_epoch_ms) - {now} FROM {t}workflow_status WHERE application_name = ?"
    " AND workflow_deadline_epoch_ms IS NOT NULL AND status IN ('ENQUEUED', 'DELAYED', 'PENDING')"
)


def cancel_late(session: Session, application_name: str) -> tuple[list[Life], int | None]:
    """Cancel what is past its deadline; which, and in how many milliseconds the next one is due, if there is one."""
    cancelled = _ended(session, session.execute(_CANCEL_LATE, (application_name,)))
    return cancelled, session.execute(_NEXT, (application_name,))[0][0]


def _ended(session: Session, rows: Iterable[Sequence[Any]]) -> list[Life]:
    """The lives that rows tell of, in the order of their ids, which others are told of."""
    lives = sorted((Life(*row) for row in rows), key=lambda life: life.workflow_id)
    tell(session, [news for life in lives for news in (f"c:{life}", f"o:{life.workflow_id}")])
    return lives


_RESUME = (
    "UPDATE {t}workflow_status SET status = 'ENQUEUED', executor_id = NULL, started_at_epoch_ms = NULL,"
    " completed_at = NULL, recovery_attempts = 0, workflow_timeout_ms = NULL, workflow_deadline_epoch_ms = NULL"
    " WHERE workflow_uuid IN ({in_json}) AND status IN ('CANCELLED', 'MAX_RECOVERY_ATTEMPTS_EXCEEDED', 'DELAYED')"
    " RETURNING workflow_uuid, application_name"
)


def resume(session: Session, workflow_ids: Sequence[str]) -> tuple[list[str], list[str]]:
    """Let those that were cancelled or set aside go on where they stopped: (those that exist, those resumed)."""
    there = with_children(session, workflow_ids, False)
    rows = session.execute(_RESUME, (_ids(there),))
    resumed = [row[0] for row in rows]
    session.execute("DELETE FROM {t}workflow_outputs WHERE workflow_uuid IN ({in_json})", (_ids(resumed),))
    tell(session, [f"w:{name}" for name in sorted({row[1] for row in rows})])
    return there, resumed


# -- fork --------------------------------------------------------------------------------------------------------

_FORK = (
    "INSERT INTO {t}workflow_status (workflow_uuid, run_id, status, name, class_name, config_name, application_name,"
    " application_version, attempt, created_at, forked_from, authenticated_user, attributes)"
    " SELECT CAST(? AS text), CAST(? AS text), 'ENQUEUED', name, class_name, config_name, application_name,"
    " coalesce(CAST(? AS text), application_version), 0, {now}, workflow_uuid, authenticated_user, attributes"
    " FROM {t}workflow_status WHERE workflow_uuid = ? ON CONFLICT DO NOTHING RETURNING application_name"
)
#: What the source did before a step: in its own code, and in gathers that began before it.
_BEFORE = (
    "workflow_uuid = ? AND ((branch IN ('', '!') AND function_id < CAST(? AS integer))"
    " OR (branch NOT IN ('', '!') AND {gathered_after} < CAST(? AS integer)))"
)
#: Where an event was set: after so many functions of the workflow's own code, and in a gather after that.
_WHEN = "CASE WHEN branch = '' THEN function_id ELSE {gathered_after} END DESC, branch DESC, function_id DESC"
_INPUTS = (
    "INSERT INTO {t}workflow_inputs (workflow_uuid, inputs, serialization)"
    " SELECT CAST(? AS text), inputs, serialization FROM {t}workflow_inputs WHERE workflow_uuid = ?"
)
_COPIES = (
    "INSERT INTO {t}operation_outputs (workflow_uuid, branch, function_id, function_name, output, error,"  # noqa: S608
    " serialization, child_workflow_id, started_at_epoch_ms, completed_at_epoch_ms)"
    " SELECT CAST(? AS text), branch, function_id, function_name, output, error, serialization, child_workflow_id,"
    f" started_at_epoch_ms, completed_at_epoch_ms FROM {{t}}operation_outputs WHERE {_BEFORE}",
    "INSERT INTO {t}workflow_events_history (workflow_uuid, branch, function_id, key, value, serialization)"  # noqa: S608
    " SELECT CAST(? AS text), branch, function_id, key, value, serialization"
    f" FROM {{t}}workflow_events_history WHERE {_BEFORE}",
    'INSERT INTO {t}streams (workflow_uuid, key, "offset", value, serialization, branch, function_id, sequence)'  # noqa: S608
    ' SELECT CAST(? AS text), key, row_number() OVER (PARTITION BY key ORDER BY "offset") - 1, value, serialization,'
    f" branch, function_id, sequence FROM {{t}}streams WHERE {_BEFORE}",
)
_EVENTS = (
    "INSERT INTO {t}workflow_events (workflow_uuid, key, value, serialization)"  # noqa: S608
    " SELECT workflow_uuid, key, value, serialization FROM (SELECT workflow_uuid, key, value, serialization,"
    f" row_number() OVER (PARTITION BY key ORDER BY {_WHEN}) AS nth"
    " FROM {t}workflow_events_history WHERE workflow_uuid = ?) h WHERE nth = 1"
)


class Forked(str, Enum):
    """What became of a fork."""

    #: It is there, made now or before.
    MADE = "made"
    #: There is no such workflow to fork.
    MISSING = "missing"
    #: The new id is another workflow's.
    TAKEN = "taken"


def fork(
    session: Session, source: str, start_step: int, workflow_id: str, run_id: str, application_version: str | None
) -> Forked:
    """Make a new workflow of what another one did before a step. A fork that is there already is left as it is."""
    made = session.execute(_FORK, (workflow_id, run_id, application_version, source))
    if not made:
        rows = session.execute("SELECT forked_from FROM {t}workflow_status WHERE workflow_uuid = ?", (workflow_id,))
        if not rows:
            return Forked.MISSING
        return Forked.MADE if rows[0][0] == source else Forked.TAKEN
    session.execute(_INPUTS, (workflow_id, source))
    if start_step > 1:  # not even what was gathered before the first step
        for copy in _COPIES:
            session.execute(copy, (workflow_id, source, start_step, start_step))
        session.execute(_EVENTS, (workflow_id,))
    tell(session, [f"w:{made[0][0]}"])
    return Forked.MADE


# -- delete and attributes ---------------------------------------------------------------------------------------

_TABLES = (
    ("workflow_inputs", "workflow_uuid"),
    ("workflow_outputs", "workflow_uuid"),
    ("operation_outputs", "workflow_uuid"),
    ("notifications", "destination_uuid"),
    ("workflow_events", "workflow_uuid"),
    ("workflow_events_history", "workflow_uuid"),
    ("streams", "workflow_uuid"),
)


def delete(session: Session, workflow_ids: Sequence[str], children: bool = False) -> list[Life]:
    """Forget workflows, whatever their status, with all that is recorded of them; which, by id."""
    everyone = _ids(with_children(session, workflow_ids, children))
    # This first: whoever writes for one of them at the same time has its row locked, and is waited for.
    rows = session.execute(
        "DELETE FROM {t}workflow_status WHERE workflow_uuid IN ({in_json}) RETURNING run_id, attempt, workflow_uuid",
        (everyone,),
    )
    for table, column in _TABLES:
        session.execute(f"DELETE FROM {{t}}{table} WHERE {column} IN ({{in_json}})", (everyone,))  # noqa: S608
    return _ended(session, rows)


def set_attributes(session: Session, workflow_id: str, attributes: str | None) -> bool:
    """Replace the attributes, a JSON object; False if there is no such workflow."""
    return bool(
        session.execute(
            "UPDATE {t}workflow_status SET attributes = {json} WHERE workflow_uuid = ? RETURNING 1",
            (attributes, workflow_id),
        )
    )


def _ids(workflow_ids: Sequence[str]) -> str:
    return json.dumps(list(workflow_ids))
