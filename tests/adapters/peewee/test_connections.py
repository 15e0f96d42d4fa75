"""The connection of a transaction: the thread's own, or one that goes back; never one in an unknown state."""

from __future__ import annotations

import threading
from typing import Any

import peewee
import psycopg
import pytest
from peewee import IntegrityError, OperationalError

import durably
from durably.adapter import BeginPlan
from durably.sql.begin import begin_plan
from durably_peewee import AsyncPeewee, Peewee
from tests.adapters.peewee.conftest import ASYNC, EVERY, SYNC, MakeLab, kinds
from tests.adapters.peewee.lab import Item, Kind, Lab, add, pool, unpooled

#: In older releases such a block closes the connection at its end, whoever opened it, and refuses inside a transaction.
NESTING = "ctx" in peewee.ConnectionContext.__exit__.__code__.co_names


def _writing(kind: Kind) -> BeginPlan:
    return begin_plan(kind.dialect, None, False)  # type: ignore[arg-type]


@kinds(SYNC)
def test_a_thread_without_a_connection_has_none_afterwards(make_lab: MakeLab) -> None:
    lab = make_lab(unpooled).launch()
    inside: list[bool] = []

    def body() -> None:
        inside.append(lab.database.is_closed())
        Item.create(n=1)

    lab.run(body)
    assert inside == [False]
    assert lab.database.is_closed()
    assert lab.items() == [1]


@kinds(SYNC)
def test_a_thread_keeps_the_connection_that_it_has(make_lab: MakeLab) -> None:
    lab = make_lab(unpooled).launch()
    with lab.database.connection_context():
        own = lab.database.connection()
        used: list[object] = []

        def body() -> None:
            used.append(lab.database.connection())
            Item.create(n=1)

        lab.run(body)
        assert used == [own]
        assert lab.database.connection() is own
    assert lab.items() == [1]


@kinds(SYNC)
def test_blocks_of_the_database_inside_do_not_close_it(lab: Lab) -> None:
    def body() -> None:
        with lab.database:
            Item.create(n=1)
        if NESTING:
            with lab.database.connection_context():
                Item.create(n=2)
        Item.create(n=3)

    lab.run(body)
    assert lab.items() == ([1, 2, 3] if NESTING else [1, 3])
    assert lab.database.is_closed()


@kinds(SYNC, only=("postgresql", "mysql"))
@pytest.mark.parametrize("pooled", [True, False], ids=["pooled", "unpooled"])
def test_a_connection_that_was_killed_while_idle_is_replaced(make_lab: MakeLab, pooled: bool) -> None:
    lab = make_lab(None if pooled else unpooled).launch()
    with lab.database.connection_context():
        ((victim,),) = lab.database.execute_sql(lab.own_id).fetchall()
        lab.kill(victim)
        assert lab.run(add(1)) == 1
        assert lab.run(add(2)) == 2
    assert lab.items() == [1, 2]
    assert lab.database.is_closed()


@kinds(EVERY, only=("postgresql", "mysql"))
def test_a_connection_that_is_killed_inside_is_no_outcome(lab: Lab) -> None:
    tries: list[int] = []

    def body() -> int:
        Item.create(n=len(tries))
        ((victim,),) = lab.database.execute_sql(lab.own_id).fetchall()
        tries.append(victim)
        if len(tries) == 1:
            lab.kill(victim)
        Item.create(n=10 + len(tries))
        return len(tries)

    assert lab.run(body) == 2
    assert lab.items() == [1, 12]
    assert len(set(tries)) == 2


@kinds(EVERY, only=("postgresql", "mysql"))
def test_a_killed_connection_whose_error_was_caught_leaves_nothing(lab: Lab) -> None:
    tries: list[int] = []

    def body() -> int:
        Item.create(n=1)
        ((victim,),) = lab.database.execute_sql(lab.own_id).fetchall()
        tries.append(victim)
        if len(tries) == 1:
            lab.kill(victim)
            for n in (2, 3):  # neither may go to a connection of its own
                with pytest.raises(Exception, match=r".*"):
                    Item.create(n=n)
        return len(tries)

    assert lab.run(body) == 2
    assert lab.items() == [1]


@kinds(SYNC)
def test_a_transaction_begun_by_hand_is_not_swallowed(make_lab: MakeLab) -> None:
    lab = make_lab(unpooled).launch()
    with lab.database.connection_context():
        lab.database.execute_sql("BEGIN")
        Item.create(n=1)
        with pytest.raises((durably.AmbientTransactionError, durably.DatabaseUnavailableError)) as caught:
            lab.run(add(2))
        assert "by hand" in str(caught.value)
        lab.database.execute_sql("ROLLBACK")
        assert lab.run(add(3)) == 3
    assert lab.items() == [3]


