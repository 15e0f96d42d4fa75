"""A batch of commands on PostgreSQL: one statement for each kind, all in one round trip and one commit.

The rows of a kind travel as one JSON parameter and come out of ``json_to_recordset``: half the time of ``unnest``
arrays, most of which goes to encoding each element on the client. The statements are in ``postgres_statements``.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable, Sequence
from typing import TYPE_CHECKING, Any

from durably.ledger import postgres_statements, queries
from durably.ledger.backend import Observer, Session
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
from durably.ledger.postgres_connection import PostgresConnection, PostgresSession, query
from durably.model import Status

if TYPE_CHECKING:
    import psycopg

Rows = list[tuple[Any, ...]]
_encode = json.JSONEncoder(separators=(",", ":"), check_circular=False).encode


class Batch:
    """One batch on its way: a statement for each kind, then the answers by what came back."""

    def __init__(self, commands: Sequence[Command], observe: Observer | None) -> None:
        self._commands = commands
        self._observe = observe
        self._groups: list[tuple[type, str, list[Any]]] = []
        for kind, (sql, _) in _KINDS.items():
            # In one order, so that two batches never wait for each other.
            group = sorted((one for one in commands if isinstance(one, kind)), key=_workflow_id)
            if group:
                self._groups.append((kind, sql, group))

    def write(self, connection: PostgresConnection, read: Callable[[Callable[[Session], None]], None]) -> list[Answer]:
        """Write it; one answer for each command, in order."""
        if len(self._groups) == 1:
            _, sql, group = self._groups[0]
            results = [connection.read(lambda session: self._alone(session, sql, group))]
        else:
            results = [cursor.fetchall() for cursor in connection.pipeline(self._all)]
        answers: dict[Command, Answer] = {}
        for (kind, _, group), rows in zip(self._groups, results, strict=True):
            _KINDS[kind][1](group, rows, answers)
        missing = [one.workflow_id for one in self._commands if one not in answers]
        if missing:
            read(lambda session: self._settle(session, answers, missing))
        return [answers[one] for one in self._commands]

    def _alone(self, session: PostgresSession, sql: str, group: list[Any]) -> Rows:
        if self._observe is not None:
            self._observe("COMMIT", 0)
        return session.execute(sql, (_as_json(group),))

    def _all(self, raw: psycopg.Connection[Any]) -> list[psycopg.Cursor[Any]]:
        cursors = [raw.execute(query(sql), (_as_json(group),)) for _, sql, group in self._groups]
        if self._observe is not None:
            for _, sql, _ in self._groups:
                self._observe(sql, 0)
            self._observe("COMMIT", 1)
        return cursors

    def _settle(self, session: Session, answers: dict[Command, Answer], missing: list[str]) -> None:
        """Tell a command that was sent before (its row is there) from one that was refused."""
        existing = queries.statuses(session, missing)
        for one in self._commands:
            if one in answers:
                continue
            row = existing.get(one.workflow_id)
            if isinstance(one, StartWorkflow):
                answers[one] = Started(row is not None and row.run_id == one.run_id, row)
            elif isinstance(one, (RecordCheckpoint, RecordOutcome)):
                ours = row is not None and (row.executor_id, row.attempt) == (one.executor_id, one.attempt)
                if isinstance(one, RecordCheckpoint):
                    answers[one] = Recorded.RECORDED if ours else Recorded.FENCED
                else:
                    answers[one] = ours and row is not None and row.status == one.status


def _as_json(group: Iterable[Any]) -> str:
    return _encode([{**command._asdict(), "position": position} for position, command in enumerate(group)])


def _workflow_id(command: Command) -> str:
    return command.workflow_id


# -- what the returned rows tell; a command that they leave out met a row that was there, or a fence -----------------

Answers = dict[Command, Answer]


def _started(group: list[StartWorkflow], rows: Rows, answers: Answers) -> None:
    created = {row[0] for row in rows}
    answers.update({one: Started(True) for one in group if one.run_id in created})


def _recorded(group: list[RecordCheckpoint], rows: Rows, answers: Answers) -> None:
    found: dict[tuple[str, str, int], Recorded] = {}
    for *key, status in rows:
        cancelled = status == Status.CANCELLED or found.get(tuple(key)) is Recorded.CANCELLED
        found[tuple(key)] = Recorded.CANCELLED if cancelled else Recorded.RECORDED
    answers.update({one: found[one[:3]] for one in group if one[:3] in found})


def _sent(group: list[SendMessage], rows: Rows, answers: Answers) -> None:
    for position, known, held in rows:
        one = group[position]
        if one.sender is not None and held is None:
            answers[one] = Sent.FENCED
        elif not known:
            answers[one] = Sent.UNKNOWN
        else:
            answers[one] = Sent.CANCELLED if held == Status.CANCELLED else Sent.SENT


def _received(group: list[ReceiveMessage], rows: Rows, answers: Answers) -> None:
    found = {position: Received(message, serialization, not held) for position, held, message, serialization in rows}
    answers.update({one: found[position] for position, one in enumerate(group)})


def _held(group: list[Any], rows: Rows, answers: Answers) -> None:
    statuses: dict[int, str] = {position: status for position, status in rows}
    for position, one in enumerate(group):
        status = statuses.get(position)
        if status is None:
            answers[one] = Recorded.FENCED
        else:
            answers[one] = Recorded.CANCELLED if status == Status.CANCELLED else Recorded.RECORDED


def _finished(group: list[RecordOutcome], rows: Rows, answers: Answers) -> None:
    written = {row[0] for row in rows}
    answers.update({one: True for one in group if one.workflow_id in written})


#: In the order in which they are sent: what begins a workflow before what is sent to it, its end last.
_KINDS: dict[type, tuple[str, Callable[[list[Any], Rows, Answers], None]]] = {
    StartWorkflow: (postgres_statements.START, _started),
    RecordCheckpoint: (postgres_statements.RECORD, _recorded),
    SendMessage: (postgres_statements.SEND, _sent),
    ReceiveMessage: (postgres_statements.RECEIVE, _received),
    SetEvent: (postgres_statements.SET_EVENT, _held),
    WriteStream: (postgres_statements.WRITE_STREAM, _held),
    RecordOutcome: (postgres_statements.FINISH, _finished),
}
