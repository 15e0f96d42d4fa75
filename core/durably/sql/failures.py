"""The one classifier of database failures: what an exception means, whichever driver or ORM raised it.

ORMs wrap one and the same failure in different classes (``OperationalError``, ``InternalError``,
``DBAPIError``, ``TransactionManagementError``, or not at all), so the class says nothing. The driver's own
exception is found by following the chain, and judged by its code: SQLSTATE, errno or ``sqlite_errorcode``.
Where there is no code (a connection that died has none) its message is all there is. To support another
driver, add it to ``_DRIVERS``, the last table below.

Errors of the user's own code are never taken for database failures: a ``ConnectionError`` of an HTTP call is
not one, and ``__context__`` (what happened to be handled at the time) is followed in two narrow cases only.
Never run a retry inside the ``except`` block of the try before it: the one's failure would be the other's
context.
"""

from __future__ import annotations

import re
import sys
from collections.abc import Callable, Iterator
from enum import Enum
from typing import Any, NamedTuple

from durably.errors import TransactionRetriesExceededError


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


class Classified(NamedTuple):
    """A failure, and the driver's own exception that told it."""

    failure: Failure
    native: BaseException


_TRANSIENT = (Failure.RETRYABLE, Failure.CONNECTION)


def classify(error: BaseException, *, connecting: bool = False) -> Classified | None:
    """What ``error`` says of the database; None if it is no database failure at all.

    ``connecting=True`` says that only the driver or its pool was running, and no code of the user's: then a
    bare ``OSError`` (asyncpg's refused connection), a pool's time-out and a database file that cannot be
    opened are CONNECTION too. A transient failure anywhere in the chain outweighs the others.
    """
    chain = list(_chain(error, _links))
    found = [judged for each in chain if (judged := _judge(each, connecting))]
    if not found:
        return None
    best = min(found, key=_rank)
    if best.failure not in _TRANSIENT and any(_is_one_of(each, _REFUSALS) for each in chain):
        return Classified(Failure.ABORTED, best.native)
    return best


def is_transient(error: BaseException, *, connecting: bool = False) -> bool:
    """Whether running the whole transaction again may succeed; see :func:`classify`."""
    judged = classify(error, connecting=connecting)
    return judged is not None and judged.failure in _TRANSIENT


def was_cancelled(error: BaseException) -> bool:
    """Whether ``error`` is this task's cancellation, as itself or disguised as a lost connection.

    aiomysql and asyncmy close the connection when the task is cancelled, and the rollback that follows raises
    ``InterfaceError(0, ...)`` in place of the ``CancelledError``. A time-out is not a cancellation, although
    asyncio makes it from one; nor is an error that the server itself reported, met while cleaning up.
    """
    exceptions = sys.modules.get("asyncio.exceptions")
    if exceptions is None:
        return False
    if isinstance(error, exceptions.CancelledError):
        return True
    chain = list(_chain(error, _links_beneath_disguise))
    cancelled = any(isinstance(each, exceptions.CancelledError) for each in chain)
    return cancelled and any(map(_may_disguise, chain))


# --- the chain ----------------------------------------------------------------------------------------------

_Links = Callable[[BaseException], "list[BaseException]"]
_CHAIN_LIMIT = 256


def _chain(error: BaseException, links: _Links) -> Iterator[BaseException]:
    """``error`` and what it links to, outermost first, each once."""
    seen: dict[int, BaseException] = {}  # keeps them alive, so that no id is used twice
    pending = [error]
    while pending and len(seen) < _CHAIN_LIMIT:
        current = pending.pop()
        if id(current) not in seen:
            seen[id(current)] = current
            yield current
            pending.extend(reversed(links(current)))


def _links(error: BaseException) -> list[BaseException]:
    """Where wrappers keep what they wrap: SQLAlchemy, ``raise from``, Peewee and Tortoise, groups."""
    if isinstance(error, TransactionRetriesExceededError):
        return []  # a verdict about transient failures, not one of them
    linked = [_attribute(error, "orig"), error.__cause__, _first_argument(error)]
    members = _attribute(error, "exceptions")
    if isinstance(members, (tuple, list)):
        linked.extend(members)
    return [each for each in linked if isinstance(each, BaseException)]


def _links_beneath_disguise(error: BaseException) -> list[BaseException]:
    if _is_timeout(error):
        return []  # asyncio made it from a CancelledError that it has dealt with
    return [*_links(error), *_context(error)]


def _links_and_context(error: BaseException) -> list[BaseException]:
    return _links(error) if error.__suppress_context__ else [*_links(error), *_context(error)]


