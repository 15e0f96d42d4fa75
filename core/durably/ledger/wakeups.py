"""Waiting for outcomes that other executors write: one poller for all waiters of a process.

It asks for all awaited workflows in one statement, soon after somebody begins to wait and then ever more slowly, up to
once a second. Outcomes that this process writes itself are announced here, and wake their waiters at once.
"""

from __future__ import annotations

import logging
import threading

from durably.clock import Clock
from durably.drive import Promise, deliver, drive
from durably.errors import NotLaunchedError
from durably.ledger import queries
from durably.ledger.ledger import Ledger
from durably.model import Outcome

log = logging.getLogger("durably.ledger")

POLL_FIRST, POLL_LAST = 0.01, 1.0


class Outcomes:
    """Promises of outcomes, by workflow id."""

    def __init__(self, ledger: Ledger, clock: Clock) -> None:
        self._ledger = ledger
        self._clock = clock
        self._mutex = threading.Lock()
        self._awaited: dict[str, Promise[Outcome | None]] = {}
        self._news = threading.Event()
        self._poller: threading.Thread | None = None
        self._closed = False

    def promise(self, workflow_id: str) -> Promise[Outcome | None]:
        """The outcome of a workflow, once it has one; None if there is no such workflow."""
        with self._mutex:
            promise = self._awaited.get(workflow_id)
            if promise is None:
                promise = Promise()
                if self._closed:
                    promise.set_error(_closed(workflow_id))
                    return promise
                self._awaited[workflow_id] = promise
                self._news.set()
            if self._poller is None:
                self._poller = threading.Thread(target=self._poll, name="durably-outcomes", daemon=True)
                self._poller.start()
            return promise

    def announce(self, workflow_id: str, outcome: Outcome | None) -> None:
        """An outcome is known: wake whoever waits for it."""
        if not self._awaited:
            return
        with self._mutex:
            promise = self._awaited.pop(workflow_id, None)
        if promise is not None:
            promise.set_result(outcome)

    @property
    def closed(self) -> bool:
        """Whether nobody can wait any more."""
        return self._closed

    def close(self) -> None:
        """Stop polling; who still waits gets NotLaunchedError."""
        with self._mutex:
            self._closed = True
            poller = self._poller
            awaited, self._awaited = self._awaited, {}
        deliver([(promise, None, _closed(workflow_id)) for workflow_id, promise in awaited.items()])
        self._news.set()
        if poller is not None:
            poller.join()

    def _poll(self) -> None:
        delay = POLL_FIRST
        while not self._closed:
            if self._clock.wait(self._news, delay if self._awaited else 3600.0):
                self._news.clear()
                delay = POLL_FIRST
                continue
            delay = min(delay * 1.5, POLL_LAST)
            self._look()

    def _look(self) -> None:
        with self._mutex:
            awaited = list(self._awaited)
        if not awaited:
            return
        try:
            found = drive(self._ledger.read(lambda session: queries.outcomes(session, awaited)))
        except Exception:
            if not self._closed:
                log.exception("could not look for outcomes; trying again")
            return
        for workflow_id in awaited:
            if workflow_id not in found or found[workflow_id] is not None:
                self.announce(workflow_id, found.get(workflow_id))


def _closed(workflow_id: str) -> NotLaunchedError:
    return NotLaunchedError(
        f"the engine was shut down before workflow {workflow_id!r} had its outcome; the workflow is not lost, and goes "
        "on wherever an executor of its application runs",
        workflow_id=workflow_id,
    )
