"""What one exception of a database driver says, by its code, or by its message where there is none.

To support another driver, add it to ``_DRIVERS``, the last table.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from enum import Enum
from typing import Any


class Failure(Enum):
    """What a database failure means for the transaction it happened in."""

    RETRYABLE = "retryable"
    """Serialization failure, deadlock, lock timeout, busy: the whole transaction may be run again."""
    CONNECTION = "connection"
    """The connection is gone, refused, or the server is going down: run it again on a fresh connection."""
    UNIQUE = "unique"
    """A unique or primary key is taken."""
    READ_ONLY = "read-only"
    """A write in a read-only transaction, or to a read-only database."""
    ABORTED = "aborted"
    """An earlier error in this transaction was swallowed; the database refuses everything but a rollback."""
    OTHER = "other"
    """A database error of another kind: syntax, no such table, bad data, disk full."""


# --- what drivers have in common -----------------------------------------------------------------------------


def attribute(error: BaseException, name: str) -> Any:
    try:
        return getattr(error, name, None)
    except Exception:  # a property of somebody's class; nothing here may fail
        return None


def message_of(error: BaseException) -> str:
    try:
        return str(error)
    except Exception:  # likewise
        return ""


def first_argument(error: BaseException) -> Any:
    arguments = attribute(error, "args")
    return arguments[0] if isinstance(arguments, tuple) and arguments else None


def family(error: BaseException) -> Callable[[BaseException], Failure | None] | None:
    return next((_DRIVERS[root] for root, _ in classes_of(error) if root in _DRIVERS), None)


def classes_of(error: BaseException) -> Iterator[tuple[str, str]]:
    """(top-level package, class name) of the error's class and its bases."""
    for each in type(error).__mro__:
        yield str(each.__module__).partition(".")[0], each.__name__


# --- PostgreSQL, and whatever else speaks SQLSTATE ----------------------------------------------------------

_SQLSTATE = re.compile("[0-9A-Z]{5}")
_SQLSTATES = {
    "40000": Failure.RETRYABLE,  # transaction_rollback
    "40001": Failure.RETRYABLE,  # serialization_failure
    "40003": Failure.RETRYABLE,  # statement_completion_unknown (CockroachDB's ambiguous result)
    "40P01": Failure.RETRYABLE,  # deadlock_detected
    "55P03": Failure.RETRYABLE,  # lock_not_available: lock_timeout, NOWAIT
    "08": Failure.CONNECTION,  # connection exceptions
    "25P03": Failure.CONNECTION,  # idle_in_transaction_session_timeout: the server has hung up
    "25P04": Failure.CONNECTION,  # transaction_timeout: likewise
    "53300": Failure.CONNECTION,  # too_many_connections
    "57P01": Failure.CONNECTION,  # admin_shutdown, pg_terminate_backend
    "57P02": Failure.CONNECTION,  # crash_shutdown
    "57P03": Failure.CONNECTION,  # cannot_connect_now: starting up, recovering
    "57P05": Failure.CONNECTION,  # idle_session_timeout
    "23505": Failure.UNIQUE,  # unique_violation
    "25006": Failure.READ_ONLY,  # read_only_sql_transaction
    "25P02": Failure.ABORTED,  # in_failed_sql_transaction
    # 57014 query_canceled is OTHER: statement_timeout is the user's own limit, and would only strike again.
}
# A prepared statement that a migration overtook. 0A000 is wide and messages are translated: so by function.
_STALE_PLAN = ("0A000", "RevalidateCachedQuery")


def sqlstate(error: BaseException) -> str | None:
    for name in ("sqlstate", "pgcode"):
        state = attribute(error, name)
        if isinstance(state, str) and _SQLSTATE.fullmatch(state):
            return state
    return None


def says_postgresql(error: BaseException) -> Failure | None:
    state = sqlstate(error)
    if state is None:
        return _says_libpq(error)
    if (state, _source_function(error)) == _STALE_PLAN:
        return Failure.RETRYABLE
    return _by_sqlstate(state)


def _by_sqlstate(state: str) -> Failure:
    return _SQLSTATES.get(state) or _SQLSTATES.get(state[:2]) or Failure.OTHER


def _source_function(error: BaseException) -> Any:
    """The function of the server that raised it: asyncpg's attribute, or psycopg's diagnostics."""
    return attribute(error, "server_source_function") or getattr(attribute(error, "diag"), "source_function", None)


