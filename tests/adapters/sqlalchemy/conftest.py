"""The labs: each test of this folder runs once for every driver, and on the databases together and apart."""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any
from uuid import uuid4

import psycopg
import pytest

from durably.testing import mariadb
from durably.testing.mariadb import MariaDBServer
from durably.testing.postgres import PostgresServer
from tests.adapters.sqlalchemy.lab import Kind, Lab

EVERY_KIND = [
    *(
        Kind(driver, colocated)
        for driver in ("pysqlite", "aiosqlite", "psycopg", "asyncpg")
        for colocated in (False, True)
    ),
    Kind("psycopg_async", True),
    # The system database is never on MySQL or MariaDB.
    Kind("pymysql", False),
    Kind("asyncmy", False),
]
#: Where it makes no difference in which table the checkpoint is.
EVERY_DRIVER = [
    Kind("pysqlite", False),
    Kind("aiosqlite", False),
    Kind("psycopg", True),
    Kind("asyncpg", True),
    Kind("psycopg_async", True),
    Kind("pymysql", False),
    Kind("asyncmy", False),
]
POSTGRESQL = [kind for kind in EVERY_DRIVER if kind.backend == "postgresql"]
MARIADB = [*(kind for kind in EVERY_DRIVER if kind.backend == "mysql"), Kind("aiomysql", False)]
SQLITE = [kind for kind in EVERY_DRIVER if kind.backend == "sqlite"]

MakeLab = Callable[..., Lab]


def kinds(chosen: list[Kind]) -> pytest.MarkDecorator:
    """Run a test for these kinds of lab only."""
    return pytest.mark.parametrize("kind", chosen, ids=str)


def pytest_generate_tests(metafunc: pytest.Metafunc) -> None:
    """A test that asks for a lab and chooses no kinds runs for all of them."""
    if "kind" not in metafunc.fixturenames:
        return
    given = [mark.args[0] for mark in metafunc.definition.iter_markers("parametrize")]
    if not any("kind" in ([names] if isinstance(names, str) else names) for names in given):
        metafunc.parametrize("kind", EVERY_KIND, ids=str)


@pytest.fixture(scope="session")
def shared_database(postgres_server: PostgresServer) -> Iterator[str]:
    """One database for all tests of this folder: making one takes longer than most of them."""
    name = f"durably_sqlalchemy_{uuid4().hex[:12]}"
    yield postgres_server.create_database(name)
    postgres_server.drop_database(name)


@pytest.fixture(scope="session")
def shared_mariadb(mariadb_server: MariaDBServer) -> Iterator[str]:
    """The same on MariaDB."""
    name = f"durably_sqlalchemy_{uuid4().hex[:12]}"
    yield mariadb_server.create_database(name)
    mariadb_server.drop_database(name)


@pytest.fixture
def app_url(request: pytest.FixtureRequest, kind: Kind, tmp_path: Path) -> str:
    """The address of an empty application database."""
    if kind.backend == "sqlite":
        return f"sqlite:///{tmp_path}/app.db"
    if kind.backend == "mysql":
        return _emptied(request.getfixturevalue("shared_mariadb"))
    url: str = request.getfixturevalue("shared_database")
    with psycopg.connect(url, autocommit=True) as connection:
        connection.execute("DROP SCHEMA IF EXISTS durably CASCADE")
        connection.execute("DROP SCHEMA public CASCADE")
        connection.execute("CREATE SCHEMA public")
    return url


def _emptied(mariadb_url: str) -> str:
    with contextlib.closing(mariadb.connect(mariadb_url)) as connection, connection.cursor() as cursor:
        cursor.execute("SET lock_wait_timeout = 10")
        cursor.execute("SHOW TABLES")
        for (table,) in cursor.fetchall():
            cursor.execute(f"DROP TABLE `{table}`")
    return mariadb_url


@pytest.fixture
def make_lab(kind: Kind, app_url: str, tmp_path: Path) -> Iterator[MakeLab]:
    """A lab whose engine is made with options of the test's; not launched."""
    labs: list[Lab] = []

    def make(**engine_options: Any) -> Lab:
        labs.append(Lab(kind, app_url, f"sqlite:///{tmp_path}/system.db", engine_options))
        return labs[-1]

    yield make
    for lab in labs:
        lab.close()


@pytest.fixture
def lab(make_lab: MakeLab) -> Lab:
    """A launched lab."""
    return make_lab().launch()
