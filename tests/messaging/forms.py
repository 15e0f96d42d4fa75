"""Workflows whose code is written once and declared in either form: as a plain function, or as a coroutine.

The code is a coroutine function whose first argument has the verbs, awaited: those of ``durably.aio``, or the blocking
ones in disguise. In the plain form nothing in it ever suspends.
"""

from __future__ import annotations

from collections.abc import Callable, Coroutine
from typing import Any, Protocol

import durably

Body = Callable[..., Coroutine[Any, Any, Any]]


class Verbs(Protocol):
    """The verbs of ``durably.aio``."""

    def __getattr__(self, name: str) -> Callable[..., Any]: ...


class _Blocking:
    """The blocking verbs, awaited."""

    def __getattr__(self, name: str) -> Callable[..., Any]:
        verb = getattr(durably, name)

        async def call(*args: Any, **kwargs: Any) -> Any:
            return verb(*args, **kwargs)

        return call


async def all_values(verbs: Verbs, *args: Any, **kwargs: Any) -> list[Any]:
    """All that ``read_stream`` gives."""
    if verbs is durably.aio:
        return [value async for value in durably.aio.read_stream(*args, **kwargs)]
    return list(durably.read_stream(*args, **kwargs))


def unsuspended(coroutine: Coroutine[Any, Any, Any]) -> Any:
    """Run a coroutine that never suspends."""
    try:
        coroutine.send(None)
    except StopIteration as stop:
        return stop.value
    coroutine.close()
    raise AssertionError("a plain workflow was suspended")


class Form:
    """One of the two forms."""

    def __init__(self, name: str) -> None:
        self.name = name
        self.asynchronous = name == "coroutine"

    def workflow(self, body: Body, **options: Any) -> Callable[..., Any]:
        """Declare ``body(verbs, *args)`` as the workflow of its name, which takes the other arguments."""
        options.setdefault("name", body.__name__)

        def plain(*args: Any) -> Any:
            return unsuspended(body(_Blocking(), *args))

        async def coroutine(*args: Any) -> Any:
            return await body(durably.aio, *args)

        declared: Callable[..., Any] = durably.workflow(**options)(coroutine if self.asynchronous else plain)
        return declared


FORMS = [Form("plain"), Form("coroutine")]
