"""Adapters from an address: their drivers, the address they tell, and what is said when something is missing."""

from __future__ import annotations

import asyncio
import importlib.util
import re
import sys
from pathlib import Path
from typing import Any

import pytest
from psycopg.conninfo import conninfo_to_dict
from sqlalchemy import URL, create_engine
from sqlalchemy.ext.asyncio import create_async_engine

import durably
from durably_sqlalchemy import AsyncSQLAlchemyAdapter, SQLAlchemy, SQLAlchemyAdapter, from_url, session, urls
from tests.adapters.sqlalchemy.lab import Base, Item


def _drivers(url: str) -> list[str]:
    return [repr(adapter).partition("(")[2].partition("://")[0] for adapter in from_url(url)]


@pytest.mark.parametrize(
    ("url", "drivers"),
    [
        ("sqlite:///shop.db", ["sqlite+pysqlite", "sqlite+aiosqlite"]),
        ("sqlite+aiosqlite:///shop.db", ["sqlite+pysqlite", "sqlite+aiosqlite"]),
        ("postgresql://h/shop", ["postgresql+psycopg", "postgresql+asyncpg"]),
        ("postgres://h/shop", ["postgresql+psycopg", "postgresql+asyncpg"]),
        ("postgresql+asyncpg://h/shop", ["postgresql+psycopg", "postgresql+asyncpg"]),
        ("postgresql+psycopg://h/shop", ["postgresql+psycopg", "postgresql+psycopg_async"]),
        ("postgresql+psycopg_async://h/shop", ["postgresql+psycopg", "postgresql+psycopg_async"]),
        # asyncpg does not know libpq's parameters.
        ("postgresql://h/shop?application_name=x", ["postgresql+psycopg", "postgresql+psycopg_async"]),
        ("postgresql://h/shop?sslmode=require", ["postgresql+psycopg", "postgresql+asyncpg"]),
        ("mysql://h/shop", ["mysql+pymysql", "mysql+asyncmy"]),
        ("mariadb://h/shop?charset=utf8mb4", ["mariadb+pymysql", "mariadb+asyncmy"]),
        ("mysql+pymysql://h/shop", ["mysql+pymysql", "mysql+asyncmy"]),
        ("mysql+asyncmy://h/shop", ["mysql+pymysql", "mysql+asyncmy"]),
        ("mysql+aiomysql://h/shop", ["mysql+pymysql", "mysql+aiomysql"]),
    ],
)
def test_both_halves(url: str, drivers: list[str]) -> None:
    assert _drivers(url) == drivers


@pytest.mark.parametrize(
    ("missing", "url", "drivers"),
    [
        ("aiosqlite", "sqlite:///shop.db", ["sqlite+pysqlite"]),
        ("asyncpg", "postgresql://h/shop", ["postgresql+psycopg", "postgresql+psycopg_async"]),
        ("psycopg", "postgresql+asyncpg://h/shop", ["postgresql+asyncpg"]),
        ("asyncmy", "mysql://h/shop", ["mysql+pymysql", "mysql+aiomysql"]),
        ("pymysql", "mysql+asyncmy://h/shop", ["mysql+asyncmy"]),
    ],
)
def test_a_half_whose_driver_is_missing_is_left_out(
    monkeypatch: pytest.MonkeyPatch, missing: str, url: str, drivers: list[str]
) -> None:
    found = importlib.util.find_spec
    monkeypatch.setattr(urls, "find_spec", lambda name: None if name == missing else found(name))
    assert _drivers(url) == drivers


