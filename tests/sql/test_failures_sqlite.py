"""Failures that real SQLite files report, through every driver and through SQLAlchemy over it."""

from __future__ import annotations

import asyncio
import os
import sqlite3
import threading
from collections.abc import Awaitable, Callable
from contextlib import AsyncExitStack
from pathlib import Path
from typing import Any
from uuid import uuid4

import pytest

from durably.sql.drivers import Failure
from durably.sql.failures import Classified, classify, is_transient, was_cancelled
from tests.sql.clients import SQLITE, Client, Connect


@pytest.fixture(params=SQLITE)
def connect(request: pytest.FixtureRequest) -> Connect:
    return SQLITE[request.param]


@pytest.fixture
def path(tmp_path: Path) -> Path:
    path = tmp_path / "app.db"
    connection = sqlite3.connect(path)
    connection.executescript(
        """
        CREATE TABLE account (id INTEGER PRIMARY KEY, owner TEXT UNIQUE, amount INT NOT NULL);
        CREATE TABLE keyed (k TEXT PRIMARY KEY) WITHOUT ROWID;
        CREATE TABLE plain (x);
        CREATE TRIGGER liar BEFORE DELETE ON account BEGIN SELECT RAISE(ABORT, 'database is locked'); END;
        INSERT INTO account VALUES (1, 'ada', 10);
        INSERT INTO keyed VALUES ('a');
        INSERT INTO plain (rowid, x) VALUES (1, 1);
        """
    )
    connection.close()
    return path


def judged(error: BaseException | None, *, connecting: bool = False) -> Classified:
    assert error is not None
    found = classify(error, connecting=connecting)
    assert found is not None, repr(error)
    assert isinstance(found.native, sqlite3.Error)
    transient = found.failure in (Failure.RETRYABLE, Failure.CONNECTION)
    assert is_transient(error, connecting=connecting) is transient
    assert not was_cancelled(error)
    # The same without its code, as Python 3.10 raises it.
    codeless = classify(type(found.native)(*found.native.args), connecting=connecting)
    assert codeless is not None
    assert codeless.failure is found.failure
    return found


async def raised_by(step: Awaitable[Any]) -> BaseException | None:
    try:
        await step
    except Exception as error:
        return error
    return None


Scenario = Callable[[Client, Client], Awaitable["BaseException | None"]]


def provoke(uri: str, connect: Connect, scenario: Scenario) -> BaseException | None:
    async def run() -> BaseException | None:
        async with AsyncExitStack() as stack:
            one = await stack.enter_async_context(connect(uri))
            other = await stack.enter_async_context(connect(uri))
            return await scenario(one, other)

    return asyncio.run(run())


def statement(*sql: str) -> Scenario:
    async def scenario(one: Client, other: Client) -> BaseException | None:
        for each in sql[:-1]:
            await one.execute(each)
        return await raised_by(one.execute(sql[-1]))

    return scenario


async def a_writer_is_there(one: Client, other: Client) -> BaseException | None:
    await one.execute("BEGIN IMMEDIATE")
    return await raised_by(other.execute("BEGIN IMMEDIATE"))


async def lock_upgrade(one: Client, other: Client) -> BaseException | None:
    for client in (one, other):
        await client.execute("BEGIN DEFERRED")
        await client.execute("SELECT * FROM account")
    await one.execute("UPDATE account SET amount = 1")
    return await raised_by(other.execute("UPDATE account SET amount = 2"))


async def snapshot_is_old(one: Client, other: Client) -> BaseException | None:
    await one.execute("PRAGMA journal_mode=WAL")
    await other.execute("BEGIN DEFERRED")
    await other.execute("SELECT * FROM account")
    await one.execute("UPDATE account SET amount = 1")
    return await raised_by(other.execute("UPDATE account SET amount = 2"))


async def commit_beside_a_reader(one: Client, other: Client) -> BaseException | None:
    await one.execute("BEGIN DEFERRED")
    await one.execute("SELECT * FROM account")
    await other.execute("BEGIN IMMEDIATE")
    await other.execute("UPDATE account SET amount = 2")
    return await raised_by(other.execute("COMMIT"))


