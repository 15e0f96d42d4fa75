"""Where Tortoise keeps its connections: in one place of the process before 1.0, in a context variable since.

A workflow in the background runs in a context of its own, where Tortoise 1.x takes itself for not initialised. So the
adapter remembers the context of whoever used it first, and enters it where there is none.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from importlib.util import find_spec
from typing import TYPE_CHECKING, cast

from tortoise.connection import ConnectionHandler

HAS_CONTEXTS = find_spec("tortoise.context") is not None

if TYPE_CHECKING or HAS_CONTEXTS:
    from tortoise.context import TortoiseContext, _current_context, get_current_context


class Contexts:
    """Finds Tortoise's connections: those of the caller's context, or else of the first one that was seen."""

    def __init__(self) -> None:
        self._seen: TortoiseContext | None = None
        self.handler()

    def handler(self) -> ConnectionHandler | None:
        """Tortoise's connections; None if it is not initialised here."""
        if not HAS_CONTEXTS:
            from tortoise.connection import connections

            # Until 1.0 it was the handler itself, and not a stand-in for that of the context.
            handler = cast("ConnectionHandler", connections)
            return handler if handler._db_config is not None else None
        here = get_current_context()
        if _initialised(here):
            if not _in_use(self._seen):
                self._seen = here
        elif _initialised(self._seen):
            here = self._seen
        else:
            return None
        return here.connections if here is not None else None

    @contextmanager
    def entered(self) -> Iterator[None]:
        """Let the models find their connections, where the caller's context has none."""
        if not HAS_CONTEXTS or _initialised(get_current_context()):
            yield
            return
        token = _current_context.set(self._seen)
        try:
            yield
        finally:
            _current_context.reset(token)


def _in_use(context: TortoiseContext | None) -> bool:
    """1.0 leaves the configuration in place when it closes connections, and forgets them only."""
    return _initialised(context) and context is not None and bool(context.connections._get_storage())


def _initialised(context: TortoiseContext | None) -> bool:
    """Closing a context's connections takes its configuration away, and leaves ``inited`` as it is."""
    return context is not None and context.inited and context.connections._db_config is not None
