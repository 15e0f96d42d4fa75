"""Hearing of what other processes have written: notifications on PostgreSQL, the state of the WAL file on SQLite."""

from __future__ import annotations

import contextlib
import os
import selectors
import socket
import threading
import time
from typing import TYPE_CHECKING, Any, Protocol

if TYPE_CHECKING:
    from collections.abc import Callable

    import psycopg

#: Said in place of names: something was written, and what it was must be looked for.
ANYTHING = "*"
#: The same, of what somebody waits for: nobody has listened for that before.
NEWS = "?"
#: The channel of executors (what there is to claim, and which lives are over), and that of whoever waits.
FOR_EXECUTORS, FOR_WAITERS = "durably", "durably_news"
#: How long nobody must have waited before a process stops hearing of what only waiters want to know (seconds).
INATTENTIVE = 1.0


class Listener(Protocol):
    """One ear on the database, for one thread. ``wake`` and ``close`` may come from another."""

    def wait(self, seconds: float, *, attentive: bool) -> list[str]:
        """What was heard, at the latest after ``seconds`` ([]). ``attentive``: somebody waits for it right now.

        Raises the driver's error when the connection is lost; the next call makes a new one, and says ANYTHING.
        """
        ...

    def wake(self) -> None:
        """Have ``wait`` return at once."""
        ...

    def close(self) -> None:
        """Be deaf from now on."""
        ...


class PostgresListener:
    """LISTEN on a connection of its own. A notification has one ``kind:name`` in each line.

    A process in which nobody waits stays away from the channel of those who do, or else each commit of its own would
    wake it for nothing.
    """

    def __init__(self, connect: Callable[[], psycopg.Connection[Any]], is_own: Callable[[int], bool]) -> None:
        """``is_own``: whether that server process serves this one, which tells itself what it writes."""
        self._connect = connect
        self._is_own = is_own
        self._raw: psycopg.Connection[Any] | None = None
        #: Until when it hears of news, by the monotonic clock; None while it does not.
        self._attentive_until: float | None = None
        #: What came while a statement was under way, which the driver then hands over by itself.
        self._missed: list[psycopg.Notify] = []
        self._here, self._there = socket.socketpair()
        self._here.setblocking(False)
        self._there.setblocking(False)
        # Not ``select``, which knows no file descriptors above 1,023.
        self._selector = selectors.DefaultSelector()
        self._selector.register(self._here, selectors.EVENT_READ)

    def wait(self, seconds: float, *, attentive: bool) -> list[str]:
        if self._raw is None:
            raw = self._connect()
            try:
                raw.execute(f"LISTEN {FOR_EXECUTORS}".encode(), prepare=False)
            except BaseException:
                raw.close()
                raise
            raw.add_notify_handler(self._missed.append)
            self._raw = raw
            self._selector.register(raw.fileno(), selectors.EVENT_READ, raw)
            # Nobody has told of what was written before; that somebody waits, the next call sees to.
            return [ANYTHING]
        try:
            if self._attend(self._raw, attentive):
                return [NEWS, *self._names(self._taken())]
            return self._heard(self._raw, seconds)
        except BaseException:
            self._drop()
            raise

    def _attend(self, raw: psycopg.Connection[Any], attentive: bool) -> bool:
        """Listen for news while somebody waits, and a little longer; whether it has begun to just now."""
        began = attentive and self._attentive_until is None
        if began:
            raw.execute(f"LISTEN {FOR_WAITERS}".encode(), prepare=False)
        if attentive:
            self._attentive_until = time.monotonic() + INATTENTIVE
        elif self._attentive_until is not None and time.monotonic() > self._attentive_until:
            raw.execute(f"UNLISTEN {FOR_WAITERS}".encode(), prepare=False)
            self._attentive_until = None
        return began

    def _drop(self) -> None:
        raw, self._raw = self._raw, None
        self._attentive_until = None
        self._missed.clear()
        if raw is None:
            return
        for key in [one for one in self._selector.get_map().values() if one.data is raw]:
            self._selector.unregister(key.fileobj)
        raw.close()

    def _heard(self, raw: psycopg.Connection[Any], seconds: float) -> list[str]:
        if self._missed:
            return self._names(self._taken())
        ready = {key.data for key, _ in self._selector.select(seconds)}
        if None in ready:
            self._here.recv(4096)
        if raw not in ready:
            return []
        raw.pgconn.consume_input()
        told: list[tuple[int, str]] = []
        while (notification := raw.pgconn.notifies()) is not None:
            told.append((notification.be_pid, notification.extra.decode()))
        return self._names(told)

    def _taken(self) -> list[tuple[int, str]]:
        missed = [(one.pid, one.payload) for one in self._missed]
        self._missed.clear()
        return missed

    def _names(self, told: list[tuple[int, str]]) -> list[str]:
        return [name for pid, text in told if not self._is_own(pid) for name in text.split("\n")]

    def wake(self) -> None:
        with contextlib.suppress(OSError):  # it has plenty to wake up for, or is closed
            self._there.send(b"!")

    def close(self) -> None:
        self._drop()
        self._selector.close()
        self._here.close()
        self._there.close()


#: How often the file is looked at while somebody waits, and otherwise (seconds).
ATTENTIVE, IDLE = 0.02, 0.1
#: The file's clock ticks at least this often (seconds): two writes in one tick leave the same time.
TICK = 0.012


class SqliteListener:
    """Sees from its time and size that the WAL file was written to; no statement is sent for that.

    While somebody waits, ``version`` then tells whether it was somebody else: what this process writes it tells itself.
    """

    def __init__(self, path: str, version: Callable[[], object]) -> None:
        self._wal = f"{path}-wal"
        self._version = version
        #: How the file was last seen, when (monotonic), and whether it may have been written to since in the same tick.
        self._seen: tuple[int, int] | None = None
        self._looked_at = float("-inf")
        self._doubtful = True
        self._last_version: object = None
        self._woken = threading.Event()

    def wait(self, seconds: float, *, attentive: bool) -> list[str]:
        end = time.monotonic() + seconds
        pause = ATTENTIVE if attentive else IDLE
        while True:
            # However often it is woken, it looks when it is time to, and not more often.
            left = min(self._looked_at + pause, end) - time.monotonic()
            if left > 0 and self._woken.wait(left):
                self._woken.clear()
                return []
            if time.monotonic() >= self._looked_at + pause and self._written() and self._by_others(attentive):
                return [ANYTHING]
            if time.monotonic() >= end:
                return []

    def _written(self) -> bool:
        self._looked_at = time.monotonic()
        before, doubtful = self._seen, self._doubtful
        try:
            state = os.stat(self._wal)
        except FileNotFoundError:
            self._seen, self._doubtful = None, False
        else:
            self._seen = state.st_mtime_ns, state.st_size
            self._doubtful = abs(time.time_ns() - state.st_mtime_ns) < TICK * 1e9
        return doubtful or self._seen != before

    def _by_others(self, attentive: bool) -> bool:
        if not attentive:
            self._last_version = None  # what is not asked now is asked by whoever waits next
            return True
        before, self._last_version = self._last_version, self._version()
        return before is None or self._last_version != before

    def wake(self) -> None:
        self._woken.set()

    def close(self) -> None:
        self._woken.set()
