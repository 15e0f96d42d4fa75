"""The checkpoint of a transaction, written on the user's own connection, in the user's own transaction.

Co-located, it goes into the system tables, fenced like every other write. In an application database apart, it is a
completion row, keyed by the run id, the branch and the function id: the first one wins.
"""

from __future__ import annotations

from collections.abc import Sequence
from enum import Enum
from typing import Any, NamedTuple

from durably.adapter import DialectName, Parameter
from durably.model import Checkpoint, CheckpointKey, Fence

Statement = tuple[str, Sequence[Parameter]]


class Place(NamedTuple):
    """Where a transaction's checkpoint belongs, and who may write it."""

    workflow_id: str
    run_id: str
    key: CheckpointKey
    fence: Fence


# The guard: a setting (PostgreSQL) or savepoint (elsewhere) that lives exactly as long as the transaction, so that a
# COMMIT or ROLLBACK by the user's function, or DDL that commits by itself, is found before anything is recorded.
_GUARD: dict[DialectName, str] = {
    "postgresql": "SELECT set_config('durably.transaction', ?, true)",
    "sqlite": "SAVEPOINT durably_transaction",
    "mysql": "SAVEPOINT durably_transaction",
}
_RELEASE: dict[DialectName, str] = {
    "sqlite": "RELEASE SAVEPOINT durably_transaction",
    "mysql": "RELEASE SAVEPOINT durably_transaction",
}

# -- co-located --------------------------------------------------------------------------------------------------

_COLUMNS = (
    "(workflow_uuid, branch, function_id, function_name, output, error, serialization, started_at_epoch_ms,"
    " completed_at_epoch_ms)"
)
_VALUES = (
    "CAST(? AS text), CAST(? AS integer), CAST(? AS text), CAST(? AS text), CAST(? AS text), CAST(? AS text),"
    " CAST(? AS bigint), {now}"
)
_HELD = (
    " FROM {t}workflow_status s WHERE s.workflow_uuid = ? AND s.executor_id = ? AND s.attempt = CAST(? AS integer)"
    " AND s.status = 'PENDING'"
)
# What PostgreSQL answers: whether a row was inserted, and the guard's token. From here to the commit the workflow's row
# is held FOR SHARE, so that a claim waits for this commit or is seen by it; a process that stalls here must let go when
# its lease is over, hence the timeout.
_ANSWER = (
    " SELECT (SELECT count(*) FROM w), coalesce(current_setting('durably.transaction', true), ''),"
    " set_config('idle_in_transaction_session_timeout', ?, true)"
)
_GUARDED = " WHERE current_setting('durably.transaction', true) = ? ON CONFLICT DO NOTHING RETURNING 1)"

_RECORD: dict[DialectName, str] = {
    "postgresql": (
        f"WITH s AS MATERIALIZED (SELECT s.workflow_uuid{_HELD} FOR SHARE OF s),"  # noqa: S608
        f" w AS (INSERT INTO {{t}}operation_outputs {_COLUMNS} SELECT s.workflow_uuid, {_VALUES} FROM s"
        + _GUARDED
        + _ANSWER
    ),
    "sqlite": (
        f"INSERT INTO {{t}}operation_outputs {_COLUMNS} SELECT s.workflow_uuid, {_VALUES}{_HELD}"
        " ON CONFLICT DO NOTHING RETURNING 1"
    ),
}

# -- apart -------------------------------------------------------------------------------------------------------

