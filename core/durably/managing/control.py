"""Cancel, resume, fork, delete and attributes. In a workflow's code the change and its record are one commit."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, Protocol, TypeVar
from uuid import uuid4

from durably.crashpoints import reach
from durably.errors import ConfigurationError, WorkflowIdConflictError, WorkflowNotFoundError
from durably.execution.child import child_id
from durably.execution.waits import ANY, workflow_code
from durably.ledger import manage
from durably.ledger.backend import Session
from durably.ledger.commands import RecordCheckpoint
from durably.ledger.manage import Forked
from durably.ledger.news import Kind
from durably.ledger.wakeups import CANCELLED, Outcomes, announce_ends
from durably.messaging.connection import Connection
from durably.model import CheckpointKey, Life
from durably.names import checked_id, checked_new_id

T = TypeVar("T")

Change = Callable[[Session], T]


class Changed(Connection, Protocol):
    """A connection that tells of outcomes."""

    outcomes: Outcomes


async def _change(
    connection: Changed,
    verb: str,
    work: Callable[[CheckpointKey | None], Change[T]],
    told: Callable[[T], object],
    keep: Callable[[T], Any],
) -> Any:
    """Make a change; in a workflow's code as its next function, recorded in the same transaction.

    ``work`` is told the place, from which an id can follow, and gives what is to be done; ``told`` hears what came of
    it, unless that is replayed; ``keep`` says what of it is recorded and given back.
    """
    run = workflow_code()
    if run is None:
        reach(f"{verb}.before")
        changed = await connection.ledger.change(work(None))
        reach(f"{verb}.after")
        told(changed)
        return keep(changed)
    name = f"durably.{verb}"

    async def perform(key: CheckpointKey) -> Any:
        started_at = connection.clock.now_ms()

        def done(value: T) -> RecordCheckpoint:
            return run.command(key, run.output_checkpoint(keep(value), key, name, ANY), started_at)

        return keep(await run.change(verb, work(key), done, told))

    return await run.operation(name, perform, ANY)


async def cancel(connection: Changed, workflow_ids: Sequence[str], children: bool) -> None:
    """Cancel those that have no outcome. Ids that are not there are left out."""
    ids, moment = _listed(workflow_ids, "cancel_workflow"), connection.outcomes.moment
    await _change(
        connection,
        "cancel",
        lambda _: lambda session: manage.cancel(session, ids, children),
        lambda lives: announce_ends(connection.ledger.news, connection.outcomes, lives, CANCELLED, moment),
        _ids,
    )


def _ids(lives: Sequence[Life]) -> list[str]:
    return [life.workflow_id for life in lives]


def _listed(workflow_ids: Sequence[str], verb: str) -> list[str]:
    if isinstance(workflow_ids, str):
        raise ConfigurationError(f"{workflow_ids!r} is one id; give a list of ids, or use the verb for one workflow")
    return [checked_id(one, verb) for one in workflow_ids]


async def resume(connection: Changed, workflow_ids: Sequence[str]) -> None:
    """Let those that were cancelled or set aside go on where they stopped. WorkflowNotFoundError."""
    ids = _listed(workflow_ids, "resume_workflow")

    def work(_: CheckpointKey | None) -> Change[list[list[str]]]:
        return lambda session: [list(one) for one in manage.resume(session, ids)]

    def told(changed: list[list[str]]) -> None:
        if changed[1]:
            connection.ledger.news.happened(Kind.WORK, "")

    there, _resumed = await _change(connection, "resume", work, told, lambda changed: changed)
    _require(ids, there)


def _require(workflow_ids: Sequence[str], there: Sequence[str]) -> None:
    missing = [one for one in workflow_ids if one not in there]
    if missing:
        names = ", ".join(map(repr, missing))
        raise WorkflowNotFoundError(f"there is no workflow with the id {names}", workflow_id=missing[0])


async def fork(
    connection: Changed,
    source: str,
    start_step: int,
    workflow_id: str | None,
    application_version: str | None,
) -> str:
    """Make a new workflow that begins as another one did, and goes on from ``start_step``; its id."""
    checked_id(source, "fork_workflow")
    if start_step < 1:
        raise ConfigurationError(f"start_step is {start_step!r}; steps are counted from 1, which runs everything again")
    if workflow_id is not None:
        checked_new_id(workflow_id)
    run, run_id, fresh = workflow_code(), uuid4().hex, str(uuid4())

    def work(key: CheckpointKey | None) -> Change[list[str]]:
        new = workflow_id or (fresh if key is None or run is None else child_id(run, key))

        def change(session: Session) -> list[str]:
            return [new, manage.fork(session, source, start_step, new, run_id, application_version).value]

        return change

    new, made = await _change(
        connection,
        "fork",
        work,
        lambda _: connection.ledger.news.happened(Kind.WORK, ""),
        lambda changed: changed,
    )
    if made == Forked.MISSING:
        raise WorkflowNotFoundError(f"there is no workflow with the id {source!r} to fork", workflow_id=source)
    if made == Forked.TAKEN:
        raise WorkflowIdConflictError(
            f"workflow id {new!r} is taken by a workflow that is no fork of {source!r}; give the fork another id",
            workflow_id=new,
        )
    return str(new)


async def delete(connection: Changed, workflow_ids: Sequence[str], children: bool) -> None:
    """Forget workflows with all that is recorded of them. Ids that are not there are left out."""
    ids, moment = _listed(workflow_ids, "delete_workflow"), connection.outcomes.moment
    await _change(
        connection,
        "delete",
        lambda _: lambda session: manage.delete(session, ids, children),
        lambda lives: announce_ends(connection.ledger.news, connection.outcomes, lives, None, moment),
        _ids,
    )


async def update_attributes(connection: Changed, workflow_id: str, attributes: str | None) -> None:
    """Replace a workflow's attributes. WorkflowNotFoundError."""
    checked_id(workflow_id, "update_workflow_attributes")

    def work(_: CheckpointKey | None) -> Change[bool]:
        return lambda session: manage.set_attributes(session, workflow_id, attributes)

    if not await _change(connection, "attributes", work, lambda _: None, lambda found: found):
        raise WorkflowNotFoundError(f"there is no workflow with the id {workflow_id!r}", workflow_id=workflow_id)
