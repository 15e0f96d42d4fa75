"""Failures that a real MariaDB server reports, through every driver and through SQLAlchemy over it."""

from __future__ import annotations

import asyncio
import socket
from collections.abc import Awaitable, Callable, Iterator
from contextlib import AsyncExitStack, closing
from typing import Any
from urllib.parse import urlsplit
from uuid import uuid4

import pymysql
import pytest

from durably.sql.drivers import Failure
from durably.sql.failures import Classified, classify, is_transient, was_cancelled
from durably.testing.mariadb import MariaDBServer, start_mariadb
from durably.testing.mariadb import connect as plain_connect
from tests.sql.clients import MARIADB, Client, Connect

TRANSIENT = (Failure.RETRYABLE, Failure.CONNECTION)
SCHEMA = (
    "CREATE OR REPLACE TABLE account"
    " (id int PRIMARY KEY, owner varchar(20) UNIQUE, amount int NOT NULL, CHECK (amount >= 0)) ENGINE = InnoDB",
    "CREATE OR REPLACE TABLE big (x longtext) ENGINE = InnoDB",
    "INSERT INTO account VALUES (1, 'ada', 10), (2, 'bob', 10)",
)


@pytest.fixture(params=MARIADB)
def connect(request: pytest.FixtureRequest) -> Connect:
    return MARIADB[request.param]


@pytest.fixture(scope="module")
def database(mariadb_server: MariaDBServer) -> Iterator[str]:
    """One for all of these tests."""
    name = f"durably_test_{uuid4().hex[:12]}"
    yield mariadb_server.create_database(name)
    mariadb_server.drop_database(name)


@pytest.fixture
def url(database: str) -> str:
    with closing(plain_connect(database)) as connection, connection.cursor() as cursor:
        for statement in SCHEMA:
            cursor.execute(statement)
    return database


def judged(error: BaseException | None, *, connecting: bool = False) -> Classified:
    assert error is not None
    found = classify(error, connecting=connecting)
    assert found is not None, repr(error)
    assert is_transient(error, connecting=connecting) is (found.failure in TRANSIENT)
    assert not was_cancelled(error)
    return found


async def raised_by(step: Awaitable[Any]) -> BaseException | None:
    try:
        await step
    except Exception as error:
        return error
    return None


Scenario = Callable[[Client, Client], Awaitable["BaseException | None"]]


def provoke(url: str, connect: Connect, scenario: Scenario) -> BaseException | None:
    """Run ``scenario`` with two connections."""

    async def run() -> BaseException | None:
        async with AsyncExitStack() as stack:
            one = await stack.enter_async_context(connect(url))
            other = await stack.enter_async_context(connect(url))
            return await scenario(one, other)

    return asyncio.run(run())


def statements(*sql: str) -> Scenario:
    """The last one fails."""

    async def scenario(one: Client, other: Client) -> BaseException | None:
        for each in sql[:-1]:
            await one.execute(each)
        return await raised_by(one.execute(sql[-1]))

    return scenario


async def deadlock(one: Client, other: Client) -> BaseException | None:
    for client, own in ((one, 1), (other, 2)):
        await client.execute("BEGIN")
        await client.execute(f"UPDATE account SET amount = amount + 1 WHERE id = {own}")

    async def cross(client: Client, wanted: int) -> None:
        await client.execute(f"UPDATE account SET amount = amount + 1 WHERE id = {wanted}")
        await client.execute("COMMIT")

    first, second = await asyncio.gather(raised_by(cross(one, 2)), raised_by(cross(other, 1)))
    assert (first is None) != (second is None)
    return first or second


async def serializable_conflict(one: Client, other: Client) -> BaseException | None:
    """Both read, and so share the row's lock; then both write."""
    for client in (one, other):
        await client.execute("SET SESSION TRANSACTION ISOLATION LEVEL SERIALIZABLE")
        await client.execute("BEGIN")
        await client.execute("SELECT amount FROM account WHERE id = 1")

    async def write(client: Client) -> None:
        await client.execute("UPDATE account SET amount = 11 WHERE id = 1")
        await client.execute("COMMIT")

    first, second = await asyncio.gather(raised_by(write(one)), raised_by(write(other)))
    assert (first is None) != (second is None)
    return first or second


async def snapshot_is_old(one: Client, other: Client) -> BaseException | None:
    await one.execute("SET SESSION innodb_snapshot_isolation = ON")
    await one.execute("BEGIN")
    await one.execute("SELECT amount FROM account WHERE id = 1")
    await other.execute("UPDATE account SET amount = 11 WHERE id = 1")
    return await raised_by(one.execute("UPDATE account SET amount = 12 WHERE id = 1"))


async def lock_wait_timeout(one: Client, other: Client) -> BaseException | None:
    await other.execute("SET SESSION innodb_lock_wait_timeout = 1")
    await one.execute("BEGIN")
    await one.execute("SELECT * FROM account WHERE id = 1 FOR UPDATE")
    return await raised_by(other.execute("UPDATE account SET amount = 0 WHERE id = 1"))


