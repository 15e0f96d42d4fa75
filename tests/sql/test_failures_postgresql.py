"""Failures that a real PostgreSQL server reports, through every driver and through SQLAlchemy over it."""

from __future__ import annotations

import asyncio
import contextlib
import socket
import threading
from collections.abc import Awaitable, Callable, Iterator
from contextlib import AsyncExitStack
from typing import Any
from urllib.parse import urlsplit, urlunsplit
from uuid import uuid4

import asyncpg
import psycopg
import psycopg_pool
import pytest
import sqlalchemy as sa
from sqlalchemy import exc as sa_exc
from sqlalchemy.orm import DeclarativeBase, Mapped, Session, mapped_column

from durably.sql.drivers import Failure
from durably.sql.failures import Classified, classify, is_transient, was_cancelled
from durably.testing.postgres import PostgresServer, start_postgres
from tests.sql.clients import POSTGRESQL, Client, Connect, sqlalchemy_url

TRANSIENT = (Failure.RETRYABLE, Failure.CONNECTION)
SCHEMA = b"""
DROP SCHEMA public CASCADE;
CREATE SCHEMA public;
CREATE TABLE account (id int PRIMARY KEY, owner text UNIQUE, amount int NOT NULL);
INSERT INTO account VALUES (1, 'ada', 10), (2, 'bob', 10);
"""


@pytest.fixture(params=POSTGRESQL)
def connect(request: pytest.FixtureRequest) -> Connect:
    return POSTGRESQL[request.param]


@pytest.fixture(scope="module")
def database(postgres_server: PostgresServer) -> Iterator[str]:
    """One for all of these tests: making a database takes longer than most failures do."""
    name = f"durably_test_{uuid4().hex[:12]}"
    yield postgres_server.create_database(name)
    postgres_server.drop_database(name)


@pytest.fixture
def url(database: str) -> str:
    with psycopg.connect(database, autocommit=True) as connection:
        connection.execute(SCHEMA)
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


Scenario = Callable[[Client, Client, str], Awaitable["BaseException | None"]]


def provoke(url: str, connect: Connect, scenario: Scenario) -> BaseException | None:
    """Run ``scenario`` with two connections."""

    async def run() -> BaseException | None:
        async with AsyncExitStack() as stack:
            one = await stack.enter_async_context(connect(url))
            other = await stack.enter_async_context(connect(url))
            return await scenario(one, other, url)

    return asyncio.run(run())


async def serialization_failure_at_a_statement(one: Client, other: Client, url: str) -> BaseException | None:
    for client in (one, other):
        await client.execute("BEGIN ISOLATION LEVEL REPEATABLE READ")
        await client.execute("SELECT amount FROM account WHERE id = 1")
    await one.execute("UPDATE account SET amount = 11 WHERE id = 1")
    await one.execute("COMMIT")
    return await raised_by(other.execute("UPDATE account SET amount = 12 WHERE id = 1"))


async def serialization_failure_at_commit(one: Client, other: Client, url: str) -> BaseException | None:
    for client in (one, other):
        await client.execute("BEGIN ISOLATION LEVEL SERIALIZABLE")
        await client.execute("SELECT sum(amount) FROM account")
    await one.execute("INSERT INTO account VALUES (3, 'cy', 1)")
    await other.execute("INSERT INTO account VALUES (4, 'di', 1)")
    await one.execute("COMMIT")
    return await raised_by(other.execute("COMMIT"))


async def deadlock(one: Client, other: Client, url: str) -> BaseException | None:
    for client, own in ((one, 1), (other, 2)):
        await client.execute("SET deadlock_timeout = '50ms'")
        await client.execute("BEGIN")
        await client.execute(f"UPDATE account SET amount = 0 WHERE id = {own}")

    async def cross(client: Client, wanted: int) -> None:
        await client.execute(f"UPDATE account SET amount = 1 WHERE id = {wanted}")
        await client.execute("COMMIT")

    first, second = await asyncio.gather(raised_by(cross(one, 2)), raised_by(cross(other, 1)))
    assert (first is None) != (second is None)
    return first or second


async def _locked(client: Client) -> None:
    await client.execute("BEGIN")
    await client.execute("SELECT * FROM account WHERE id = 1 FOR UPDATE")


