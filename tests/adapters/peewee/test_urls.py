"""Addresses: what databases are made from them, and which address a database has."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import peewee
import pytest
from peewee import IntegerField, Model

import durably
from durably_peewee import Peewee, application_database, database, from_url, urls
from durably_peewee.urls import Address, connect
from tests.adapters.peewee.conftest import DIALECTS
from tests.adapters.peewee.lab import Kind, pool

AT_AND_SLASH = "p@ss/word"
asyncio_is_missing = urls._async_module() is None


@pytest.mark.parametrize(
    ("given", "address"),
    [
        (peewee.SqliteDatabase("shop.db"), "sqlite:///shop.db"),
        (peewee.SqliteDatabase("/var/lib/my shop.db"), "sqlite:////var/lib/my%20shop.db"),
        (peewee.SqliteDatabase(":memory:"), None),
        (peewee.SqliteDatabase("file:shop?mode=memory", uri=True), None),
        (peewee.PostgresqlDatabase("shop"), "postgresql:///shop"),
        (
            peewee.PostgresqlDatabase("shop", user="me", password=AT_AND_SLASH, host="db", port=1, sslmode="require"),
            "postgresql://me:p%40ss%2Fword@db:1/shop?sslmode=require",
        ),
        (peewee.PostgresqlDatabase("shop", host="/run/pg"), "postgresql:///shop?host=%2Frun%2Fpg"),
        (peewee.PostgresqlDatabase("shop", host="::1"), "postgresql://[::1]/shop"),
        (peewee.PostgresqlDatabase("postgresql://me@db/shop"), "postgresql://me@db/shop"),
        (peewee.MySQLDatabase("shop", user="me", host="db"), "mysql://me@db/shop"),
    ],
)
def test_the_address_of_a_database(given: Any, address: str | None) -> None:
    assert Peewee(given).url() == address


@pytest.mark.parametrize("url", ["shop.db", "oracle://db/shop", "sqlite://", "sqlite:///:memory:", "mysql://h:x/shop"])
def test_an_address_that_leads_nowhere_is_told_without_showing_it(url: str) -> None:
    with pytest.raises(durably.ConfigurationError) as caught:
        from_url(url)
    assert "sqlite:///shop.db" in str(caught.value)
    assert url not in str(caught.value).split()


def test_the_driver_in_an_address_is_left_out() -> None:
    assert Peewee("postgresql+psycopg://me@db/shop").url() == "postgresql://me@db/shop"
    assert Peewee("mariadb://me@db/shop").url() == "mysql://me@db/shop"


def test_a_file_may_be_relative_or_absolute() -> None:
    assert Address("sqlite:///shop.db").database == "shop.db"
    assert Address("sqlite:////var/lib/my%20shop.db").database == "/var/lib/my shop.db"


def test_mysql_gets_its_parts() -> None:
    made: Any = connect(Address("mysql+pymysql://me:p%40ss@db:3307/shop?connect_timeout=3"))
    assert isinstance(made, pool.PooledMySQLDatabase)
    assert made.database == "shop"
    expected = {
        "host": "db",
        "port": 3307,
        "user": "me",
        "password": "p@ss",
        "connect_timeout": 3,
    }
    assert {key: made.connect_params[key] for key in expected} == expected


@pytest.mark.parametrize("kind", [Kind(dialect) for dialect in DIALECTS], ids=str)
def test_models_bound_to_the_application_database_work_in_both_halves(app_url: str, tmp_path: Path) -> None:
    class Thing(Model):
        n = IntegerField()

        class Meta:
            database = application_database
            table_name = "item"

    @durably.transaction(name="add_one")
    def add_one() -> int:
        Thing.create(n=1)
        return Thing.select().count()

    async def add_two() -> int:
        found: Any = database()
        await found.run(Thing.create, n=2)
        count: int = await found.run(Thing.select().count)
        return count

    awaited = None if asyncio_is_missing else durably.transaction(name="add_two")(add_two)

    @durably.workflow(name="both")
    async def both() -> list[int]:
        first = await durably.aio.run_step(add_one)
        return [first] if awaited is None else [first, await awaited()]

    app = durably.Durably(
        "both",
        application_database_url=app_url,
        app_db_client="peewee",
        system_database_url=f"sqlite:///{tmp_path}/system.db",
    )
    with app:
        with application_database.connection_context():
            application_database.create_tables([Thing])
        handle = durably.start_workflow(both)
        assert handle.get_result(timeout_seconds=20) == ([1] if asyncio_is_missing else [1, 2])
        with application_database.connection_context():
            assert sorted(thing.n for thing in Thing.select()) == ([1] if asyncio_is_missing else [1, 2])


def test_the_application_database_has_no_other_attributes() -> None:
    with pytest.raises(AttributeError):
        application_database.something = 1
    with pytest.raises(AttributeError):
        setattr(application_database, "obj", None)  # noqa: B010  a property
