"""What a driver's connection says of itself: idle, in a transaction, or of no more use."""

from __future__ import annotations

from enum import Enum
from typing import Any


class State(Enum):
    """The state of a connection, as far as its driver knows without asking the server."""

    IDLE = "idle"
    OPEN = "in a transaction"
    #: In a transaction that failed, and takes nothing but its end.
    FAILED = "in a transaction that failed"
    #: Closed, by whomever.
    LOST = "lost"
    #: The driver does not tell.
    UNKNOWN = "unknown"


_PSYCOPG = {0: State.IDLE, 1: State.OPEN, 2: State.OPEN, 3: State.FAILED}
#: Of MySQL's and MariaDB's status flags, the one that says "in a transaction".
_SERVER_STATUS_IN_TRANS = 1
#: A deadlock: MySQL and MariaDB have rolled back the whole transaction, and go on in autocommit.
_ROLLED_BACK = 1213


def state(raw: Any) -> State:
    """The state of a driver's own connection."""
    try:
        if _closed(raw):
            return State.LOST
        info: Any = getattr(raw, "info", None)
        if hasattr(info, "transaction_status"):  # psycopg, of both generations
            return _PSYCOPG.get(int(info.transaction_status), State.LOST)
        opened = _in_transaction(raw)
    except Exception:  # a property of a connection that is closed
        return State.LOST
    return State.UNKNOWN if opened is None else State.OPEN if opened else State.IDLE


def _closed(raw: Any) -> bool:
    if hasattr(raw, "is_closed"):  # asyncpg
        return bool(raw.is_closed())
    # psycopg and aiomysql; PyMySQL
    return bool(getattr(raw, "closed", False)) or not getattr(raw, "open", True)


def _in_transaction(raw: Any) -> bool | None:
    if hasattr(raw, "is_in_transaction"):  # asyncpg
        return bool(raw.is_in_transaction())
    if hasattr(raw, "in_transaction"):  # sqlite3, aiosqlite, apsw, mysql.connector
        return bool(raw.in_transaction)
    if hasattr(raw, "get_transaction_status"):  # aiomysql
        return bool(raw.get_transaction_status())
    if hasattr(raw, "server_status"):  # PyMySQL
        return bool(raw.server_status & _SERVER_STATUS_IN_TRANS)
    return None


def native(error: BaseException) -> BaseException:
    """The driver's own exception behind one of Peewee's."""
    original = getattr(error, "orig", None)
    return original if isinstance(original, BaseException) else error


def is_aborted(error: BaseException) -> bool:
    """Whether PostgreSQL refused a statement since one before it had failed."""
    return "25P02" in (getattr(error, "sqlstate", None), getattr(error, "pgcode", None))


def has_ended(error: BaseException, raw: Any) -> bool:
    """Whether the transaction in which ``error`` came up is over: rolled back, or lost with its connection."""
    return error.args[:1] == (_ROLLED_BACK,) or state(raw) in (State.IDLE, State.LOST)
