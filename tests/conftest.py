"""What every test can ask for: databases of its own, and a registry that is as it was before."""

from __future__ import annotations

import functools
import os
from collections.abc import Iterator
from pathlib import Path
from types import ModuleType
from uuid import uuid4

import pytest

from durably.errors import ConfigurationError
from durably.testing._mariadb_binaries import find_programs
from durably.testing.mariadb import MariaDBServer, mariadb_for_tests
from durably.testing.postgres import PostgresServer, postgres_for_tests


@pytest.fixture(autouse=True)
def declarations(request: pytest.FixtureRequest) -> Iterator[None]:
    """Only what the test's own module and its helpers declare is in the registry, and what it adds is forgotten."""
    from durably.registry import registry

    before = registry.snapshot()
    own = {
        name: declaration
        for name, declaration in before.declarations.items()
        if not _of_another_test_module(declaration.function.__module__, request)
    }
    registry.restore(before._replace(declarations=own))
    yield
    registry.restore(before)


def _of_another_test_module(module: str, request: pytest.FixtureRequest) -> bool:
    """Whether neither the test's module nor a helper of its folder, or one above, declares it, nor one it imports."""
    folder, _, name = module.rpartition(".")
    mine = request.module.__name__
    if module == mine or not module.startswith("tests."):
        return False
    if not name.startswith("test_") and mine.startswith(f"{folder}."):
        return False
    return module not in _imported_by(request.module)


@functools.cache
def _imported_by(test_module: ModuleType) -> frozenset[str]:
    """The modules from which a test's module has classes and functions."""
    return frozenset(getattr(one, "__module__", None) or "" for one in vars(test_module).values())


@pytest.fixture(scope="session")
def postgres_server() -> Iterator[PostgresServer]:
    """The PostgreSQL server of this test run. To kill or restart one, `start_postgres` of your own."""
    with postgres_for_tests() as server:
        yield server


@pytest.fixture
def postgres_url(postgres_server: PostgresServer) -> Iterator[str]:
    """The URL of an empty PostgreSQL database."""
    name = f"durably_test_{uuid4().hex[:12]}"
    yield postgres_server.create_database(name)
    postgres_server.drop_database(name)


@pytest.fixture(scope="session")
def mariadb_server() -> Iterator[MariaDBServer]:
    """The MariaDB server of this test run. To kill or restart one, `start_mariadb` of your own."""
    try:
        server = mariadb_for_tests()
    except ConfigurationError as error:
        raise _missing(error) from None
    with server:
        yield server


@pytest.fixture(scope="session")
def mariadb_programs() -> None:
    """For tests that start servers of their own: they are installed."""
    try:
        find_programs(install=True)
    except ConfigurationError as error:
        raise _missing(error) from None


def _missing(error: ConfigurationError) -> BaseException:
    """Without MariaDB tests are skipped, and say so; in continuous integration that is a failure."""
    return error if os.environ.get("CI") else pytest.skip.Exception(str(error))


@pytest.fixture
def mariadb_url(mariadb_server: MariaDBServer) -> Iterator[str]:
    """The URL of an empty MariaDB database."""
    name = f"durably_test_{uuid4().hex[:12]}"
    yield mariadb_server.create_database(name)
    mariadb_server.drop_database(name)


@pytest.fixture
def sqlite_path(tmp_path: Path) -> Path:
    """Where a SQLite file may be made."""
    return tmp_path / "test.db"


@pytest.fixture(params=["sqlite", "postgresql"])
def system_url(request: pytest.FixtureRequest) -> str:
    """The URL of an empty system database: the test runs once on SQLite and once on PostgreSQL."""
    if request.param == "sqlite":
        return f"sqlite:///{request.getfixturevalue('sqlite_path')}"
    url: str = request.getfixturevalue("postgres_url")
    return url
