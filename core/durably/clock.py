"""Time: the one object the engine asks for every time and every wait, so that tests can replace it.

Leases are judged by the database's clock, not by this one.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Awaitable
from typing import Any, Protocol

from durably.drive import Promise, Within


class Clock(Protocol):
    """What the engine needs of time. Seconds are floats, milliseconds are integers."""

    def now_ms(self) -> int:
        """Wall clock, milliseconds since the Unix epoch."""
        ...

    def monotonic(self) -> float:
        """Seconds on a clock that never goes back."""
        ...

    def sleep(self, seconds: float, until: Promise[Any] | None = None) -> Awaitable[object]:
        """Wait, at most until the promise is kept; awaitable from blocking and from asynchronous code."""
        ...

    def within(self, promise: Promise[Any], seconds: float) -> Awaitable[bool]:
        """Wait for ``promise`` at most ``seconds``; whether it was kept in time."""
        ...

    def wait(self, event: threading.Event, seconds: float) -> bool:
        """Block a background thread until ``event`` or ``seconds``; whether the event is set."""
        ...


class SystemClock:
    """The real clock."""

    def now_ms(self) -> int:
        return time.time_ns() // 1_000_000

    def monotonic(self) -> float:
        return time.monotonic()

    def sleep(self, seconds: float, until: Promise[Any] | None = None) -> Awaitable[object]:
        return Within(until or Promise[None](), max(seconds, 0.0))

    def within(self, promise: Promise[Any], seconds: float) -> Awaitable[bool]:
        return Within(promise, max(seconds, 0.0))

    def wait(self, event: threading.Event, seconds: float) -> bool:
        return event.wait(max(seconds, 0.0))
