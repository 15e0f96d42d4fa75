"""One application on one kind of database and driver; tests are written once, for both halves.

A transaction's body takes a ``Session``. The synchronous half calls it as it is; on the asynchronous half it runs in
``AsyncSession.run_sync``, so that every statement of it is awaited.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Coroutine
from dataclasses import dataclass
from typing import Any, NamedTuple

from sqlalchemy import Engine, String, create_engine, make_url, select, text
from sqlalchemy.ext.asyncio import AsyncEngine, create_async_engine
from sqlalchemy.orm import DeclarativeBase, Mapped, Session, mapped_column
from sqlalchemy.pool import NullPool

import durably
from durably_sqlalchemy import SQLAlchemy, async_session, session

ASYNC_DRIVERS = ("aiosqlite", "asyncpg", "psycopg_async", "asyncmy", "aiomysql")


class Base(DeclarativeBase):
    pass


class Item(Base):
    """What the transactions write."""

    __tablename__ = "item"
    id: Mapped[int] = mapped_column(primary_key=True)
    n: Mapped[int]


class Unique(Base):
    """Where a second row of the same name is refused."""

    __tablename__ = "unique_name"
    name: Mapped[str] = mapped_column(String(50), primary_key=True)


class Interrupted(BaseException):
    """As a crash: the workflow stops without an outcome, and is run again."""


@dataclass(frozen=True)
class Kind:
    """Through which driver, and whether the system database is the application's."""

    driver: str
    colocated: bool

    def __str__(self) -> str:
        return f"{self.driver}-{'colocated' if self.colocated else 'apart'}"

    @property
    def asynchronous(self) -> bool:
        return self.driver in ASYNC_DRIVERS

    @property
    def backend(self) -> str:
        if "mysql" in self.driver or self.driver == "asyncmy":
            return "mysql"
        return "sqlite" if "sqlite" in self.driver else "postgresql"


class Recorded(NamedTuple):
    """A transaction's checkpoint."""

    function_name: str
    output: str | None
    error: str | None


class Lab:
    """The application: its database, the engine under test, and a launched Durably."""

    def __init__(self, kind: Kind, url: str, system_url: str, engine_options: dict[str, Any]) -> None:
        self.kind = kind
        self.url = url
        self.system_url = url if kind.colocated else system_url
        self.asynchronous = kind.asynchronous
        self.loop = asyncio.new_event_loop() if kind.asynchronous else None
        driver = {
            "aiosqlite": "pysqlite",
            "asyncpg": "psycopg",
            "psycopg_async": "psycopg",
            "asyncmy": "pymysql",
            "aiomysql": "pymysql",
        }
        #: For the test's own eyes, beside the transactions.
        self.control = create_engine(self._with(driver.get(kind.driver, kind.driver)))
        Base.metadata.create_all(self.control)
        create = create_async_engine if kind.asynchronous else create_engine
        self.engine: Any = create(self._with(kind.driver), **engine_options)
        self.app: durably.Durably | None = None

    def _with(self, driver: str) -> str:
        return make_url(self.url).set(drivername=f"{self.kind.backend}+{driver}").render_as_string(False)

    # -- the engine's life ---------------------------------------------------------------------------------------

    def launch(self, adapter: Any = None, **settings: Any) -> Lab:
        """Launch Durably with ``adapter``, by default one for the engine."""
        settings = {"lease_seconds": 5.0, **settings}
        self.app = durably.Durably(
            "lab",
            adapters={"default": SQLAlchemy(self.engine) if adapter is None else adapter},
            system_database_url=self.system_url,
            **settings,
        )
        if self.loop is not None:
            self.loop.run_until_complete(self.app.__aenter__())
        else:
            self.app.launch()
        return self

    def close(self) -> None:
        """Shut down; every connection must be back in its pool."""
        app, self.app = self.app, None
        if app is not None:
            if self.loop is not None:
                self.loop.run_until_complete(app.__aexit__(None, None, None))
            else:
                app.shutdown()
        # The first releases of 2.0 do not pool aiosqlite's connections.
        checked_out = 0 if isinstance(self.engine.pool, NullPool) else self.engine.pool.checkedout()
        if self.loop is not None:
            self.loop.run_until_complete(self.engine.dispose())
            self.loop.run_until_complete(self.loop.shutdown_asyncgens())
            self.loop.close()
        else:
            self.engine.dispose()
        self.control.dispose()
        assert checked_out == 0

    @property
    def sync_engine(self) -> Engine:
        """What listeners are put on."""
        return self.engine.sync_engine if isinstance(self.engine, AsyncEngine) else self.engine

    # -- transactions and workflows ------------------------------------------------------------------------------

    def transaction(self, body: Callable[[Session], Any], **options: Any) -> Callable[[], Any]:
        """Declare a transaction with that body."""
        declare = durably.transaction(name=getattr(body, "__name__", "body"), **options)
        if self.asynchronous:

            async def awaited() -> Any:
                return await async_session().run_sync(body)

            return declare(awaited)

        def plain() -> Any:
            return body(session())

        return declare(plain)

    def run(self, *bodies: Callable[[Session], Any], workflow_id: str | None = None, **options: Any) -> Any:
        """Run one workflow of a transaction for each body; what the last returned."""
        return self.run_calls(*[self.transaction(body, **options) for body in bodies], workflow_id=workflow_id)

    def run_calls(self, *calls: Callable[[], Any], workflow_id: str | None = None) -> Any:
        """Run one workflow that makes these calls; what the last returned."""
        with durably.workflow_options(workflow_id=workflow_id):
            return self.wait(self.workflow(*calls)())

    def workflow(self, *calls: Callable[[], Any]) -> Callable[[], Any]:
        """Declare a workflow that makes these calls."""
        if self.asynchronous:

            async def awaited() -> Any:
                value = None
                for call in calls:
                    value = call()
                    if asyncio.iscoroutine(value):
                        value = await value
                return value

            return durably.workflow(name="flow")(awaited)

        def plain() -> Any:
            return [call() for call in calls][-1]

        return durably.workflow(name="flow")(plain)

    def wait(self, value: Any) -> Any:
        """Run a coroutine on the lab's loop; anything else is there already."""
        return self.loop.run_until_complete(value) if self.loop is not None and asyncio.iscoroutine(value) else value

    def result(self, workflow_id: str) -> Any:
        """The outcome of a workflow that runs in the background."""
        if self.loop is not None:
            waiting: Coroutine[Any, Any, Any] = durably.aio.get_result(workflow_id, timeout_seconds=20)
            return self.loop.run_until_complete(waiting)
        return durably.get_result(workflow_id, timeout_seconds=20)

    # -- what is in the database ---------------------------------------------------------------------------------

    def items(self) -> list[int]:
        """The committed rows."""
        with Session(self.control) as seen:
            return list(seen.scalars(select(Item.n).order_by(Item.id)))

    def recorded(self) -> list[Recorded]:
        """The checkpoints where a transaction writes them, in the order of their function ids."""
        table = "operation_outputs" if self.kind.colocated else "transaction_completion"
        prefix = "durably." if self.kind.backend == "postgresql" else "durably_"
        with self.control.connect() as connection:
            rows = connection.execute(
                text(f"SELECT function_name, output, error FROM {prefix}{table} ORDER BY function_id")
            )
            return [Recorded(*row) for row in rows]


def add(n: int) -> Callable[[Session], int]:
    """A body that writes one row."""

    def body(s: Session) -> int:
        s.add(Item(n=n))
        return n

    body.__name__ = f"add_{n}"
    return body
