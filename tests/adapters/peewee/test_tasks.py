"""``playhouse.pwasyncio`` has a connection for each task: what would leave the transaction is refused."""

from __future__ import annotations

import asyncio
import sys
from collections.abc import Awaitable, Callable
from typing import Any

import pytest

import durably
from tests.adapters.peewee.conftest import ASYNC, kinds
from tests.adapters.peewee.lab import Item, Lab, add


async def _gathered(write: Callable[[], Awaitable[Any]]) -> None:
    await asyncio.gather(write(), write())


async def _a_task(write: Callable[[], Awaitable[Any]]) -> None:
    await asyncio.create_task(_awaited(write))


async def _awaited(write: Callable[[], Awaitable[Any]]) -> None:
    await write()


async def _with_a_timeout(write: Callable[[], Awaitable[Any]]) -> None:
    await asyncio.wait_for(write(), 20)


@kinds(ASYNC)
@pytest.mark.parametrize("how", [_gathered, _a_task], ids=["gather", "create_task"])
@pytest.mark.parametrize("caught", [False, True], ids=["raised", "caught"])
def test_another_task_is_refused_and_nothing_is_kept(
    lab: Lab, how: Callable[[Callable[[], Awaitable[Any]]], Awaitable[None]], caught: bool
) -> None:
    async def write() -> None:
        await lab.database.run(Item.create, n=2)

    async def body() -> None:
        await lab.database.run(Item.create, n=1)
        try:
            await how(write)
        except durably.WrongThreadError:
            if not caught:
                raise

    with pytest.raises(durably.WrongThreadError, match="another thread or task"):
        lab.run(body)
    assert lab.items() == []
    assert lab.run(add(3)) == 3


@kinds(ASYNC)
def test_wait_for_stays_in_the_task_since_python_3_12(lab: Lab) -> None:
    async def write() -> None:
        await lab.database.run(Item.create, n=2)

    async def body() -> None:
        await lab.database.run(Item.create, n=1)
        await _with_a_timeout(write)

    if sys.version_info >= (3, 12):
        lab.run(body)
        assert lab.items() == [1, 2]
    else:
        with pytest.raises(durably.WrongThreadError):
            lab.run(body)
        assert lab.items() == []


@kinds(ASYNC)
def test_a_task_that_outlives_the_transaction_goes_its_own_way(lab: Lab) -> None:
    async def program() -> None:
        over = asyncio.Event()

        async def later() -> None:
            await over.wait()
            await lab.database.run(Item.create, n=2)

        async def body() -> asyncio.Task[None] | None:
            await lab.database.run(Item.create, n=1)
            tasks.append(asyncio.create_task(later()))
            return None

        tasks: list[asyncio.Task[None]] = []
        await lab.workflow(lab.transaction(body))()
        over.set()
        await tasks[0]

    lab.wait(program())
    assert lab.items() == [1, 2]


@kinds(ASYNC)
def test_other_tasks_have_their_own_transactions(lab: Lab) -> None:
    write = [lab.transaction(add(n)) for n in range(4)]
    flows = [lab.workflow(one) for one in write]

    async def program() -> list[int]:
        return list(await asyncio.gather(*(flow() for flow in flows)))

    assert lab.wait(program()) == [0, 1, 2, 3]
    assert sorted(lab.items()) == [0, 1, 2, 3]


@kinds(ASYNC)
@pytest.mark.parametrize("during", ["a statement", "something else"])
def test_a_cancellation_rolls_back_and_is_no_failure(lab: Lab, during: str) -> None:
    slow = {
        "postgresql": "SELECT pg_sleep(3)",
        "mysql": "SELECT sleep(3)",
        "sqlite": "WITH RECURSIVE c(n) AS (SELECT 1 UNION ALL SELECT n + 1 FROM c WHERE n < 3000000)"
        " SELECT max(n) FROM c",
    }[lab.kind.dialect]
    tries: list[int] = []

    async def program() -> None:
        begun = asyncio.Event()

        async def body() -> None:
            tries.append(1)
            if len(tries) > 1:
                return  # the engine takes up what it holds and does not run, in its own time
            await lab.database.run(Item.create, n=1)
            begun.set()
            if during == "a statement":
                await lab.database.aexecute_sql(slow)
            await asyncio.sleep(20)

        running = asyncio.ensure_future(lab.workflow(lab.transaction(body))())
        await begun.wait()
        await asyncio.sleep(0.05)
        running.cancel()
        with pytest.raises(asyncio.CancelledError):
            await running
        assert tries == [1]

    lab.wait(program())
    assert lab.items() == []
    assert lab.run(add(2)) == 2


@kinds(ASYNC)
def test_iterating_in_the_transaction_sees_its_rows(lab: Lab) -> None:
    async def body() -> list[int]:
        await lab.database.run(Item.create, n=1)
        return [item.n async for item in lab.database.iterate(Item.select())]

    assert lab.run(body) == [1]


@kinds(ASYNC, only=("postgresql", "mysql"))
class TestLostConnections:
    """Peewee would go on with a fresh connection, outside the transaction."""

    def test_one_that_is_lost_while_the_function_waits_is_no_outcome(self, lab: Lab) -> None:
        tries: list[int] = []

        async def body() -> int:
            await lab.database.run(Item.create, n=1)
            ((victim,),) = (await lab.database.aexecute_sql(lab.own_id)).fetchall()
            tries.append(victim)
            if len(tries) == 1:
                await asyncio.to_thread(lab.kill, victim)
                await asyncio.sleep(0.1)
            await lab.database.run(Item.create, n=2)
            return len(tries)

        assert lab.run(body) == 2
        assert lab.items() == [1, 2]

    def test_one_that_the_task_holds_and_that_is_lost_is_replaced(self, lab: Lab) -> None:
        write = lab.transaction(add(1))

        async def program() -> int:
            ((victim,),) = (await lab.database.aexecute_sql(lab.own_id)).fetchall()
            await asyncio.to_thread(lab.kill, victim)
            await asyncio.sleep(0.1)
            found: int = await lab.workflow(write)()
            return found

        assert lab.wait(program()) == 1
        assert lab.items() == [1]
