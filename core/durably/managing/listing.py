"""Lists and counts of workflows, and the steps of one. Payloads are loaded only on request."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import Any

from durably.errors import ConfigurationError
from durably.execution.waits import ANY
from durably.ledger import listing
from durably.ledger.listing import Listed
from durably.messaging.connection import Connection
from durably.model import GROUPS, Status, StepInfo, WorkflowQuery, WorkflowStatus
from durably.registry import registry
from durably.serialization import Payload, TypeTable

LONGEST_PAGE = 10_000


async def workflows(connection: Connection, application_name: str, query: WorkflowQuery) -> list[WorkflowStatus]:
    """One page of a list."""
    _check(query)
    found = await connection.ledger.read(lambda session: listing.workflows(session, query, application_name))
    return [_with_payloads(connection, one) for one in found] if query.payloads else [one.status for one in found]


def _check(query: WorkflowQuery) -> None:
    if not 1 <= query.limit <= LONGEST_PAGE:
        raise ConfigurationError(f"limit is {query.limit!r}; give 1 to {LONGEST_PAGE}, and page with `after`")
    for status in query.statuses or ():
        if str(status) not in [one.value for one in Status]:
            raise ConfigurationError(f"{status!r} is no status; there are: {', '.join(Status)}")
    for name in ("created", "started", "completed"):
        for moment in (getattr(query, f"{name}_after"), getattr(query, f"{name}_before")):
            if moment is not None and moment.tzinfo is None:
                raise ConfigurationError(f"{name}_… {moment!r} has no time zone; give an aware datetime")
    if query.after is not None and not query.after.partition("/")[0].isdecimal():
        raise ConfigurationError(f"after={query.after!r} is no cursor; take the `cursor` of a listed workflow")


def _with_payloads(connection: Connection, listed: Listed) -> WorkflowStatus:
    """Decoded as the workflow's own annotations say, where it is registered here."""
    declaration = registry.find(listed.status.name)
    types = declaration.types if declaration is not None else ANY
    what = f"a payload of workflow {listed.status.workflow_id!r}"
    serialization = connection.serialization
    return replace(
        listed.status,
        inputs=None if listed.inputs is None else serialization.load_arguments(listed.inputs, types, what=what),
        output=None if listed.output is None else serialization.load(listed.output, types, what=what),
        error=None if listed.error is None else serialization.load_error(listed.error, what=what),
    )


async def count(
    connection: Connection, application_name: str, query: WorkflowQuery, group_by: Sequence[str]
) -> dict[tuple[str | None, ...], int]:
    """How many workflows there are, by group."""
    _check(query)
    for name in group_by:
        if name not in GROUPS:
            raise ConfigurationError(f"cannot group by {name!r}; there are: {', '.join(GROUPS)}")
    groups = tuple(group_by)
    return await connection.ledger.read(lambda session: listing.count(session, query, application_name, groups))


async def steps(connection: Connection, workflow_id: str, payloads: bool) -> list[StepInfo]:
    """The steps of a workflow that are recorded."""
    found = await connection.ledger.read(lambda session: listing.steps(session, workflow_id, payloads))
    return [_step(connection, workflow_id, *one) for one in found]


def _step(
    connection: Connection, workflow_id: str, step: StepInfo, output: Payload | None, error: Payload | None
) -> StepInfo:
    if output is None and error is None:
        return step
    declaration = registry.find(step.name)
    types: TypeTable = declaration.types if declaration is not None else ANY
    what = f"step {step.function_id} ({step.name!r}) of workflow {workflow_id!r}"
    value: Any = None if output is None else connection.serialization.load(output, types, what=what)
    failure = None if error is None else connection.serialization.load_error(error, what=what)
    return replace(step, output=value, error=failure)


async def stranded(connection: Connection, application_name: str, limit: int) -> list[WorkflowStatus]:
    """What is in flight on versions that no living executor runs."""
    return await connection.ledger.read(lambda session: listing.stranded(session, application_name, limit))
