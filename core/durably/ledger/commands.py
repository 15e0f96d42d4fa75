"""The writes of the ledger as small frozen commands, and what comes back for each.

A command names its idempotency key, so that a batch whose acknowledgement was lost can be sent again: the run id for a
start, the place of the checkpoint for a record, the fencing token for an outcome. They are tuples, so that a batch
turns into columns by ``zip(*batch)``.
"""

from __future__ import annotations

from enum import Enum
from typing import NamedTuple, TypeAlias

from durably.model import Status, WorkflowStatus


class StartWorkflow(NamedTuple):
    """Write a workflow's row and its inputs, unless the workflow id is taken.

    ``executor_id`` and ``attempt`` hold it for the executor that starts it; None and 0 leave it ENQUEUED.
    """

    workflow_id: str
    run_id: str
    status: str
    name: str
    class_name: str | None
    config_name: str | None
    application_name: str
    application_version: str | None
    executor_id: str | None
    attempt: int
    inputs: str
    serialization: str


class Started(NamedTuple):
    """The answer to StartWorkflow: whether this command made the row, else the row that was there."""

    created: bool
    existing: WorkflowStatus | None = None


class RecordCheckpoint(NamedTuple):
    """Write one checkpoint, if the workflow is still held by this executor and attempt."""

    workflow_id: str
    branch: str
    function_id: int
    executor_id: str
    attempt: int
    function_name: str
    output: str | None
    error: str | None
    serialization: str
    child_workflow_id: str | None
    started_at: int


class Recorded(Enum):
    """The answer to RecordCheckpoint."""

    RECORDED = "recorded"
    #: Recorded, and the workflow has been cancelled meanwhile.
    CANCELLED = "cancelled"
    #: Another executor or attempt holds the workflow now; nothing was written.
    FENCED = "fenced"


class RecordOutcome(NamedTuple):
    """Write how a workflow ended, if it is PENDING and still held by this executor and attempt."""

    workflow_id: str
    executor_id: str
    attempt: int
    status: str
    output: str | None
    error: str | None
    serialization: str


#: The answer to RecordOutcome: True when it was written (now, or by the same command sent before).
Written = bool

Command: TypeAlias = "StartWorkflow | RecordCheckpoint | RecordOutcome"
Answer: TypeAlias = "Started | Recorded | Written"

#: Statuses that an executor may write as an outcome.
OUTCOMES: frozenset[str] = frozenset(
    {Status.SUCCESS.value, Status.ERROR.value, Status.MAX_RECOVERY_ATTEMPTS_EXCEEDED.value}
)
