"""System databases for the ledger's tests: backends with their schema in place, closed at the end."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import ExitStack

import pytest

from durably.client import make_backend
from durably.config import Settings
from durably.ledger import migrations
from durably.ledger.backend import Backend

Connect = Callable[[str], Backend]


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


@pytest.fixture
def backend(system_url: str, connect: Connect) -> Backend:
    """A system database with its tables, once on each kind."""
    return connect(system_url)


@pytest.fixture
def postgres_backend(postgres_url: str, connect: Connect) -> Backend:
    """The same, on PostgreSQL only."""
    return connect(postgres_url)
