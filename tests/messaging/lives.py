"""Workflows that are interrupted: their first executor goes away while they are stuck, and a second one goes on."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Mapping
from typing import Any

import durably
from durably import Durably
from tests.messaging.forms import Verbs

SECONDS = 60


class Lives:
    """One workflow's lives, and what happened in them."""

    def __init__(self, system_url: str, adapters: Mapping[str, Any] | None = None) -> None:
        self.url = system_url
        self._adapters = adapters
        self.second = False
        #: What the bodies of steps, and the workflow's own code, wrote down.
        self.lines: list[Any] = []
        self.stuck = threading.Event()
        self._release = threading.Event()

    async def stuck_once(self, verbs: Verbs) -> None:
        """A step in which the first life ends."""
        await verbs.run_step(self.stick)

    def stick(self) -> None:
        """In the first life, block until its executor is gone."""
        if not self.second:
            self.stuck.set()
            assert self._release.wait(SECONDS)

    def _engine(self) -> Durably:
        return Durably("lives", system_database_url=self.url, adapters=self._adapters)

    def interrupted(
        self,
        start: Callable[[], Any],
        between: Callable[[], None] | None = None,
        *,
        until: Callable[[], bool] | None = None,
    ) -> Any:
        """Start in one executor, which goes away while it is stuck (or when ``until``); the result in another one."""
        app = self._engine()
        app.launch()
        try:
            with durably.workflow_options(workflow_id="w"):
                start()
            if until is None:
                assert self.stuck.wait(SECONDS)
            else:
                waited_for(until)
        finally:
            self.second = True
            app.shutdown(timeout_seconds=0)
        if between is not None:
            between()
        try:
            with self._engine():
                return durably.get_result("w", timeout_seconds=SECONDS)
        finally:
            self._release.set()


def waited_for(so: Callable[[], Any], seconds: float = SECONDS) -> None:
    """Wait until it is so."""
    deadline = time.monotonic() + seconds
    while not so():
        assert time.monotonic() < deadline, "it did not come to that"
        time.sleep(0.01)
