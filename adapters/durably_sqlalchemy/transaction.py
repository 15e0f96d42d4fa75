"""One transaction on one connection: begun, used and ended, for both halves.

The connection owns the transaction and the session joins it, whatever the session's options say about beginning. The
asynchronous half runs these very functions through SQLAlchemy's ``run_sync``.
"""

from __future__ import annotations

import contextlib
from collections.abc import Sequence
from typing import Any

from sqlalchemy import Connection
from sqlalchemy.exc import DBAPIError
from sqlalchemy.orm import Session

from durably import ConfigurationError
from durably.adapter import BeginPlan, Parameter
from durably_sqlalchemy.connections import run, unwatched, watched
from durably_sqlalchemy.guard import Guard, aborted
from durably_sqlalchemy.sessions import TransactionSession, connection_of, guard_of


def open_transaction(connection: Connection, plan: BeginPlan) -> None:
    """Begin on a connection that was just checked out."""
    sqlite = connection.dialect.name == "sqlite"
    _leave_autocommit(connection)
    connection.begin()
    for sql in plan.before:
        connection.exec_driver_sql(sql)
    if sqlite:
        _begin_sqlite(connection, plan)
    for sql in plan.after:
        connection.exec_driver_sql(sql)


def _leave_autocommit(connection: Connection) -> None:
    """Engines may be made with AUTOCOMMIT; the level goes back when the connection returns to its pool."""
    raw: Any = connection.connection.dbapi_connection
    name = connection.dialect.name
    if name in ("mysql", "mariadb"):
        autocommit = _mysqls_autocommit(connection.connection.driver_connection)
    elif name != "sqlite":
        autocommit = bool(getattr(raw, "autocommit", False))
    elif getattr(raw, "autocommit", None) is True:
        raise ConfigurationError(
            "the SQLite engine has connect_args={'autocommit': True}, with which no transaction can be committed as "
            "one; leave it out, or use isolation_level='AUTOCOMMIT'"
        )
    else:
        # Our own BEGIN is good in SQLite's autocommit, unless SQLAlchemy is told to leave out the rollback there.
        autocommit = raw.isolation_level is None and getattr(connection.dialect, "skip_autocommit_rollback", False)
    if autocommit:
        connection.execution_options(isolation_level=connection.default_isolation_level)


def _mysqls_autocommit(driver: Any) -> bool:
    """Known without asking the server. Most drivers have a method, and another ``autocommit`` to set it."""
    get = getattr(driver, "get_autocommit", None)
    return bool(get() if get is not None else driver.autocommit)


def _begin_sqlite(connection: Connection, plan: BeginPlan) -> None:
    """The driver would begin at the first write only, and so would read and take savepoints outside the transaction."""
    driver: Any = connection.connection.driver_connection
    if driver.in_transaction:
        # Begun by the driver (autocommit=False) or by a listener of the user's, without the write lock.
        connection.exec_driver_sql("ROLLBACK")
    connection.exec_driver_sql(plan.begin)
    if plan.query_only:
        connection.exec_driver_sql("PRAGMA query_only = 1")


def attach(session: Session) -> None:
    """From here on the transaction is its function's, and watched."""
    connection = connection_of(session)
    transaction = connection.get_transaction()
    if transaction is not None and isinstance(session, TransactionSession):
        session.durably_guard = guard = Guard(transaction, mysql=connection.dialect.name in ("mysql", "mariadb"))
        watched(connection, guard)


def _detach(session: Session) -> Connection:
    connection = connection_of(session)
    if isinstance(session, TransactionSession):
        session.durably_guard = None
    unwatched(connection)
    return connection


def flush(session: Session) -> None:
    """Write what is pending, before the checkpoint; the transaction must still be the one that began."""
    guard = guard_of(session)
    if guard is not None:
        guard.verify()
    while (savepoint := session.get_nested_transaction()) is not None:
        savepoint.commit()  # left open; the savepoint around it is about to be released
    session.flush()


def execute(session: Session, sql: str, params: Sequence[Parameter]) -> list[tuple[Any, ...]]:
    """Run one of the core's statements, as it is, on the transaction's connection."""
    try:
        result = run(connection_of(session), sql, tuple(params))
    except DBAPIError as error:
        ended = aborted(error)
        if ended is not None:
            raise ended from error
        raise
    return [tuple(row) for row in result] if result.returns_rows else []


def commit(session: Session) -> None:
    """Commit, and then tell the session's listeners."""
    connection = _detach(session)
    try:
        if session.in_transaction():  # otherwise nobody has used it, and its listeners need not hear of it
            session.commit()
        transaction = connection.get_transaction()
        if transaction is not None:
            transaction.commit()
    except BaseException:
        _undo(connection, session)
        raise
    session.close()


def roll_back(session: Session) -> None:
    """Roll back, whatever state session and connection are in, without hiding the error that is on its way."""
    _undo(_detach(session), session)


def _undo(connection: Connection, session: Session) -> None:
    try:
        with contextlib.suppress(Exception):
            session.rollback()
        session.close()
        if not connection.invalidated:
            connection.rollback()
            # A COMMIT that failed leaves a transaction that SQLAlchemy takes for ended.
            connection.connection.rollback()
    except Exception:
        # Its state is unknown, so it must not go back into the pool.
        with contextlib.suppress(Exception):
            connection.invalidate()


def reset_query_only(connection: Connection) -> None:
    """Let the pooled connection write again. SQLAlchemy's may be in a failed state; the driver's is not."""
    if connection.invalidated or connection.closed:
        return
    try:
        cursor = connection.connection.cursor()
        cursor.execute("PRAGMA query_only = 0")
        cursor.close()
    except BaseException:
        connection.invalidate()
        raise
