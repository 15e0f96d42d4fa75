"""Transient failures run the whole transaction again, and are never recorded; lasting ones are the user's."""

from __future__ import annotations

import contextlib
import sqlite3
import threading
from collections.abc import AsyncIterator, Callable
from pathlib import Path
from typing import Any

import psycopg
import pytest
from sqlalchemy import create_engine, event, insert, inspect, select, text, update
from sqlalchemy.exc import DBAPIError, IntegrityError, OperationalError
from sqlalchemy.orm import Session

import durably
from durably.adapter import BeginPlan
from durably.testing import mariadb
from durably_sqlalchemy import AsyncSQLAlchemyAdapter, SQLAlchemy, async_session
from tests.adapters.sqlalchemy.conftest import EVERY_DRIVER, MARIADB, POSTGRESQL, SQLITE, MakeLab, kinds
from tests.adapters.sqlalchemy.lab import Item, Kind, Lab, Unique, add


def _other(lab: Lab, statement: Any) -> None:
    """Another transaction, on a connection of its own, commits at once."""
    with lab.control.begin() as connection:
        connection.execute(statement)


# MariaDB's serializable locks what it reads: see test_lost_updates.
@pytest.mark.parametrize(
    ("kind", "level"),
    [
        *((kind, level) for kind in POSTGRESQL for level in ("repeatable read", "serializable")),
        *((kind, "repeatable read") for kind in MARIADB),
    ],
    ids=str,
)
@pytest.mark.parametrize("swallowed", [False, True], ids=["raised", "swallowed"])
def test_a_serialization_failure_is_run_again(make_lab: MakeLab, level: str, swallowed: bool) -> None:
    lab = _lab_with_snapshots(make_lab)
    lab.run(add(10))
    tries: list[int] = []

    def increment(s: Session) -> int:
        tries.append(1)
        n = s.scalars(select(Item.n)).one()
        if len(tries) == 1:
            _other(lab, update(Item).values(n=20))
        try:
            s.execute(update(Item).values(n=n + 1))
        except DBAPIError:
            if not swallowed:
                raise
        return n + 1

    assert lab.run(increment, isolation_level=level) == 21
    assert len(tries) == 2
    assert lab.items() == [21]
    assert [one.error for one in lab.recorded()] == [None, None]


@kinds([*POSTGRESQL, *MARIADB])
def test_a_failed_flush_that_was_caught_is_run_again_if_it_was_transient(make_lab: MakeLab) -> None:
    lab = _lab_with_snapshots(make_lab)
    lab.run(add(10))
    tries: list[int] = []

    def increment(s: Session) -> int:
        tries.append(1)
        (item,) = s.scalars(select(Item)).all()
        if len(tries) == 1:
            _other(lab, update(Item).values(n=20))
        item.n += 1
        try:
            s.flush()
        except DBAPIError:
            s.rollback()
        return len(tries)

    assert lab.run(increment, isolation_level="repeatable read") == 2
    assert lab.items() == [21]


def _lab_with_snapshots(make_lab: MakeLab) -> Lab:
    """On MariaDB with the setting that makes its REPEATABLE READ refuse what PostgreSQL's refuses."""
    lab = make_lab()
    if lab.kind.backend == "mysql":
        event.listen(lab.sync_engine, "connect", _set_snapshot_isolation)
    return lab.launch()


def _set_snapshot_isolation(connection: Any, _record: Any) -> None:
    cursor = connection.cursor()
    cursor.execute("SET SESSION innodb_snapshot_isolation = ON")
    cursor.close()


# On PostgreSQL one that is caught outside its savepoint is the function's own business: the rest is committed.
@pytest.mark.parametrize(
    ("kind", "how"),
    [
        *((kind, how) for kind in (*POSTGRESQL, *MARIADB) for how in ("raised", "swallowed", "in a savepoint")),
        *((kind, "swallowed with its savepoint") for kind in MARIADB),
    ],
    ids=str,
)
def test_a_deadlock_is_run_again(lab: Lab, how: str) -> None:
    lab.run(add(1), add(2))
    first, second = (update(Item).where(Item.id == n).values(n=Item.n) for n in (1, 2))
    tries: list[int] = []
    locked = threading.Event()

    def other() -> None:
        with lab.control.begin() as connection:
            if lab.kind.backend == "mysql":
                # It has more to lose, so that this transaction is the victim.
                connection.execute(insert(Unique), [{"name": str(n)} for n in range(50)])
            connection.execute(second)
            locked.set()
            connection.execute(first)

    helper = threading.Thread(target=other)

    def body(s: Session) -> int:
        tries.append(1)
        if lab.kind.backend == "postgresql":
            # So that this transaction is the one that notices.
            s.execute(text("SET LOCAL deadlock_timeout = '10ms'"))
        s.execute(first)
        if len(tries) == 1:
            helper.start()
            assert locked.wait(10)
        with contextlib.ExitStack() as stack:
            if "swallowed" in how:
                stack.enter_context(contextlib.suppress(DBAPIError))
            if "savepoint" in how:
                stack.enter_context(s.begin_nested())
            s.execute(second)
        s.execute(insert(Item).values(n=3))
        return len(tries)

    assert lab.run(body) == 2
    helper.join()
    assert lab.items() == [1, 2, 3]
    assert [one.error for one in lab.recorded()] == [None, None, None]


