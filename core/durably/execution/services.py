"""What an execution needs of its engine: one object, made at launch, shared by all its runs."""

from __future__ import annotations

import threading
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Protocol

from durably.clock import Clock
from durably.drive import Promise
from durably.ledger.ledger import Ledger
from durably.ledger.wakeups import Outcomes
from durably.model import Life
from durably.serialization import Serialization

if TYPE_CHECKING:
    from durably.execution.adapters import Adapters
    from durably.execution.run import Run


LOST = "it was cancelled, or another executor took it over"
#: How many lives that are over are remembered, for claims that are on their way.
REMEMBERED = 1000


class Lease(Protocol):
    """This executor's claim to be alive, by a local, monotonic limit."""

    async def valid(self) -> None:
        """Return while the lease is good; wait for its renewal while it is not."""
        ...


@dataclass
class Services:
    """The engine's parts that executions use."""

    ledger: Ledger
    outcomes: Outcomes
    serialization: Serialization
    clock: Clock
    adapters: Adapters
    application_name: str
    application_version: str | None
    executor_id: str
    lease: Lease
    lease_ms: int
    #: How long a transaction is retried after transient failures, in seconds.
    transaction_retry_seconds: float
    #: Runs blocking work on a background thread.
    in_thread: Callable[[Callable[[], None]], None]
    #: Told in how many seconds a workflow that begins here must have ended.
    due_in: Callable[[float], None] = lambda _: None
    active: Active = field(default_factory=lambda: Active())


class Active:
    """The runs that execute in this process right now, by workflow id."""

    def __init__(self) -> None:
        self._runs: dict[str, Run] = {}
        #: What ended last and does not execute here; it may be claimed already, and about to.
        self._lost: dict[Life, None] = {}
        self._mutex = threading.Lock()
        self._empty: Promise[None] | None = None

    def add(self, run: Run) -> bool:
        """Count ``run``; False if that workflow id executes here already.

        A start whose row is not yet acknowledged gives way to a claim: the claim has the row, so the start has not. So
        does one that was stopped, and perhaps still is in the body of its last step.
        """
        with self._mutex:
            present = self._runs.get(run.workflow_id)
            stopped = present is not None and present.stopped is not None
            if present is not None and not stopped and (present.held_since is not None or run.held_since is None):
                return False
            self._runs[run.workflow_id] = run
            if run.life in self._lost:
                run.stop(LOST)
            return True

    def lose(self, life: Life) -> None:
        """That life is over: stop its execution here, now or when it is about to begin."""
        with self._mutex:
            run = self._runs.get(life.workflow_id)
            if run is None or run.life != life:
                self._lost[life] = None
                if len(self._lost) > REMEMBERED:
                    del self._lost[next(iter(self._lost))]
                return
        run.stop(LOST)

    def remove(self, run: Run) -> None:
        """Forget ``run``."""
        with self._mutex:
            if self._runs.get(run.workflow_id) is run:
                del self._runs[run.workflow_id]
            empty = self._empty if not self._runs else None
        if empty is not None:
            empty.set_result(None)

    def get(self, workflow_id: str) -> Run | None:
        """The run of that workflow id, if it executes here."""
        return self._runs.get(workflow_id)

    def runs(self) -> list[Run]:
        """All of them."""
        with self._mutex:
            return list(self._runs.values())

    def __len__(self) -> int:
        return len(self._runs)

    def drained(self) -> Promise[None]:
        """Kept when nothing executes any more."""
        with self._mutex:
            self._empty = Promise()
            if not self._runs:
                self._empty.set_result(None)
            return self._empty