_COMPLETION_TABLE = (
    "CREATE TABLE IF NOT EXISTS {t}transaction_completion (run_id text NOT NULL, branch text NOT NULL,"
    " function_id integer NOT NULL, workflow_uuid text NOT NULL, function_name text NOT NULL, output text, error text,"
    " serialization text NOT NULL, created_at bigint NOT NULL, PRIMARY KEY (run_id, branch, function_id))"
)
# Binary collations: MySQL's and MariaDB's own take upper and lower case for the same. The columns of the key are ours,
# and plain ASCII. An id has no limit, and an output must not end at TEXT's 64 KB.
_COMPLETION_TABLE_OF_MYSQL = (
    "CREATE TABLE IF NOT EXISTS {t}transaction_completion (run_id varchar(64) CHARACTER SET ascii COLLATE ascii_bin"
    " NOT NULL, branch varchar(255) CHARACTER SET ascii COLLATE ascii_bin NOT NULL, function_id integer NOT NULL,"
    " workflow_uuid text NOT NULL, function_name text NOT NULL, output longtext, error longtext,"
    " serialization varchar(255) NOT NULL, created_at bigint NOT NULL, PRIMARY KEY (run_id, branch, function_id))"
    " ENGINE = InnoDB CHARACTER SET utf8mb4 COLLATE utf8mb4_bin"
)
_CREATE: dict[DialectName, Sequence[str]] = {
    "postgresql": ("CREATE SCHEMA IF NOT EXISTS durably", _COMPLETION_TABLE),
    "sqlite": (_COMPLETION_TABLE + " WITHOUT ROWID",),
    "mysql": (_COMPLETION_TABLE_OF_MYSQL,),
}
_HAS_TABLE: dict[DialectName, str] = {
    "postgresql": "SELECT 1 WHERE to_regclass('durably.transaction_completion') IS NOT NULL",
    "sqlite": "SELECT 1 FROM sqlite_master WHERE name = 'durably_transaction_completion'",
    "mysql": (
        "SELECT 1 FROM information_schema.tables WHERE table_schema = DATABASE()"
        " AND table_name = 'durably_transaction_completion'"
    ),
}
_COMPLETION_COLUMNS = (
    "(run_id, branch, function_id, workflow_uuid, function_name, output, error, serialization, created_at)"
)
_COMPLETE: dict[DialectName, str] = {
    "postgresql": (
        f"WITH w AS (INSERT INTO {{t}}transaction_completion {_COMPLETION_COLUMNS}"
        " SELECT CAST(? AS text), CAST(? AS text), CAST(? AS integer), CAST(? AS text), CAST(? AS text),"
        " CAST(? AS text), CAST(? AS text), CAST(? AS text), {now}" + _GUARDED + _ANSWER
    ),
    "sqlite": (
        f"INSERT INTO {{t}}transaction_completion {_COMPLETION_COLUMNS}"  # noqa: S608
        " VALUES (?, ?, ?, ?, ?, ?, ?, ?, {now}) ON CONFLICT DO NOTHING RETURNING 1"
    ),
    # Neither ON CONFLICT nor, on MySQL, RETURNING: a row that is there already is an error of its own.
    "mysql": (
        f"INSERT INTO {{t}}transaction_completion {_COMPLETION_COLUMNS}"  # noqa: S608
        " VALUES (?, ?, ?, ?, ?, ?, ?, ?, {now})"
    ),
}
_FIND = (
    "SELECT function_name, output, error, serialization FROM {t}transaction_completion"
    " WHERE run_id = ? AND branch = ? AND function_id = ?"
)


#: Where a record that is there already is told by an error (a unique key's), and not by the absence of a row.
REFUSES_BY_ERROR: frozenset[DialectName] = frozenset({"mysql"})


class Guard(NamedTuple):
    """What ties the record to the transaction that began: a token, and how long the record may wait for its commit."""

    token: str
    lease_ms: int


def guard_begin(dialect: DialectName, guard: Guard) -> Statement:
    """The first statement of the transaction."""
    return _GUARD[dialect], (guard.token,) if dialect == "postgresql" else ()


def guard_release(dialect: DialectName) -> Statement | None:
    """The statement before the record that fails if the transaction was ended, where the record cannot tell."""
    sql = _RELEASE.get(dialect)
    return (sql, ()) if sql else None


def record_fenced(
    dialect: DialectName, place: Place, checkpoint: Checkpoint, started_at: int, guard: Guard
) -> Statement:
    """The checkpoint of a co-located transaction."""
    values = (place.key.branch, place.key.function_id, *checkpoint, started_at)
    fence = (place.workflow_id, place.fence.executor_id, place.fence.attempt)
    if dialect == "postgresql":
        return _RECORD[dialect], (*fence, *values, guard.token, str(guard.lease_ms))
    return _RECORD[dialect], (*values, *fence)


def record_completion(dialect: DialectName, place: Place, checkpoint: Checkpoint, guard: Guard) -> Statement:
    """The completion row of a transaction apart."""
    values = (place.run_id, place.key.branch, place.key.function_id, place.workflow_id, *checkpoint)
    if dialect == "postgresql":
        return _COMPLETE[dialect], (*values, guard.token, str(guard.lease_ms))
    return _COMPLETE[dialect], values


class Recording(Enum):
    """What a record statement's rows mean."""

    DONE = "done"
    #: A row is there already, or the fence or the status refused it.
    REFUSED = "refused"
    #: The transaction that began is not the one that is open now.
    ENDED = "ended"


def recording(dialect: DialectName, rows: Sequence[tuple[Any, ...]], guard: Guard) -> Recording:
    """Read the answer of ``record_fenced`` and ``record_completion``."""
    if dialect == "postgresql":
        inserted, token, _ = rows[0]
        if token != guard.token:
            return Recording.ENDED
        return Recording.DONE if inserted else Recording.REFUSED
    if dialect in REFUSES_BY_ERROR:
        return Recording.DONE
    return Recording.DONE if rows else Recording.REFUSED


def find_completion(place: Place) -> Statement:
    """The completion row, if there is one."""
    return _FIND, (place.run_id, place.key.branch, place.key.function_id)


def has_table(dialect: DialectName) -> Statement:
    """A row exactly if the application database has the table of completion rows."""
    return _HAS_TABLE[dialect], ()


def create_table(dialect: DialectName) -> list[Statement]:
    """The table of completion rows."""
    return [(sql, ()) for sql in _CREATE[dialect]]
