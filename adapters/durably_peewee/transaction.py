"""One transaction on the connection of a thread or task: begun, used and ended, for both halves.

The transaction is one of Peewee's own, so that ``atomic()`` in its function is a savepoint and callbacks run after the
commit. Peewee's context manager is not used for its end: it commits nothing, and says nothing, if the function has left
``session_start()`` open. The asynchronous half runs these very functions through Peewee's bridge, ``database.run``.
"""

from __future__ import annotations

import contextlib
import inspect
from importlib import import_module
from typing import Any, NamedTuple

from durably import AmbientTransactionError
from durably.adapter import BeginPlan
from durably_peewee.drivers import State, state
from durably_peewee.guarded import guard_transaction
from durably_peewee.watch import aborted


class Begun(NamedTuple):
    """A transaction that is open."""

    database: Any
    #: Peewee's own object for it.
    transaction: Any
    #: Whether the thread or task had no connection before.
    connected: bool
    query_only: bool


def begin(database: Any, plan: BeginPlan) -> Begun:
    """Begin on the connection that the thread or task has open, else on one for this transaction."""
    connected = _connect(database)
    healthy = False
    try:
        for sql in plan.before:
            database.execute_sql(sql)
        # "BEGIN IMMEDIATE": Peewee takes the second word.
        mode = plan.begin.split()[1:]
        transaction = database.transaction(*mode)
        transaction.__enter__()
        begun = Begun(database, transaction, connected, plan.query_only)
        try:
            for sql in plan.after:
                database.execute_sql(sql)
            if plan.query_only:
                database.execute_sql("PRAGMA query_only = 1")
        except BaseException:
            healthy = roll_back(begun)
            raise
        guard_transaction(database, transaction)
        # As if it were in somebody's `with database:`, whose own blocks do not close what is used outside of them.
        database._state.ctx.append(transaction)
        return begun
    except BaseException as error:
        healthy = healthy or (isinstance(error, Exception) and state(connection(database)) is State.IDLE)
        _hand_back(database, connected, healthy)
        raise


def connection(database: Any) -> Any:
    """The driver's own connection."""
    conn = database._state.conn
    return conn.conn if hasattr(database, "aconnect") and conn is not None else conn


def rows_of(cursor: Any) -> list[tuple[Any, ...]]:
    """The rows of a statement of the core's."""
    rows = [tuple(row) for row in cursor.fetchall()] if cursor.description else []
    cursor.close()
    return rows


def explained(error: Exception) -> Exception:
    """What to raise for the error of a statement of the core's."""
    return aborted(error) or error


def commit(begun: Begun) -> None:
    """Commit, then run what was to run after it. Rolled back if it fails."""
    database = begun.database
    healthy = False
    try:
        _leave(begun)
        try:
            begun.transaction.commit(False)
            if hasattr(database, "_run_commit_callbacks"):
                database._run_commit_callbacks()
        except BaseException:
            healthy = roll_back(begun)
            raise
        healthy = state(connection(database)) in (State.IDLE, State.UNKNOWN)
    finally:
        _end(begun, healthy)


def abandon(begun: Begun) -> None:
    """Roll back, whatever state the connection is in, without hiding the error that is on its way."""
    healthy = False
    try:
        _leave(begun)
        healthy = roll_back(begun)
    finally:
        _end(begun, healthy)


def roll_back(begun: Begun) -> bool:
    """Roll back; whether the connection is good for more."""
    database = begun.database
    database._state.transactions.clear()
    if hasattr(database, "_clear_commit_callbacks"):
        database._clear_commit_callbacks()
    try:
        begun.transaction.rollback(False)
    except Exception:
        # Nothing to roll back, or a connection that is lost.
        return state(connection(database)) is State.IDLE
    return state(connection(database)) in (State.IDLE, State.UNKNOWN)


def _leave(begun: Begun) -> None:
    """Out of Peewee's stacks, with whatever the function has left open on them."""
    database = begun.database
    database._state.transactions.clear()
    blocks = database._state.ctx
    if begun.transaction in blocks:
        del blocks[blocks.index(begun.transaction) :]


def _end(begun: Begun, healthy: bool) -> None:
    if begun.query_only and healthy:
        try:
            begun.database.cursor().execute("PRAGMA query_only = 0")
        except Exception:
            healthy = False
    _hand_back(begun.database, begun.connected, healthy)


# -- connections ---------------------------------------------------------------------------------------------------


def _connect(database: Any) -> bool:
    """See to a usable connection; whether there was none before."""
    blocks = database._state.ctx
    # A block that somebody is in, such as `with database.connection_context():`, closes it, be it a new one.
    connected = bool(database.is_closed()) and not blocks
    if not database.is_closed() and state(connection(database)) in (State.FAILED, State.LOST):
        # As long as it is not closed, the thread or task would be given nothing else.
        _discard(database)
    if database.is_closed():
        kept = list(blocks)
        database.connect()
        database._state.ctx.extend(kept)
    if state(connection(database)) is State.OPEN:
        _settle(database, connected)
    return connected


def _settle(database: Any, connected: bool) -> None:
    """A transaction is open that Peewee does not know of."""
    if not connected:
        raise AmbientTransactionError(
            "a transaction was begun on this connection by hand, with BEGIN or database.begin(); end it first, or use "
            "`with database.atomic():`, of which Durably can tell"
        )
    try:
        database.rollback()  # left by whoever had the connection before
    except BaseException:
        _discard(database)
        raise


def _hand_back(database: Any, connected: bool, healthy: bool) -> None:
    """Close what was opened for the transaction, or give it back to its pool; never one in an unknown state."""
    if not healthy:
        _discard(database)
    elif connected:
        # The transaction is over, and well.
        with contextlib.suppress(Exception):
            database.close()


def _discard(database: Any) -> None:
    """Close the connection itself, so that neither a pool nor this thread or task goes on with it."""
    raw = connection(database)
    blocks = list(database._state.ctx)
    with contextlib.suppress(Exception):
        if hasattr(database, "manual_close"):  # a pool's
            database.manual_close()
        elif hasattr(database, "aconnect"):
            _break(raw)
    with contextlib.suppress(Exception):
        database.close()
    database._state.ctx.extend(blocks)  # they are to be left as they were entered


def _break(raw: Any) -> None:
    """Close an asynchronous driver's connection, so that its pool replaces it."""
    if hasattr(raw, "terminate"):  # asyncpg
        raw.terminate()
        return
    closing = raw.close()
    if inspect.isawaitable(closing):  # aiosqlite
        import_module("playhouse.pwasyncio").await_(closing)
