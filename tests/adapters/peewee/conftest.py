"""The labs: each test of this folder runs once for every half and database that it concerns."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any
from uuid import uuid4

import pytest

from durably.testing.mariadb import MariaDBServer
from durably.testing.postgres import PostgresServer
from durably_peewee import urls
from tests.adapters.peewee.lab import Kind, Lab, empty

DIALECTS = ("sqlite", "postgresql", "mysql")
SYNC = [Kind(dialect) for dialect in DIALECTS]
#: Peewee's first releases have no asyncio; that this is a clear error has a test of its own.
ASYNC = [Kind(dialect, True) for dialect in DIALECTS] if urls._async_module() is not None else []
EVERY = [*SYNC, *ASYNC]

MakeLab = Callable[..., Lab]


def kinds(*chosen: list[Kind], only: tuple[str, ...] = DIALECTS) -> pytest.MarkDecorator:
    """Run a test for these kinds of lab."""
    found = [kind for group in chosen for kind in group if kind.dialect in only]
    return pytest.mark.parametrize("kind", found, ids=str)


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """The first releases of 3.17 call PyMySQL by an old name."""
    for item in items:
        if item.path.is_relative_to(Path(__file__).parent):
            item.add_marker(pytest.mark.filterwarnings("ignore:'db' is deprecated:DeprecationWarning"))


@pytest.fixture(scope="session")
def peewee_postgres(postgres_server: PostgresServer) -> Iterator[str]:
    """One database for all tests of this folder: making one takes longer than most of them."""
    name = f"durably_peewee_{uuid4().hex[:12]}"
    yield postgres_server.create_database(name)
    postgres_server.drop_database(name)


@pytest.fixture(scope="session")
def peewee_mariadb(mariadb_server: MariaDBServer) -> Iterator[str]:
    """The same on MariaDB."""
    name = f"durably_peewee_{uuid4().hex[:12]}"
    yield mariadb_server.create_database(name)
    mariadb_server.drop_database(name)


@pytest.fixture
def app_url(request: pytest.FixtureRequest, kind: Kind, tmp_path: Path) -> str:
    """The address of an empty application database."""
    if kind.dialect == "sqlite":
        return f"sqlite:///{tmp_path}/app.db"
    url: str = request.getfixturevalue("peewee_postgres" if kind.dialect == "postgresql" else "peewee_mariadb")
    empty(url)
    return url


@pytest.fixture
def make_lab(kind: Kind, app_url: str, tmp_path: Path) -> Iterator[MakeLab]:
    """A lab with a database of the test's choice; not launched."""
    labs: list[Lab] = []

    def make(database: Callable[[urls.Address], Any] | None = None) -> Lab:
        labs.append(Lab(kind, app_url, f"sqlite:///{tmp_path}/system.db", database))
        return labs[-1]

    yield make
    for lab in labs:
        lab.close()


@pytest.fixture
def lab(make_lab: MakeLab) -> Lab:
    """A launched lab."""
    return make_lab().launch()