@pytest.mark.parametrize(
    ("url", "half"),
    [
        ("sqlite:///shop.db", SQLAlchemyAdapter),
        ("sqlite+aiosqlite:///shop.db", AsyncSQLAlchemyAdapter),
        ("postgresql://h/shop", SQLAlchemyAdapter),
        ("postgresql+psycopg://h/shop", SQLAlchemyAdapter),
        ("postgresql+asyncpg://h/shop", AsyncSQLAlchemyAdapter),
        ("postgresql+psycopg_async://h/shop", AsyncSQLAlchemyAdapter),
        ("mysql://h/shop", SQLAlchemyAdapter),
        ("mariadb+pymysql://h/shop", SQLAlchemyAdapter),
        ("mysql+asyncmy://h/shop", AsyncSQLAlchemyAdapter),
        ("mysql+aiomysql://h/shop", AsyncSQLAlchemyAdapter),
    ],
)
def test_the_half_of_one_address(url: str, half: type) -> None:
    assert type(SQLAlchemy(url)) is half


def test_a_missing_driver_says_what_to_install(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "psycopg", None)
    with pytest.raises(durably.ConfigurationError, match=r"pip install 'durably\[postgres\]'"):
        SQLAlchemy("postgresql://h/shop")
    monkeypatch.setitem(sys.modules, "asyncpg", None)
    with pytest.raises(durably.ConfigurationError, match=r"pip install 'durably\[asyncpg\]'"):
        SQLAlchemy("postgresql+asyncpg://h/shop")


@pytest.mark.parametrize(
    ("url", "module", "install"),
    [
        ("mysql://h/shop", "pymysql", "'durably[pymysql]'"),
        ("mariadb://h/shop", "pymysql", "'durably[pymysql]'"),
        ("mysql+asyncmy://h/shop", "asyncmy", "'durably[asyncmy]'"),
        ("mysql+aiomysql://h/shop", "aiomysql", "'durably[aiomysql]'"),
        ("mysql+mysqldb://h/shop", "MySQLdb", "mysqlclient"),
        ("mysql+mysqlclient://h/shop", "MySQLdb", "mysqlclient"),
    ],
)
def test_a_missing_driver_of_mysqls_says_what_to_install(
    monkeypatch: pytest.MonkeyPatch, url: str, module: str, install: str
) -> None:
    monkeypatch.setitem(sys.modules, module, None)
    with pytest.raises(durably.ConfigurationError, match=re.escape(f"pip install {install}")):
        SQLAlchemy(url)


@pytest.mark.parametrize("url", ["mysql+pymysql://me:a%20b@h:3307/shop", "mariadb+asyncmy://me:a%20b@h:3307/shop"])
def test_a_system_database_on_mysql_is_refused(url: str) -> None:
    adapter = SQLAlchemy(url)
    assert adapter.url() == "mysql://me:a b@h:3307/shop"
    with pytest.raises(durably.ConfigurationError, match="needs a system_database_url of its own"):
        durably.Durably("shop", adapters={"default": adapter})
    with pytest.raises(durably.ConfigurationError, match="cannot be on MySQL or MariaDB") as caught:
        durably.Durably("shop", adapters={"default": adapter}, system_database_url=url)
    assert "a b" not in str(caught.value)


@pytest.mark.parametrize("url", ["shop.db", "oracel://scott:tiger@h/shop", "postgresql+nodriver://scott:tiger@h/shop"])
def test_an_address_that_is_none(url: str) -> None:
    for make in (SQLAlchemy, from_url):
        with pytest.raises(durably.ConfigurationError) as caught:
            make(url)
        assert "tiger" not in str(caught.value)


@pytest.mark.parametrize("asynchronous", [False, True])
def test_the_address_for_libpq_has_the_password_and_no_driver(asynchronous: bool) -> None:
    parts: dict[str, Any] = {
        "username": "us@er",
        "password": "a b/c:d@e%f+g?",
        "host": "::1",
        "port": 5433,
        "database": "my shop",
    }
    if asynchronous:
        query = {"ssl": "require", "prepared_statement_cache_size": "0"}
        found = SQLAlchemy(create_async_engine(URL.create("postgresql+asyncpg", **parts, query=query))).url()
    else:
        url = URL.create("postgresql+psycopg", **parts, query={"sslmode": "require"})
        found = SQLAlchemy(create_engine(url)).url()
    assert found is not None
    assert conninfo_to_dict(found) == {
        "user": "us@er",
        "password": "a b/c:d@e%f+g?",
        "host": "::1",
        "port": "5433",
        "dbname": "my shop",
        "sslmode": "require",
    }


