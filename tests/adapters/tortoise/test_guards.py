"""The transaction's function cannot end it, nor go on where the database has given it up."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any

import pytest
from tortoise.exceptions import IntegrityError, TransactionManagementError
from tortoise.transactions import in_transaction

import durably
from durably import TransactionEndedError
from durably.adapter import BeginPlan
from tests.adapters.tortoise.lab import Refused, adding, lab
from tests.adapters.tortoise.subject import Counter, Item

postgresql = pytest.mark.parametrize("driver", ["asyncpg", "psycopg"])
WAYS: dict[str, Callable[[Any], Awaitable[Any]]] = {
    "commit()": lambda client: client.commit(),
    "rollback()": lambda client: client.rollback(),
    "the statement 'COMMIT'": lambda client: client.execute_query("COMMIT"),
    r"the statement '-- so\nROLLBACK'": lambda client: client.execute_query_dict("-- so\nROLLBACK"),
    "the statement 'begin'": lambda client: client.execute_script("begin"),
}


@pytest.mark.parametrize("way", WAYS)
@pytest.mark.parametrize("caught", [False, True])
def test_an_attempt_to_end_it_keeps_nothing(driver: str, url: str, tmp_path: Path, way: str, caught: bool) -> None:
    async def main() -> None:
        async with lab(driver, url, tmp_path) as one, one.launched():

            async def body() -> None:
                await Item.create(n=1)
                with contextlib.suppress(*([TransactionEndedError] if caught else [])):
                    await WAYS[way](one.client)

            with pytest.raises(TransactionEndedError, match="would end the transaction") as raised:
                await one.run(body)
            assert str(raised.value).startswith(way)
            assert await one.run(adding(2)) == 2
            assert await one.items() == [2]

    asyncio.run(main())


def test_rolling_back_to_a_savepoint_is_no_end(driver: str, url: str, tmp_path: Path) -> None:
    async def main() -> None:
        async with lab(driver, url, tmp_path) as one, one.launched():

            async def body() -> None:
                await one.client.execute_query("SAVEPOINT mine")
                await Item.create(n=1)
                await one.client.execute_query("ROLLBACK TO SAVEPOINT mine")
                await Item.create(n=2)

            await one.run(body)
            assert await one.items() == [2]

    asyncio.run(main())


@pytest.mark.parametrize("way", ["commit", "rollback"])
def test_the_client_of_a_savepoint_ends_the_savepoint_or_is_refused(
    driver: str, url: str, tmp_path: Path, way: str
) -> None:
    """On SQLite and MySQL Tortoise would end the whole transaction instead."""

    async def main() -> None:
        async with lab(driver, url, tmp_path) as one, one.launched():

            async def body() -> None:
                await Item.create(n=1)
                async with in_transaction(driver) as inner:
                    await Item.create(n=2)
                    await getattr(inner, way)()

            if driver in ("asyncpg", "psycopg"):
                await one.run(body)
                assert await one.items() == ([1, 2] if way == "commit" else [1])
            else:
                with pytest.raises(TransactionEndedError, match=rf"{way}\(\)"):
                    await one.run(body)
                assert await one.items() == []

    asyncio.run(main())


@pytest.mark.parametrize("driver", ["aiosqlite"])
def test_a_script_is_refused_on_sqlite(driver: str, url: str, tmp_path: Path) -> None:
    """Python's driver commits before it."""

    async def main() -> None:
        async with lab(driver, url, tmp_path) as one, one.launched():

            async def body() -> None:
                await Item.create(n=1)
                await one.client.execute_script("DELETE FROM conformance_item")

            with pytest.raises(TransactionEndedError, match="execute_script"):
                await one.run(body)
            assert await one.items() == []

    asyncio.run(main())


