"""What the page says of its adapter beyond the suite: addresses, the missing half, and Piccolo's own ways."""

from __future__ import annotations

import asyncio
import contextlib
import importlib
import subprocess
import sys
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import pytest
from piccolo.columns import Integer, Serial
from piccolo.engine.cockroach import CockroachEngine
from piccolo.engine.postgres import PostgresEngine
from piccolo.engine.sqlite import SQLiteEngine
from piccolo.table import Table

from durably import ConfigurationError, Durably, NoAdapterError, transaction, workflow
from tests.adapters.documentation.extracted import PAGE, subject, write

subject()  # from here on the page's package can be imported
piccolo: Any = importlib.import_module("durably_piccolo")


class Row(Table, tablename="particulars"):
    id: Serial
    n = Integer()


@pytest.fixture
def engine(sqlite_path: Path) -> SQLiteEngine:
    engine = SQLiteEngine(str(sqlite_path), timeout=0.2)
    Row._meta.db = engine
    table: Any = Row.create_table()
    table.run_sync()
    return engine


async def rows() -> list[int]:
    return await Row.select(Row.n).order_by(Row.id).output(as_list=True)


def test_the_system_database_is_where_the_application_database_is(postgres_url: str) -> None:
    parts = urlsplit(postgres_url)
    config = {"host": parts.hostname, "port": parts.port, "user": parts.username, "database": parts.path[1:]}
    if parts.password:
        config["password"] = parts.password

    @transaction
    async def count() -> int:
        (row,) = await Row.raw("SELECT count(*) AS n FROM durably.executors")
        found: int = row["n"]
        return found

    @workflow
    async def flow() -> int:
        return await count()

    async def main() -> int:
        db = Row._meta.db = PostgresEngine(config)
        async with Durably("particulars", adapters={"default": piccolo.PiccoloAdapter(db)}):
            return await flow()

    assert asyncio.run(main()) == 1


def test_an_address_is_quoted(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(PostgresEngine, "check_version", lambda self: asyncio.sleep(0))
    config = {"host": "db", "user": "me@home", "password": "a/b", "database": "shop"}
    assert piccolo.PiccoloAdapter(PostgresEngine(config)).url() == "postgresql://me%40home:a%2Fb@db:5432/shop"
    dsn = "postgresql://me@db/shop"
    assert piccolo.PiccoloAdapter(PostgresEngine({"dsn": dsn})).url() == dsn


def test_another_database_of_piccolos_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(PostgresEngine, "check_version", lambda self: asyncio.sleep(0))
    with pytest.raises(ConfigurationError, match="PostgreSQL and SQLite, not 'cockroach'"):
        piccolo.PiccoloAdapter(CockroachEngine({"database": "shop"}))


def test_a_plain_function_is_refused_with_advice(engine: SQLiteEngine, tmp_path: Path) -> None:
    @transaction
    def plain() -> None: ...

    async def main() -> None:
        system = f"sqlite:///{tmp_path / 'system.db'}"
        adapters = {"default": piccolo.PiccoloAdapter(engine)}
        async with Durably("particulars", adapters=adapters, system_database_url=system):
            pass

    with pytest.raises(NoAdapterError, match="asynchronous half; Piccolo's transactions are asynchronous; make"):
        asyncio.run(main())


def test_a_transaction_that_is_over_is_no_ambient_one(engine: SQLiteEngine) -> None:
    adapter = piccolo.PiccoloAdapter(engine)

    async def main() -> None:
        over = asyncio.Event()

        async def child() -> None:
            assert adapter.ambient() is not None
            await over.wait()
            assert adapter.ambient() is None

        tasks: list[asyncio.Task[None]] = []
        async with engine.transaction():
            tasks.append(asyncio.create_task(child()))
            await asyncio.sleep(0)
        over.set()
        await asyncio.gather(*tasks)
        assert adapter.ambient() is None

    asyncio.run(main())


def test_what_the_page_says_of_piccolo_is_so(engine: SQLiteEngine) -> None:
    async def main() -> None:
        async with engine.transaction():  # an inner transaction undoes nothing
            with contextlib.suppress(ValueError):
                async with engine.transaction():
                    await Row(n=1).save()
                    raise ValueError
        assert await rows() == [1]

        with contextlib.suppress(ValueError):
            async with engine.transaction():
                outside: Any = Row(n=2).save()
                outside.run_sync()
                raise ValueError
        assert await rows() == [1, 2]

        with pytest.raises(ValueError, match="no active connection"):
            async with engine.transaction() as lost:
                await lost.connection.close()
        assert engine.transaction_exists()  # for ever, in this task

    asyncio.run(main())


def test_the_page_has_every_file_that_its_package_needs(tmp_path: Path) -> None:
    folder = write(tmp_path)
    used = subprocess.run(
        [sys.executable, "-c", "import durably_piccolo, subject"], cwd=folder, capture_output=True, check=False
    )
    assert used.returncode == 0, used.stderr
    assert "durably_piccolo/py.typed" in PAGE.read_text(encoding="utf-8")
