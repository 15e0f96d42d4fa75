"""The labs: each test that asks for one runs on both halves."""

from __future__ import annotations

from collections.abc import Iterator
from uuid import uuid4

import pytest

from durably.testing.postgres import PostgresServer
from tests.adapters.psycopg.lab import Lab


@pytest.fixture(scope="session")
def shared_database(postgres_server: PostgresServer) -> Iterator[str]:
    """One database for all tests of this folder: making one takes longer than most of them."""
    name = f"durably_psycopg_{uuid4().hex[:12]}"
    yield postgres_server.create_database(name)
    postgres_server.drop_database(name)


@pytest.fixture(params=["psycopg", "async"])
def made(request: pytest.FixtureRequest, shared_database: str) -> Iterator[Lab]:
    """A lab that is not launched."""
    lab = Lab(shared_database, request.param == "async")
    yield lab
    lab.close()


@pytest.fixture
def lab(made: Lab) -> Lab:
    """A launched lab, on a pool."""
    return made.launch()