def _context(error: BaseException) -> list[BaseException]:
    return [] if error.__context__ is None else [error.__context__]


def _attribute(error: BaseException, name: str) -> Any:
    try:
        return getattr(error, name, None)
    except Exception:  # a property of somebody's class; nothing here may fail
        return None


def _message(error: BaseException) -> str:
    try:
        return str(error)
    except Exception:  # likewise
        return ""


def _first_argument(error: BaseException) -> Any:
    arguments = _attribute(error, "args")
    return arguments[0] if isinstance(arguments, tuple) and arguments else None


# --- one exception ------------------------------------------------------------------------------------------


def _judge(error: BaseException, connecting: bool) -> Classified | None:
    """What one exception says, with what was being handled when it says too little by itself."""
    if connecting and _is_refused(error):
        return Classified(Failure.CONNECTION, error)
    if _is_one_of(error, _PENDING_ROLLBACKS):
        lost = _attribute(error, "code") == "8s2b"  # SQLAlchemy: "Can't reconnect until ... is rolled back"
        return Classified(Failure.CONNECTION if lost else Failure.ABORTED, error)
    if not _is_native(error):
        return None
    says = _says(error)
    if says is None:
        return _lost_before(error) or Classified(Failure.OTHER, error)
    if says is Failure.ABORTED:
        # Whoever caught a transient failure went on. (Where a driver awaits, asyncio has lost the context.)
        return _handled(error, _TRANSIENT) or Classified(says, error)
    return Classified(says, error)


def _is_refused(error: BaseException) -> bool:
    """No connection could be had, where nothing but the driver was running."""
    if isinstance(error, (OSError, EOFError)) or _is_one_of(error, _POOL_TIMEOUTS):
        return True
    return _family(error) is _says_sqlite and _is_sqlite_cantopen(error)


def _lost_before(error: BaseException) -> Classified | None:
    """A driver's complaint without a code, made from a socket error or after its connection was lost."""
    if isinstance(error.__cause__, (OSError, EOFError)):
        return Classified(Failure.CONNECTION, error)
    return _handled(error, (Failure.CONNECTION,))


def _handled(error: BaseException, failures: tuple[Failure, ...]) -> Classified | None:
    """The latest such failure that was being handled when ``error`` was raised."""
    for each in _chain(error, _links_and_context):
        says = _says(each) if each is not error and _is_native(each) else None
        if says in failures:
            return Classified(says, each)
    return None


def _rank(judged: Classified) -> tuple[bool, bool]:
    """Transient before lasting, a known driver before whatever else has an SQLSTATE; then the outermost."""
    return judged.failure not in _TRANSIENT, _family(judged.native) is None


def _is_native(error: BaseException) -> bool:
    """Whether ``error`` is a driver's: of a known one, or of any that gives an SQLSTATE."""
    if _is_one_of(error, _POOL_TIMEOUTS):
        return False
    return _family(error) is not None or _sqlstate(error) is not None


def _says(error: BaseException) -> Failure | None:
    """What a driver's exception says by itself; None if it has neither a code nor a message that is known."""
    return (_family(error) or _says_postgresql)(error)


def _may_disguise(error: BaseException) -> bool:
    return _is_native(error) and _says(error) in (None, Failure.CONNECTION)


def _family(error: BaseException) -> Callable[[BaseException], Failure | None] | None:
    return next((_DRIVERS[root] for root, _ in _classes(error) if root in _DRIVERS), None)


def _classes(error: BaseException) -> Iterator[tuple[str, str]]:
    """(top-level package, class name) of the error's class and its bases."""
    for each in type(error).__mro__:
        yield str(each.__module__).partition(".")[0], each.__name__


def _is_one_of(error: BaseException, classes: frozenset[tuple[str, str]]) -> bool:
    return any(each in classes for each in _classes(error))


def _is_timeout(error: BaseException) -> bool:
    return isinstance(error, TimeoutError) or ("asyncio", "TimeoutError") in _classes(error)


# By name, because none of these packages may be imported here. Pools time out without asking the database:
_POOL_TIMEOUTS = frozenset(
    {
        ("psycopg_pool", "PoolTimeout"),
        ("psycopg_pool", "TooManyRequests"),
        ("sqlalchemy", "TimeoutError"),
        ("playhouse", "MaxConnectionsExceeded"),
        ("asyncio", "TimeoutError"),  # Python 3.10, where it is not yet the built-in one
    }
)
# SQLAlchemy refuses to go on after a swallowed error, and keeps no link to it:
_PENDING_ROLLBACKS = frozenset({("sqlalchemy", "PendingRollbackError")})
# Django refuses too, and the swallowed error is its cause:
_REFUSALS = frozenset({("django", "TransactionManagementError")})


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


