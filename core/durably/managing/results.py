"""Waiting for the outcomes of other workflows: one, the first of several, or all."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, Protocol

from durably.drive import Promise
from durably.errors import ConfigurationError, WaitTimeoutError
from durably.execution.calls import CallingRun
from durably.execution.outcome import decode_outcome
from durably.execution.waits import ANY, workflow_code
from durably.ledger import queries
from durably.ledger.wakeups import Outcomes
from durably.messaging.connection import Connection
from durably.model import Checkpoint, Outcome, Status
from durably.names import checked_id
from durably.registry import registry
from durably.serialization import TypeTable

GET_RESULT, WAIT_FIRST, WAIT_ALL = "durably.get_result", "durably.wait_first", "durably.wait_all"


class Waits(Connection, Protocol):
    """A connection that tells of outcomes."""

    outcomes: Outcomes
    #: Whether a workflow executes in this process.
    executes: Callable[[str], bool]


async def result(connection: Waits, workflow_id: str, timeout_seconds: float | None, expect: TypeTable | None) -> Any:
    """A workflow's value, or its error. WaitTimeoutError, WorkflowNotFoundError, WorkflowCancelledError."""
    checked_id(workflow_id, "get_result")
    run = workflow_code()
    if run is not None:
        return await _recorded_result(connection, run, workflow_id, timeout_seconds, expect)
    outcome = await _outcome(connection, None, workflow_id, timeout_seconds)
    types = await _types(connection, workflow_id, outcome, expect)
    return decode_outcome(connection.serialization, workflow_id, outcome, types)


async def _recorded_result(
    connection: Waits, run: CallingRun, workflow_id: str, timeout_seconds: float | None, expect: TypeTable | None
) -> Any:
    """The same in a workflow's code. Its checkpoint is the outcome as the other workflow recorded it."""

    async def find() -> Outcome:
        outcome = await _outcome(connection, run, workflow_id, timeout_seconds)
        if outcome is None or outcome.status is Status.CANCELLED:
            decode_outcome(connection.serialization, workflow_id, outcome, None)  # raises
        assert outcome is not None  # noqa: S101
        return outcome

    def keep(outcome: Outcome) -> Checkpoint:
        return Checkpoint(GET_RESULT, *outcome[1:])

    key = run.next_key(GET_RESULT)
    recorded = run.recorded(key, GET_RESULT)
    if recorded is None:
        await run.may_ask()
        recorded = keep(await run.found(key, GET_RESULT, find, keep, workflow_id, _is_final))
    types = expect
    if types is None and recorded.output is not None:
        types = _types_of((await _names(connection, [workflow_id])).get(workflow_id))
    return run.replayed(recorded, key, GET_RESULT, types or ANY)


def _is_final(outcome: Outcome) -> bool:
    """Whether nothing can undo it: resuming does, after a cancellation or too many recoveries."""
    return outcome.status in (Status.SUCCESS, Status.ERROR)


async def _outcome(
    connection: Waits, run: CallingRun | None, workflow_id: str, timeout_seconds: float | None
) -> Outcome | None:
    (promise,) = await _promises(connection, [workflow_id])
    if not await _kept(connection, run, promise, timeout_seconds):
        raise _too_late(workflow_id, timeout_seconds)
    return promise.result()


def _too_late(workflow_id: str, timeout_seconds: float | None) -> WaitTimeoutError:
    return WaitTimeoutError(
        f"workflow {workflow_id!r} has no outcome after {timeout_seconds:g} s; it runs on", workflow_id=workflow_id
    )


async def _promises(connection: Waits, workflow_ids: Sequence[str]) -> list[Promise[Outcome | None]]:
    """Promises of outcomes. Those that may be there already are looked for now, all in one read."""
    outcomes = connection.outcomes
    promises = [outcomes.promise(workflow_id) for workflow_id in workflow_ids]
    elsewhere = [one for one in dict.fromkeys(workflow_ids) if not connection.executes(one)]
    asked = outcomes.asked(elsewhere)
    if asked.workflow_ids:
        try:
            found = await connection.ledger.read(lambda session: queries.outcomes(session, asked.workflow_ids))
        except BaseException:
            outcomes.unanswered(asked)
            raise
        outcomes.found(asked, found)
    return promises


