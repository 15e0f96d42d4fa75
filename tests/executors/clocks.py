"""A clock with which an executor falls silent, as a process that is stopped or cut off does."""

from __future__ import annotations

import threading

from durably.clock import SystemClock


class FreezingClock(SystemClock):
    """Real time, except that while it is frozen no background thread of the engine comes back from its wait."""

    def __init__(self) -> None:
        self._thawed = threading.Event()
        self._thawed.set()

    def wait(self, event: threading.Event, seconds: float) -> bool:
        if not super().wait(event, seconds):
            self._thawed.wait()
        return event.is_set()

    def freeze(self) -> None:
        """No heartbeat, and no look for work, from now on."""
        self._thawed.clear()

    def thaw(self) -> None:
        """Go on."""
        self._thawed.set()
