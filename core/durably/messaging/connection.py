"""What talking needs of an engine or client, and what the code that talks may be."""

from __future__ import annotations

from typing import Any, Protocol

from durably import context
from durably.clock import Clock
from durably.context import Body
from durably.errors import AmbientTransactionError, ConfigurationError
from durably.execution.calls import CallingRun
from durably.execution.waits import workflow_code
from durably.ledger.ledger import Ledger
from durably.model import CheckpointKey
from durably.serialization import Payload, Serialization, TypeTable


class Connection(Protocol):
    """An open system database."""

    ledger: Ledger
    serialization: Serialization
    clock: Clock


def dumped(connection: Connection, value: object, what: str) -> Payload:
    """A value as it is stored; SerializationError if it cannot be read back as it is."""
    return connection.serialization.dump(value, TypeTable.for_type(type(value)), what=what)


def expected(expect: Any) -> TypeTable:
    """The classes that a value which is read may have."""
    return TypeTable.for_type(Any if expect is None else expect)


def required_workflow(verb: str) -> CallingRun:
    """The workflow whose code runs here; ConfigurationError elsewhere."""
    run = workflow_code()
    if run is None:
        raise ConfigurationError(f"durably.{verb} is for the code of a workflow, outside its steps")
    return run


def writer(verb: str) -> tuple[CallingRun, Body | None]:
    """The workflow that writes: from its own code (None), or from the body of a step."""
    frame = context.frame()
    if frame is None or not isinstance(frame.run, CallingRun):
        raise ConfigurationError(f"durably.{verb} is for workflows and their steps; nothing else has what it writes to")
    refuse_in_transaction(verb)
    return frame.run, frame.body


def refuse_in_transaction(verb: str) -> None:
    """AmbientTransactionError in the body of a transaction, which might roll back after the write."""
    frame = context.frame()
    if frame is not None and frame.body is not None and frame.body.transaction:
        raise AmbientTransactionError(
            f"durably.{verb} was called inside transaction {frame.body.name!r} of workflow {frame.run.workflow_id!r}, "
            "which may still roll back; call it from the workflow, after the transaction",
            workflow_id=frame.run.workflow_id,
        )


def place_of(body: Body) -> tuple[CheckpointKey, int]:
    """The place of the step whose body runs, and a number for what it writes now, the same in each attempt."""
    frame = context.frame()
    branch = frame.branch if frame is not None else ""
    number = next(body.counter) if body.counter is not None else 0
    return CheckpointKey(branch, body.function_id), number
