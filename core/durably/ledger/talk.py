"""The ledger's reads for messages, events and streams, and what is written of them outside group commit."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator, Sequence
from typing import Any, TypeVar

from durably.ledger.backend import Session
from durably.ledger.commands import RecordCheckpoint, Recorded, SendMessage
from durably.ledger.listening import FOR_EXECUTORS, FOR_WAITERS
from durably.model import Status
from durably.serialization import Payload

T = TypeVar("T")

#: As many bytes go into one notification; PostgreSQL allows 7,999.
NOTIFICATION = 7900
#: The kinds of news that go to executors.
_OF_EXECUTORS = ("c:", "w:")

# -- a change and its checkpoint ---------------------------------------------------------------------------------

_FENCE = (
    "SELECT s.status FROM {t}workflow_status s WHERE s.workflow_uuid = ? AND s.executor_id = ? AND s.attempt = ?"
    " {for_share}"
)
_CHECKPOINT = (
    "INSERT INTO {t}operation_outputs (workflow_uuid, branch, function_id, function_name, output, error,"
    " serialization, child_workflow_id, started_at_epoch_ms, completed_at_epoch_ms)"
    " VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, {now}) ON CONFLICT DO NOTHING"
)


def recorded(
    session: Session,
    work: Callable[[Session], T],
    record: Callable[[T], RecordCheckpoint | None],
    fence: RecordCheckpoint,
) -> tuple[T | None, Recorded]:
    """Do something and record it in the transaction that is open, if the workflow is still held as ``fence`` says.

    ``record`` may find that there is nothing to record in what came of it.
    """
    held = session.execute(_FENCE, (fence.workflow_id, fence.executor_id, fence.attempt))
    if not held:
        return None, Recorded.FENCED
    result = work(session)
    # Again: what was done may be the end of this very workflow.
    held = session.execute(_FENCE, (fence.workflow_id, fence.executor_id, fence.attempt))
    if not held:
        return result, Recorded.FENCED
    checkpoint = record(result)
    if checkpoint is not None:
        session.execute(_CHECKPOINT, (*checkpoint[:3], *checkpoint[5:]))
    return result, Recorded.CANCELLED if held[0][0] == Status.CANCELLED else Recorded.RECORDED


# -- messages ----------------------------------------------------------------------------------------------------

_SEND = (
    "INSERT INTO {t}notifications (destination_uuid, message_uuid, topic, message, serialization, created_at_epoch_ms)"
    " VALUES "
)
_MESSAGE = "(?, ?, ?, ?, ?, {now})"
#: As many go into one statement; SQLite takes 32,766 parameters.
_MESSAGES = 1000


def send_all(session: Session, commands: Sequence[SendMessage]) -> list[str]:
    """Write all messages, unless a destination is missing: those that are, and nothing is written."""
    asked = sorted({command.workflow_id for command in commands})
    rows = session.execute(
        "SELECT workflow_uuid FROM {t}workflow_status WHERE workflow_uuid IN ({in_json})", (json.dumps(asked),)
    )
    there = {row[0] for row in rows}
    missing = [one for one in asked if one not in there]
    if missing:
        return missing
    for first in range(0, len(commands), _MESSAGES):
        some = commands[first : first + _MESSAGES]
        values = [value for command in some for value in command[:5]]
        session.execute(f"{_SEND}{', '.join([_MESSAGE] * len(some))} ON CONFLICT DO NOTHING", values)
    tell(session, [f"m:{one}" for one in asked])
    return []


def tell(session: Session, news: Sequence[str]) -> None:
    """Tell other processes, when the transaction commits; does nothing where nobody can listen."""
    for channel, mine in (
        (FOR_EXECUTORS, [one for one in news if one.startswith(_OF_EXECUTORS)]),
        (FOR_WAITERS, [one for one in news if not one.startswith(_OF_EXECUTORS)]),
    ):
        for share in _shares(mine):
            session.execute("{notify}", (channel, "\n".join(share)))


def _shares(news: Sequence[str]) -> Iterator[list[str]]:
    """As many of them at a time as one notification takes."""
    share: list[str] = []
    size = 0
    for one in news:
        length = len(one.encode()) + 1
        if size + length > NOTIFICATION:
            yield share
            share, size = [], 0
        share.append(one)
        size += length
    if share:
        yield share


# -- events and streams ------------------------------------------------------------------------------------------


def event(session: Session, workflow_id: str, key: str) -> Payload | None:
    """The value of an event, if it is set."""
    rows = session.execute(
        "SELECT value, serialization FROM {t}workflow_events WHERE workflow_uuid = ? AND key = ?", (workflow_id, key)
    )
    return Payload(*rows[0]) if rows else None


def events(session: Session, workflow_id: str) -> dict[str, Payload]:
    """The values of all events of a workflow."""
    rows = session.execute(
        "SELECT key, value, serialization FROM {t}workflow_events WHERE workflow_uuid = ? ORDER BY key", (workflow_id,)
    )
    return {row[0]: Payload(row[1], row[2]) for row in rows}


def stream(session: Session, workflow_id: str, key: str, offset: int, limit: int) -> list[tuple[Any, ...]]:
    """(value, serialization) from an offset on, in order; a value of None is the stream's end."""
    return session.execute(
        "SELECT value, serialization FROM {t}streams"
        ' WHERE workflow_uuid = ? AND key = ? AND "offset" >= ? ORDER BY "offset" LIMIT ?',
        (workflow_id, key, offset, limit),
    )
