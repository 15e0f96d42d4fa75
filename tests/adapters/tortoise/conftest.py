"""Each test that asks for a ``driver`` runs on all of them, or on those that it chooses."""

from __future__ import annotations

from pathlib import Path

import pytest

DRIVERS = ["asyncpg", "psycopg", "aiosqlite", "asyncmy"]


def pytest_generate_tests(metafunc: pytest.Metafunc) -> None:
    if "driver" not in metafunc.fixturenames:
        return
    marks = metafunc.definition.iter_markers("parametrize")
    if not any("driver" in str(mark.args[0]).split(",") for mark in marks):
        metafunc.parametrize("driver", DRIVERS)


@pytest.fixture
def url(request: pytest.FixtureRequest, driver: str, tmp_path: Path) -> str:
    """The address of an empty application database."""
    if driver == "aiosqlite":
        return f"sqlite:///{tmp_path}/app.db"
    url: str = request.getfixturevalue("mariadb_url" if driver == "asyncmy" else "postgres_url")
    return url
