"""System databases for the ledger's tests: backends with their schema in place, closed at the end.

PostgreSQL takes longer to make a database than most of these tests take: they share one, emptied for each.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import ExitStack
from pathlib import Path
from uuid import uuid4

import pytest

from durably.client import make_backend
from durably.config import Settings
from durably.ledger import migrations
from durably.ledger.backend import Backend, Session
from durably.testing.postgres import PostgresServer

Connect = Callable[[str], Backend]

_TABLES = (
    *("workflow_status", "workflow_inputs", "workflow_outputs", "operation_outputs", "executors"),
    *("notifications", "workflow_events", "workflow_events_history", "streams"),
)


@pytest.fixture
def connect() -> Iterator[Connect]:
    """Open one more backend on a system database, as another process would."""
    with ExitStack() as stack:

        def connected(url: str) -> Backend:
            backend = make_backend(Settings("test", url))
            stack.callback(backend.disconnect)
            backend.open()
            migrations.migrate(backend)
            return backend

        yield connected


@pytest.fixture(scope="session")
def shared_url(postgres_server: PostgresServer) -> Iterator[str]:
    name = f"durably_test_{uuid4().hex[:12]}"
    yield postgres_server.create_database(name)
    postgres_server.drop_database(name)


@pytest.fixture
def emptied_url(shared_url: str, connect: Connect) -> str:
    """The URL of a PostgreSQL system database that holds nothing."""

    def empty(session: Session) -> None:
        for table in _TABLES:
            session.execute(f"DELETE FROM {{t}}{table}")

    connect(shared_url).change(empty)
    return shared_url


@pytest.fixture(params=["sqlite", "postgresql"])
def ledger_url(request: pytest.FixtureRequest, sqlite_path: Path) -> str:
    """The URL of a system database that holds nothing, once on each kind."""
    if request.param == "sqlite":
        return f"sqlite:///{sqlite_path}"
    url: str = request.getfixturevalue("emptied_url")
    return url


@pytest.fixture
def backend(ledger_url: str, connect: Connect) -> Backend:
    """A system database with its tables, once on each kind."""
    return connect(ledger_url)


@pytest.fixture
def postgres_backend(emptied_url: str, connect: Connect) -> Backend:
    """The same, on PostgreSQL only."""
    return connect(emptied_url)
