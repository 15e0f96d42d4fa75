"""The system database on PostgreSQL, through psycopg 3: one statement per kind of command, one commit per batch.

The rows of a batch travel as one JSON parameter and come out of ``json_to_recordset``: half the time of ``unnest``
arrays, most of which goes to encoding each element on the client. Every statement is prepared, and a batch of several
kinds goes out as one pipeline; both can be turned off for poolers that hand connections from one to another.
"""

from __future__ import annotations

import functools
import json
import threading
from collections.abc import Callable, Iterable, Sequence
from typing import TYPE_CHECKING, Any, TypeVar

from durably.config import redacted
from durably.errors import ConfigurationError, DatabaseUnavailableError, missing_extra
from durably.ledger import queries
from durably.ledger.backend import Observer, Session
from durably.ledger.commands import (
    Answer,
    Command,
    RecordCheckpoint,
    Recorded,
    RecordOutcome,
    Started,
    StartWorkflow,
)
from durably.model import Status
from durably.sql.dialect import POSTGRESQL, render

if TYPE_CHECKING:
    import psycopg

T = TypeVar("T")

CONNECT_SECONDS = 10
#: On connections of our own: every statement is looked up by key, and a plan made while the tables were empty must
#: not become a scan of all rows for ever: the writer's few statements are such that they have one good plan only, and
#: the others are planned each time. Whoever waits for a lock must see what its holder has committed, whatever isolation
#: the database or the role has for its default.
_SETTINGS = (
    "SELECT set_config('enable_seqscan', 'off', false), set_config('enable_hashjoin', 'off', false),"
    " set_config('enable_mergejoin', 'off', false), set_config('plan_cache_mode', %s, false),"
    " set_config('jit', 'off', false), set_config('default_transaction_isolation', 'read committed', false)"
)


@functools.lru_cache(maxsize=256)
def _query(sql: str) -> bytes:
    """A statement as psycopg takes it; bytes, since its types want text to be written out in the program."""
    return render(sql, POSTGRESQL, "format").encode()


class PostgresSession:
    """Statements on one PostgreSQL connection."""

    def __init__(self, connection: psycopg.Connection[Any], observe: Observer | None) -> None:
        self._connection = connection
        self._observe = observe

    def execute(self, sql: str, params: Sequence[Any] = ()) -> list[tuple[Any, ...]]:
        if self._observe is not None:
            self._observe(sql, 1)
        cursor = self._connection.execute(_query(sql), params)
        # ``description`` would tell as well, but makes an object of each column; ``rownumber`` is wrong in 3.1.0.
        return cursor.fetchall() if cursor.pgresult is not None and cursor.pgresult.nfields else []


class PostgresConnection:
    """One connection: opened at first use, dropped after an error that broke it, opened again at the next use."""

    def __init__(self, backend: PostgresBackend, *, one_plan: bool = False) -> None:
        self._backend = backend
        self._one_plan = one_plan
        self._raw: psycopg.Connection[Any] | None = None
        self._mutex = threading.Lock()

    def change(self, work: Callable[[PostgresSession], T]) -> T:
        def in_transaction(session: PostgresSession) -> T:
            session.execute("BEGIN")
            result = work(session)
            session.execute("COMMIT")
            return result

        return self.read(in_transaction)

    def each(self, work: Callable[[PostgresSession], T]) -> T:
        return self.read(work)

    def read(self, work: Callable[[PostgresSession], T]) -> T:
        with self._mutex:
            raw = self._opened()
            try:
                return work(PostgresSession(raw, self._backend.observe))
            except BaseException:
                self._recover(raw)
                raise

    def pipeline(self, work: Callable[[psycopg.Connection[Any]], T]) -> T:
        """Run ``work`` between BEGIN and COMMIT, all in one round trip where pipelines are on."""
        with self._mutex:
            raw = self._opened()
            try:
                if not self._backend.pipelines:
                    raw.execute("BEGIN")
                    result = work(raw)
                    raw.execute("COMMIT")
                    return result
                # What a pipeline sends before its one Sync is a transaction, without BEGIN and COMMIT.
                with raw.pipeline():
                    return work(raw)
            except BaseException:
                self._recover(raw)
                raise

    def _opened(self) -> psycopg.Connection[Any]:
        if self._raw is None or self._raw.closed:
            self._raw = self._backend.connect(one_plan=self._one_plan)
        return self._raw

    def _recover(self, raw: psycopg.Connection[Any]) -> None:
        """After an error: back to idle, or closed so that the next use connects afresh."""
        try:
            if not raw.closed and raw.info.transaction_status != _IDLE:
                raw.rollback()
        except Exception:  # the connection is beyond use, which is all that matters here
            raw.close()

    def close(self) -> None:
        with self._mutex:
            if self._raw is not None:
                self._raw.close()
                self._raw = None