@pytest.mark.parametrize("error", [Refused, TransactionManagementError])
def test_what_fails_in_a_savepoint_is_undone_alone(
    driver: str, url: str, tmp_path: Path, error: type[Exception]
) -> None:
    async def main() -> None:
        async with lab(driver, url, tmp_path) as one, one.launched():

            async def body() -> None:
                await Item.create(n=1)
                with pytest.raises(error):
                    await part([2], error("no"))
                with pytest.raises(IntegrityError):
                    await part([3, 3])
                await Item.create(n=4)

            async def part(numbers: list[int], raised: Exception | None = None) -> None:
                async with in_transaction(driver):
                    for n in numbers:
                        await Item.create(n=n)
                    if raised is not None:
                        raise raised

            await one.run(body)
            assert await one.items() == [1, 4]

    asyncio.run(main())


@postgresql
@pytest.mark.parametrize("in_workflow", [True, False])
def test_on_postgresql_a_failure_that_was_caught_is_told(
    driver: str, url: str, tmp_path: Path, in_workflow: bool
) -> None:
    """The server would answer the commit with a rollback, and no error."""

    async def main() -> None:
        async with lab(driver, url, tmp_path) as one, one.launched():

            async def body() -> None:
                await Item.create(n=1)
                with pytest.raises(IntegrityError):
                    await Item.create(n=1)

            run = one.run(body) if in_workflow else durably.transaction(body)()
            with pytest.raises(TransactionEndedError, match="PostgreSQL keeps nothing") as raised:
                await run
            assert raised.value.__cause__ is not None
            assert await one.items() == []

    asyncio.run(main())


@pytest.mark.parametrize("driver", ["asyncpg", "psycopg", "asyncmy"])
def test_a_deadlock_whose_error_was_caught_is_tried_again_as_a_whole(driver: str, url: str, tmp_path: Path) -> None:
    """On MySQL it rolls back everything, and what follows would commit by itself."""

    async def main() -> None:
        async with lab(driver, url, tmp_path) as one, one.launched():
            await Counter.create(id=2, n=0)
            caught: list[int] = []
            met = _Barrier()

            async def crossing(first: int, second: int) -> None:
                await Item.create(n=first * 10 + len(caught))
                await Counter.filter(id=first).update(n=first)
                if not caught:
                    await met.wait()
                try:
                    await Counter.filter(id=second).update(n=second)
                except Exception:
                    caught.append(first)
                    # Refused by the server, or by the adapter where the server would take it.
                    with contextlib.suppress(Exception):
                        await Item.create(n=1000)

            async def one_way() -> None:
                await crossing(1, 2)

            async def other_way() -> None:
                await crossing(2, 1)

            first, second = durably.transaction(one_way), durably.transaction(other_way)
            await asyncio.gather(first(), second())
            assert len(caught) == 1
            assert len(await one.items()) == 2
            assert 1000 not in await one.items()

    asyncio.run(main())


class _Barrier:
    """Lets two go on together; Python 3.10 has none."""

    def __init__(self) -> None:
        self._both = asyncio.Event()
        self._waiting = 0

    async def wait(self) -> None:
        self._waiting += 1
        if self._waiting == 2:
            self._both.set()
        await self._both.wait()


@pytest.mark.parametrize("driver", ["aiosqlite"])
def test_on_sqlite_a_rollback_by_the_database_itself_is_found(driver: str, url: str, tmp_path: Path) -> None:
    async def main() -> None:
        async with lab(driver, url, tmp_path) as one, one.launched():

            async def body() -> None:
                await Item.create(n=1)
                with pytest.raises(IntegrityError):
                    await one.client.execute_query("INSERT OR ROLLBACK INTO conformance_item (n) VALUES (1)")
                await Item.create(n=2)

            with pytest.raises(TransactionEndedError, match="rolled back"):
                await one.run(body)
            assert await one.items() == []

    asyncio.run(main())


def test_the_guard_costs_the_classes_of_tortoise_nothing(driver: str, url: str, tmp_path: Path) -> None:
    """A transaction of Tortoise's own afterwards is as it was."""

    async def main() -> None:
        async with lab(driver, url, tmp_path) as one:
            async with one.adapter.begin(BeginPlan()):
                await Item.create(n=1)
            async with in_transaction(driver) as own:
                await Item.create(n=2)
                await own.rollback()
            assert await one.items() == [1]

    asyncio.run(main())
