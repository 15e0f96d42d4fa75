"""What a recorded outcome stands for: the value that was returned, or the error that was raised."""

from __future__ import annotations

from typing import Any

from durably.errors import WorkflowCancelledError, WorkflowNotFoundError
from durably.model import Outcome, Status
from durably.serialization import Payload, Serialization, TypeTable

_ANY = TypeTable.for_type(Any)


def decode_outcome(
    serialization: Serialization, workflow_id: str, outcome: Outcome | None, types: TypeTable | None
) -> Any:
    """The workflow's value, or its error, raised. ``outcome`` None: there is no such workflow."""
    if outcome is None:
        raise WorkflowNotFoundError(f"there is no workflow with the id {workflow_id!r}", workflow_id=workflow_id)
    if outcome.status is Status.CANCELLED:
        raise WorkflowCancelledError(f"workflow {workflow_id!r} was cancelled", workflow_id=workflow_id)
    if outcome.error is not None:
        payload = Payload(outcome.error, outcome.serialization)
        raise serialization.load_error(payload, what=f"the error of workflow {workflow_id!r}")
    if outcome.output is None:
        return None
    payload = Payload(outcome.output, outcome.serialization)
    return serialization.load(payload, types or _ANY, what=f"the output of workflow {workflow_id!r}")
