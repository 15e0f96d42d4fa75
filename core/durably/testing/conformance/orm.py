"""The ORM under test as scenarios use it: awaited always, whatever the subject's half is."""

from __future__ import annotations

import inspect
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

from durably.testing.conformance.subject import Subject


async def settled(value: Any) -> Any:
    """What a function gave, or what its coroutine gives."""
    return await value if inspect.isawaitable(value) else value


class Orm:
    """The methods of a subject, each a coroutine. On a synchronous subject none of them ever suspends."""

    def __init__(self, subject: Subject) -> None:
        self._subject = subject

    async def add(self, n: int, note: str | None = None) -> None:
        """Add a row."""
        await settled(self._subject.add(n, note))

    async def items(self) -> list[int]:
        """The rows that this transaction sees."""
        return list(await settled(self._subject.items()))

    async def note(self, n: int) -> str | None:
        """The note of one of them."""
        note: str | None = await settled(self._subject.note(n))
        return note

    async def increment(self) -> int:
        """Read the counter, and write one more."""
        return int(await settled(self._subject.increment()))

    async def statement(self, sql: str) -> list[tuple[Any, ...]]:
        """Run SQL."""
        return [tuple(row) for row in await settled(self._subject.statement(sql))]

    async def value(self, sql: str) -> Any:
        """The one value that SQL gives."""
        ((value,),) = await self.statement(sql)
        return value

    async def commit(self) -> None:
        """Commit, as a function must not."""
        await settled(self._subject.commit())

    async def rollback(self) -> None:
        """Roll back, likewise."""
        await settled(self._subject.rollback())

    @asynccontextmanager
    async def savepoint(self) -> AsyncIterator[None]:
        """A part that may fail."""
        async with self._scope(self._subject.savepoint()):
            yield

    @asynccontextmanager
    async def transaction(self) -> AsyncIterator[None]:
        """A transaction of the caller's."""
        async with self._scope(self._subject.transaction()):
            yield

    @asynccontextmanager
    async def _scope(self, scope: Any) -> AsyncIterator[None]:
        if self._subject.asynchronous:
            async with scope:
                yield
        else:
            with scope:
                yield
