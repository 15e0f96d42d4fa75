"""An adapter whose ``begin`` does something more, to hold it or to have it fail; its own code is not touched."""

from __future__ import annotations

from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from contextlib import asynccontextmanager, contextmanager
from typing import Any

from durably.adapter import BeginPlan
from durably.drive import drive

Work = Callable[[BeginPlan], Awaitable[None]]


async def _nothing(_: BeginPlan) -> None:
    return None


def alter(adapter: Any, asynchronous: bool, *, before: Work = _nothing, after: Work = _nothing) -> None:
    """Do ``before`` ahead of each begin, and ``after`` once the commit has been acknowledged.

    The instance gets a class of its own, so that whoever holds it already sees the change.
    """
    kind = type(adapter)
    if asynchronous:

        @asynccontextmanager
        async def awaited(self: Any, plan: BeginPlan) -> AsyncIterator[Any]:
            await before(plan)
            async with kind.begin(self, plan) as handle:
                yield handle
            await after(plan)

        adapter.__class__ = type(kind.__name__, (kind,), {"__slots__": (), "begin": awaited})
        return

    @contextmanager
    def plain(self: Any, plan: BeginPlan) -> Iterator[Any]:
        drive(_awaited(before, plan))
        with kind.begin(self, plan) as handle:
            yield handle
        drive(_awaited(after, plan))

    adapter.__class__ = type(kind.__name__, (kind,), {"__slots__": (), "begin": plain})


async def _awaited(work: Work, plan: BeginPlan) -> None:
    await work(plan)
