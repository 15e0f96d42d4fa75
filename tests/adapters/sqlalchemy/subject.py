"""SQLAlchemy under the conformance suite.

Transactions get their session from the accessor; outside of them, the application has a scoped session.
"""

from __future__ import annotations

from asyncio import current_task
from collections.abc import AsyncIterator, Iterator
from contextlib import AbstractAsyncContextManager, AbstractContextManager, asynccontextmanager, contextmanager
from typing import Any, ClassVar

from sqlalchemy import Engine, Text, create_engine, make_url, select, text
from sqlalchemy.ext.asyncio import (
    AsyncEngine,
    AsyncSession,
    async_scoped_session,
    async_sessionmaker,
    create_async_engine,
)
from sqlalchemy.orm import DeclarativeBase, Mapped, Session, mapped_column, scoped_session, sessionmaker

from durably import NoTransactionError, WrongThreadError
from durably.testing.conformance import Capabilities, Subject
from durably_sqlalchemy import SQLAlchemy, async_session, session

DRIVERS = {
    "postgresql": ("postgresql+psycopg", "postgresql+asyncpg"),
    "sqlite": ("sqlite+pysqlite", "sqlite+aiosqlite"),
    "mysql": ("mysql+pymysql", "mysql+asyncmy"),
}


class Base(DeclarativeBase):
    pass


class Item(Base):
    __tablename__ = "conformance_item"
    id: Mapped[int] = mapped_column(primary_key=True)
    n: Mapped[int] = mapped_column(unique=True)
    note: Mapped[str | None] = mapped_column(Text)


class Counter(Base):
    __tablename__ = "conformance_counter"
    id: Mapped[int] = mapped_column(primary_key=True)
    n: Mapped[int]


def _options(url: str, asynchronous: bool, lock_seconds: float) -> tuple[str, dict[str, Any]]:
    parsed = make_url(url)
    backend = parsed.get_backend_name()
    options: dict[str, Any] = {"pool_size": 8, "max_overflow": 32}
    if backend == "sqlite":
        options["connect_args"] = {"timeout": lock_seconds}
    return parsed.set(drivername=DRIVERS[backend][asynchronous]).render_as_string(False), options


class SQLAlchemySubject(Subject):
    """``Session``, with psycopg, sqlite3 and PyMySQL."""

    name: ClassVar[str] = "sqlalchemy"
    capabilities: ClassVar[Capabilities] = Capabilities()

    engine: Engine
    scoped: scoped_session[Session]

    def open(self) -> Any:
        url, options = _options(self.url, False, self.lock_seconds)
        self.engine = create_engine(url, **options)
        self.scoped = scoped_session(sessionmaker(self.engine))
        return SQLAlchemy(self.scoped)

    @property
    def session(self) -> Session:
        try:
            return session()
        except WrongThreadError:
            raise
        except NoTransactionError:
            return self.scoped()

    def close(self) -> None:
        self.scoped.remove()
        self.engine.dispose()

    def add(self, n: int, note: str | None = None) -> None:
        self.session.add(Item(n=n, note=note))
        self.session.flush()

    def items(self) -> list[int]:
        return list(self.session.scalars(select(Item.n).order_by(Item.id)))

    def note(self, n: int) -> str | None:
        return self.session.scalars(select(Item.note).where(Item.n == n)).one()

    def increment(self) -> int:
        counter = self.session.get_one(Counter, 1)
        counter.n += 1
        self.session.flush()
        return counter.n

    def statement(self, sql: str) -> list[tuple[Any, ...]]:
        result: Any = self.session.execute(text(sql))
        return [tuple(row) for row in result] if result.returns_rows else []

    def savepoint(self) -> AbstractContextManager[Any]:
        return self.session.begin_nested()

    def commit(self) -> None:
        self.session.commit()

    def rollback(self) -> None:
        self.session.rollback()

    @contextmanager
    def transaction(self) -> Iterator[None]:
        try:
            with self.scoped.begin():
                yield
        finally:
            self.scoped.remove()


class AsyncSQLAlchemySubject(Subject):
    """``AsyncSession``, with asyncpg, aiosqlite and asyncmy."""

    name: ClassVar[str] = "sqlalchemy async"
    asynchronous: ClassVar[bool] = True
    capabilities: ClassVar[Capabilities] = Capabilities()

    engine: AsyncEngine
    scoped: async_scoped_session[AsyncSession]

    async def open(self) -> Any:
        url, options = _options(self.url, True, self.lock_seconds)
        self.engine = create_async_engine(url, **options)
        self.scoped = async_scoped_session(async_sessionmaker(self.engine), scopefunc=current_task)
        return SQLAlchemy(self.scoped)

    @property
    def session(self) -> AsyncSession:
        try:
            return async_session()
        except WrongThreadError:
            raise
        except NoTransactionError:
            return self.scoped()

    async def close(self) -> None:
        await self.scoped.remove()
        await self.engine.dispose()

    async def add(self, n: int, note: str | None = None) -> None:
        self.session.add(Item(n=n, note=note))
        await self.session.flush()

    async def items(self) -> list[int]:
        return list(await self.session.scalars(select(Item.n).order_by(Item.id)))

    async def note(self, n: int) -> str | None:
        return (await self.session.scalars(select(Item.note).where(Item.n == n))).one()

    async def increment(self) -> int:
        counter = await self.session.get_one(Counter, 1)
        counter.n += 1
        await self.session.flush()
        return counter.n

    async def statement(self, sql: str) -> list[tuple[Any, ...]]:
        result: Any = await self.session.execute(text(sql))
        return [tuple(row) for row in result] if result.returns_rows else []

    def savepoint(self) -> AbstractAsyncContextManager[Any]:
        return self.session.begin_nested()

    async def commit(self) -> None:
        await self.session.commit()

    async def rollback(self) -> None:
        await self.session.rollback()

    @asynccontextmanager
    async def transaction(self) -> AsyncIterator[None]:
        try:
            async with self.scoped.begin():
                yield
        finally:
            await self.scoped.remove()