_CLOSED = (  # on an established connection; the text may hold a FATAL, which then says why it was closed
    "connection is closed",
    "connection already closed",
    "connection has been released back to the pool",  # asyncpg: by the pool itself, once it was lost
    "connection is lost",
    "connection not open",
    "connection reset",
    "connection socket closed",
    "connection was closed",
    "server closed the connection",
    "ssl connection has been closed",
    "terminating connection",
    "no connection to the server",
    "consuming input failed",
    "flushing failed",
    "could not receive data from server",
    "could not send data to server",
    "lost synchronization with server",
    "broken pipe",
)
_REFUSED = (  # while connecting, by the client's side
    "connection refused",
    "connection timeout expired",
    "timeout expired",
    "could not connect to server",
    "is the server running",
    "could not translate host name",
    "failed to resolve host",
    "network is unreachable",
    "no route to host",
    "eof detected",
    "ssl error",
    "ssl syscall error",
)
_FATAL = (  # while connecting, by the server or a pooler; others (unknown database, password) are lasting
    "the database system is",
    "too many clients",
    "too many connections",
    "connection slots are reserved",
    "no more connections allowed",
    "query_wait_timeout",
    "server_login_retry",
)
# These quote the user's values in their messages, which prove nothing:
_QUOTING = {"DataError", "IntegrityError", "NotSupportedError", "ProgrammingError"}
_CLIENT_CLASSES = {
    "PipelineAborted": Failure.ABORTED,  # psycopg: an earlier statement of the pipeline failed
    "OutdatedSchemaCacheError": Failure.RETRYABLE,  # asyncpg: a type changed, and it has now noticed
    "InternalClientError": Failure.CONNECTION,  # asyncpg: out of step, as when the server has just hung up
}


def _says_libpq(error: BaseException) -> Failure | None:
    """Without an SQLSTATE: what the client says of its connection."""
    names = [name for _, name in classes_of(error)]
    if not _QUOTING.isdisjoint(names):
        return None
    known = next((_CLIENT_CLASSES[name] for name in names if name in _CLIENT_CLASSES), None)
    if known is not None:
        return known
    message = message_of(error).lower()
    phrases = _REFUSED if "fatal:" not in message else _FATAL
    if any(phrase in message for phrase in (*_CLOSED, *phrases)):
        return Failure.CONNECTION
    return None


# --- SQLite -------------------------------------------------------------------------------------------------

SQLITE_CODES = {
    5: Failure.RETRYABLE,  # BUSY, with BUSY_RECOVERY, BUSY_SNAPSHOT, BUSY_TIMEOUT
    6: Failure.RETRYABLE,  # LOCKED, with LOCKED_SHAREDCACHE
    8: Failure.READ_ONLY,  # READONLY and all its kinds
    15: Failure.RETRYABLE,  # PROTOCOL: connections raced to open the WAL
    17: Failure.RETRYABLE,  # SCHEMA: it changed under a statement
    1555: Failure.UNIQUE,  # CONSTRAINT_PRIMARYKEY
    2067: Failure.UNIQUE,  # CONSTRAINT_UNIQUE
    2579: Failure.UNIQUE,  # CONSTRAINT_ROWID
}
_SQLITE_CANTOPEN = 14
_SQLITE_MESSAGES = (  # Python 3.10 has no sqlite_errorcode: (class, how the message begins, failure)
    ("OperationalError", "database is locked", Failure.RETRYABLE),
    ("OperationalError", "database table is locked", Failure.RETRYABLE),
    ("OperationalError", "database schema is locked", Failure.RETRYABLE),
    ("OperationalError", "database schema has changed", Failure.RETRYABLE),
    ("OperationalError", "locking protocol", Failure.RETRYABLE),
    ("OperationalError", "attempt to write a readonly database", Failure.READ_ONLY),
    ("IntegrityError", "UNIQUE constraint failed", Failure.UNIQUE),
    # These two come from Python, without a code on any version; the second through SQLAlchemy over aiosqlite.
    ("ProgrammingError", "Cannot operate on a closed database", Failure.CONNECTION),
    ("OperationalError", "no active connection", Failure.CONNECTION),
)
_SQLITE_CANTOPEN_MESSAGE = "unable to open database file"


def _sqlite_code(error: BaseException) -> int | None:
    code = attribute(error, "sqlite_errorcode")
    return code if isinstance(code, int) else None


def is_sqlite_cantopen(error: BaseException) -> bool:
    code = _sqlite_code(error)
    if code is None:
        return message_of(error) == _SQLITE_CANTOPEN_MESSAGE
    return code & 0xFF == _SQLITE_CANTOPEN


def says_sqlite(error: BaseException) -> Failure | None:
    code = _sqlite_code(error)
    if code is None:
        return _by_sqlite_message(error)
    return SQLITE_CODES.get(code) or SQLITE_CODES.get(code & 0xFF) or Failure.OTHER