@kinds(SYNC)
def test_a_pool_that_is_exhausted_is_waited_for(make_lab: MakeLab, kind: Kind) -> None:
    classes = {
        "sqlite": lambda a: pool.PooledSqliteDatabase(a.database, check_same_thread=False, max_connections=1),
        "postgresql": lambda a: _postgresql_pool()(
            a.database, host=a.host, port=a.port, user=a.user, max_connections=1, **_psycopg3()
        ),
        "mysql": lambda a: pool.PooledMySQLDatabase(
            a.database, host=a.host, port=a.port, user=a.user, max_connections=1
        ),
    }
    if kind.dialect == "postgresql" and _postgresql_pool() is None:
        pytest.skip("Peewee 3.17.0 has no pool for psycopg 3")
    lab = make_lab(lambda address: classes[address.dialect](address)).launch()
    taken, release = threading.Event(), threading.Event()

    def hold() -> None:
        with lab.database.connection_context():
            taken.set()
            release.wait(20)

    holder = threading.Thread(target=hold)
    holder.start()
    assert taken.wait(20)
    with pytest.raises(pool.MaxConnectionsExceeded):
        lab.database.connect()
    threading.Timer(0.3, release.set).start()
    assert lab.run(add(1)) == 1
    holder.join()
    assert lab.items() == [1]


def _postgresql_pool() -> Any:
    name = "PooledPostgresqlDatabase" if _psycopg3() else "PooledPsycopg3Database"
    return getattr(pool, name, None)


def _psycopg3() -> dict[str, Any]:
    return {"prefer_psycopg3": True} if hasattr(peewee, "Psycopg3Adapter") else {}


@kinds(ASYNC)
def test_an_asynchronous_pool_that_is_exhausted_is_waited_for(make_lab: MakeLab) -> None:
    lab = make_lab()
    lab.database._pool_size = 1
    lab.database._acquire_timeout = 0.1
    lab.launch()

    async def program() -> int:
        import asyncio

        taken, release = asyncio.Event(), asyncio.Event()

        async def hold() -> None:
            await lab.database.aconnect()
            taken.set()
            await release.wait()
            await lab.database.aclose()

        holder = asyncio.create_task(hold())
        await taken.wait()
        asyncio.get_running_loop().call_later(0.4, release.set)
        write = lab.transaction(add(1))
        found: int = await lab.workflow(write)()
        await holder
        return found

    assert lab.wait(program()) == 1
    assert lab.items() == [1]


@kinds(EVERY, only=("postgresql",))  # constraints that are checked at the commit
def test_a_failed_commit_is_rolled_back_and_the_connection_is_good(lab: Lab) -> None:
    lab.query("ALTER TABLE item ADD CONSTRAINT one UNIQUE (n) DEFERRABLE INITIALLY DEFERRED")
    lab.run(add(1))
    with pytest.raises((IntegrityError, psycopg.IntegrityError)):
        lab.run(add(1))
    assert lab.run(add(2)) == 2
    assert lab.items() == [1, 2]


@kinds(EVERY, only=("sqlite",))
def test_a_read_only_transaction_leaves_a_connection_that_writes(lab: Lab) -> None:
    def body() -> None:
        Item.create(n=1)

    for _ in range(3):
        with pytest.raises(OperationalError, match="readonly"):
            lab.run(body, read_only=True)
    assert lab.run(lambda: Item.select().count(), read_only=True) == 0
    assert lab.run(add(1)) == 1


@kinds(SYNC)
def test_a_begin_that_fails_gives_the_connection_back(make_lab: MakeLab) -> None:
    lab = make_lab(unpooled)
    adapter = Peewee(lab.database)
    plan = BeginPlan(before=("no such statement",), begin=_writing(lab.kind).begin)
    with pytest.raises(Exception, match="syntax"), adapter.begin(plan):
        pytest.fail("it began")
    assert lab.database.is_closed()
    assert not lab.database.in_transaction()
    plan = BeginPlan(begin=_writing(lab.kind).begin, after=("no such statement",))
    with pytest.raises(Exception, match="syntax"), adapter.begin(plan):
        pytest.fail("it began")
    assert lab.database.is_closed()
    assert not lab.database.in_transaction()


@kinds(ASYNC)
def test_an_asynchronous_begin_that_fails_gives_the_connection_back(make_lab: MakeLab) -> None:
    lab = make_lab()
    adapter = AsyncPeewee(lab.database)

    async def program() -> None:
        for plan in (
            BeginPlan(before=("no such statement",), begin=_writing(lab.kind).begin),
            BeginPlan(begin=_writing(lab.kind).begin, after=("no such statement",)),
        ):
            with pytest.raises(Exception, match="syntax"):
                async with adapter.begin(plan):
                    pytest.fail("it began")
            assert lab.database.is_closed()
            assert not lab.database.in_transaction()

    lab.wait(program())