@pytest.mark.parametrize(
    ("scenario", "failure"),
    [
        (a_writer_is_there, Failure.RETRYABLE),
        (lock_upgrade, Failure.RETRYABLE),
        (snapshot_is_old, Failure.RETRYABLE),
        (commit_beside_a_reader, Failure.RETRYABLE),
        (statement("INSERT INTO account VALUES (1, 'eve', 0)"), Failure.UNIQUE),
        (statement("INSERT INTO account VALUES (2, 'ada', 0)"), Failure.UNIQUE),
        (statement("INSERT INTO keyed VALUES ('a')"), Failure.UNIQUE),
        (statement("INSERT INTO plain (rowid, x) VALUES (1, 2)"), Failure.UNIQUE),
        (statement("PRAGMA query_only=1", "DELETE FROM plain"), Failure.READ_ONLY),
        (statement("SELECT * FROM nothing"), Failure.OTHER),
        (statement("SELEKT 1"), Failure.OTHER),
        (statement("INSERT INTO account VALUES (2, 'eve', NULL)"), Failure.OTHER),
        (statement("DELETE FROM account"), Failure.OTHER),  # a trigger that says "database is locked"
        (statement("ROLLBACK"), Failure.OTHER),
        (
            statement("PRAGMA max_page_count=1", "INSERT INTO plain VALUES (zeroblob(100000))"),
            Failure.OTHER,  # disk full
        ),
    ],
)
def test_what_a_file_reports(path: Path, connect: Connect, scenario: Scenario, failure: Failure) -> None:
    assert judged(provoke(f"file:{path}", connect, scenario)).failure is failure


def test_busy_while_beginning_is_retryable_too(path: Path, connect: Connect) -> None:
    error = provoke(f"file:{path}", connect, a_writer_is_there)
    assert judged(error, connecting=True).failure is Failure.RETRYABLE


async def shared_cache_table_lock(one: Client, other: Client) -> BaseException | None:
    await one.execute("CREATE TABLE t (x)")
    await one.execute("BEGIN")
    await one.execute("INSERT INTO t VALUES (1)")
    return await raised_by(other.execute("SELECT * FROM t"))


def test_locked_in_a_shared_cache(connect: Connect) -> None:
    uri = f"file:shared{uuid4().hex}?mode=memory&cache=shared"
    assert judged(provoke(uri, connect, shared_cache_table_lock)).failure is Failure.RETRYABLE


def test_a_file_opened_read_only(path: Path, connect: Connect) -> None:
    error = provoke(f"file:{path}?mode=ro", connect, statement("DELETE FROM plain"))
    assert judged(error).failure is Failure.READ_ONLY


def test_a_file_that_was_taken_away(path: Path, connect: Connect) -> None:
    async def scenario(one: Client, other: Client) -> BaseException | None:
        await one.execute("SELECT * FROM plain")
        os.rename(path, path.with_suffix(".gone"))
        return await raised_by(one.execute("DELETE FROM plain"))

    assert judged(provoke(f"file:{path}", connect, scenario)).failure is Failure.READ_ONLY  # READONLY_DBMOVED


def test_a_file_that_is_no_database(tmp_path: Path, connect: Connect) -> None:
    path = tmp_path / "text.db"
    path.write_bytes(b"not a database, and long enough to be read as one" * 100)
    error = provoke(f"file:{path}", connect, statement("SELECT * FROM plain"))
    assert judged(error).failure is Failure.OTHER


def test_a_file_that_cannot_be_opened(tmp_path: Path, connect: Connect) -> None:
    async def attempt() -> None:
        async with connect(f"file:{tmp_path}/no/such/folder/app.db") as client:
            await client.execute("SELECT 1")

    async def run() -> BaseException | None:
        error = await raised_by(attempt())
        while any("_connection_worker_thread" in thread.name for thread in threading.enumerate()):
            await asyncio.sleep(0.005)  # aiosqlite's, which still has a word for this loop
        return error

    error = asyncio.run(run())
    assert judged(error).failure is Failure.OTHER
    assert judged(error, connecting=True).failure is Failure.CONNECTION


def test_a_connection_that_was_closed(path: Path) -> None:
    connection = sqlite3.connect(path)
    connection.close()
    with pytest.raises(sqlite3.ProgrammingError) as caught:
        connection.execute("SELECT 1")
    assert judged(caught.value).failure is Failure.CONNECTION


def test_the_codes_that_python_gives_are_the_ones_in_the_table(path: Path) -> None:
    """What keeps the table honest: SQLite's own names for the codes, where Python has them."""
    from durably.sql.drivers import SQLITE_CODES

    if not hasattr(sqlite3, "SQLITE_BUSY"):
        pytest.skip("Python 3.10 does not name SQLite's codes")
    names = {
        Failure.RETRYABLE: ("BUSY", "LOCKED", "PROTOCOL", "SCHEMA"),
        Failure.READ_ONLY: ("READONLY",),
        Failure.UNIQUE: ("CONSTRAINT_PRIMARYKEY", "CONSTRAINT_UNIQUE", "CONSTRAINT_ROWID"),
    }
    assert {
        getattr(sqlite3, f"SQLITE_{name}"): failure for failure, each in names.items() for name in each
    } == SQLITE_CODES