_IDLE = 0


class PostgresBackend:
    """A system database on PostgreSQL. ``pooler``: no prepared statements, pipelines or session settings."""

    dialect = POSTGRESQL

    def __init__(self, url: str, *, pooler: bool = False) -> None:
        self.url = url
        self.pipelines = not pooler
        self._pooler = pooler
        self.observe: Observer | None = None
        self._writer = PostgresConnection(self, one_plan=True)
        self._idle: list[PostgresConnection] = []
        self._all: list[PostgresConnection] = [self._writer]
        self._mutex = threading.Lock()

    def connect(self, *, one_plan: bool = False) -> psycopg.Connection[Any]:
        """A new connection in autocommit, with the settings that our statements want."""
        try:
            import psycopg
        except ImportError as error:
            raise missing_extra("postgres", "psycopg") from error
        try:
            raw = psycopg.connect(
                self.url,
                autocommit=True,
                prepare_threshold=None if self._pooler else 0,
                connect_timeout=CONNECT_SECONDS,
                fallback_application_name="durably",
            )
        except psycopg.ProgrammingError:
            # Not chained: its message quotes the address, with the password.
            raise ConfigurationError(
                f"the database address {redacted(self.url)!r} is not one that PostgreSQL understands; it should look "
                "like postgresql://user:password@host:5432/name, with %40 for @, %2F for / and %25 for % in a password"
            ) from None
        if not self._pooler:
            raw.execute(_SETTINGS, ["force_generic_plan" if one_plan else "force_custom_plan"], prepare=False)
        return raw

    def open(self) -> None:
        if self._writer.read(lambda session: session.execute("SHOW transaction_read_only")) == [("on",)]:
            where = redacted(self.url)
            raise DatabaseUnavailableError(
                f"the system database {where} is read-only (a standby, or default_transaction_read_only is on); "
                "it must be writable",
                where=where,
            )

    def write(self, batch: Sequence[Command]) -> list[Answer]:
        return _Batch(batch, self.observe).write(self._writer, self.read)

    def read(self, work: Callable[[PostgresSession], T]) -> T:
        connection = self._borrowed()
        try:
            return connection.read(work)
        finally:
            self._return(connection)

    def change(self, work: Callable[[PostgresSession], T]) -> T:
        connection = self._borrowed()
        try:
            return connection.change(work)
        finally:
            self._return(connection)

    def each(self, work: Callable[[PostgresSession], T]) -> T:
        return self.read(work)

    def connection(self) -> PostgresConnection:
        connection = PostgresConnection(self)
        with self._mutex:
            self._all.append(connection)
        return connection

    def disconnect(self) -> None:
        with self._mutex:
            connections = list(self._all)
        for connection in connections:
            connection.close()

    def _borrowed(self) -> PostgresConnection:
        with self._mutex:
            if self._idle:
                return self._idle.pop()
        return self.connection()

    def _return(self, connection: PostgresConnection) -> None:
        with self._mutex:
            self._idle.append(connection)


# -- writing a batch ---------------------------------------------------------------------------------------------


