"""The cursors of a transaction: the user's own classes, which ask the transaction's watch before each statement."""

from __future__ import annotations

from functools import lru_cache
from typing import Any, Protocol

import psycopg
from psycopg import AsyncCursor, Cursor


class Watching(Protocol):
    """What a cursor tells of its use."""

    def statement(self, query: object = None) -> None:
        """Before a statement; raises unless it may run."""
        ...

    def failed(self, error: psycopg.Error) -> None:
        """It failed."""
        ...


class WatchedCursor(Cursor[Any]):
    """Comes before the user's cursor class in the order of methods; see ``watched_class``."""

    def __init__(self, connection: Any, *args: Any, **kwargs: Any) -> None:
        super().__init__(connection, *args, **kwargs)
        self._durably_watch: Watching = connection.durably_watch

    def execute(self, query: Any, *args: Any, **kwargs: Any) -> Any:
        """As ever, but in the transaction's own thread only, and no COMMIT or ROLLBACK."""
        self._durably_watch.statement(query)
        try:
            return super().execute(query, *args, **kwargs)
        except psycopg.Error as error:
            self._durably_watch.failed(error)
            raise

    def executemany(self, query: Any, *args: Any, **kwargs: Any) -> None:
        """The same."""
        self._durably_watch.statement(query)
        try:
            super().executemany(query, *args, **kwargs)
        except psycopg.Error as error:
            self._durably_watch.failed(error)
            raise

    def copy(self, *args: Any, **kwargs: Any) -> Any:
        """The same, but for the failure."""
        self._durably_watch.statement()
        return super().copy(*args, **kwargs)

    def stream(self, *args: Any, **kwargs: Any) -> Any:
        """Likewise."""
        self._durably_watch.statement()
        return super().stream(*args, **kwargs)


class WatchedAsyncCursor(AsyncCursor[Any]):
    """The same for asynchronous cursors, and the transaction's own task."""

    def __init__(self, connection: Any, *args: Any, **kwargs: Any) -> None:
        super().__init__(connection, *args, **kwargs)
        self._durably_watch: Watching = connection.durably_watch

    async def execute(self, query: Any, *args: Any, **kwargs: Any) -> Any:
        """As ever, but in the transaction's own task only, and no COMMIT or ROLLBACK."""
        self._durably_watch.statement(query)
        try:
            return await super().execute(query, *args, **kwargs)
        except psycopg.Error as error:
            self._durably_watch.failed(error)
            raise

    async def executemany(self, query: Any, *args: Any, **kwargs: Any) -> None:
        """The same."""
        self._durably_watch.statement(query)
        try:
            await super().executemany(query, *args, **kwargs)
        except psycopg.Error as error:
            self._durably_watch.failed(error)
            raise

    def copy(self, *args: Any, **kwargs: Any) -> Any:
        """The same, but for the failure."""
        self._durably_watch.statement()
        return super().copy(*args, **kwargs)

    def stream(self, *args: Any, **kwargs: Any) -> Any:
        """Likewise."""
        self._durably_watch.statement()
        return super().stream(*args, **kwargs)


@lru_cache(maxsize=64)
def watched_class(own: Any) -> Any:
    """A connection's ``cursor_factory``, watched; as it is if it is none of psycopg's own classes."""
    if not isinstance(own, type):
        return own
    base = WatchedCursor if issubclass(own, Cursor) else WatchedAsyncCursor if issubclass(own, AsyncCursor) else None
    if base is None:
        return own
    bases = (base,) if own in (Cursor, AsyncCursor) else (base, own)
    return type(own.__name__, bases, {"__module__": own.__module__, "durably_own": own})


def unwatched_class(watched: Any) -> Any:
    """The class that ``watched_class`` was made from; any other is the function's own choice, and stays."""
    return vars(watched).get("durably_own", watched) if isinstance(watched, type) else watched