async def _kept(connection: Connection, run: CallingRun | None, promise: Promise[Any], seconds: float | None) -> bool:
    if run is not None:
        await run.wait_along(promise, seconds)
    elif seconds is None:
        await promise
    else:
        await connection.clock.within(promise, seconds)
    return promise.done()


async def _types(
    connection: Connection, workflow_id: str, outcome: Outcome | None, expect: TypeTable | None
) -> TypeTable | None:
    """What the caller expects, else what the workflow's own annotation says, where it is registered here."""
    if expect is not None or outcome is None or outcome.output is None:
        return expect
    return _types_of((await _names(connection, [workflow_id])).get(workflow_id))


async def _names(connection: Connection, workflow_ids: Sequence[str]) -> dict[str, str]:
    if not workflow_ids:
        return {}
    found = await connection.ledger.read(lambda session: queries.statuses(session, workflow_ids))
    return {workflow_id: status.name for workflow_id, status in found.items()}


def _types_of(name: str | None) -> TypeTable | None:
    declaration = registry.find(name) if name is not None else None
    return declaration.types if declaration is not None else None


# -- several -----------------------------------------------------------------------------------------------------


async def first(connection: Waits, workflow_ids: Sequence[str], timeout_seconds: float | None) -> str:
    """The id of the workflow that has its outcome first; of several that have one, the first in order."""
    ids = list(workflow_ids)
    if not ids:
        raise ConfigurationError("wait_first needs at least one handle")
    run = workflow_code()

    async def find() -> str:
        promises = dict(zip(ids, await _promises(connection, ids), strict=True))
        any_of_them: Promise[None] = Promise()
        for promise in promises.values():
            promise.tell(any_of_them)
        try:
            await _kept(connection, run, any_of_them, timeout_seconds)
        finally:
            for promise in promises.values():
                promise.untell(any_of_them)
        for workflow_id, promise in promises.items():
            if promise.done():
                return workflow_id
        raise WaitTimeoutError(
            f"none of {len(ids)} workflows has an outcome after {timeout_seconds:g} s; they run on",
            workflow_ids=ids,
        )

    return await (find() if run is None else run.noted(WAIT_FIRST, find, ANY))


async def all_of(
    connection: Waits, workflows: Sequence[tuple[str, TypeTable | None]], timeout_seconds: float | None
) -> list[Any]:
    """The values of all, in order; the first one's error that has one, once all have ended."""
    clock = connection.clock
    run = workflow_code()

    async def wait() -> list[list[str | None] | None]:
        """Of each the outcome, still encoded, and its name where that tells the classes; None: it is not there."""
        end = None if timeout_seconds is None else clock.monotonic() + timeout_seconds
        promises = await _promises(connection, [workflow_id for workflow_id, _ in workflows])
        for (workflow_id, _), promise in zip(workflows, promises, strict=True):
            left = None if end is None else max(end - clock.monotonic(), 0.0)
            if not promise.done() and not await _kept(connection, run, promise, left):
                raise _too_late(workflow_id, timeout_seconds)
        names = await _names(connection, [workflow_id for workflow_id, expect in workflows if expect is None])
        found: list[list[str | None] | None] = []
        for (workflow_id, _), promise in zip(workflows, promises, strict=True):
            outcome = promise.result()
            found.append(None if outcome is None else [names.get(workflow_id), str(outcome.status), *outcome[1:]])
        if run is not None and any(one is not None and one[1] == Status.CANCELLED for one in found):
            await run.confirm()  # who was cancelled together with them asks again when it is resumed
        return found

    found = await (wait() if run is None else run.noted(WAIT_ALL, wait, ANY))
    return [
        decode_outcome(
            connection.serialization, workflow_id, _outcome_of(one), expect or _types_of(one[0] if one else None)
        )
        for (workflow_id, expect), one in zip(workflows, found, strict=True)
    ]


def _outcome_of(found: list[Any] | None) -> Outcome | None:
    return None if found is None else Outcome(Status(found[1]), *found[2:])
