"""The lease: proof for others that this executor lives, and for itself that nobody takes its work.

A thread of its own renews it, on a connection of its own, so that neither load nor a long drain lets it lapse. Its end
is judged by the database's clock for others, and here by a monotonic limit that begins before each renewal.
"""

from __future__ import annotations

import logging
import socket
import threading
from collections.abc import Callable

from durably.clock import Clock
from durably.drive import Promise
from durably.executors.process import identity
from durably.ledger import queries
from durably.ledger.backend import Session
from durably.ledger.ledger import Ledger
from durably.ledger.queries import Claimant

log = logging.getLogger("durably.executor")


class LeaseKeeper:
    """Keeps one executor's lease from launch to shutdown."""

    def __init__(
        self, ledger: Ledger, clock: Clock, claimant: Claimant, *, label: str | None, lease_seconds: float
    ) -> None:
        self._ledger = ledger
        self._clock = clock
        self._claimant = claimant
        self._label = label
        self._seconds = lease_seconds
        self._connection = ledger.backend.connection()
        self._limit = 0.0
        #: Told what this executor still holds, and when it began to look, before a lease that had run out counts again.
        self.lapsed: Callable[[set[str], float], None] | None = None
        self._renewed: Promise[None] = Promise()
        self._stop = threading.Event()
        self._thread: threading.Thread | None = None

    @property
    def lease_ms(self) -> int:
        """The length of a lease."""
        return int(self._seconds * 1000)

    @property
    def interval(self) -> float:
        """Seconds between two renewals."""
        return self._seconds / 3

    def open(self) -> None:
        """Make the executor known, and begin to renew."""
        self._renew(self._register)
        self._thread = threading.Thread(target=self._beat, name="durably-heartbeat", daemon=True)
        self._thread.start()

    def close(self) -> None:
        """Stop renewing, and make the executor unknown if it holds nothing any more."""
        self._stop.set()
        if self._thread is not None:
            self._thread.join()
        # Nobody renews it any more: who waits for that goes on, to find that its run has been handed back.
        self._renewed.set_result(None)
        try:
            self._connection.change(
                lambda session: queries.forget_executor(
                    session, self._claimant.application_name, self._claimant.executor_id
                )
            )
        except Exception as error:
            log.warning("could not sign off executor %s (%s); its lease runs out", self._claimant.executor_id, error)
        self._connection.close()

    async def valid(self) -> None:
        """Return while the lease is good; else wait until it has been renewed."""
        while self._clock.monotonic() > self._limit and not self._stop.is_set():
            renewed = self._renewed
            if self._clock.monotonic() > self._limit:
                await renewed

    def _beat(self) -> None:
        delay = self.interval
        while not self._clock.wait(self._stop, delay):
            try:
                self._renew(self._beat_once)
                delay = self.interval
            except Exception as error:
                delay = min(self.interval, 1.0)
                log.warning("could not renew the lease of executor %s (%s)", self._claimant.executor_id, error)

    def _renew(self, work: Callable[[Session], None]) -> None:
        began = self._clock.monotonic()
        late = self._limit != 0.0 and began > self._limit
        held = self._connection.each(lambda session: self._renewed_by(work, session, look=late))
        if late and self.lapsed is not None:
            # Others may have taken over meanwhile; no body may begin before the runs know which of them are lost.
            self.lapsed(held, began)
        self._limit = began + self._seconds
        renewed, self._renewed = self._renewed, Promise()
        renewed.set_result(None)

    def _renewed_by(self, work: Callable[[Session], None], session: Session, *, look: bool) -> set[str]:
        work(session)
        return {workflow_id for workflow_id, _ in queries.held(session, self._claimant.executor_id)} if look else set()

    def _register(self, session: Session) -> None:
        queries.register_executor(
            session,
            self._claimant,
            label=self._label,
            hostname=socket.gethostname(),
            process=identity(),
            lease_ms=self.lease_ms,
        )

    def _beat_once(self, session: Session) -> None:
        if not queries.renew_lease(session, self._claimant, self.lease_ms):
            log.warning("executor %s had been taken for dead; it lives", self._claimant.executor_id)
            self._register(session)
