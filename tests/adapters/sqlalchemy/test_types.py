"""What mypy and pyright see of the adapter; nothing here needs a database."""

from __future__ import annotations

from collections.abc import Callable

from sqlalchemy import create_engine
from sqlalchemy.ext.asyncio import AsyncSession, create_async_engine
from sqlalchemy.orm import Session, scoped_session, sessionmaker
from typing_extensions import assert_type

import durably
from durably.adapter import Adapter, AsyncAdapter, Closes, Flushes, Locates
from durably_sqlalchemy import (
    AsyncSQLAlchemyAdapter,
    SQLAlchemy,
    SQLAlchemyAdapter,
    with_async_session,
    with_session,
)


class MySession(Session):
    pass


def _reserve(s: MySession, sku: str, quantity: int = 1) -> int:
    return quantity


async def _reserve_async(s: AsyncSession, sku: str) -> int:
    return 1


def test_the_halves_are_adapters() -> None:
    engine = create_engine("sqlite://")
    plain: Adapter[Session] = assert_type(SQLAlchemy(engine), SQLAlchemyAdapter)
    assert_type(SQLAlchemy(sessionmaker(engine)), SQLAlchemyAdapter)
    assert_type(SQLAlchemy(scoped_session(sessionmaker(engine))), SQLAlchemyAdapter)
    awaited: AsyncAdapter[AsyncSession] = assert_type(
        SQLAlchemy(create_async_engine("sqlite+aiosqlite://")), AsyncSQLAlchemyAdapter
    )
    for adapter in (plain, awaited):
        assert isinstance(adapter, Flushes)
        assert isinstance(adapter, Closes)
        assert isinstance(adapter, Locates)


def test_helpers_lose_their_first_parameter() -> None:
    reserve: Callable[..., int] = with_session(_reserve)
    assert callable(reserve)

    async def checks() -> None:
        assert_type(with_session(_reserve)("a", quantity=2), int)
        assert_type(durably.transaction(with_session(_reserve))("a"), int)
        assert_type(await with_async_session(_reserve_async)("a"), int)
        with_session(_reserve)(1)  # type: ignore[arg-type]

    assert callable(checks)
