"""What an adapter takes: databases, proxies that are initialized late, and clear errors for what cannot serve."""

from __future__ import annotations

from importlib import import_module
from pathlib import Path
from typing import Any

import peewee
import pytest

import durably
from durably_peewee import AsyncPeewee, Peewee, PeeweeAdapter, from_url, urls
from tests.adapters.peewee.lab import pool

asyncio_is_missing = urls._async_module() is None


def test_dialect_and_parameters_follow_the_database() -> None:
    databases: dict[str, Any] = {
        "sqlite": peewee.SqliteDatabase("shop.db"),
        "postgresql": pool.PooledPostgresqlDatabase("shop"),
        "mysql": peewee.MySQLDatabase("shop"),
    }
    found = {name: (Peewee(each).dialect, Peewee(each).paramstyle) for name, each in databases.items()}
    assert found == {
        "sqlite": ("sqlite", "qmark"),
        "postgresql": ("postgresql", "format"),
        "mysql": ("mysql", "format"),
    }


def test_a_proxy_may_be_initialized_after_the_engine_was_constructed(tmp_path: Path) -> None:
    proxy = peewee.DatabaseProxy()
    app = durably.Durably(
        "late", adapters={"default": Peewee(proxy)}, system_database_url=f"sqlite:///{tmp_path}/system.db"
    )
    with pytest.raises(durably.ConfigurationError, match=r"proxy\.initialize\(database\)"):
        app.launch()
    proxy.initialize(peewee.SqliteDatabase(str(tmp_path / "shop.db")))

    @durably.transaction(name="tables")
    def tables() -> list[str]:
        found: list[str] = proxy.get_tables()
        return found

    with app:
        assert tables() == ["durably_transaction_completion"]
    assert proxy.is_closed()


def test_a_proxy_that_is_initialized_again_is_followed(tmp_path: Path) -> None:
    proxy = peewee.DatabaseProxy()
    adapter = Peewee(proxy)
    for name in ("a", "b"):
        proxy.initialize(peewee.SqliteDatabase(str(tmp_path / name)))
        with adapter.begin(durably.adapter.BeginPlan(begin="BEGIN IMMEDIATE")) as handle:
            assert handle is proxy.obj
            assert proxy.in_transaction()
        assert (tmp_path / name).exists()


def test_a_database_without_a_name_is_told() -> None:
    database = peewee.SqliteDatabase(None)
    adapter = Peewee(database)
    assert adapter.ambient() is None
    assert adapter.url() is None
    with pytest.raises(durably.ConfigurationError, match=r"database\.init\("):
        _ = adapter.dialect


def test_a_queue_of_writes_is_refused(tmp_path: Path) -> None:
    queue = import_module("playhouse.sqliteq").SqliteQueueDatabase(str(tmp_path / "queue.db"), autostart=False)
    with pytest.raises(durably.ConfigurationError, match="PooledSqliteDatabase"):
        Peewee(queue)


def test_one_connection_for_all_threads_is_refused() -> None:
    with pytest.raises(durably.ConfigurationError, match="thread_safe=False"):
        Peewee(peewee.SqliteDatabase("shop.db", thread_safe=False))


def test_three_byte_utf8_is_warned_of_once(caplog: pytest.LogCaptureFixture) -> None:
    adapter = Peewee(peewee.MySQLDatabase("shop", charset="utf8"))
    assert (adapter.dialect, adapter.paramstyle) == ("mysql", "format")
    assert [record.getMessage().partition(";")[2] for record in caplog.records] == [" give it charset='utf8mb4'"]
    caplog.clear()
    Peewee(peewee.MySQLDatabase("shop", charset="utf8mb4"))
    assert caplog.records == []


def test_another_kind_of_database_is_refused() -> None:
    class Other(peewee.Database):
        pass

    with pytest.raises(durably.ConfigurationError, match="Other is for none of these"):
        Peewee(Other("shop"))
    with pytest.raises(durably.ConfigurationError, match="not an int"):
        Peewee(5)  # type: ignore[arg-type]


def test_each_half_wants_its_own_kind_of_database() -> None:
    if asyncio_is_missing:
        pytest.skip("this Peewee has one kind of database only")
    module = import_module("playhouse.pwasyncio")
    with pytest.raises(durably.ConfigurationError, match=r"give it to AsyncPeewee\(\.\.\.\)"):
        Peewee(module.AsyncSqliteDatabase("shop.db"))
    with pytest.raises(durably.ConfigurationError, match=r"give it to Peewee\(\.\.\.\)"):
        AsyncPeewee(peewee.SqliteDatabase("shop.db"))
    proxy = peewee.DatabaseProxy()
    late = AsyncPeewee(proxy)
    proxy.initialize(peewee.SqliteDatabase("shop.db"))
    with pytest.raises(durably.ConfigurationError, match=r"give it to Peewee\(\.\.\.\)"):
        _ = late.dialect


def test_a_peewee_without_asyncio_says_which_has_it() -> None:
    if not asyncio_is_missing:
        assert AsyncPeewee(peewee.DatabaseProxy()).ambient() is None
        return
    with pytest.raises(durably.ConfigurationError, match=r"pip install 'peewee>=4\.0\.7'"):
        AsyncPeewee(peewee.DatabaseProxy())
    (half,) = from_url("sqlite:///shop.db")
    assert isinstance(half, PeeweeAdapter)