@pytest.mark.parametrize(
    ("url", "expected"),
    [
        ("postgresql+psycopg:///shop?host=/run/pg", {"dbname": "shop", "host": "/run/pg"}),
        (
            "postgresql+psycopg://me@/shop?host=a:1&host=b:2",
            {"user": "me", "dbname": "shop", "host": "a,b", "port": "1,2"},
        ),
    ],
)
def test_the_address_of_sockets_and_several_hosts(url: str, expected: dict[str, str]) -> None:
    found = SQLAlchemy(url).url()
    assert found is not None
    assert conninfo_to_dict(found) == expected


def test_an_address_that_leads_nowhere_is_not_told() -> None:
    assert SQLAlchemy(create_engine("sqlite://")).url() is None
    assert SQLAlchemy(create_engine("sqlite:///:memory:")).url() is None
    assert SQLAlchemy(create_engine("sqlite:///file:shop.db?mode=ro&uri=true")).url() is None
    assert SQLAlchemy(create_engine("postgresql+psycopg://", creator=lambda: None)).url() is None
    assert SQLAlchemy(create_engine("mysql+pymysql://", creator=lambda: None)).url() is None
    assert SQLAlchemy("sqlite+aiosqlite:////var/lib/shop.db").url() == "sqlite:////var/lib/shop.db"


def test_no_password_is_shown() -> None:
    assert "secret" not in repr(SQLAlchemy("postgresql://me:secret@h/shop"))
    assert "secret" not in repr(SQLAlchemy("postgresql+asyncpg://me:secret@h/shop"))
    assert "secret" not in repr(SQLAlchemy("mysql://me:secret@h/shop"))


@pytest.mark.parametrize("backend", ["sqlite", "postgresql", "mysql"])
def test_the_whole_way_from_the_configuration(
    backend: str, request: pytest.FixtureRequest, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """By name and address alone: both halves, the system database where it belongs, and all closed in the end."""
    monkeypatch.chdir(tmp_path)
    fixtures = {"postgresql": "postgres_url", "mysql": "mariadb_url"}
    url = "sqlite:///shop.db" if backend == "sqlite" else request.getfixturevalue(fixtures[backend])
    driver = {"sqlite": "pysqlite", "postgresql": "psycopg", "mysql": "pymysql"}[backend]
    engine = create_engine(url.replace(f"{backend}:", f"{backend}+{driver}:"))
    Base.metadata.create_all(engine)
    app = durably.Durably(
        "shop",
        application_database_url=url,
        app_db_client="sqlalchemy",
        system_database_url="sqlite:///shop.durably.db" if backend == "mysql" else None,
    )

    @durably.transaction
    def plain() -> int:
        session().add(Item(n=1))
        return 1

    @durably.transaction
    async def awaited() -> int:
        from durably_sqlalchemy import async_session

        async_session().add(Item(n=2))
        return 2

    @durably.workflow
    def flow() -> int:
        return plain()

    @durably.workflow
    async def async_flow() -> int:
        return await awaited()

    with app:
        assert flow() == 1

    async def main() -> Any:
        async with app:
            return await async_flow()

    assert asyncio.run(main()) == 2
    with engine.connect() as connection:
        assert [row.n for row in connection.execute(Item.__table__.select())] == [1, 2]
        colocated = backend == "postgresql"
        table = "durably.operation_outputs" if colocated else "durably_transaction_completion"
        assert connection.exec_driver_sql(f"SELECT count(*) FROM {table}").scalar() == 2
    engine.dispose()
    assert Path("shop.durably.db").exists() is not colocated