def _sqlstate(error: BaseException) -> str | None:
    for name in ("sqlstate", "pgcode"):
        state = _attribute(error, name)
        if isinstance(state, str) and _SQLSTATE.fullmatch(state):
            return state
    return None


def _says_postgresql(error: BaseException) -> Failure | None:
    state = _sqlstate(error)
    if state is None:
        return _says_libpq(error)
    if (state, _source_function(error)) == _STALE_PLAN:
        return Failure.RETRYABLE
    return _by_sqlstate(state)


def _by_sqlstate(state: str) -> Failure:
    return _SQLSTATES.get(state) or _SQLSTATES.get(state[:2]) or Failure.OTHER


def _source_function(error: BaseException) -> Any:
    """The function of the server that raised it: asyncpg's attribute, or psycopg's diagnostics."""
    return _attribute(error, "server_source_function") or getattr(_attribute(error, "diag"), "source_function", None)


_CLOSED = (  # on an established connection; the text may hold a FATAL, which then says why it was closed
    "connection is closed",
    "connection already closed",
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
    names = [name for _, name in _classes(error)]
    if not _QUOTING.isdisjoint(names):
        return None
    known = next((_CLIENT_CLASSES[name] for name in names if name in _CLIENT_CLASSES), None)
    if known is not None:
        return known
    message = _message(error).lower()
    phrases = _REFUSED if "fatal:" not in message else _FATAL
    if any(phrase in message for phrase in (*_CLOSED, *phrases)):
        return Failure.CONNECTION
    return None


# --- SQLite -------------------------------------------------------------------------------------------------

_SQLITE_CODES = {
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
    code = _attribute(error, "sqlite_errorcode")
    return code if isinstance(code, int) else None


def _is_sqlite_cantopen(error: BaseException) -> bool:
    code = _sqlite_code(error)
    if code is None:
        return _message(error) == _SQLITE_CANTOPEN_MESSAGE
    return code & 0xFF == _SQLITE_CANTOPEN


def _says_sqlite(error: BaseException) -> Failure | None:
    code = _sqlite_code(error)
    if code is None:
        return _by_sqlite_message(error)
    return _SQLITE_CODES.get(code) or _SQLITE_CODES.get(code & 0xFF) or Failure.OTHER


def _by_sqlite_message(error: BaseException) -> Failure | None:
    names, message = {name for _, name in _classes(error)}, _message(error)
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

_MYSQL_CLOSED = ("not connected", "cancelled during execution", "connection closed")


def _says_mysql(error: BaseException) -> Failure | None:
    """errno first: SQLSTATE 23000 covers every integrity error, and 1205 is HY000."""
    errno = next((each for each in (_attribute(error, "errno"), _first_argument(error)) if _is_int(each)), None)
    if _closed_by_mysql_client(error, errno):
        return Failure.CONNECTION
    if errno in _MYSQL_ERRNOS:
        return _MYSQL_ERRNOS[errno]
    state = _sqlstate(error)
    if state is not None:
        return _by_sqlstate(state)
    return None if errno is None else Failure.OTHER


def _closed_by_mysql_client(error: BaseException, errno: int | None) -> bool:
    """An InterfaceError with errno 0, or (aiomysql) with a text instead of an errno."""
    if all(name != "InterfaceError" for _, name in _classes(error)):
        return False
    message = _message(error).lower()
    return errno == 0 or (errno is None and any(phrase in message for phrase in _MYSQL_CLOSED))


def _is_int(value: Any) -> bool:
    return isinstance(value, int)


# --- the drivers --------------------------------------------------------------------------------------------

#: Top-level package of a driver's exceptions: how they are read.
_DRIVERS: dict[str, Callable[[BaseException], Failure | None]] = {
    "psycopg": _says_postgresql,
    "psycopg2": _says_postgresql,
    "asyncpg": _says_postgresql,
    "sqlite3": _says_sqlite,
    "aiosqlite": _says_sqlite,
    "pysqlite3": _says_sqlite,
    "sqlcipher3": _says_sqlite,
    "pymysql": _says_mysql,
    "MySQLdb": _says_mysql,
    "asyncmy": _says_mysql,
    "aiomysql": _says_mysql,
    "mysql": _says_mysql,
    "mariadb": _says_mysql,
    "cymysql": _says_mysql,
}
