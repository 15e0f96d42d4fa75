"""Each test that asks for a ``driver`` runs on all of them, or on those that it chooses."""

from __future__ import annotations

from collections.abc import Iterator
from importlib import import_module
from pathlib import Path
from typing import Any
from uuid import uuid4

import psycopg
import pytest
from tortoise import Tortoise
from tortoise.connection import connections

from durably.testing.postgres import PostgresServer
from durably_tortoise.contexts import HAS_CONTEXTS

DRIVERS = ["asyncpg", "psycopg", "aiosqlite", "asyncmy"]


def pytest_generate_tests(metafunc: pytest.Metafunc) -> None:
    if "driver" not in metafunc.fixturenames:
        return
    marks = metafunc.definition.iter_markers("parametrize")
    if not any("driver" in str(mark.args[0]).split(",") for mark in marks):
        metafunc.parametrize("driver", DRIVERS)


@pytest.fixture(autouse=True)
def no_connections() -> Iterator[None]:
    """Before 1.0 Tortoise keeps the configuration of a connection for as long as the process, and 1.0 its fallback."""
    yield
    if HAS_CONTEXTS:
        contexts: Any = import_module("tortoise.context")
        contexts._global_context = None
    else:
        handler: Any = connections
        handler._db_config = None
        tortoise: Any = Tortoise
        tortoise._inited = False


@pytest.fixture(scope="session")
def shared_database(postgres_server: PostgresServer) -> Iterator[str]:
    """One database for all tests of this folder: making one takes longer than most of them."""
    name = f"durably_tortoise_{uuid4().hex[:12]}"
    yield postgres_server.create_database(name)
    postgres_server.drop_database(name)


@pytest.fixture
def url(request: pytest.FixtureRequest, driver: str, tmp_path: Path) -> str:
    """The address of an empty application database."""
    url: str
    if driver == "aiosqlite":
        return f"sqlite:///{tmp_path}/app.db"
    if driver == "asyncmy":
        url = request.getfixturevalue("mariadb_url")
        return url
    url = request.getfixturevalue("shared_database")
    with psycopg.connect(url, autocommit=True) as connection:
        connection.execute("DROP SCHEMA IF EXISTS durably CASCADE")
        connection.execute("DROP SCHEMA public CASCADE")
        connection.execute("CREATE SCHEMA public")
    return url