async def lock_timeout(one: Client, other: Client, url: str) -> BaseException | None:
    await _locked(one)
    await other.execute("SET lock_timeout = '20ms'")
    return await raised_by(other.execute("UPDATE account SET amount = 0 WHERE id = 1"))


async def nowait(one: Client, other: Client, url: str) -> BaseException | None:
    await _locked(one)
    return await raised_by(other.execute("SELECT 1 FROM account WHERE id = 1 FOR UPDATE NOWAIT"))


async def plan_overtaken_by_a_migration(one: Client, other: Client, url: str) -> BaseException | None:
    for _ in range(8):  # psycopg prepares what it has seen five times
        await one.execute("SELECT * FROM account")
    await other.execute("ALTER TABLE account ADD COLUMN note text")
    await one.execute("BEGIN")
    return await raised_by(one.execute("SELECT * FROM account"))


async def swallowed(one: Client, other: Client, url: str) -> BaseException | None:
    await one.execute("BEGIN")
    assert await raised_by(one.execute("SELECT 1/0"))
    return await raised_by(one.execute("SELECT 1"))


async def write_in_a_read_only_transaction(one: Client, other: Client, url: str) -> BaseException | None:
    await one.execute("BEGIN READ ONLY")
    return await raised_by(one.execute("UPDATE account SET amount = 0"))


def statement(sql: str) -> Scenario:
    async def scenario(one: Client, other: Client, url: str) -> BaseException | None:
        return await raised_by(one.execute(sql))

    return scenario


async def _killed(one: Client, other: Client, *, running: bool, idle: bool) -> BaseException | None:
    if not idle:
        await one.execute("BEGIN")
    [[pid]] = await one.execute("SELECT pg_backend_pid()")
    task = asyncio.ensure_future(raised_by(one.execute("SELECT pg_sleep(20)"))) if running else None
    if running:
        await asyncio.sleep(0.1)
    await other.execute(f"SELECT pg_terminate_backend({pid})")
    while await other.execute(f"SELECT 1 FROM pg_stat_activity WHERE pid = {pid}"):
        await asyncio.sleep(0.01)
    return await task if task else await raised_by(one.execute("SELECT 1"))


async def killed_in_a_transaction(one: Client, other: Client, url: str) -> BaseException | None:
    return await _killed(one, other, running=False, idle=False)


async def killed_in_a_statement(one: Client, other: Client, url: str) -> BaseException | None:
    return await _killed(one, other, running=True, idle=False)


async def killed_at_idle(one: Client, other: Client, url: str) -> BaseException | None:
    return await _killed(one, other, running=False, idle=True)


async def used_after_it_was_killed(one: Client, other: Client, url: str) -> BaseException | None:
    assert await _killed(one, other, running=False, idle=False)
    return await raised_by(one.execute("SELECT 1"))


def hung_up_by(setting: str, *begin: str) -> Scenario:
    async def scenario(one: Client, other: Client, url: str) -> BaseException | None:
        await one.execute(f"SET {setting} = '30ms'")
        for sql in begin:
            await one.execute(sql)
        await asyncio.sleep(0.3)
        return await raised_by(one.execute("SELECT 1"))

    return scenario


async def statement_timeout(one: Client, other: Client, url: str) -> BaseException | None:
    await one.execute("SET statement_timeout = '20ms'")
    return await raised_by(one.execute("SELECT pg_sleep(5)"))


