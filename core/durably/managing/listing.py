"""Lists and counts of workflows, and the steps of one. Payloads are loaded only on request.

In a workflow's code what was found is recorded as the database gave it, and a replay sees the same.
"""

from __future__ import annotations

import logging
import re
from collections.abc import Callable, Collection, Sequence
from dataclasses import replace
from typing import Any

from durably.ambient import checked_attributes
from durably.errors import ConfigurationError, SerializationError
from durably.execution.waits import ANY, workflow_code
from durably.ledger import listing
from durably.ledger.backend import Session
from durably.ledger.listing import Listed, Row
from durably.messaging.connection import Connection
from durably.model import GROUPS, Status, StepInfo, WorkflowQuery, WorkflowStatus
from durably.names import checked_id, checked_text
from durably.registry import registry
from durably.serialization import Payload

log = logging.getLogger("durably")

LONGEST_PAGE = 10_000
_CURSOR = re.compile(r"[0-9]{1,18}/.+", re.DOTALL)


async def _read(connection: Connection, verb: str, work: Callable[[Session], list[Row]]) -> list[Row]:
    run = workflow_code()
    if run is None:
        return await connection.ledger.read(work)
    return await run.noted(f"durably.{verb}", lambda: connection.ledger.read(work), ANY)


async def workflows(connection: Connection, application_name: str | None, query: WorkflowQuery) -> list[WorkflowStatus]:
    """One page of a list."""
    _check(query)
    rows = await _read(
        connection, "list_workflows", lambda session: listing.workflows(session, query, application_name)
    )
    found = [listing.listed(row) for row in rows]
    return [_with_payloads(connection, one) for one in found] if query.payloads else [one.status for one in found]


def _check(query: WorkflowQuery) -> None:
    _check_limit(query.limit)
    _check_texts(query)
    for status in query.statuses or ():
        if str(status) not in [one.value for one in Status]:
            raise ConfigurationError(f"{status!r} is no status; there are: {', '.join(Status)}")
    for name in ("created", "started", "completed"):
        for moment in (getattr(query, f"{name}_after"), getattr(query, f"{name}_before")):
            if moment is not None and moment.tzinfo is None:
                raise ConfigurationError(f"{name}_… {moment!r} has no time zone; give an aware datetime")
    if query.after is not None and not _CURSOR.fullmatch(query.after):
        raise ConfigurationError(f"after={query.after!r} is no cursor; take the `cursor` of a listed workflow")
    if query.attributes is not None:
        checked_attributes(query.attributes)


def _check_texts(query: WorkflowQuery) -> None:
    for name, value in vars(query).items():
        if value is None or name == "attributes":
            continue
        if name in ("workflow_id_prefix", "after"):
            checked_text(value, f"{name} of a query")
        elif isinstance(value, str):
            raise ConfigurationError(f"{name} is {value!r}; give a list of what it may be")
        elif isinstance(value, Collection):
            for one in value:
                checked_text(one, f"one of {name} of a query")


def _check_limit(limit: int) -> None:
    if not 1 <= limit <= LONGEST_PAGE:
        raise ConfigurationError(f"limit is {limit!r}; give 1 to {LONGEST_PAGE}, and page with `after`")


def _with_payloads(connection: Connection, listed: Listed) -> WorkflowStatus:
    """Decoded as the workflow's own annotations say, where it is registered here."""
    declaration = registry.find(listed.status.name)
    types = declaration.types if declaration is not None else ANY
    of = f"workflow {listed.status.workflow_id!r}"
    load, load_arguments = connection.serialization.load, connection.serialization.load_arguments
    return replace(
        listed.status,
        inputs=_decoded(listed.inputs, lambda one: load_arguments(one, types, what=f"the arguments of {of}")),
        output=_decoded(listed.output, lambda one: load(one, types, what=f"the output of {of}")),
        error=_error(connection, listed.error, f"the error of {of}"),
    )


def _decoded(payload: Payload | None, load: Callable[[Payload], Any]) -> Any:
    """The value; its text where this process cannot read it, so that a list does not fail for one row."""
    if payload is None:
        return None
    try:
        return load(payload)
    except SerializationError as error:
        log.warning("listed as the text that is stored: %s", error)
        return payload.text


def _error(connection: Connection, payload: Payload | None, what: str) -> Exception | None:
    return None if payload is None else connection.serialization.load_error(payload, what=what)


async def count(
    connection: Connection, application_name: str | None, query: WorkflowQuery, group_by: Sequence[str]
) -> dict[tuple[str | None, ...], int]:
    """How many workflows there are, by group."""
    _check(query)
    if isinstance(group_by, str):
        raise ConfigurationError(f"group_by is {group_by!r}; give a list of what to group by")
    for name in group_by:
        if name not in GROUPS:
            raise ConfigurationError(f"cannot group by {name!r}; there are: {', '.join(GROUPS)}")
    groups = tuple(group_by)
    rows = await _read(
        connection, "count_workflows", lambda session: listing.count(session, query, application_name, groups)
    )
    return {tuple(row[1:]): row[0] for row in rows}


async def steps(connection: Connection, workflow_id: str, payloads: bool) -> list[StepInfo]:
    """The steps of a workflow that are recorded."""
    checked_id(workflow_id, "list_workflow_steps")
    rows = await _read(connection, "list_workflow_steps", lambda session: listing.steps(session, workflow_id, payloads))
    return [_step(connection, workflow_id, *listing.step(row)) for row in rows]


def _step(
    connection: Connection, workflow_id: str, step: StepInfo, output: Payload | None, error: Payload | None
) -> StepInfo:
    if output is None and error is None:
        return step
    declaration = registry.find(step.name)
    types = declaration.types if declaration is not None else ANY
    what = f"step {step.function_id} ({step.name!r}) of workflow {workflow_id!r}"
    return replace(
        step,
        output=_decoded(output, lambda one: connection.serialization.load(one, types, what=what)),
        error=_error(connection, error, what),
    )


async def stranded(connection: Connection, application_name: str | None, limit: int) -> list[WorkflowStatus]:
    """What is in flight on versions that no living executor runs."""
    _check_limit(limit)
    rows = await _read(
        connection, "list_stranded_workflows", lambda session: listing.stranded(session, application_name, limit)
    )
    return [listing.listed(row).status for row in rows]