@kinds(MARIADB)
def test_a_lock_that_takes_too_long_is_waited_for_again(lab: Lab) -> None:
    """The server would keep what the transaction did before it."""
    lab.run(add(10))
    tries: list[int] = []
    held = lab.control.connect()

    def body(s: Session) -> int:
        tries.append(1)
        s.execute(text("SET SESSION innodb_lock_wait_timeout = 1"))
        s.add(Item(n=len(tries)))
        s.flush()
        if len(tries) == 1:
            held.execute(update(Item).where(Item.id == 1).values(n=20))
        else:
            held.commit()
        s.execute(update(Item).where(Item.id == 1).values(n=Item.n + 1))
        return len(tries)

    try:
        assert lab.run(body) == 2
    finally:
        held.close()
    assert lab.items() == [21, 2]


def _by_itself(s: Session) -> None:
    if s.get_bind().dialect.name == "mysql":
        s.execute(text("KILL connection_id()"))
    s.execute(text("SELECT pg_terminate_backend(pg_backend_pid())"))


def _from_outside(s: Session) -> None:
    if s.get_bind().dialect.name == "mysql":
        thread = s.scalar(text("SELECT connection_id()"))
        url = s.get_bind().engine.url.set(drivername="mysql").render_as_string(False)
        with contextlib.closing(mariadb.connect(url)) as other, other.cursor() as cursor:
            cursor.execute(f"KILL {thread}")
        return
    pid = s.scalar(text("SELECT pg_backend_pid()"))
    url = s.get_bind().engine.url.set(drivername="postgresql").render_as_string(False)
    with psycopg.connect(url, autocommit=True) as connection:
        connection.execute("SELECT pg_terminate_backend(%s)", (pid,))


@kinds([*POSTGRESQL, *MARIADB, Kind("psycopg", False), Kind("asyncpg", False)])
@pytest.mark.parametrize("kill", [_by_itself, _from_outside])
def test_a_connection_killed_in_the_body_is_replaced(lab: Lab, kill: Callable[[Session], None]) -> None:
    tries: list[int] = []

    def body(s: Session) -> int:
        tries.append(1)
        s.add(Item(n=len(tries)))
        s.flush()
        if len(tries) == 1:
            kill(s)
        return len(tries)

    assert lab.run(body) == 2
    assert lab.items() == [2]
    assert len(lab.recorded()) == 1


@kinds([*POSTGRESQL, *MARIADB])
def test_idle_connections_that_the_server_has_closed_are_replaced(lab: Lab) -> None:
    lab.run(add(1))
    if lab.kind.backend == "postgresql":
        others = "FROM pg_stat_activity WHERE datname = current_database() AND pid <> pg_backend_pid()"
        _other(lab, text(f"SELECT pg_terminate_backend(pid) {others}"))
    else:
        lab.control.dispose()
        with contextlib.closing(mariadb.connect(lab.url)) as other, other.cursor() as cursor:
            cursor.execute("SELECT id FROM information_schema.processlist WHERE db = database() AND command = 'Sleep'")
            for (thread,) in cursor.fetchall():
                cursor.execute(f"KILL {thread}")
    assert lab.run(add(2)) == 2
    assert lab.items() == [1, 2]


@kinds(POSTGRESQL)
def test_a_constraint_that_fails_at_the_commit_is_the_functions_error(lab: Lab) -> None:
    _other(lab, text("ALTER TABLE item ADD CONSTRAINT n_once UNIQUE (n) DEFERRABLE INITIALLY DEFERRED"))
    lab.run(add(1))
    with pytest.raises(IntegrityError):
        lab.run(add(1))
    assert lab.items() == [1]