SCENARIOS: list[tuple[Scenario, Failure]] = [
    (serialization_failure_at_a_statement, Failure.RETRYABLE),
    (serialization_failure_at_commit, Failure.RETRYABLE),
    (deadlock, Failure.RETRYABLE),
    (lock_timeout, Failure.RETRYABLE),
    (nowait, Failure.RETRYABLE),
    (plan_overtaken_by_a_migration, Failure.RETRYABLE),
    (killed_in_a_transaction, Failure.CONNECTION),
    (killed_in_a_statement, Failure.CONNECTION),
    (killed_at_idle, Failure.CONNECTION),
    (used_after_it_was_killed, Failure.CONNECTION),
    (hung_up_by("idle_in_transaction_session_timeout", "BEGIN"), Failure.CONNECTION),
    (hung_up_by("idle_session_timeout"), Failure.CONNECTION),
    (statement("INSERT INTO account VALUES (1, 'eve', 0)"), Failure.UNIQUE),
    (statement("INSERT INTO account VALUES (9, 'ada', 0)"), Failure.UNIQUE),
    (write_in_a_read_only_transaction, Failure.READ_ONLY),
    (swallowed, Failure.ABORTED),
    (statement_timeout, Failure.OTHER),
    (statement("SELEKT 1"), Failure.OTHER),
    (statement("SELECT * FROM nothing"), Failure.OTHER),
    (statement("SELECT 1/0"), Failure.OTHER),
    (statement("INSERT INTO account VALUES (9, 'eve', NULL)"), Failure.OTHER),
    (statement("DO $$ BEGIN RAISE 'the connection is closed'; END $$"), Failure.OTHER),
    (statement("DO $$ BEGIN RAISE 'no' USING ERRCODE = '40001'; END $$"), Failure.RETRYABLE),
]


@pytest.mark.parametrize(
    ("scenario", "failure"),
    [pytest.param(*each, id=f"{each[0].__name__}-{index}") for index, each in enumerate(SCENARIOS)],
)
def test_what_the_server_reports(url: str, connect: Connect, scenario: Scenario, failure: Failure) -> None:
    found = judged(provoke(url, connect, scenario))
    assert found.failure is failure
    if not isinstance(found.native, sa_exc.PendingRollbackError):  # it has no link to the driver's
        assert type(found.native).__module__.partition(".")[0] in ("psycopg", "asyncpg")


@pytest.mark.parametrize(
    ("first", "failure"),
    [
        ("SELECT 1 FROM account WHERE id = 1 FOR UPDATE NOWAIT", Failure.RETRYABLE),
        ("SELECT 1/0", Failure.ABORTED),
    ],
)
@pytest.mark.parametrize("driver", ["psycopg", "sqlalchemy"])
def test_a_handler_that_went_on_in_the_aborted_transaction(url: str, driver: str, first: str, failure: Failure) -> None:
    engine = sa.create_engine(sqlalchemy_url(url, "postgresql+psycopg"))
    with psycopg.connect(url) as holder, psycopg.connect(url) as connection, engine.connect() as bound:
        holder.execute("SELECT 1 FROM account WHERE id = 1 FOR UPDATE")

        def execute(sql: str) -> object:
            return connection.execute(sql.encode()) if driver == "psycopg" else bound.exec_driver_sql(sql)

        later: BaseException | None = None
        try:
            execute(first)
        except Exception:
            try:
                execute("SELECT 1")
            except Exception as error:
                later = error
        connection.rollback()
        bound.rollback()
    engine.dispose()
    assert judged(later).failure is failure


@contextlib.contextmanager
def proxy(url: str) -> Iterator[tuple[str, Callable[[], None]]]:
    """A wire to the server, and the knife."""
    parts = urlsplit(url)
    listener = socket.create_server(("127.0.0.1", 0))
    ends: list[socket.socket] = [listener]

    def pump(source: socket.socket, sink: socket.socket) -> None:
        with contextlib.suppress(OSError):
            while data := source.recv(65536):
                sink.sendall(data)

    def accept() -> None:
        with contextlib.suppress(OSError):
            while True:
                near, _ = listener.accept()
                far = socket.create_connection((parts.hostname or "127.0.0.1", parts.port or 5432))
                ends.extend((near, far))
                for pair in ((near, far), (far, near)):
                    threading.Thread(target=pump, args=pair, daemon=True).start()

    def cut() -> None:
        while ends:
            end = ends.pop()
            with contextlib.suppress(OSError):
                end.shutdown(socket.SHUT_RDWR)
            end.close()

    threading.Thread(target=accept, daemon=True).start()
    user = f"{parts.username}{':' + parts.password if parts.password else ''}@" if parts.username else ""
    try:
        yield urlunsplit(parts._replace(netloc=f"{user}127.0.0.1:{listener.getsockname()[1]}")), cut
    finally:
        cut()


