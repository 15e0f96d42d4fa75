"""The asynchronous half: transactions through ``AsyncSession``. No task is made around the user's coroutine."""

from __future__ import annotations

from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from typing import Any

from sqlalchemy.ext.asyncio import AsyncEngine, AsyncSession

from durably.adapter import BeginPlan, DialectName, Parameter, ParamStyle
from durably_sqlalchemy import transaction
from durably_sqlalchemy.registries import installed, joined
from durably_sqlalchemy.sessions import transaction_class
from durably_sqlalchemy.targets import Target
from durably_sqlalchemy.urls import plain_url


class AsyncSQLAlchemyAdapter:
    """Runs ``async def`` transactions; make it with ``SQLAlchemy(async_engine)``. Implements ``AsyncAdapter``."""

    def __init__(self, target: Target[AsyncEngine, AsyncSession]) -> None:
        self.dialect: DialectName = target.dialect
        self.paramstyle: ParamStyle = target.paramstyle
        self._target = target
        options = dict(target.options)
        inner = options.pop("sync_session_class", None) or target.session_class.sync_session_class
        self._options: dict[str, Any] = {**options, "sync_session_class": transaction_class(inner)}

    def __repr__(self) -> str:
        return f"AsyncSQLAlchemyAdapter({self._target.engine.url!r})"

    def ambient(self) -> AsyncSession | None:
        """The scoped session, if the adapter was made from one and it has a transaction open here."""
        return joined(self._target.registry)

    @asynccontextmanager
    async def begin(self, plan: BeginPlan) -> AsyncIterator[AsyncSession]:
        """A session on a connection whose transaction ends with the block."""
        async with self._target.engine.connect() as connection:
            try:
                await connection.run_sync(transaction.open_transaction, plan)
                session = self._target.session_class(bind=connection, **self._options)
                transaction.attach(session.sync_session)
                try:
                    with installed(self._target.registry, session):
                        yield session
                except BaseException:
                    await session.run_sync(transaction.roll_back)
                    raise
                await session.run_sync(transaction.commit)
            finally:
                if plan.query_only:
                    await connection.run_sync(transaction.reset_query_only)

    async def execute(self, handle: AsyncSession, sql: str, params: Sequence[Parameter] = ()) -> list[tuple[Any, ...]]:
        """Run one statement on the session's connection."""
        return await handle.run_sync(transaction.execute, sql, params)

    async def flush(self, handle: AsyncSession) -> None:
        """Write what is pending."""
        await handle.run_sync(transaction.flush)

    def url(self) -> str | None:
        """The engine's address, without its driver."""
        return plain_url(self._target.engine.url)

    async def close(self) -> None:
        """Close the pool, if the adapter made it."""
        if self._target.made:
            await self._target.engine.dispose()
