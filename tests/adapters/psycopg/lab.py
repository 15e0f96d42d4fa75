"""One application on psycopg; a test's body is written once, for both halves.

The body of a transaction is an ``async def`` that takes the connection. On the synchronous half it is driven without an
event loop, and ``given`` passes on what is there already.
"""

from __future__ import annotations

import asyncio
import inspect
from collections.abc import AsyncIterator, Callable, Coroutine
from contextlib import asynccontextmanager
from typing import Any, NamedTuple, TypeVar

import psycopg
from psycopg_pool import AsyncConnectionPool, ConnectionPool

import durably
from durably.drive import drive
from durably_psycopg import AsyncPsycopg, Psycopg, async_connection, connection

T = TypeVar("T")
Body = Callable[[Any], Coroutine[Any, Any, Any]]

TABLES = "CREATE TABLE item (id serial PRIMARY KEY, n integer UNIQUE)"


class Recorded(NamedTuple):
    """A transaction's checkpoint."""

    output: str | None
    error: str | None


async def given(value: Any) -> Any:
    """What a method of a connection or cursor gives, awaited on the asynchronous half."""
    return await value if inspect.isawaitable(value) else value


@asynccontextmanager
async def inside(block: Any) -> AsyncIterator[Any]:
    """A block of a connection's, such as ``transaction()``, of either half."""
    if hasattr(block, "__aenter__"):
        async with block as entered:
            yield entered
    else:
        with block as entered:
            yield entered


class Lab:
    """The application: its database, its pool, and a launched Durably."""

    def __init__(self, url: str, asynchronous: bool) -> None:
        self.url = url
        self.asynchronous = asynchronous
        self.loop = asyncio.new_event_loop() if asynchronous else None
        #: For the test's own eyes.
        self.control = psycopg.connect(url, autocommit=True)
        self.control.execute("DROP SCHEMA IF EXISTS durably CASCADE")
        self.control.execute("DROP SCHEMA public CASCADE")
        self.control.execute("CREATE SCHEMA public")
        self.control.execute(TABLES)
        self.pool: Any = None
        self.app: durably.Durably | None = None

    def open_pool(self, *, max_size: int = 4, **kwargs: Any) -> Lab:
        """Open the application's pool, with settings for its connections."""
        kind = AsyncConnectionPool if self.asynchronous else ConnectionPool

        async def opened() -> Any:
            pool: Any = kind(self.url, kwargs=kwargs, min_size=1, max_size=max_size, timeout=10, open=False)
            await given(pool.open())
            return pool

        self.pool = self.wait(opened())
        return self

    def adapter(self, target: Any = None) -> Psycopg | AsyncPsycopg:
        """The half of this lab, by default for its pool."""
        return (AsyncPsycopg if self.asynchronous else Psycopg)(self.pool if target is None else target)

    def launch(self, target: Any = None, **settings: Any) -> Lab:
        """Launch Durably on the same database."""
        if target is None and self.pool is None:
            self.open_pool()
        adapter = target if isinstance(target, (Psycopg, AsyncPsycopg)) else self.adapter(target)
        settings = {"system_database_url": self.url if target is not None else None, "lease_seconds": 5.0, **settings}
        self.app = durably.Durably("lab", adapters={"default": adapter}, **settings)
        if self.asynchronous:
            self.wait(self.app.__aenter__())
        else:
            self.app.launch()
        return self

    def shutdown(self) -> None:
        """Shut Durably down."""
        app, self.app = self.app, None
        if app is None:
            return
        if self.asynchronous:
            self.wait(app.__aexit__(None, None, None))
        else:
            app.shutdown()

    def close(self) -> None:
        """Shut down and close; every connection must be back in the pool, with no transaction open."""
        self.shutdown()
        stray = self.in_transaction()
        if self.pool is not None:
            self.wait(given(self.pool.close()))
        self.control.close()
        if self.loop is not None:
            self.loop.run_until_complete(self.loop.shutdown_asyncgens())
            self.loop.close()
        assert stray == 0

    # -- transactions and workflows ------------------------------------------------------------------------------

    def wait(self, value: Coroutine[Any, Any, T]) -> T:
        """Run a coroutine: on the lab's loop, or without one."""
        return self.loop.run_until_complete(value) if self.loop is not None else drive(value)

    def transaction(self, body: Body, **options: Any) -> Callable[[], Any]:
        """Declare a transaction with that body."""
        declare = durably.transaction(name=body.__name__, **options)
        if self.asynchronous:

            async def awaited() -> Any:
                return await body(async_connection())

            return declare(awaited)

        def plain() -> Any:
            return drive(body(connection()))

        return declare(plain)

    def flow(self, body: Body, **options: Any) -> Callable[[], Coroutine[Any, Any, Any]]:
        """Declare a workflow of one such transaction; call it to run it."""
        call = self.transaction(body, **options)
        if self.asynchronous:

            async def awaited() -> Any:
                return await call()

            return durably.workflow(name="flow")(awaited)

        @durably.workflow(name="flow")
        def plain() -> Any:
            return call()

        async def run() -> Any:
            return plain()

        return run

    def run(self, body: Body, **options: Any) -> Any:
        """Run one workflow of one such transaction; what it returned."""
        return self.wait(self.flow(body, **options)())

    # -- what is in the database ---------------------------------------------------------------------------------

    def items(self) -> list[int]:
        """The committed rows."""
        return [n for (n,) in self.control.execute("SELECT n FROM item ORDER BY id")]

    def recorded(self) -> list[Recorded]:
        """The checkpoints."""
        rows = self.control.execute(
            "SELECT output, error FROM durably.operation_outputs ORDER BY completed_at_epoch_ms"
        )
        return [Recorded(*row) for row in rows]

    def in_transaction(self) -> int:
        """How many connections to this database have a transaction open, but for the asking one."""
        [(count,)] = self.control.execute(
            "SELECT count(*) FROM pg_stat_activity WHERE datname = current_database() AND pid <> pg_backend_pid()"
            " AND state LIKE 'idle in transaction%'"
        )
        return int(count)

    def kill_others(self, where: str = "state = 'idle'") -> int:
        """End other connections to this database from outside, except for Durably's; how many."""
        rows = self.control.execute(
            "SELECT pg_terminate_backend(pid, 5000) FROM pg_stat_activity WHERE datname = current_database()"
            f" AND pid <> pg_backend_pid() AND application_name NOT LIKE 'durably%' AND {where}".encode()
        )
        return len(rows.fetchall())


def add(n: int) -> Body:
    """A body that writes one row."""

    async def adds(c: Any) -> int:
        await given(c.execute("INSERT INTO item (n) VALUES (%s)", (n,)))
        return n

    return adds


async def pid(c: Any) -> int:
    """A body that tells which server process it talks to."""
    cursor = await given(c.execute("SELECT pg_backend_pid() AS pid"))
    row = await given(cursor.fetchone())
    return int(row["pid"] if isinstance(row, dict) else row[0])
