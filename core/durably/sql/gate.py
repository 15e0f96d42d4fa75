"""First come, first served for the writers of one SQLite file within a process.

SQLite lets one writer in at a time and has the others poll; under load some wait for seconds. Queueing them here, in
order, is fairer and faster. Writers in other processes still meet SQLite's own lock and its busy timeout.
"""

from __future__ import annotations

import os
import threading
from collections import deque
from collections.abc import Generator
from typing import Any
from weakref import WeakValueDictionary

from durably.drive import Promise


class Gate:
    """A fair lock that is awaited, and so works for threads and tasks alike."""

    def __init__(self) -> None:
        self._mutex = threading.Lock()
        self._held = False
        self._queue: deque[Promise[None]] = deque()

    def acquire(self) -> _Turn:
        """Awaitable: ends when it is the caller's turn. Every acquire needs one release."""
        return _Turn(self)

    def release(self) -> None:
        """Let the next one in."""
        with self._mutex:
            if not self._queue:
                self._held = False
                return
            waiter = self._queue.popleft()
        waiter.set_result(None)

    def enter(self) -> Promise[None] | None:
        """Take a free gate at once (None), or a place in the queue."""
        with self._mutex:
            if not self._held:
                self._held = True
                return None
            place: Promise[None] = Promise()
            self._queue.append(place)
            return place

    def leave(self, place: Promise[None]) -> None:
        """Give up a place in the queue, or the turn if it has just come."""
        with self._mutex:
            if place in self._queue:
                self._queue.remove(place)
                return
        self.release()


class _Turn:
    __slots__ = ("_gate",)

    def __init__(self, gate: Gate) -> None:
        self._gate = gate

    def __await__(self) -> Generator[Any, Any, None]:
        place = self._gate.enter()
        if place is None:
            return
        try:
            yield from place.__await__()
        except BaseException:
            self._gate.leave(place)
            raise


_gates: WeakValueDictionary[str, Gate] = WeakValueDictionary()
_mutex = threading.Lock()


def file_gate(path: str) -> Gate:
    """The gate of one file, the same for every connection of this process that names it."""
    key = os.path.realpath(path)
    with _mutex:
        gate = _gates.get(key)
        if gate is None:
            gate = _gates[key] = Gate()
        return gate


if hasattr(os, "register_at_fork"):
    # A thread of the parent may be inside; it will never leave in the child.
    os.register_at_fork(after_in_child=_gates.clear)
