"""Cancel, resume, fork, delete and attributes. In a workflow's code the change and its record are one commit."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, TypeVar
from uuid import uuid4

from durably.crashpoints import reach
from durably.errors import ConfigurationError, WorkflowNotFoundError
from durably.execution.child import child_id
from durably.execution.waits import ANY, workflow_code
from durably.ledger import manage
from durably.ledger.backend import Session
from durably.ledger.commands import RecordCheckpoint
from durably.ledger.news import Kind
from durably.messaging.connection import Connection
from durably.model import CheckpointKey, Outcome, Status

T = TypeVar("T")

Change = Callable[[Session], T]


async def _change(connection: Connection, verb: str, work: Callable[[CheckpointKey | None], Change[T]]) -> T:
    """Make a change; in a workflow's code as its next function, recorded in the same transaction.

    ``work`` is told the place, from which an id can follow, and gives what is to be done.
    """
    run = workflow_code()
    if run is None:
        reach(f"{verb}.before")
        changed = await connection.ledger.change(work(None))
        reach(f"{verb}.after")
        return changed
    name = f"durably.{verb}"

    async def perform(key: CheckpointKey) -> T:
        started_at = connection.clock.now_ms()

        def done(value: T) -> RecordCheckpoint:
            return run.command(key, run.output_checkpoint(value, key, name, ANY), started_at)

        return await run.change(verb, work(key), done)

    return await run.operation(name, perform, ANY)


async def cancel(connection: Connection, workflow_ids: Sequence[str], children: bool) -> None:
    """Cancel those that have no outcome. Ids that are not there are left out."""
    ids = list(workflow_ids)
    cancelled = await _change(connection, "cancel", lambda _: lambda session: manage.cancel(session, ids, children))
    announce_cancelled(connection, cancelled)


def announce_cancelled(connection: Any, workflow_ids: Sequence[str]) -> None:
    """Stop what executes here, and wake who waits for it here."""
    for workflow_id in workflow_ids:
        connection.ledger.news.happened(Kind.CANCELLED, workflow_id)
        connection.ledger.news.happened(Kind.OUTCOME, workflow_id)
        connection.outcomes.announce(workflow_id, Outcome(Status.CANCELLED, None, None, ""))


async def resume(connection: Connection, workflow_ids: Sequence[str]) -> None:
    """Let those that were cancelled or set aside go on where they stopped. WorkflowNotFoundError."""
    ids = list(workflow_ids)

    def work(_: CheckpointKey | None) -> Change[list[list[str]]]:
        return lambda session: [list(one) for one in manage.resume(session, ids)]

    there, resumed = await _change(connection, "resume", work)
    _require(ids, there)
    if resumed:
        connection.ledger.news.happened(Kind.WORK, "")


def _require(workflow_ids: Sequence[str], there: Sequence[str]) -> None:
    missing = [one for one in workflow_ids if one not in there]
    if missing:
        names = ", ".join(map(repr, missing))
        raise WorkflowNotFoundError(f"there is no workflow with the id {names}", workflow_id=missing[0])


async def fork(
    connection: Connection,
    source: str,
    start_step: int,
    workflow_id: str | None,
    application_version: str | None,
) -> str:
    """Make a new workflow that begins as another one did, and goes on from ``start_step``; its id."""
    if start_step < 1:
        raise ConfigurationError(f"start_step is {start_step!r}; steps are counted from 1, which runs everything again")
    run, run_id, fresh = workflow_code(), uuid4().hex, str(uuid4())

    def work(key: CheckpointKey | None) -> Change[str | None]:
        new = workflow_id or (fresh if key is None or run is None else child_id(run, key))

        def change(session: Session) -> str | None:
            return new if manage.fork(session, source, start_step, new, run_id, application_version) else None

        return change

    made = await _change(connection, "fork", work)
    if made is None:
        raise WorkflowNotFoundError(f"there is no workflow with the id {source!r} to fork", workflow_id=source)
    connection.ledger.news.happened(Kind.WORK, "")
    return made


async def delete(connection: Connection, workflow_ids: Sequence[str], children: bool) -> None:
    """Forget workflows with all that is recorded of them. Ids that are not there are left out."""
    ids = list(workflow_ids)
    deleted = await _change(connection, "delete", lambda _: lambda session: manage.delete(session, ids, children))
    for one in deleted:
        connection.ledger.news.happened(Kind.CANCELLED, one)
        connection.ledger.news.happened(Kind.OUTCOME, one)


async def update_attributes(connection: Connection, workflow_id: str, attributes: str | None) -> None:
    """Replace a workflow's attributes. WorkflowNotFoundError."""

    def work(_: CheckpointKey | None) -> Change[bool]:
        return lambda session: manage.set_attributes(session, workflow_id, attributes)

    if not await _change(connection, "attributes", work):
        raise WorkflowNotFoundError(f"there is no workflow with the id {workflow_id!r}", workflow_id=workflow_id)