def _rows(columns: dict[str, str]) -> str:
    return "json_to_recordset(?::json) AS r(" + ", ".join(f"{name} {kind}" for name, kind in columns.items()) + ")"


_START_ROWS = _rows(
    dict.fromkeys(
        (
            "workflow_id",
            "run_id",
            "status",
            "name",
            "class_name",
            "config_name",
            "application_name",
            "application_version",
            "executor_id",
        ),
        "text",
    )
    | {"attempt": "integer", "inputs": "text", "serialization": "text"}
)
_START = (
    f"WITH r AS MATERIALIZED (SELECT * FROM {_START_ROWS}),"  # noqa: S608
    " i AS (INSERT INTO {t}workflow_inputs (workflow_uuid, inputs, serialization)"
    " SELECT workflow_id, inputs, serialization FROM r ON CONFLICT DO NOTHING)"
    " INSERT INTO {t}workflow_status (workflow_uuid, run_id, status, name, class_name, config_name,"
    " application_name, application_version, executor_id, attempt, created_at)"
    " SELECT workflow_id, run_id, status, name, class_name, config_name, application_name, application_version,"
    " executor_id, attempt, {now} FROM r ON CONFLICT DO NOTHING RETURNING run_id"
)

_RECORD_ROWS = _rows(
    {
        "workflow_id": "text",
        "branch": "text",
        "function_id": "integer",
        "executor_id": "text",
        "attempt": "integer",
        "function_name": "text",
        "output": "text",
        "error": "text",
        "serialization": "text",
        "child_workflow_id": "text",
        "started_at": "bigint",
    }
)
# Looked up by key whatever the statistics say: in a plan that is made while there are few rows, a plain ``=`` becomes a
# join filter over all of them, and a plain condition on PENDING reads the whole index on what is PENDING.
_BY_KEY = "s.workflow_uuid = ANY (ARRAY[r.workflow_id])"
_PENDING = "s.status IS NOT DISTINCT FROM 'PENDING'"

# The fence is read FOR SHARE, so that a claim either waits for this batch or is seen by it. A cancelled workflow's
# checkpoint is still written, and the cancellation reported back.
_RECORD = (
    f"WITH held AS MATERIALIZED (SELECT r.*, s.status FROM {_RECORD_ROWS}"  # noqa: S608
    f" JOIN {{t}}workflow_status s ON {_BY_KEY} AND s.executor_id = r.executor_id"
    " AND s.attempt = r.attempt {for_share}),"
    " written AS (INSERT INTO {t}operation_outputs (workflow_uuid, branch, function_id, function_name, output, error,"
    " serialization, child_workflow_id, started_at_epoch_ms, completed_at_epoch_ms)"
    " SELECT workflow_id, branch, function_id, function_name, output, error, serialization, child_workflow_id,"
    " started_at, {now} FROM held ON CONFLICT DO NOTHING RETURNING workflow_uuid, branch, function_id)"
    " SELECT workflow_uuid, branch, function_id, NULL FROM written"
    " UNION ALL SELECT workflow_id, branch, function_id, status FROM held WHERE status <> 'PENDING'"
)

_FINISH_ROWS = _rows(
    {
        "workflow_id": "text",
        "executor_id": "text",
        "attempt": "integer",
        "status": "text",
        "output": "text",
        "error": "text",
        "serialization": "text",
    }
)
_FINISH = (
    "WITH done AS (UPDATE {t}workflow_status s SET status = r.status, completed_at = {now}"  # noqa: S608
    f" FROM {_FINISH_ROWS}"
    f" WHERE {_BY_KEY} AND s.executor_id = r.executor_id AND s.attempt = r.attempt"
    f" AND {_PENDING} RETURNING s.workflow_uuid, r.output, r.error, r.serialization)"
    " INSERT INTO {t}workflow_outputs (workflow_uuid, output, error, serialization) SELECT * FROM done"
    " RETURNING workflow_uuid"
)
_KINDS: tuple[tuple[type, str], ...] = (
    (StartWorkflow, _START),
    (RecordCheckpoint, _RECORD),
    (RecordOutcome, _FINISH),
)
_encode = json.JSONEncoder(separators=(",", ":"), check_circular=False).encode