async def nowait(one: Client, other: Client) -> BaseException | None:
    await one.execute("BEGIN")
    await one.execute("SELECT * FROM account WHERE id = 1 FOR UPDATE")
    return await raised_by(other.execute("SELECT 1 FROM account WHERE id = 1 FOR UPDATE NOWAIT"))


async def killed_while_idle(one: Client, other: Client) -> BaseException | None:
    ((thread,),) = await one.execute("SELECT connection_id()")
    await other.execute(f"KILL {thread}")
    return await raised_by(one.execute("SELECT 1"))


async def killed_while_it_works(one: Client, other: Client) -> BaseException | None:
    ((thread,),) = await one.execute("SELECT connection_id()")
    sleeping = asyncio.ensure_future(raised_by(one.execute("SELECT sleep(30)")))
    while not await other.execute(f"SELECT 1 FROM information_schema.processlist WHERE id = {thread} AND info <> ''"):
        await asyncio.sleep(0.01)
    await other.execute(f"KILL {thread}")
    return await sleeping


async def used_after_it_was_lost(one: Client, other: Client) -> BaseException | None:
    await killed_while_idle(one, other)
    return await raised_by(one.execute("SELECT 1"))


async def killed_by_itself(one: Client, other: Client) -> BaseException | None:
    return await raised_by(one.execute("KILL connection_id()"))


async def duplicate_of_a_row_that_is_not_yet_committed(one: Client, other: Client) -> BaseException | None:
    """What a second executor's record meets: it waits, and is refused."""
    await one.execute("BEGIN")
    await one.execute("INSERT INTO account VALUES (3, 'cy', 1)")
    waiting = asyncio.ensure_future(raised_by(other.execute("INSERT INTO account VALUES (3, 'di', 1)")))
    await asyncio.sleep(0.1)
    assert not waiting.done()
    await one.execute("COMMIT")
    return await waiting


@pytest.mark.parametrize(
    ("scenario", "failure"),
    [
        (deadlock, Failure.RETRYABLE),
        (serializable_conflict, Failure.RETRYABLE),
        (snapshot_is_old, Failure.RETRYABLE),
        (lock_wait_timeout, Failure.RETRYABLE),
        (nowait, Failure.RETRYABLE),
        (killed_while_idle, Failure.CONNECTION),
        (killed_while_it_works, Failure.CONNECTION),
        (killed_by_itself, Failure.CONNECTION),
        (used_after_it_was_lost, Failure.CONNECTION),
        (duplicate_of_a_row_that_is_not_yet_committed, Failure.UNIQUE),
        (statements("INSERT INTO account VALUES (1, 'eve', 0)"), Failure.UNIQUE),
        (statements("INSERT INTO account VALUES (3, 'ada', 0)"), Failure.UNIQUE),
        (statements("SET TRANSACTION READ ONLY", "BEGIN", "DELETE FROM account"), Failure.READ_ONLY),
        (statements("BEGIN", "SAVEPOINT s", "COMMIT", "RELEASE SAVEPOINT s"), Failure.ABORTED),
        (statements("SELECT no_such_function(1)"), Failure.OTHER),
        (statements("CALL no_such_procedure()"), Failure.OTHER),
        (statements("SELECT * FROM nothing"), Failure.OTHER),
        (statements("SELEKT 1"), Failure.OTHER),
        (statements("INSERT INTO account VALUES (3, 'eve', NULL)"), Failure.OTHER),
        (statements("INSERT INTO account VALUES (3, 'eve', -1)"), Failure.OTHER),
        (statements("INSERT INTO account VALUES (3, 'a name that is too long', 1)"), Failure.OTHER),
        (statements("BEGIN", "SET TRANSACTION READ ONLY"), Failure.OTHER),
        (statements("SIGNAL SQLSTATE '45000' SET MESSAGE_TEXT = 'SAVEPOINT x does not exist'"), Failure.OTHER),
        (statements("SET max_statement_time = 0.05", "SELECT sleep(30)"), Failure.OTHER),
    ],
)
def test_what_the_server_reports(url: str, connect: Connect, scenario: Scenario, failure: Failure) -> None:
    assert judged(provoke(url, connect, scenario)).failure is failure


@pytest.mark.usefixtures("mariadb_programs")
def test_a_read_only_server(connect: Connect) -> None:
    with start_mariadb(settings={"read_only": "ON"}) as server:
        with closing(plain_connect(server.url())) as connection, connection.cursor() as cursor:
            cursor.execute("CREATE DATABASE shop")
            cursor.execute("CREATE TABLE shop.t (n int)")
            cursor.execute("CREATE USER clerk@'127.0.0.1'")
            cursor.execute("GRANT ALL ON shop.* TO clerk@'127.0.0.1'")
        clerk = server.url("shop").replace("root@", "clerk@")
        raised = provoke(clerk, connect, statements("INSERT INTO t VALUES (1)"))
    assert judged(raised).failure is Failure.READ_ONLY


