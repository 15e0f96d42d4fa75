"""A batch of commands on SQLite: row by row, which is fast enough where nothing leaves the process."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

from durably.ledger import queries
from durably.ledger.backend import Session
from durably.ledger.commands import (
    Answer,
    Command,
    Received,
    ReceiveMessage,
    RecordCheckpoint,
    Recorded,
    RecordOutcome,
    SendMessage,
    Sent,
    SetEvent,
    Started,
    StartWorkflow,
    WriteStream,
)
from durably.model import Status
from durably.sql import starting


def write(session: Session, batch: Sequence[Command]) -> list[Answer]:
    """Write a batch in the transaction that is open: kind by kind, in the order of the table below."""
    answers: dict[int, Answer] = {}
    for kind, write_one in _WRITERS:
        for place, command in enumerate(batch):
            if isinstance(command, kind):
                answers[place] = write_one(session, command)
    return [answers[place] for place in range(len(batch))]


def _start(session: Session, command: StartWorkflow) -> Started:
    if session.execute(starting.START, command.row):
        session.execute(starting.INPUTS, (command.workflow_id, command.inputs, command.serialization))
        return Started(True)
    existing = queries.statuses(session, [command.workflow_id])[command.workflow_id]
    return Started(existing.run_id == command.run_id, existing)


# -- the fence ---------------------------------------------------------------------------------------------------

_FENCE = "SELECT executor_id, attempt, status FROM {t}workflow_status WHERE workflow_uuid = ?"


def _held(session: Session, workflow_id: str, executor_id: str | None, attempt: int) -> Status | None:
    """The workflow's status if this executor and attempt hold it, or held it when it was cancelled; else None."""
    rows = session.execute(_FENCE, (workflow_id,))
    if not rows or rows[0][:2] != (executor_id, attempt):
        return None
    return Status(rows[0][2])


# -- checkpoints -------------------------------------------------------------------------------------------------

_CHECKPOINT = (
    "INSERT INTO {t}operation_outputs (workflow_uuid, branch, function_id, function_name, output, error,"
    " serialization, child_workflow_id, started_at_epoch_ms, completed_at_epoch_ms)"
    " VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, {now}) ON CONFLICT DO NOTHING"
)


def _record(session: Session, command: RecordCheckpoint) -> Recorded:
    held = _held(session, command.workflow_id, command.executor_id, command.attempt)
    if held is None:
        return Recorded.FENCED
    session.execute(_CHECKPOINT, (*command[:3], *command[5:]))
    return Recorded.CANCELLED if held is Status.CANCELLED else Recorded.RECORDED


# -- messages ----------------------------------------------------------------------------------------------------

_EXISTS = "SELECT 1 FROM {t}workflow_status WHERE workflow_uuid = ?"
_SEND = (
    "INSERT INTO {t}notifications (destination_uuid, message_uuid, topic, message, serialization, created_at_epoch_ms)"
    " VALUES (?, ?, ?, ?, ?, {now}) ON CONFLICT DO NOTHING"
)


def _send(session: Session, command: SendMessage) -> Sent:
    held = None
    if command.sender is not None:
        held = _held(session, command.sender, command.executor_id, command.attempt)
        if held is None:
            return Sent.FENCED
    if not session.execute(_EXISTS, (command.workflow_id,)):
        return Sent.UNKNOWN
    session.execute(_SEND, command[:5])
    if command.sender is not None:
        place = (command.sender, command.branch, command.function_id, command.function_name)
        session.execute(_CHECKPOINT, (*place, None, None, command.serialization, None, command.started_at))
    return Sent.CANCELLED if held is Status.CANCELLED else Sent.SENT


_RECORDED = (
    "SELECT output, serialization FROM {t}operation_outputs WHERE workflow_uuid = ? AND branch = ? AND function_id = ?"
)
_OLDEST = (
    "SELECT position, message, serialization FROM {t}notifications"
    " WHERE destination_uuid = ? AND topic = ? AND NOT consumed ORDER BY position LIMIT 1"
)
_CONSUME = "UPDATE {t}notifications SET consumed = 1 WHERE position = ?"


