"""One application on one kind of database; tests are written once, for both halves.

A transaction's body is plain code with models. The synchronous half calls it as it is; on the asynchronous half it runs
in Peewee's bridge, ``database.run``, so that every statement of it is awaited.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from dataclasses import dataclass
from importlib import import_module
from typing import Any, NamedTuple

import psycopg
import pymysql
from peewee import AutoField, CharField, DatabaseProxy, IntegerField, Model

import durably
from durably_peewee import AsyncPeewee, Peewee
from durably_peewee.urls import Address, connect, connect_async

pool: Any = import_module("playhouse.pool")
proxy = DatabaseProxy()


class Item(Model):
    """What the transactions write."""

    id = AutoField()
    n = IntegerField()

    class Meta:
        database = proxy
        table_name = "item"


class Unique(Model):
    """Where a second row of the same name is refused."""

    name = CharField(primary_key=True)

    class Meta:
        database = proxy
        table_name = "unique_name"


@dataclass(frozen=True)
class Kind:
    """Which half, on which database."""

    dialect: str
    asynchronous: bool = False

    def __str__(self) -> str:
        return f"{self.dialect}{'-async' if self.asynchronous else ''}"


class Recorded(NamedTuple):
    """A transaction's completion row."""

    output: str | None
    error: str | None


class Lab:
    """The application: its database, a launched Durably, and eyes of its own on what is committed."""

    def __init__(self, kind: Kind, url: str, system_url: str, make: Callable[[Address], Any] | None = None) -> None:
        self.kind = kind
        self.address = Address(url)
        self.asynchronous = kind.asynchronous
        self.system_url = system_url
        self.loop = asyncio.new_event_loop() if kind.asynchronous else None
        #: For the test's own eyes, beside the transactions; a connection for each use.
        self.control = connect(self.address)
        with self.control.connection_context(), self.control.bind_ctx([Item, Unique]):
            self.control.create_tables([Item, Unique])
        if make is not None:
            self.database = make(self.address)
        else:
            self.database = connect_async(self.address) if kind.asynchronous else connect(self.address)
        proxy.initialize(self.database)
        self.app: durably.Durably | None = None

    def launch(self, adapter: Any = None, **settings: Any) -> Lab:
        """Launch Durably with an adapter for the lab's database."""
        made = (AsyncPeewee if self.asynchronous else Peewee)(self.database) if adapter is None else adapter
        self.app = durably.Durably(
            "lab", adapters={"default": made}, system_database_url=self.system_url, lease_seconds=5.0, **settings
        )
        if self.loop is not None:
            self.loop.run_until_complete(self.app.__aenter__())
        else:
            self.app.launch()
        return self

    def close(self) -> None:
        """Shut down, and close every connection."""
        app, self.app = self.app, None
        if app is not None:
            if self.loop is not None:
                self.loop.run_until_complete(app.__aexit__(None, None, None))
            else:
                app.shutdown()
        if self.loop is not None:
            self.loop.run_until_complete(self.database.close_pool())
            self.loop.run_until_complete(self.loop.shutdown_asyncgens())
            self.loop.close()
        for database in (self.control,) if self.loop is not None else (self.control, self.database):
            (database.close_all if hasattr(database, "close_all") else database.close)()

    # -- transactions and workflows ------------------------------------------------------------------------------

    def transaction(self, body: Callable[[], Any], **options: Any) -> Callable[[], Any]:
        """Declare a transaction with that body; a coroutine function is awaited as it is."""
        declare = durably.transaction(name=getattr(body, "__name__", "body"), **options)
        if not self.asynchronous:
            return declare(body)
        if asyncio.iscoroutinefunction(body):
            return declare(body)

        async def awaited() -> Any:
            return await self.database.run(body)

        return declare(awaited)

    def run(self, *bodies: Callable[[], Any], workflow_id: str | None = None, **options: Any) -> Any:
        """Run one workflow of a transaction for each body; what the last returned."""
        calls = [self.transaction(body, **options) for body in bodies]
        with durably.workflow_options(workflow_id=workflow_id):
            return self.wait(self.workflow(*calls)())

    def workflow(self, *calls: Callable[[], Any]) -> Callable[[], Any]:
        """Declare a workflow that makes these calls."""
        if self.asynchronous:

            async def awaited() -> Any:
                return [await call() for call in calls][-1]

            return durably.workflow(name="flow")(awaited)

        def plain() -> Any:
            return [call() for call in calls][-1]

        return durably.workflow(name="flow")(plain)

    def wait(self, value: Any) -> Any:
        """Run a coroutine on the lab's loop; anything else is there already."""
        return self.loop.run_until_complete(value) if self.loop is not None and asyncio.iscoroutine(value) else value

    # -- what is in the database ---------------------------------------------------------------------------------

    def query(self, sql: str) -> list[tuple[Any, ...]]:
        """What everybody sees."""
        with self.control.connection_context():
            cursor = self.control.execute_sql(sql)
            return [tuple(row) for row in cursor.fetchall()] if cursor.description else []

    def items(self) -> list[int]:
        """The committed rows."""
        return [n for (n,) in self.query("SELECT n FROM item ORDER BY id")]

    def recorded(self) -> list[Recorded]:
        """The completion rows, in the order of their function ids."""
        table = f"durably{'.' if self.kind.dialect == 'postgresql' else '_'}transaction_completion"
        return [Recorded(*row) for row in self.query(f"SELECT output, error FROM {table} ORDER BY function_id")]

    def kill(self, connection_id: int) -> None:
        """Have the server close a connection."""
        if self.kind.dialect == "postgresql":
            self.query(f"SELECT pg_terminate_backend({connection_id}, 5000)")
        else:
            self.query(f"KILL {connection_id}")

    @property
    def own_id(self) -> str:
        """The statement that asks a connection for its id."""
        function = "pg_backend_pid" if self.kind.dialect == "postgresql" else "connection_id"
        return f"SELECT {function}()"


def unpooled(address: Address) -> Any:
    """A synchronous database without a pool, as most programs of Peewee's have."""
    peewee: Any = import_module("peewee")
    if address.dialect == "sqlite":
        return peewee.SqliteDatabase(address.database)
    options = {"host": address.host, "port": address.port, "user": address.user}
    if address.dialect == "mysql":
        return peewee.MySQLDatabase(address.database, **options)
    if hasattr(peewee, "Psycopg3Adapter"):
        return peewee.PostgresqlDatabase(address.database, prefer_psycopg3=True, **options)
    return import_module("playhouse.psycopg3_ext").Psycopg3Database(address.database, **options)


def empty(url: str) -> None:
    """Drop everything in a server's database."""
    address = Address(url)
    if address.dialect == "postgresql":
        with psycopg.connect(url, autocommit=True) as connection:
            connection.execute("DROP SCHEMA IF EXISTS durably CASCADE")
            connection.execute("DROP SCHEMA public CASCADE")
            connection.execute("CREATE SCHEMA public")
        return
    mysql = pymysql.connect(
        host=address.host or "", port=address.port or 3306, user=address.user, database=address.database
    )
    with mysql, mysql.cursor() as cursor:
        for table in ("item", "unique_name", "durably_transaction_completion"):
            cursor.execute(f"DROP TABLE IF EXISTS {table}")


def add(n: int) -> Callable[[], int]:
    """A body that writes one row."""

    def body() -> int:
        Item.create(n=n)
        return n

    body.__name__ = f"add_{n}"
    return body
