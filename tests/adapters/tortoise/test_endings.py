"""How transactions begin and end, where Tortoise's own ``in_transaction`` loses a connection or keeps a failed row."""

from __future__ import annotations

import asyncio
import sqlite3
from contextlib import AbstractAsyncContextManager, closing
from pathlib import Path

import pytest
from tortoise.exceptions import TransactionManagementError
from tortoise.transactions import in_transaction

from durably.adapter import BeginPlan
from durably.sql.begin import begin_plan
from tests.adapters.tortoise.lab import Refused, adding, lab
from tests.adapters.tortoise.subject import Item

sqlite = pytest.mark.parametrize("driver", ["aiosqlite"])


def test_a_management_error_of_the_functions_own_rolls_back(driver: str, url: str, tmp_path: Path) -> None:
    """Tortoise itself leaves out the rollback for it; on SQLite the next transaction then commits what is left."""

    async def main() -> None:
        async with lab(driver, url, tmp_path) as one, one.launched():

            async def failing() -> None:
                await Item.create(n=1)
                raise TransactionManagementError("the function's own")

            with pytest.raises(TransactionManagementError):
                await one.run(failing)
            assert await one.run(adding(2)) == 2
            assert await one.items() == [2]

    asyncio.run(main())


def test_after_an_error_the_connection_is_as_it_was(
    driver: str, url: str, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    """Rolled back by the adapter, and not by a pool that finds it in a transaction, or drops it."""
    session = {"aiosqlite": "SELECT 1 AS id", "asyncmy": "SELECT CONNECTION_ID() AS id"}
    complaints: list[object] = []

    async def main() -> None:
        asyncio.get_running_loop().set_exception_handler(lambda _, context: complaints.append(context))
        async with lab(driver, url, tmp_path, pool=1) as one:
            which = session.get(driver, "SELECT pg_backend_pid() AS id")
            before = await one.client.execute_query_dict(which)
            scope = one.adapter.begin(begin_plan(one.adapter.dialect, None, False))
            with pytest.raises(Refused):
                await _failing(scope)
            if driver == "aiosqlite":
                assert not one.client._connection.in_transaction
            assert await one.client.execute_query_dict(which) == before
            assert await one.items() == []

    asyncio.run(main())
    assert complaints == []
    assert [record for record in caplog.records if record.levelname != "DEBUG"] == []


async def _failing(scope: AbstractAsyncContextManager[object]) -> None:
    async with scope:
        await Item.create(n=1)
        raise Refused


@sqlite
def test_what_a_failed_transaction_of_tortoises_own_left_behind_is_not_committed(
    driver: str, url: str, tmp_path: Path
) -> None:
    async def main() -> None:
        async with lab(driver, url, tmp_path) as one, one.launched():

            async def tortoises_own() -> None:
                async with in_transaction(driver):
                    await Item.create(n=1)
                    raise TransactionManagementError("the caller's own")

            with pytest.raises(TransactionManagementError):
                await tortoises_own()
            assert await one.run(adding(2)) == 2
            assert await one.items() == [2]

    asyncio.run(main())


@sqlite
def test_a_commit_that_fails_is_rolled_back_and_tried_again(driver: str, url: str, tmp_path: Path) -> None:
    """With a rollback journal, a reader keeps a commit from happening, and not the writes before it."""

    async def main() -> None:
        path = f"{tmp_path}/app.db"
        options = "&journal_mode=DELETE&busy_timeout=20"
        async with lab(driver, url, tmp_path, options=options) as one, one.launched():
            tries: list[int] = []
            with closing(sqlite3.connect(path, isolation_level=None)) as reader:

                async def body() -> None:
                    tries.append(1)
                    if len(tries) == 1:
                        reader.execute("BEGIN")
                        reader.execute("SELECT * FROM conformance_item").fetchall()
                    elif len(tries) == 3:
                        reader.execute("COMMIT")
                    await Item.create(n=len(tries))

                await one.run(body)
                assert tries == [1, 1, 1]
                assert reader.execute("SELECT n FROM conformance_item").fetchall() == [(3,)]
            assert not one.client._connection.in_transaction

    asyncio.run(main())


@sqlite
@pytest.mark.parametrize("level", [None, "serializable"])
def test_a_lock_that_is_not_to_be_had_leaves_the_client_usable(
    driver: str, url: str, tmp_path: Path, level: str | None
) -> None:
    """Tortoise's own begin would keep the client's lock for ever."""

    async def main() -> None:
        async with lab(driver, url, tmp_path, options="&busy_timeout=20") as one, one.launched():
            with closing(sqlite3.connect(f"{tmp_path}/app.db", isolation_level=None)) as writer:
                writer.execute("BEGIN IMMEDIATE")
                running = asyncio.ensure_future(one.run(adding(1), isolation_level=level))
                for _ in range(3):
                    assert await one.items() == []  # the client is free between the tries
                    await asyncio.sleep(0.02)
                assert not running.done()
                writer.execute("COMMIT")
            assert await running == 1
            assert await one.items() == [1]

    asyncio.run(main())


@sqlite
def test_a_begin_that_is_cancelled_leaves_no_lock(driver: str, url: str, tmp_path: Path) -> None:
    async def main() -> None:
        async with lab(driver, url, tmp_path, options="&busy_timeout=2000") as one:
            with closing(sqlite3.connect(f"{tmp_path}/app.db", isolation_level=None)) as writer:
                writer.execute("BEGIN IMMEDIATE")
                scope = one.adapter.begin(begin_plan("sqlite", None, False))
                begin = asyncio.ensure_future(scope.__aenter__())
                await asyncio.sleep(0.05)
                begin.cancel()
                await asyncio.sleep(0.05)
                writer.execute("COMMIT")
                with pytest.raises(asyncio.CancelledError):
                    await begin
                # Now the driver's thread has had its lock, and must have given it back.
                assert await one.items() == []
                writer.execute("BEGIN IMMEDIATE")
                writer.execute("ROLLBACK")
            assert not one.client._lock.locked()

    asyncio.run(main())


@pytest.mark.parametrize("driver", ["asyncpg", "psycopg", "asyncmy"])
@pytest.mark.parametrize("when", ["before", "after"])
def test_a_begin_that_fails_loses_no_connection(driver: str, url: str, tmp_path: Path, when: str) -> None:
    """As many as the pool has, and once more."""

    async def main() -> None:
        async with lab(driver, url, tmp_path, pool=2) as one:
            wrong = ("NO SUCH STATEMENT",)
            plan = BeginPlan(before=wrong) if when == "before" else BeginPlan(after=wrong)
            for _ in range(4):
                with pytest.raises(Exception, match=r"(?i)syntax"):
                    await one.adapter.begin(plan).__aenter__()
            async with one.adapter.begin(BeginPlan()):
                await Item.create(n=1)
            assert await asyncio.wait_for(one.items(), 20) == [1]

    asyncio.run(main())


def test_a_failed_read_only_transaction_lets_the_connection_write_again(driver: str, url: str, tmp_path: Path) -> None:
    async def main() -> None:
        async with lab(driver, url, tmp_path) as one, one.launched():
            for n in (1, 2, 3):
                with pytest.raises(Exception, match=r"(?i)read.?only"):
                    await one.run(adding(n), read_only=True)
                assert await one.run(adding(n)) == n
                await Item.create(n=10 * n)
            assert await one.items() == [1, 2, 3, 10, 20, 30]

    asyncio.run(main())


def test_a_function_that_ended_the_connection_is_run_again_on_another(driver: str, url: str, tmp_path: Path) -> None:
    async def main() -> None:
        async with lab(driver, url, tmp_path) as one, one.launched():
            tries: list[int] = []

            async def body() -> None:
                tries.append(1)
                await Item.create(n=len(tries))
                if len(tries) == 1:
                    closed = one.client._connection.close()
                    if closed is not None:
                        await closed
                    await one.client.execute_query("SELECT 1")

            if driver == "aiosqlite":
                with pytest.raises(ValueError, match=r"no active connection|Connection closed"):
                    await one.run(body)
                assert await one.items() == []
            else:
                await one.run(body)
                assert await one.items() == [2]
            assert await one.run(adding(5)) == 5

    asyncio.run(main())


def test_the_users_error_comes_out_of_a_rollback_that_fails_too(driver: str, url: str, tmp_path: Path) -> None:
    async def main() -> None:
        async with lab(driver, url, tmp_path) as one, one.launched():

            async def body() -> None:
                await Item.create(n=1)
                closed = one.client._connection.close()
                if closed is not None:
                    await closed
                raise Refused("no")

            with pytest.raises(Refused, match="no"):
                await one.run(body)
            assert await one.run(adding(2)) == 2
            assert await one.items() == [2]

    asyncio.run(main())


def test_columns_of_the_same_name_are_all_there(driver: str, url: str, tmp_path: Path) -> None:
    """Tortoise's own rows are dictionaries on some drivers."""

    async def main() -> None:
        async with lab(driver, url, tmp_path) as one, one.adapter.begin(BeginPlan()) as handle:
            assert await one.adapter.execute(handle, "SELECT 1 AS a, 2 AS a") == [(1, 2)]
            assert await one.adapter.execute(handle, "DELETE FROM conformance_item") == []

    asyncio.run(main())