def _receive(session: Session, command: ReceiveMessage) -> Received:
    if _held(session, command.workflow_id, command.executor_id, command.attempt) is not Status.PENDING:
        return Received(fenced=True)
    recorded = session.execute(_RECORDED, command[:3])
    if recorded:
        return Received(*recorded[0])
    oldest = session.execute(_OLDEST, (command.workflow_id, command.topic))
    if not oldest:
        return Received()
    position, message, serialization = oldest[0]
    session.execute(_CONSUME, (position,))
    values = (command.function_name, message, None, serialization, None, command.started_at)
    session.execute(_CHECKPOINT, (*command[:3], *values))
    return Received(message, serialization)


# -- events and streams ------------------------------------------------------------------------------------------

_EVENT = (
    "INSERT INTO {t}workflow_events (workflow_uuid, key, value, serialization) VALUES (?, ?, ?, ?)"
    " ON CONFLICT (workflow_uuid, key) DO UPDATE SET value = excluded.value, serialization = excluded.serialization"
)
_EVENT_HISTORY = (
    "INSERT INTO {t}workflow_events_history (workflow_uuid, branch, function_id, key, value, serialization)"
    " VALUES (?, ?, ?, ?, ?, ?) ON CONFLICT (workflow_uuid, branch, function_id, key)"
    " DO UPDATE SET value = excluded.value, serialization = excluded.serialization"
)


def _set_event(session: Session, command: SetEvent) -> Recorded:
    held = _held(session, command.workflow_id, command.executor_id, command.attempt)
    if held is None:
        return Recorded.FENCED
    value = (command.key, command.value, command.serialization)
    session.execute(_EVENT, (command.workflow_id, *value))
    session.execute(_EVENT_HISTORY, (*command[:3], *value))
    return Recorded.CANCELLED if held is Status.CANCELLED else Recorded.RECORDED


_STREAM = (
    'INSERT INTO {t}streams (workflow_uuid, key, "offset", value, serialization, branch, function_id, sequence)'
    ' SELECT ?, ?, coalesce((SELECT max("offset") FROM {t}streams WHERE workflow_uuid = ? AND key = ?), -1) + 1,'
    " ?, ?, ?, ?, ? WHERE true ON CONFLICT DO NOTHING"
)


def _write_stream(session: Session, command: WriteStream) -> Recorded:
    held = _held(session, command.workflow_id, command.executor_id, command.attempt)
    if held is None:
        return Recorded.FENCED
    stream = (command.workflow_id, command.key)
    place = (command.branch, command.function_id, command.sequence)
    session.execute(_STREAM, (*stream, *stream, command.value, command.serialization, *place))
    return Recorded.CANCELLED if held is Status.CANCELLED else Recorded.RECORDED


# -- outcomes ----------------------------------------------------------------------------------------------------

_FINISH = (
    "UPDATE {t}workflow_status SET status = ?, completed_at = {now}"
    " WHERE workflow_uuid = ? AND executor_id = ? AND attempt = ? AND status = 'PENDING' RETURNING 1"
)
_OUTPUTS = "INSERT INTO {t}workflow_outputs (workflow_uuid, output, error, serialization) VALUES (?, ?, ?, ?)"


def _finish(session: Session, command: RecordOutcome) -> bool:
    fence = (command.workflow_id, command.executor_id, command.attempt)
    if session.execute(_FINISH, (command.status, *fence)):
        session.execute(_OUTPUTS, (command.workflow_id, command.output, command.error, command.serialization))
        return True
    rows = session.execute(_FENCE, (command.workflow_id,))
    return bool(rows) and rows[0] == (command.executor_id, command.attempt, command.status)


_WRITERS: tuple[tuple[type, Callable[[Session, Any], Answer]], ...] = (
    (StartWorkflow, _start),
    (RecordCheckpoint, _record),
    (SendMessage, _send),
    (ReceiveMessage, _receive),
    (SetEvent, _set_event),
    (WriteStream, _write_stream),
    (RecordOutcome, _finish),
)
