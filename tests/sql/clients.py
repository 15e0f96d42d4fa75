"""One face for every driver, so that one scenario provokes its failure through all of them.

Blocking drivers run each call in a thread: a scenario may then hold two connections against each other.
"""

from __future__ import annotations

import asyncio
import contextlib
import sqlite3
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from contextlib import AbstractAsyncContextManager
from typing import Any, Protocol

import aiomysql  # type: ignore[import-untyped]
import aiosqlite
import asyncmy
import asyncpg
import psycopg
import sqlalchemy as sa
from sqlalchemy.ext.asyncio import create_async_engine
from sqlalchemy.pool import NullPool

from durably.testing import mariadb


class Client(Protocol):
    async def execute(self, sql: str) -> list[Sequence[Any]]: ...


Connect = Callable[[str], AbstractAsyncContextManager[Client]]


class Blocking:
    """A driver's blocking call, made in a thread."""

    def __init__(self, execute: Callable[[str], list[Sequence[Any]]]) -> None:
        self._execute = execute

    async def execute(self, sql: str) -> list[Sequence[Any]]:
        return await asyncio.to_thread(self._execute, sql)


class Awaited:
    def __init__(self, execute: Callable[[str], Awaitable[list[Sequence[Any]]]]) -> None:
        self._execute = execute

    async def execute(self, sql: str) -> list[Sequence[Any]]:
        return await self._execute(sql)


@contextlib.asynccontextmanager
async def psycopg_client(url: str) -> AsyncIterator[Client]:
    connection = psycopg.connect(url, autocommit=True)

    def execute(sql: str) -> list[Sequence[Any]]:
        cursor = connection.execute(sql.encode())
        return list(cursor.fetchall()) if cursor.description else []

    try:
        yield Blocking(execute)
    finally:
        connection.close()


@contextlib.asynccontextmanager
async def psycopg_async_client(url: str) -> AsyncIterator[Client]:
    connection = await psycopg.AsyncConnection.connect(url, autocommit=True)

    async def execute(sql: str) -> list[Sequence[Any]]:
        cursor = await connection.execute(sql.encode())
        return list(await cursor.fetchall()) if cursor.description else []

    try:
        yield Awaited(execute)
    finally:
        await connection.close()


@contextlib.asynccontextmanager
async def asyncpg_client(url: str) -> AsyncIterator[Client]:
    connection = await asyncpg.connect(url)

    async def execute(sql: str) -> list[Sequence[Any]]:
        return [tuple(row) for row in await connection.fetch(sql)]

    try:
        yield Awaited(execute)
    finally:
        connection.terminate()


@contextlib.asynccontextmanager
async def sqlalchemy_client(url: str) -> AsyncIterator[Client]:
    """SQLAlchemy over the driver that the URL names, blocking."""
    options = {"isolation_level": None, "check_same_thread": False} if url.startswith("sqlite") else {}
    engine = sa.create_engine(url, poolclass=NullPool, connect_args=options)
    connection = engine.connect().execution_options(isolation_level="AUTOCOMMIT")

    def execute(sql: str) -> list[Sequence[Any]]:
        result = connection.exec_driver_sql(sql)
        return [tuple(row) for row in result.fetchall()] if result.returns_rows else []

    try:
        yield Blocking(execute)
    finally:
        with contextlib.suppress(Exception):  # a connection that was lost cannot be reset
            connection.close()
        engine.dispose()


@contextlib.asynccontextmanager
async def sqlalchemy_async_client(url: str) -> AsyncIterator[Client]:
    """SQLAlchemy over the driver that the URL names, awaited."""
    options = {"isolation_level": None} if url.startswith("sqlite") else {}
    engine = create_async_engine(url, poolclass=NullPool, connect_args=options)
    connection = await (await engine.connect()).execution_options(isolation_level="AUTOCOMMIT")

    async def execute(sql: str) -> list[Sequence[Any]]:
        result = await connection.exec_driver_sql(sql)
        return [tuple(row) for row in result.fetchall()] if result.returns_rows else []

    try:
        yield Awaited(execute)
    finally:
        with contextlib.suppress(Exception):  # a connection that was lost cannot be reset
            await connection.close()
        await engine.dispose()


