"""A counter on an empty system database, once on each kind."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.budget.counting import Counter, PostgresCounter, SqliteCounter


@pytest.fixture(params=["sqlite", "postgresql"])
def counter(request: pytest.FixtureRequest, sqlite_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Counter]:
    counter: Counter
    if request.param == "sqlite":
        counter = SqliteCounter(sqlite_path, monkeypatch)
    else:
        counter = PostgresCounter(request.getfixturevalue("postgres_url"), monkeypatch)
    yield counter
    counter.close()
