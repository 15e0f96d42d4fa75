"""An adapter that its author has not finished is refused in words, before any transaction goes through it."""

from __future__ import annotations

from collections.abc import AsyncIterator, Iterator, Sequence
from contextlib import asynccontextmanager, contextmanager
from pathlib import Path
from typing import Any

import pytest

from durably import ConfigurationError, Durably, DurablyError
from durably.adapter import BeginPlan
from tests.execution.adapters import SqliteAdapter


def launched(tmp_path: Path, adapter: Any) -> Durably:
    app = Durably("shapes", adapters={"default": adapter}, system_database_url=f"sqlite:///{tmp_path}/system.db")
    with app:
        pass
    return app


class Undecorated(SqliteAdapter):
    def begin(self, plan: BeginPlan) -> Iterator[Any]:  # type: ignore[override]  # pyright: ignore[reportIncompatibleMethodOverride]
        yield plan


class Awaited(SqliteAdapter):
    async def begin(self, plan: BeginPlan) -> Any:  # type: ignore[override]  # pyright: ignore[reportIncompatibleMethodOverride]
        return plan


class OtherHalf(SqliteAdapter):
    @asynccontextmanager
    async def begin(self, plan: BeginPlan) -> AsyncIterator[Any]:  # type: ignore[override]  # pyright: ignore[reportIncompatibleMethodOverride]
        yield plan


class HalfAwaited(SqliteAdapter):
    async def execute(self, handle: Any, sql: str, params: Any = ()) -> Any:  # type: ignore[override]  # pyright: ignore[reportIncompatibleMethodOverride]
        return []

    @contextmanager
    def begin(self, plan: BeginPlan) -> Iterator[Any]:
        yield plan


class LateFlush(SqliteAdapter):
    async def flush(self, handle: Any) -> None: ...


class LateAmbient(SqliteAdapter):
    async def ambient(self) -> Any:  # type: ignore[override]  # pyright: ignore[reportIncompatibleMethodOverride]
        return None


class OtherDialect(SqliteAdapter):
    dialect = "postgres"  # type: ignore[assignment]  # pyright: ignore[reportAssignmentType]


class OtherParamstyle(SqliteAdapter):
    paramstyle = "named"  # type: ignore[assignment]  # pyright: ignore[reportAssignmentType]


class Dicts(SqliteAdapter):
    def execute(self, handle: Any, sql: str, params: Sequence[Any] = ()) -> Any:
        cursor = handle.execute(sql, params)
        if "sqlite_master" not in sql:
            return cursor.fetchall()
        return [dict.fromkeys((column[0] for column in cursor.description), 1)]


class Broken(SqliteAdapter):
    def execute(self, handle: Any, sql: str, params: Sequence[Any] = ()) -> Any:
        if "executors" in sql:
            return handle.cursor.execute(sql, params)
        return super().execute(handle, sql, params)


@pytest.mark.parametrize(
    ("adapter", "complaint"),
    [
        (SqliteAdapter, "is the class SqliteAdapter; give it an instance"),
        ("sqlite:///app.db", "an address goes into application_database_url"),
        (object(), r"is a builtins\.object, which is no adapter, since it has no ambient and no begin and no execute"),
        (Undecorated, r"begin of .*Undecorated must return a context manager; decorate it with @contextmanager"),
        (Awaited, "begin of .*Awaited must return a context manager"),
        (OtherHalf, "begin of .*OtherHalf must return a context manager; decorate it with @contextmanager"),
        (HalfAwaited, "an asynchronous context manager; decorate it with @asynccontextmanager, since execute is"),
        (LateFlush, r"flush of .*LateFlush is an async def, and nobody would await it"),
        (LateAmbient, r"ambient of .*LateAmbient is an async def"),
        (OtherDialect, "dialect of adapter 'default' is 'postgres'; it must be one of 'postgresql', 'sqlite', 'mysql'"),
        (OtherParamstyle, "paramstyle of adapter 'default' is 'named'; it must be one of 'qmark', 'format', 'dollar'"),
        (Dicts, "execute of adapter 'default' gave a row that is a dict; it must be a tuple"),
        (Broken, "could not run its first statement, and that was not the database's doing: AttributeError"),
    ],
)
def test_what_is_no_adapter_is_refused_at_launch(tmp_path: Path, adapter: Any, complaint: str) -> None:
    given = adapter
    if isinstance(adapter, type) and adapter is not SqliteAdapter:
        given = adapter(tmp_path / "app.db")
    with pytest.raises(ConfigurationError, match=complaint):
        launched(tmp_path, given)


def test_the_adapter_that_they_are_made_from_is_accepted(tmp_path: Path) -> None:
    assert launched(tmp_path, SqliteAdapter(tmp_path / "app.db")).name == "shapes"


def test_a_dialect_is_asked_for_at_the_first_use_only(tmp_path: Path) -> None:
    """An ORM may learn its database when the application sets it up, after the engine was constructed."""

    class Later(SqliteAdapter):
        @property
        def dialect(self) -> Any:  # type: ignore[override]  # pyright: ignore[reportIncompatibleVariableOverride]
            raise DurablyError("not set up yet")

    app = Durably("later", adapters={"default": Later(tmp_path / "app.db")}, executes="none")
    assert app.name == "later"
    with pytest.raises(DurablyError, match="not set up yet"):
        launched(tmp_path, Later(tmp_path / "app.db"))
