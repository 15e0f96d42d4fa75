"""The methods of a database that ask the watch first. Where no transaction of Durably's is open, they are as ever."""

from __future__ import annotations

import functools
import threading
from collections.abc import Callable
from typing import Any

from durably_peewee.watch import current

_installing = threading.Lock()
_DONE = "_durably_guarded"


def guard(database: Any, asynchronous: bool) -> None:
    """Replace them on this one database object, once. Its class stays as it is."""
    if _DONE in vars(database):
        return
    with _installing:
        if _DONE in vars(database):
            return
        database.begin = _begin(database, database.begin)
        database.commit = _commit(database, database.commit)
        database.rollback = _rollback(database, database.rollback)
        if asynchronous:
            database.aconnect = _aconnect(database, database.aconnect)
            database.aexecute_sql = _aexecute_sql(database, database.aexecute_sql)
        else:
            database.execute_sql = _execute_sql(database, database.execute_sql)
        setattr(database, _DONE, True)


def guard_transaction(database: Any, transaction: Any) -> None:
    """The same for a transaction that asyncpg keeps, and that ends without the database's methods."""
    if hasattr(transaction, "_abegin"):
        transaction.acommit = _acommit(database, transaction.acommit)
        transaction.arollback = _arollback(database, transaction.arollback)


def _begin(database: Any, original: Callable[..., Any]) -> Callable[..., Any]:
    @functools.wraps(original)
    def begin(*args: Any, **kwargs: Any) -> Any:
        watch = current(database)
        if watch is None:
            return original(*args, **kwargs)
        # `transaction.rollback()` begins again. Nothing can follow it, so that it may pass; but MySQL and MariaDB would
        # take any other BEGIN for a COMMIT.
        if not watch.is_over():
            raise watch.refuse("database.begin()")
        return None

    return begin


def _commit(database: Any, original: Callable[..., Any]) -> Callable[..., Any]:
    @functools.wraps(original)
    def commit(*args: Any, **kwargs: Any) -> Any:
        watch = current(database)
        if watch is not None:
            raise watch.refuse("database.commit()")
        return original(*args, **kwargs)

    return commit


def _rollback(database: Any, original: Callable[..., Any]) -> Callable[..., Any]:
    @functools.wraps(original)
    def rollback(*args: Any, **kwargs: Any) -> Any:
        watch = current(database)
        if watch is None:
            return original(*args, **kwargs)
        # Nothing can follow it, and Durably rolls back in a moment.
        watch.rolled_back()
        return None

    return rollback


def _execute_sql(database: Any, original: Callable[..., Any]) -> Callable[..., Any]:
    @functools.wraps(original)
    def execute_sql(sql: Any, *args: Any, **kwargs: Any) -> Any:
        watch = current(database)
        if watch is None:
            return original(sql, *args, **kwargs)
        watch.statement(sql)
        try:
            return original(sql, *args, **kwargs)
        except Exception as error:
            watch.failed(error)
            raise

    return execute_sql


def _aexecute_sql(database: Any, original: Callable[..., Any]) -> Callable[..., Any]:
    @functools.wraps(original)
    async def aexecute_sql(sql: Any, *args: Any, **kwargs: Any) -> Any:
        watch = current(database)
        if watch is None:
            return await original(sql, *args, **kwargs)
        watch.statement(sql)
        try:
            return await original(sql, *args, **kwargs)
        except Exception as error:
            watch.failed(error)
            raise

    return aexecute_sql


def _aconnect(database: Any, original: Callable[..., Any]) -> Callable[..., Any]:
    @functools.wraps(original)
    async def aconnect() -> Any:
        watch = current(database)
        if watch is None:
            return await original()
        watch.use()
        watch.verify()
        # Be it dead: Peewee would take a fresh connection, on which the rest would run outside the transaction.
        return watch.connection

    return aconnect


def _acommit(database: Any, original: Callable[..., Any]) -> Callable[..., Any]:
    @functools.wraps(original)
    async def acommit(begin: bool = True) -> Any:
        watch = current(database)
        if watch is not None:
            raise watch.refuse("the transaction's commit()")
        return await original(begin)

    return acommit


def _arollback(database: Any, original: Callable[..., Any]) -> Callable[..., Any]:
    @functools.wraps(original)
    async def arollback(begin: bool = True) -> Any:
        watch = current(database)
        if watch is None:
            return await original(begin)
        watch.rolled_back()
        return None

    return arollback
