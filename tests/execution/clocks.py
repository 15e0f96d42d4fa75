"""Clocks that take the place of the engine's: one on which waits take no time."""

from __future__ import annotations

import threading
from collections.abc import Awaitable
from typing import Any

from durably.clock import SystemClock
from durably.drive import Promise, Within


class SteppingClock(SystemClock):
    """Its sleeps end at once, and move the time on by as much; what it was asked to sleep is kept.

    Background threads wait in real time. Since the engine judges its lease by this clock too, give it a long one.
    """

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._ahead = 0.0
        self.sleeps: list[float] = []

    def now_ms(self) -> int:
        return super().now_ms() + int(self._ahead * 1000)

    def monotonic(self) -> float:
        return super().monotonic() + self._ahead

    def sleep(self, seconds: float, until: Promise[Any] | None = None) -> Awaitable[object]:
        with self._lock:
            self.sleeps.append(seconds)
            self._ahead += seconds
        kept: Promise[None] = Promise()
        kept.set_result(None)
        return Within(kept, 0.0)