@pytest.mark.parametrize("running", [False, True])
def test_a_wire_that_was_cut_has_no_sqlstate(url: str, connect: Connect, running: bool) -> None:
    async def run(through: str, cut: Callable[[], None]) -> list[BaseException | None]:
        async with connect(through) as client:
            await client.execute("BEGIN")
            task = asyncio.ensure_future(client.execute("SELECT pg_sleep(20)")) if running else None
            await asyncio.sleep(0.1 if running else 0)
            cut()
            await asyncio.sleep(0 if running else 0.1)
            first = await raised_by(task or client.execute("SELECT 1"))
            return [first, await raised_by(client.execute("SELECT 1"))]

    with proxy(url) as (through, cut):
        for error in asyncio.run(run(through, cut)):
            assert judged(error).failure is Failure.CONNECTION


def test_a_server_that_was_killed(connect: Connect) -> None:
    async def run(url: str, kill: Callable[[], None]) -> list[BaseException | None]:
        async with connect(url) as client:
            await client.execute("BEGIN")
            kill()
            return [await raised_by(client.execute("SELECT 1")), await connecting_to(url, connect)]

    with start_postgres() as server:
        lost, refused = asyncio.run(run(server.url(), server.kill))
    assert judged(lost).failure is Failure.CONNECTION
    assert judged(refused, connecting=True).failure is Failure.CONNECTION


async def connecting_to(url: str, connect: Connect) -> BaseException | None:
    async def attempt() -> None:
        async with connect(url):
            pass

    return await raised_by(attempt())


def elsewhere(url: str, **changed: Any) -> str:
    return sa.make_url(url).set(**changed).render_as_string(hide_password=False)


def test_nobody_listens(url: str, connect: Connect, request: pytest.FixtureRequest) -> None:
    with socket.create_server(("127.0.0.1", 0)) as listener:
        port = listener.getsockname()[1]
    error = asyncio.run(connecting_to(elsewhere(url, port=port), connect))
    assert judged(error, connecting=True).failure is Failure.CONNECTION
    assert error is not None
    if "asyncpg" in request.node.name:  # a bare ConnectionRefusedError: anybody's
        assert isinstance(error, OSError)
        assert classify(error) is None
    else:
        assert judged(error).failure is Failure.CONNECTION


def test_somebody_listens_and_hangs_up(url: str, connect: Connect) -> None:
    def hang_up(listener: socket.socket) -> None:
        with contextlib.suppress(OSError):
            while True:
                listener.accept()[0].close()

    with socket.create_server(("127.0.0.1", 0)) as listener:
        threading.Thread(target=hang_up, args=(listener,), daemon=True).start()
        url = elsewhere(url, port=listener.getsockname()[1])
        error = asyncio.run(connecting_to(url, connect))
        listener.shutdown(socket.SHUT_RDWR)
    assert judged(error, connecting=True).failure is Failure.CONNECTION


@pytest.mark.parametrize("change", [{"database": "no_such_database"}, {"username": "no_such_role"}])
def test_a_refusal_that_lasts_is_not_transient(url: str, connect: Connect, change: dict[str, str]) -> None:
    error = asyncio.run(connecting_to(elsewhere(url, **change), connect))
    assert judged(error).failure is Failure.OTHER
    assert judged(error, connecting=True).failure is Failure.OTHER


def test_too_many_connections(url: str, connect: Connect) -> None:
    role = f"crowd_{uuid4().hex[:8]}"
    with psycopg.connect(url, autocommit=True) as admin:
        admin.execute(f"CREATE ROLE {role} LOGIN CONNECTION LIMIT 0".encode())
        try:
            error = asyncio.run(connecting_to(elsewhere(url, username=role), connect))
        finally:
            admin.execute(f"DROP ROLE {role}".encode())
    assert judged(error).failure is Failure.CONNECTION


def test_psycopg_refuses_what_cannot_be_sent(url: str) -> None:
    with psycopg.connect(url) as connection:
        marks = ",".join(["%s"] * 70_000)
        with pytest.raises(psycopg.OperationalError) as caught:  # no SQLSTATE, and nothing is wrong with the connection
            connection.execute(f"SELECT 1 WHERE 1 IN ({marks})".encode(), [1] * 70_000)
    assert judged(caught.value).failure is Failure.OTHER


