"""The seam between the program that is killed and the ORMs: for each, an application as its author would write it.

One module per ORM, by its name: ``blocking`` and ``awaited``, of which there is at least one, open the application on a
database and give its adapter and its ``move``; ``PRELOADED`` names what the ORM imports only when it connects.
"""

from __future__ import annotations

import importlib
from collections.abc import Awaitable, Callable, Sequence
from contextlib import AbstractAsyncContextManager, AbstractContextManager
from dataclasses import dataclass
from typing import Any, NamedTuple, Protocol, cast


class Effect(NamedTuple):
    """A row of ``effect``: which transaction did it, and which execution of that."""

    workflow_id: str
    step: int
    attempt: int
    pid: int
    #: Nanoseconds since the Unix epoch.
    at: int

    @property
    def token(self) -> str:
        """What the transaction returns."""
        return f"{self.pid}:{self.at}"


@dataclass(frozen=True)
class Application:
    """An open application. ``move(effect, source, sink)`` adds the effect, and moves one unit between the accounts."""

    adapter: Any
    move: Callable[[Effect, str, str], None]


@dataclass(frozen=True)
class AsyncApplication:
    """The same on an event loop."""

    adapter: Any
    move: Callable[[Effect, str, str], Awaitable[None]]


class Module(Protocol):
    """What a module of this package has; the one that its ORM cannot do is missing."""

    PRELOADED: Sequence[str]
    blocking: Callable[[str], AbstractContextManager[Application]]
    awaited: Callable[[str], AbstractAsyncContextManager[AsyncApplication]]


def module(orm: str) -> Module:
    """An ORM's module, imported: what a zygote does before it forks. No database is known then."""
    return cast("Module", importlib.import_module(f"{__name__}.{orm}"))