class _Batch:
    """One batch on its way: a statement for each kind, then the answers by what came back."""

    def __init__(self, commands: Sequence[Command], observe: Observer | None) -> None:
        self._commands = commands
        self._observe = observe
        self._groups: list[tuple[type, str, list[Command]]] = []
        for kind, sql in _KINDS:
            # In one order, so that two batches never wait for each other.
            group = sorted((one for one in commands if isinstance(one, kind)), key=_workflow_id)
            if group:
                self._groups.append((kind, sql, group))

    def write(self, connection: PostgresConnection, read: Callable[[Callable[[Session], None]], None]) -> list[Answer]:
        if len(self._groups) == 1:
            _, sql, group = self._groups[0]
            rows = [connection.read(lambda session: self._alone(session, sql, group))]
        else:
            rows = [cursor.fetchall() for cursor in connection.pipeline(self._all)]
        found = {kind: result for (kind, _, _), result in zip(self._groups, rows, strict=True)}
        answers = self._answers(found)
        missing = [one.workflow_id for one in self._commands if answers.get(one) is None]
        if missing:
            read(lambda session: self._settle(session, answers, missing))
        return [answers[one] for one in self._commands]

    def _alone(self, session: PostgresSession, sql: str, group: list[Command]) -> list[tuple[Any, ...]]:
        if self._observe is not None:
            self._observe("COMMIT", 0)
        return session.execute(sql, (_as_json(group),))

    def _all(self, raw: psycopg.Connection[Any]) -> list[psycopg.Cursor[Any]]:
        cursors = [raw.execute(_query(sql), (_as_json(group),)) for _, sql, group in self._groups]
        if self._observe is not None:
            for _, sql, _ in self._groups:
                self._observe(sql, 0)
            self._observe("COMMIT", 1)
        return cursors

    def _answers(self, found: dict[type, list[tuple[Any, ...]]]) -> dict[Command, Answer]:
        """What the returned rows tell; a command that is missing here met a row that was there, or a fence."""
        created = {row[0] for row in found.get(StartWorkflow, ())}
        finished = {row[0] for row in found.get(RecordOutcome, ())}
        recorded: dict[tuple[str, str, int], Recorded] = {}
        for *key, status in found.get(RecordCheckpoint, ()):
            cancelled = status == Status.CANCELLED or recorded.get(tuple(key)) is Recorded.CANCELLED
            recorded[tuple(key)] = Recorded.CANCELLED if cancelled else Recorded.RECORDED
        answers: dict[Command, Answer] = {}
        for one in self._commands:
            if isinstance(one, StartWorkflow):
                if one.run_id in created:
                    answers[one] = Started(True)
            elif isinstance(one, RecordCheckpoint):
                if (answer := recorded.get(one[:3])) is not None:
                    answers[one] = answer
            elif one.workflow_id in finished:
                answers[one] = True
        return answers

    def _settle(self, session: Session, answers: dict[Command, Answer], missing: list[str]) -> None:
        """Tell a command that was sent before (its row is there) from one that was refused."""
        existing = queries.statuses(session, missing)
        for one in self._commands:
            if one in answers:
                continue
            row = existing.get(one.workflow_id)
            if isinstance(one, StartWorkflow):
                answers[one] = Started(row is not None and row.run_id == one.run_id, row)
                continue
            ours = row is not None and (row.executor_id, row.attempt) == (one.executor_id, one.attempt)
            if isinstance(one, RecordCheckpoint):
                answers[one] = Recorded.RECORDED if ours else Recorded.FENCED
            else:
                answers[one] = ours and row is not None and row.status == one.status


def _as_json(group: Iterable[Any]) -> str:
    return _encode([command._asdict() for command in group])


def _workflow_id(command: Command) -> str:
    return command.workflow_id