@kinds(SQLITE)
def test_a_busy_file_is_tried_again(make_lab: MakeLab) -> None:
    lab = make_lab(connect_args={"timeout": 0.01}).launch()
    other = sqlite3.connect(lab.url.removeprefix("sqlite:///"), isolation_level=None, check_same_thread=False)
    other.execute("BEGIN IMMEDIATE")
    timer = threading.Timer(0.2, other.rollback)
    timer.start()
    assert lab.run(add(1)) == 1
    timer.join()
    other.close()
    assert lab.items() == [1]


@kinds(SQLITE)
def test_a_commit_that_meets_a_reader_is_tried_again(make_lab: MakeLab) -> None:
    lab = make_lab(connect_args={"timeout": 0.01}).launch()
    lab.run(add(1))
    other = sqlite3.connect(lab.url.removeprefix("sqlite:///"), isolation_level=None, check_same_thread=False)
    timers: list[threading.Timer] = []

    def body(s: Session) -> int:
        if not timers:
            other.execute("BEGIN")
            assert other.execute("SELECT count(*) FROM item").fetchone() == (1,)
            timers.append(threading.Timer(0.2, other.rollback))
            timers[0].start()
        s.add(Item(n=2))
        return 2

    assert lab.run(body) == 2
    timers[0].join()
    other.close()
    assert lab.items() == [1, 2]


@kinds(EVERY_DRIVER)
def test_a_lasting_database_error_is_recorded(lab: Lab) -> None:
    def body(s: Session) -> None:
        s.execute(text("SELECT * FROM nowhere"))

    with pytest.raises(DBAPIError, match="nowhere"):
        lab.run(body)
    (recorded,) = lab.recorded()
    assert "nowhere" in str(recorded.error)


@kinds(POSTGRESQL)
def test_an_error_that_was_caught_keeps_nothing_and_says_what_to_do(lab: Lab) -> None:
    lab.run(lambda s: s.add(Unique(name="taken")))

    def body(s: Session) -> None:
        s.add(Item(n=1))
        s.flush()
        with pytest.raises(IntegrityError):
            s.execute(text("INSERT INTO unique_name VALUES ('taken')"))

    with pytest.raises(durably.TransactionEndedError, match="begin_nested"):
        lab.run(body)
    assert lab.items() == []


@kinds([Kind("psycopg", False)])
def test_a_database_that_is_not_there_is_said_at_launch(tmp_path: Path, app_url: str) -> None:
    adapter = SQLAlchemy("postgresql://nobody:secret@127.0.0.1:1/nowhere")
    app = durably.Durably("lab", adapters={"default": adapter}, system_database_url=f"sqlite:///{tmp_path}/s.db")
    with pytest.raises(durably.DatabaseUnavailableError, match="adapter 'default'") as caught:
        app.launch()
    assert "secret" not in str(caught.value)


class _Flaky(AsyncSQLAlchemyAdapter):
    """Loses its first connections."""

    losses = 0

    @contextlib.asynccontextmanager
    async def begin(self, plan: BeginPlan) -> AsyncIterator[Any]:
        async with super().begin(plan) as handle:
            if self.losses > 0:
                self.losses -= 1
                raise OperationalError("SELECT", None, psycopg.OperationalError("the connection is lost"))
            yield handle


@kinds([Kind("aiosqlite", True), Kind("asyncpg", True)])
@pytest.mark.parametrize("losses", [1, 2, 3])
def test_a_half_that_is_prepared_at_its_first_use_outlives_lost_connections(
    kind: Kind, app_url: str, losses: int
) -> None:
    """Under ``with app`` the asynchronous half is prepared by the first transaction."""
    adapter: Any = SQLAlchemy(app_url.replace("://", f"+{kind.driver}://", 1))
    adapter.__class__ = _Flaky
    adapter.losses = losses

    @durably.transaction
    async def one() -> int:
        return int((await async_session().execute(text("SELECT 1"))).scalar_one())

    @durably.workflow
    async def flow() -> int:
        return await one()

    with durably.Durably("lab", adapters={"default": adapter}, system_database_url=app_url):
        assert durably.start_workflow(flow).get_result() == 1
    control = create_engine(app_url.replace("postgresql:", "postgresql+psycopg:"))
    schema, table = (None, "durably_") if kind.backend == "sqlite" else ("durably", "")
    # Co-located in spite of all, so that whoever recovers this looks in the right place.
    assert inspect(control).has_table(f"{table}operation_outputs", schema=schema)
    assert not inspect(control).has_table(f"{table}transaction_completion", schema=schema)
    control.dispose()
