"""Uses of the structural protocols: without one, a method that is renamed goes unseen. Checked by `make check`.

Each protocol is satisfied by a class that does not inherit from it, as a third party's would be.
"""

from __future__ import annotations

import sqlite3
import threading
from collections.abc import AsyncIterator, Awaitable, Iterator, Sequence
from contextlib import asynccontextmanager, contextmanager
from typing import Any

from durably import Durably
from durably.adapter import (
    Adapter,
    AsyncAdapter,
    BeginPlan,
    Closes,
    DialectName,
    Flushes,
    Locates,
    Parameter,
    ParamStyle,
)
from durably.clock import Clock, SystemClock
from durably.drive import Promise
from durably.serialization import Serializer, TypeTable


class PlainAdapter:
    dialect: DialectName = "sqlite"
    paramstyle: ParamStyle = "qmark"

    def ambient(self) -> sqlite3.Connection | None:
        return None

    @contextmanager
    def begin(self, plan: BeginPlan) -> Iterator[sqlite3.Connection]:
        yield sqlite3.connect(plan.begin)

    def execute(self, handle: sqlite3.Connection, sql: str, params: Sequence[Parameter] = ()) -> list[tuple[Any, ...]]:
        return handle.execute(sql, params).fetchall()

    def flush(self, handle: sqlite3.Connection) -> None:
        handle.commit()

    def close(self) -> None:
        """Nothing to close."""

    def url(self) -> str | None:
        return None


class AwaitedAdapter:
    dialect: DialectName = "postgresql"
    paramstyle: ParamStyle = "dollar"

    def ambient(self) -> str | None:
        return None

    @asynccontextmanager
    async def begin(self, plan: BeginPlan) -> AsyncIterator[str]:
        yield plan.begin

    async def execute(self, handle: str, sql: str, params: Sequence[Parameter] = ()) -> list[tuple[Any, ...]]:
        return [(handle, sql, *params)]

    async def flush(self, handle: str) -> None:
        """Nothing to flush."""

    async def close(self) -> None:
        """Nothing to close."""


class ManualClock:
    def now_ms(self) -> int:
        return 0

    def monotonic(self) -> float:
        return 0.0

    def sleep(self, seconds: float, until: Promise[Any] | None = None) -> Awaitable[object]:
        return Promise[float]()

    def within(self, promise: Promise[Any], seconds: float) -> Awaitable[bool]:
        return Promise[bool]()

    def wait(self, event: threading.Event, seconds: float) -> bool:
        return event.wait(seconds)


class ReprSerializer:
    name = "repr"

    def dumps(self, value: Any, types: TypeTable) -> str:
        return repr(value)

    def loads(self, text: str, types: TypeTable) -> Any:
        return text


class WithoutExecute:
    dialect: DialectName = "sqlite"
    paramstyle: ParamStyle = "qmark"

    def ambient(self) -> None:
        return None

    def begin(self, plan: BeginPlan) -> Any:
        return plan


class SleepsInMilliseconds(ManualClock):
    def monotonic(self) -> str:  # type: ignore[override]
        return "0 ms"


def right() -> None:
    plain: Adapter[sqlite3.Connection] = PlainAdapter()
    awaited: AsyncAdapter[str] = AwaitedAdapter()
    flushes: Flushes[sqlite3.Connection] = PlainAdapter()
    flushes_later: Flushes[str] = AwaitedAdapter()
    closes: Closes = PlainAdapter()
    closes_later: Closes = AwaitedAdapter()
    locates: Locates = PlainAdapter()
    clock: Clock = ManualClock()
    system: Clock = SystemClock()
    serializer: Serializer = ReprSerializer()
    Durably("shop", adapters={"default": [plain, awaited]}, clock=clock, serializer=serializer)
    print(flushes, flushes_later, closes, closes_later, locates, system)


def wrong() -> None:
    one: Adapter[sqlite3.Connection] = AwaitedAdapter()  # type: ignore[assignment]
    two: AsyncAdapter[str] = PlainAdapter()  # type: ignore[assignment]
    three: Adapter[Any] = WithoutExecute()  # type: ignore[assignment]
    four: Clock = SleepsInMilliseconds()  # type: ignore[assignment]
    print(one, two, three, four)