def test_what_is_larger_than_a_packet_is_no_lost_connection(url: str, connect: Connect) -> None:
    """It would be as large in every further try."""

    async def too_large(one: Client, other: Client) -> BaseException | None:
        ((limit,),) = await one.execute("SELECT @@max_allowed_packet")
        return await raised_by(one.execute(f"INSERT INTO big VALUES ('{'x' * limit}')"))

    assert judged(provoke(url, connect, too_large)).failure is Failure.OTHER


def test_a_deadlock_that_is_hidden_by_the_rollback_to_a_savepoint(url: str) -> None:
    """The server has forgotten the savepoint: what an ORM's block raises then says nothing of the deadlock."""
    first, second = plain_connect(url), plain_connect(url)
    with closing(first), closing(second), first.cursor() as one, second.cursor() as other:
        other.execute("SET SESSION innodb_lock_wait_timeout = 1")
        one.execute("SET SESSION innodb_snapshot_isolation = ON")
        one.execute("BEGIN")
        one.execute("SELECT amount FROM account WHERE id = 1")
        other.execute("UPDATE account SET amount = 11 WHERE id = 1")
        one.execute("SAVEPOINT s")

        def nested() -> None:
            try:
                one.execute("UPDATE account SET amount = 12 WHERE id = 1")
            except Exception:
                one.execute("ROLLBACK TO SAVEPOINT s")
                raise

        with pytest.raises(pymysql.OperationalError, match="SAVEPOINT s does not exist") as caught:
            nested()
    assert judged(caught.value).failure is Failure.RETRYABLE


# -- no connection -----------------------------------------------------------------------------------------------


async def _connect(url: str, connect: Connect) -> BaseException | None:
    async def use() -> None:
        async with connect(url) as client:
            await client.execute("SELECT 1")

    return await raised_by(use())


def test_nobody_listens(url: str, connect: Connect) -> None:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        nowhere = urlsplit(url)._replace(netloc=f"root@127.0.0.1:{probe.getsockname()[1]}").geturl()
        assert judged(asyncio.run(_connect(nowhere, connect)), connecting=True).failure is Failure.CONNECTION


@pytest.mark.usefixtures("mariadb_programs")
def test_a_server_that_is_killed_and_comes_back(connect: Connect) -> None:
    with start_mariadb() as server:

        async def crash(one: Client, other: Client) -> BaseException | None:
            server.kill()
            return await raised_by(one.execute("SELECT 1"))

        assert judged(provoke(server.url(), connect, crash)).failure is Failure.CONNECTION
        assert judged(asyncio.run(_connect(server.url(), connect)), connecting=True).failure is Failure.CONNECTION
        server.restart()
        assert asyncio.run(_connect(server.url(), connect)) is None


@pytest.mark.parametrize("change", ["database", "user"])
def test_a_refusal_that_lasts_is_not_transient(url: str, connect: Connect, change: str) -> None:
    parts = urlsplit(url)
    wrong = (
        parts._replace(path="/no_such_database")
        if change == "database"
        else parts._replace(netloc=parts.netloc.replace("root@", "no_such_user:x@"))
    )
    assert judged(asyncio.run(_connect(wrong.geturl(), connect)), connecting=True).failure is Failure.OTHER


@pytest.mark.usefixtures("mariadb_programs")
def test_too_many_connections(connect: Connect) -> None:
    with start_mariadb(settings={"max_connections": "10"}) as server:
        held: list[Any] = []

        def fill() -> None:
            while len(held) < 100:
                held.append(plain_connect(server.url()))

        try:
            with pytest.raises(pymysql.OperationalError, match="1040"):
                fill()
            failed = asyncio.run(_connect(server.url(), connect))
            assert judged(failed, connecting=True).failure is Failure.CONNECTION
        finally:
            for connection in held:
                connection.close()


# -- a task that is cancelled ------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", [name for name in MARIADB if "pymysql" not in name])
def test_a_cancelled_query_is_a_cancellation_and_not_a_lost_connection(url: str, name: str) -> None:
    """asyncmy and aiomysql raise InterfaceError(0, "Cancelled during execution") instead, or after it."""

    async def run() -> list[BaseException]:
        raised: list[BaseException] = []

        async def query() -> None:
            async with MARIADB[name](url) as client:
                try:
                    await client.execute("BEGIN")
                    started.set()
                    await client.execute("SELECT sleep(30)")
                except BaseException as error:
                    raised.append(error)
                    raise

        started = asyncio.Event()
        task = asyncio.ensure_future(query())
        await started.wait()
        await asyncio.sleep(0.1)
        task.cancel()
        await asyncio.wait([task])
        return raised

    (error,) = asyncio.run(run())
    assert was_cancelled(error)
