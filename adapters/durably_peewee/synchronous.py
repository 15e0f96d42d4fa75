"""The synchronous half: transactions through a ``Database`` of Peewee's."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator, Sequence
from contextlib import AbstractContextManager, contextmanager
from typing import Any

import peewee

from durably import BlockingCallError
from durably.adapter import BeginPlan, DialectName, Parameter, ParamStyle
from durably_peewee import transaction, urls
from durably_peewee.drivers import State, native, state
from durably_peewee.targets import Target
from durably_peewee.watch import Watch, caught_failure, current


class PeeweeAdapter:
    """Runs ``def`` transactions; make it with ``Peewee(database)``. Implements ``durably.adapter.Adapter``."""

    def __init__(self, target: Target) -> None:
        self._target = target

    def __repr__(self) -> str:
        return f"PeeweeAdapter({self._target})"

    @property
    def dialect(self) -> DialectName:
        """The kind of database."""
        return self._target.dialect

    @property
    def paramstyle(self) -> ParamStyle:
        """How statements take their parameters."""
        return self._target.paramstyle

    def ambient(self) -> peewee.Database | None:
        """The database, if this thread is in a transaction of it."""
        database = self._target.peek()
        if database is None or not database.in_transaction():
            return None
        _refuse_loop("a transaction of this thread is open")
        found: peewee.Database = database
        return found

    @contextmanager
    def begin(self, plan: BeginPlan) -> Iterator[peewee.Database]:
        """A transaction of this thread, on the connection that it has open or on one for this transaction."""
        _refuse_loop("a transaction cannot begin")
        database = self._target.database()
        begun = transaction.begin(database, plan)
        watch = Watch(database, None, transaction.connection(database))
        try:
            yield database
        except BaseException:
            watch.close()
            transaction.abandon(begun)
            raise
        watch.close()
        transaction.commit(begun)

    def execute(self, handle: Any, sql: str, params: Sequence[Parameter] = ()) -> list[tuple[Any, ...]]:
        """Run one statement on the connection of this thread's transaction."""
        try:
            return transaction.rows_of(handle.execute_sql(sql, tuple(params)))
        except Exception as error:  # Peewee before 4.0 leaves some of psycopg's as they are
            explained = transaction.explained(error)
            if explained is error:
                raise
            raise explained from native(error)

    def flush(self, handle: Any) -> None:
        """Nothing is pending in Peewee; raises if the transaction cannot be committed any more."""
        watch = current(handle)
        if watch is not None:
            watch.verify()
            if state(watch.raw) is State.FAILED:
                # PostgreSQL would take the COMMIT for a ROLLBACK, and not say so.
                raise caught_failure() from watch.failure()

    def savepoint(self, handle: Any) -> AbstractContextManager[Any]:
        """A savepoint in the transaction that the caller has open."""
        scope: AbstractContextManager[Any] = handle.atomic()
        return scope

    def url(self) -> str | None:
        """The address of the database."""
        return urls.address(self._target)

    def close(self) -> None:
        """Close the pool, if the adapter made it."""
        if self._target.made:
            database = self._target.database()
            # The first releases of 3.17 have no pool for psycopg 3.
            (database.close_all if hasattr(database, "close_all") else database.close)()


def _refuse_loop(what: str) -> None:
    """Peewee's state is the thread's, which all tasks of an event loop share."""
    if asyncio._get_running_loop() is not None:
        raise BlockingCallError(
            f"{what}, and an event loop runs on it: all tasks there share one connection and one transaction of a "
            "synchronous Peewee database. Call it with `await durably.aio.run_step(...)`, which takes a thread, or use "
            "a database of playhouse.pwasyncio"
        )