def _by_sqlite_message(error: BaseException) -> Failure | None:
    names, message = {name for _, name in classes_of(error)}, message_of(error)
    told = (failure for name, start, failure in _SQLITE_MESSAGES if name in names and message.startswith(start))
    return next(told, None)


# --- MySQL and MariaDB --------------------------------------------------------------------------------------

_MYSQL_ERRNOS = {
    1020: Failure.RETRYABLE,  # record has changed since last read (innodb_snapshot_isolation)
    1205: Failure.RETRYABLE,  # lock wait timeout
    1213: Failure.RETRYABLE,  # deadlock, and what serializable conflicts become
    1412: Failure.RETRYABLE,  # table definition has changed, please retry transaction
    3101: Failure.RETRYABLE,  # rolled back during commit by group replication
    3572: Failure.RETRYABLE,  # NOWAIT
    1040: Failure.CONNECTION,  # too many connections
    1053: Failure.CONNECTION,  # server shutdown in progress
    1203: Failure.CONNECTION,  # max_user_connections
    1927: Failure.CONNECTION,  # connection was killed
    2002: Failure.CONNECTION,  # cannot connect: socket
    2003: Failure.CONNECTION,  # cannot connect: TCP
    2005: Failure.CONNECTION,  # unknown host
    2006: Failure.CONNECTION,  # server has gone away
    2013: Failure.CONNECTION,  # lost connection during query
    2014: Failure.CONNECTION,  # commands out of sync: this connection is of no more use
    2055: Failure.CONNECTION,  # lost connection, with the system's error
    4031: Failure.CONNECTION,  # disconnected for inactivity
    1022: Failure.UNIQUE,  # duplicate key
    1062: Failure.UNIQUE,  # duplicate entry
    1169: Failure.UNIQUE,  # unique constraint
    1586: Failure.UNIQUE,  # duplicate entry, with the key's name
    1290: Failure.READ_ONLY,  # the server runs with --read-only
    1792: Failure.READ_ONLY,  # read-only transaction
    1836: Failure.READ_ONLY,  # read-only mode
    1153: Failure.OTHER,  # packet too large: its SQLSTATE is a connection's, but it will be as large again
}

# "SAVEPOINT s does not exist": a deadlock has rolled back the whole transaction, and the ORM its savepoint after it,
# which hides the deadlock; so this says as little by itself as PostgreSQL's 25P02. Functions have the same errno.
_DOES_NOT_EXIST, _NO_SAVEPOINT = 1305, "SAVEPOINT "

_MYSQL_CLOSED = ("not connected", "cancelled during execution", "connection closed")


def _says_mysql(error: BaseException) -> Failure | None:
    """errno first: SQLSTATE 23000 covers every integrity error, and 1205 is HY000."""
    errno = next((each for each in (attribute(error, "errno"), first_argument(error)) if _is_int(each)), None)
    if _closed_by_mysql_client(error, errno):
        return Failure.CONNECTION
    if errno == _DOES_NOT_EXIST and _NO_SAVEPOINT in message_of(error):
        return Failure.ABORTED
    if errno in _MYSQL_ERRNOS:
        return _MYSQL_ERRNOS[errno]
    state = sqlstate(error)
    if state is not None:
        return _by_sqlstate(state)
    return None if errno is None else Failure.OTHER


def _closed_by_mysql_client(error: BaseException, errno: int | None) -> bool:
    """An InterfaceError with errno 0, or (aiomysql) with a text instead of an errno."""
    if all(name != "InterfaceError" for _, name in classes_of(error)):
        return False
    message = message_of(error).lower()
    return errno == 0 or (errno is None and any(phrase in message for phrase in _MYSQL_CLOSED))


def _is_int(value: Any) -> bool:
    return isinstance(value, int)


# --- the drivers --------------------------------------------------------------------------------------------

#: Top-level package of a driver's exceptions: how they are read.
_DRIVERS: dict[str, Callable[[BaseException], Failure | None]] = {
    "psycopg": says_postgresql,
    "psycopg2": says_postgresql,
    "asyncpg": says_postgresql,
    "sqlite3": says_sqlite,
    "aiosqlite": says_sqlite,
    "pysqlite3": says_sqlite,
    "sqlcipher3": says_sqlite,
    "pymysql": _says_mysql,
    "MySQLdb": _says_mysql,
    "asyncmy": _says_mysql,
    "aiomysql": _says_mysql,
    "mysql": _says_mysql,
    "mariadb": _says_mysql,
    "cymysql": _says_mysql,
}
