"""What needs no local code: looking at workflows and waiting for them, on one open system database."""

from __future__ import annotations

from typing import Any

from durably.clock import Clock
from durably.config import Settings, libpq_url, redacted, scheme, sqlite_path
from durably.errors import WaitTimeoutError, WorkflowNotFoundError
from durably.execution.outcome import decode_outcome
from durably.ledger import queries
from durably.ledger.backend import Backend
from durably.ledger.ledger import Ledger
from durably.ledger.wakeups import Outcomes
from durably.model import WorkflowStatus
from durably.registry import registry
from durably.serialization import Serialization, TypeTable


def open_ledger(settings: Settings, clock: Clock) -> Ledger:
    """The system database of these settings, connected and with its schema in place."""
    ledger = Ledger(make_backend(settings), clock, where=redacted(settings.system_database_url))
    ledger.open(run_migrations=settings.run_migrations)
    return ledger


def make_backend(settings: Settings) -> Backend:
    """The backend that the system database's address names."""
    url = settings.system_database_url
    if scheme(url) == "postgresql":
        from durably.ledger.postgres import PostgresBackend

        return PostgresBackend(libpq_url(url), pooler=settings.transaction_pooler)
    from durably.ledger.sqlite import SqliteBackend

    return SqliteBackend(sqlite_path(url))


class Connected:
    """An open ledger, and the coroutines behind every verb that needs no local code."""

    def __init__(self, ledger: Ledger, serialization: Serialization, clock: Clock) -> None:
        self.ledger = ledger
        self.serialization = serialization
        self.clock = clock
        self.outcomes = Outcomes(ledger, clock)

    async def status(self, workflow_id: str) -> WorkflowStatus:
        """The row of a workflow; WorkflowNotFoundError."""
        found = await self.ledger.read(lambda session: queries.statuses(session, [workflow_id]))
        if workflow_id not in found:
            raise WorkflowNotFoundError(f"there is no workflow with the id {workflow_id!r}", workflow_id=workflow_id)
        return found[workflow_id]

    async def result(
        self, workflow_id: str, *, timeout_seconds: float | None = None, expect: TypeTable | None = None
    ) -> Any:
        """Wait for a workflow's outcome; WaitTimeoutError, WorkflowNotFoundError, WorkflowCancelledError."""
        promise = self.outcomes.promise(workflow_id)
        if timeout_seconds is not None and not await self.clock.within(promise, timeout_seconds):
            raise WaitTimeoutError(
                f"workflow {workflow_id!r} has no outcome after {timeout_seconds:g} s; it runs on",
                workflow_id=workflow_id,
            )
        outcome = await promise
        if expect is None and outcome is not None and outcome.output is not None:
            declaration = registry.find((await self.status(workflow_id)).name)
            expect = declaration.types if declaration is not None else None
        return decode_outcome(self.serialization, workflow_id, outcome, expect)

    def close(self) -> None:
        """Stop waiting, write what is queued, and close."""
        self.outcomes.close()
        self.ledger.close()
