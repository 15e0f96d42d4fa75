"""What takes part in a transaction: its function, the tasks that it waits for, and nobody after its end."""

from __future__ import annotations

import asyncio
import contextlib
from pathlib import Path
from typing import Any

import pytest
from tortoise.transactions import in_transaction

from durably import NoTransactionError
from durably.sql.begin import begin_plan
from tests.adapters.tortoise.lab import Refused, adding, lab
from tests.adapters.tortoise.subject import Item


def test_tasks_that_the_function_waits_for_are_inside(driver: str, url: str, tmp_path: Path) -> None:
    async def main() -> None:
        async with lab(driver, url, tmp_path) as one, one.launched():

            async def body() -> list[int]:
                await asyncio.gather(*(Item.create(n=n) for n in range(5)))
                await asyncio.wait_for(Item.create(n=5), 20)
                return await one.items()

            async def failing() -> None:
                await asyncio.gather(*(Item.create(n=n) for n in range(10, 15)))
                raise Refused

            assert await one.run(body) == [0, 1, 2, 3, 4, 5]
            with pytest.raises(Refused):
                await one.run(failing)
            assert await one.items() == [0, 1, 2, 3, 4, 5]

    asyncio.run(main())


@pytest.mark.parametrize("fails", [False, True])
def test_a_task_that_outlives_the_transaction_is_refused(driver: str, url: str, tmp_path: Path, fails: bool) -> None:
    """Tortoise itself lets it write: to a connection that nobody or somebody else has in use."""

    async def main() -> None:
        async with lab(driver, url, tmp_path) as one, one.launched():
            over = asyncio.Event()
            tasks: list[asyncio.Task[Any]] = []

            async def late() -> None:
                await over.wait()
                await Item.create(n=99)

            async def late_savepoint() -> None:
                await over.wait()
                async with in_transaction(driver):
                    await Item.create(n=98)

            async def body() -> None:
                await Item.create(n=1)
                tasks.extend(asyncio.create_task(each()) for each in (late, late_savepoint))
                if fails:
                    raise Refused

            if fails:
                with pytest.raises(Refused):
                    await one.run(body)
            else:
                await one.run(body)
            over.set()
            for task in tasks:
                with pytest.raises(NoTransactionError, match=r"asyncio\.gather"):
                    await task
            assert await one.run(adding(2)) == 2
            assert await one.items() == ([2] if fails else [1, 2])

    asyncio.run(main())


@pytest.mark.parametrize("ending", ["commit", "rollback", "loss"])
def test_a_task_that_outlives_the_transaction_may_run_transactions_of_its_own(
    driver: str, url: str, tmp_path: Path, ending: str
) -> None:
    async def main() -> None:
        async with lab(driver, url, tmp_path) as one, one.launched():
            over = asyncio.Event()
            tasks: list[asyncio.Task[Any]] = []

            async def late(n: int) -> Any:
                await over.wait()
                assert one.adapter.ambient() is None
                return await one.run(adding(n))

            async def body() -> None:
                tasks.append(asyncio.create_task(late(2)))
                if ending == "loss":
                    closed = one.client._connection.close()
                    if closed is not None:
                        await closed
                if ending != "commit":
                    raise Refused

            begin = one.adapter.begin(begin_plan(one.adapter.dialect, None, False))
            with contextlib.suppress(Refused):
                async with begin:
                    await body()
            over.set()
            assert await tasks[0] == 2
            assert await one.items() == [2]

    asyncio.run(main())


def test_a_statement_of_a_task_that_is_under_way_is_waited_for(driver: str, url: str, tmp_path: Path) -> None:
    """The commit comes after it, and not into the middle of it."""
    slow = {"aiosqlite": "SELECT 1", "asyncmy": "SELECT SLEEP(0.2)"}.get(driver, "SELECT 1 FROM pg_sleep(0.2)")

    async def main() -> None:
        async with lab(driver, url, tmp_path) as one, one.launched():
            tasks: list[asyncio.Task[Any]] = []

            async def under_way() -> Any:
                return await one.client.execute_query(slow)

            async def body() -> None:
                await Item.create(n=1)
                tasks.append(asyncio.create_task(under_way()))
                while not one.client._lock.locked():
                    await asyncio.sleep(0)

            # No checkpoint: that one would wait for the statement, too.
            async with one.adapter.begin(begin_plan(one.adapter.dialect, None, False)):
                await body()
            assert len((await tasks[0])[1]) == 1
            assert await one.items() == [1]

    asyncio.run(main())


@pytest.mark.parametrize("driver", ["asyncpg", "psycopg", "aiosqlite", "asyncmy"])
def test_a_cancelled_transaction_gives_its_connection_back(driver: str, url: str, tmp_path: Path) -> None:
    """More often than the pool has connections, between statements and while one runs."""
    statement = {"asyncpg": "SELECT pg_sleep(1)", "psycopg": "SELECT pg_sleep(1)", "asyncmy": "SELECT SLEEP(1)"}

    async def main() -> None:
        async with lab(driver, url, tmp_path, pool=2) as one:
            for n in range(6):
                begun = asyncio.Event()

                async def transaction(n: int = n, begun: asyncio.Event = begun) -> None:
                    async with one.adapter.begin(begin_plan(one.adapter.dialect, None, False)):
                        await Item.create(n=n)
                        begun.set()
                        if n % 2 and driver in statement:
                            await one.client.execute_query(statement[driver])
                        await asyncio.sleep(30)

                task = asyncio.create_task(transaction())
                await begun.wait()
                await asyncio.sleep(0.02)
                task.cancel()
                with pytest.raises(asyncio.CancelledError):
                    await task
            async with one.adapter.begin(begin_plan(one.adapter.dialect, None, False)):
                await Item.create(n=100)
            assert await asyncio.wait_for(one.items(), 20) == [100]

    asyncio.run(main())