def sqlalchemy_url(url: str, driver: str) -> str:
    return sa.make_url(url).set(drivername=driver).render_as_string(hide_password=False)


def over(client: Connect, driver: str) -> Connect:
    """``client``, given a plain URL."""
    return lambda url: client(sqlalchemy_url(url, driver))


POSTGRESQL: dict[str, Connect] = {
    "psycopg": psycopg_client,
    "psycopg-async": psycopg_async_client,
    "asyncpg": asyncpg_client,
    "sqlalchemy-psycopg": over(sqlalchemy_client, "postgresql+psycopg"),
    "sqlalchemy-async-psycopg": over(sqlalchemy_async_client, "postgresql+psycopg"),
    "sqlalchemy-asyncpg": over(sqlalchemy_async_client, "postgresql+asyncpg"),
}


@contextlib.asynccontextmanager
async def sqlite3_client(uri: str) -> AsyncIterator[Client]:
    connection = sqlite3.connect(uri, uri=True, timeout=0, isolation_level=None, check_same_thread=False)
    try:
        yield Blocking(lambda sql: connection.execute(sql).fetchall())
    finally:
        connection.close()


@contextlib.asynccontextmanager
async def aiosqlite_client(uri: str) -> AsyncIterator[Client]:
    connection = await aiosqlite.connect(uri, uri=True, timeout=0, isolation_level=None)

    async def execute(sql: str) -> list[Sequence[Any]]:
        return list(await connection.execute_fetchall(sql))

    try:
        yield Awaited(execute)
    finally:
        await connection.close()


def _sqlite_url(uri: str, driver: str) -> str:
    return f"{driver}:///{uri}{'&' if '?' in uri else '?'}uri=true&timeout=0"


#: By URI: ``file:/tmp/a.db?mode=ro``.
SQLITE: dict[str, Connect] = {
    "sqlite3": sqlite3_client,
    "aiosqlite": aiosqlite_client,
    "sqlalchemy-sqlite3": lambda uri: sqlalchemy_client(_sqlite_url(uri, "sqlite")),
    "sqlalchemy-aiosqlite": lambda uri: sqlalchemy_async_client(_sqlite_url(uri, "sqlite+aiosqlite")),
}


@contextlib.asynccontextmanager
async def pymysql_client(url: str) -> AsyncIterator[Client]:
    connection = mariadb.connect(url)

    def execute(sql: str) -> list[Sequence[Any]]:
        with connection.cursor() as cursor:
            cursor.execute(sql)
            return list(cursor.fetchall()) if cursor.description else []

    try:
        yield Blocking(execute)
    finally:
        if connection.open:
            connection.close()


def _awaited_mysql(connect: Callable[..., Awaitable[Any]], of_cursor: Callable[[Any], Any]) -> Connect:
    @contextlib.asynccontextmanager
    async def client(url: str) -> AsyncIterator[Client]:
        given = sa.make_url(url)
        connection = await connect(
            host=given.host,
            port=given.port or 3306,
            user=given.username,
            password=given.password or "",
            db=given.database,
            charset="utf8mb4",
            autocommit=True,
        )

        async def execute(sql: str) -> list[Sequence[Any]]:
            async with of_cursor(connection) as cursor:
                await cursor.execute(sql)
                return list(await cursor.fetchall()) if cursor.description else []

        try:
            yield Awaited(execute)
        finally:
            connection.close()

    return client


MARIADB: dict[str, Connect] = {
    "pymysql": pymysql_client,
    "asyncmy": _awaited_mysql(asyncmy.connect, lambda connection: connection.cursor()),
    "aiomysql": _awaited_mysql(aiomysql.connect, lambda connection: connection.cursor()),
    "sqlalchemy-pymysql": over(sqlalchemy_client, "mysql+pymysql"),
    "sqlalchemy-asyncmy": over(sqlalchemy_async_client, "mysql+asyncmy"),
    "sqlalchemy-aiomysql": over(sqlalchemy_async_client, "mysql+aiomysql"),
}
