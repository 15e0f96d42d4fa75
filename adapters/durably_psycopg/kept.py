"""The adapter's own connections, for an address: made when they are needed, kept for the next transaction.

Not a pool of psycopg's: a refused password is told at once, no threads or tasks run in the background, and both a fork
and a new event loop begin with connections of their own.
"""

from __future__ import annotations

import asyncio
import os
import threading
from collections import deque
from typing import Any, Generic, TypeVar

import psycopg
from psycopg import AsyncConnection, Connection
from psycopg.pq import TransactionStatus

F = TypeVar("F", threading.Semaphore, asyncio.Semaphore)

#: How many transactions may be open at once in one process (asynchronous: in one event loop).
LIMIT = 16
#: How long a transaction waits for one of them to end.
WAIT_SECONDS = 30.0
_PLACE = "durably_place"


class _Place(Generic[F]):
    """What one process, or one event loop in it, has open."""

    def __init__(self, free: F) -> None:
        self.free: F = free
        self.idle: deque[Any] = deque()
        self.closed = False


class KeptConnections:
    """Connections to one address, for any number of threads."""

    def __init__(self, conninfo: str) -> None:
        self._conninfo = conninfo
        # By process: what the parent of a fork has open is its own, and is neither used nor closed here.
        self._places: dict[int, _Place[threading.Semaphore]] = {}

    def take(self) -> Connection[Any]:
        """One that was idle, dead or alive, or a new one."""
        place = self._places.setdefault(os.getpid(), _Place(threading.Semaphore(LIMIT)))
        if not place.free.acquire(timeout=WAIT_SECONDS):
            raise _exhausted()
        try:
            connection = _idle(place) or Connection.connect(self._conninfo)
        except BaseException:
            place.free.release()
            raise
        vars(connection)[_PLACE] = place
        return connection

    def give(self, connection: Connection[Any]) -> None:
        """Take it back."""
        place = vars(connection).pop(_PLACE)
        if _reusable(connection):
            place.idle.append(connection)
        else:
            connection.close()
        place.free.release()
        if place.closed:
            _close(place)

    def close(self) -> None:
        """Close all that are idle, and the others when they are given back."""
        place = self._places.pop(os.getpid(), None)
        if place is not None:
            _close(place)


class AsyncKeptConnections:
    """The same for event loops: a connection serves the one that it was made on."""

    def __init__(self, conninfo: str) -> None:
        self._conninfo = conninfo
        self._places: dict[tuple[int, asyncio.AbstractEventLoop], _Place[asyncio.Semaphore]] = {}

    async def take(self) -> AsyncConnection[Any]:
        """One that was idle, dead or alive, or a new one."""
        place = self._place()
        if place.free.locked():
            try:
                await asyncio.wait_for(place.free.acquire(), WAIT_SECONDS)
            except asyncio.TimeoutError:
                raise _exhausted() from None
        else:
            await place.free.acquire()
        try:
            connection = _idle(place) or await AsyncConnection.connect(self._conninfo)
        except BaseException:
            place.free.release()
            raise
        vars(connection)[_PLACE] = place
        return connection

    async def give(self, connection: AsyncConnection[Any]) -> None:
        """Take it back."""
        place = vars(connection).pop(_PLACE)
        if _reusable(connection):
            place.idle.append(connection)
        else:
            await connection.close()
        place.free.release()
        if place.closed:
            _close(place)

    async def close(self) -> None:
        """Close all that are idle, whichever loop they serve, and the others when they are given back."""
        for key in [key for key in list(self._places) if key[0] == os.getpid()]:
            _close(self._places.pop(key))

    def _place(self) -> _Place[asyncio.Semaphore]:
        key = (os.getpid(), asyncio.get_running_loop())
        place = self._places.get(key)
        if place is None:
            self._forget_loops()
            place = self._places.setdefault(key, _Place(asyncio.Semaphore(LIMIT)))
        return place

    def _forget_loops(self) -> None:
        """Close what was kept for loops that are closed by now, as after an earlier ``asyncio.run``."""
        for process, loop in list(self._places):
            if process == os.getpid() and loop.is_closed():
                _close(self._places.pop((process, loop)))


def _idle(place: _Place[Any]) -> Any:
    """The one that was used last: the others may rest."""
    try:
        return place.idle.pop()
    except IndexError:
        return None


def _reusable(connection: Connection[Any] | AsyncConnection[Any]) -> bool:
    return connection.pgconn.transaction_status == TransactionStatus.IDLE


def _close(place: _Place[Any]) -> None:
    place.closed = True
    while (connection := _idle(place)) is not None:
        # All that psycopg's close() does of any consequence; in this form it needs no event loop.
        connection.pgconn.finish()


def _exhausted() -> psycopg.OperationalError:
    return psycopg.OperationalError(
        f"connection timeout expired: all {LIMIT} connections that the adapter may make were in use for "
        f"{WAIT_SECONDS:g} s; give it a pool of your own for more"
    )