def test_psycopg_pipeline_aborted(url: str) -> None:
    with psycopg.connect(url, autocommit=True) as connection, connection.pipeline():
        with pytest.raises(psycopg.errors.DivisionByZero):
            connection.execute("SELECT 1/0").fetchall()
        with pytest.raises(psycopg.errors.PipelineAborted) as caught:
            connection.execute("SELECT 1").fetchall()
    assert judged(caught.value).failure is Failure.ABORTED


def test_asyncpg_quotes_the_users_values(url: str) -> None:
    async def run() -> BaseException | None:
        connection = await asyncpg.connect(url)
        try:
            return await raised_by(connection.fetch("SELECT $1::int", "the connection is closed"))
        finally:
            await connection.close()

    assert judged(asyncio.run(run())).failure is Failure.OTHER


def test_asyncpg_notices_that_a_type_has_changed(url: str) -> None:
    async def run() -> BaseException | None:
        connection = await asyncpg.connect(url)
        try:
            await connection.execute("CREATE TYPE pair AS (a int, b int)")
            await connection.fetch("SELECT (1, 2)::pair")
            await connection.execute("ALTER TYPE pair ADD ATTRIBUTE c int")
            return await raised_by(connection.fetch("SELECT (1, 2, 3)::pair"))
        finally:
            await connection.close()

    error = asyncio.run(run())
    assert isinstance(error, asyncpg.exceptions.OutdatedSchemaCacheError)
    assert judged(error).failure is Failure.RETRYABLE


def test_a_pools_time_out_is_transient_only_while_connecting(url: str) -> None:
    engine = sa.create_engine(sqlalchemy_url(url, "postgresql+psycopg"), pool_size=1, max_overflow=0, pool_timeout=0.05)
    errors: list[BaseException] = []
    with engine.connect(), pytest.raises(sa_exc.TimeoutError) as sqlalchemy_caught:
        engine.connect()
    errors.append(sqlalchemy_caught.value)
    engine.dispose()
    with psycopg_pool.ConnectionPool(url, min_size=1, max_size=1, open=True) as pool:
        with pool.connection(), pytest.raises(psycopg_pool.PoolTimeout) as psycopg_caught:
            pool.getconn(timeout=0.05)
        errors.append(psycopg_caught.value)
    for error in errors:
        assert classify(error) is None
        assert judged(error, connecting=True).failure is Failure.CONNECTION


class Base(DeclarativeBase):
    pass


class Account(Base):
    __tablename__ = "account"

    id: Mapped[int] = mapped_column(primary_key=True)
    owner: Mapped[str]
    amount: Mapped[int]


class TestSqlAlchemyRefusesToGoOn:
    """After a swallowed error SQLAlchemy raises one of its own, with no link to the driver's."""

    @pytest.fixture
    def engine(self, url: str) -> Iterator[sa.Engine]:
        engine = sa.create_engine(sqlalchemy_url(url, "postgresql+psycopg"))
        yield engine
        engine.dispose()

    def test_after_a_lost_connection(self, engine: sa.Engine, url: str) -> None:
        with engine.connect() as connection:
            transaction = connection.begin()
            pid = connection.exec_driver_sql("SELECT pg_backend_pid()").scalar_one()
            with psycopg.connect(url, autocommit=True) as admin:
                admin.execute("SELECT pg_terminate_backend(%s, 5000)", [pid])
            with pytest.raises(sa_exc.OperationalError):
                connection.exec_driver_sql("SELECT 1")
            with pytest.raises(sa_exc.PendingRollbackError) as statement:
                connection.exec_driver_sql("SELECT 1")
            with pytest.raises(sa_exc.PendingRollbackError) as commit:
                transaction.commit()
            transaction.rollback()
        assert judged(statement.value).failure is Failure.CONNECTION
        assert judged(commit.value).failure is Failure.CONNECTION

    def test_after_a_failed_flush(self, engine: sa.Engine) -> None:
        with Session(engine) as session:
            session.add(Account(id=1, owner="eve", amount=0))
            with pytest.raises(sa_exc.IntegrityError) as flush:
                session.flush()
            with pytest.raises(sa_exc.PendingRollbackError) as later:
                session.execute(sa.text("SELECT 1"))
        assert judged(flush.value).failure is Failure.UNIQUE
        assert judged(later.value).failure is Failure.ABORTED
