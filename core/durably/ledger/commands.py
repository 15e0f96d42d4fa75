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
    parent_workflow_id: str | None
    #: How long it may execute from its first claim, and when it must have ended, by the database's clock.
    timeout_ms: int | None
    deadline_ms: int | None
    #: Whether the parent's deadline holds for it, unless it has one of its own.
    inherits_deadline: bool
    #: A JSON object.
    attributes: str | None
    inputs: str
    serialization: str

    @property
    def row(self) -> tuple[str | int | None, ...]:
        """The parameters of ``durably.sql.starting.START``: execution begins now exactly if an executor holds it."""
        begins = self.timeout_ms if self.executor_id is not None else None
        inherited = self.parent_workflow_id if self.inherits_deadline else None
        return (*self[:12], self.attributes, self.deadline_ms, begins, inherited, self.executor_id)


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


class SendMessage(NamedTuple):
    """Write a message, unless its id is there already or its destination is not.

    With a ``sender``, in the same transaction, its checkpoint, if this executor and attempt still hold the sender.
    """

    workflow_id: str
    message_id: str
    topic: str
    message: str
    serialization: str
    sender: str | None = None
    branch: str = ""
    function_id: int = 0
    executor_id: str | None = None
    attempt: int = 0
    function_name: str = ""
    started_at: int = 0


class Sent(Enum):
    """The answer to SendMessage."""

    #: It is there, now or since it was sent before.
    SENT = "sent"
    #: There is no such workflow; nothing was written.
    UNKNOWN = "unknown"
    #: Another executor or attempt holds the sender now; nothing was written.
    FENCED = "fenced"
    #: Sent, and the sender has been cancelled meanwhile.
    CANCELLED = "cancelled"


class ReceiveMessage(NamedTuple):
    """Consume the oldest message of a topic, and write it as the checkpoint, in one transaction."""

    workflow_id: str
    branch: str
    function_id: int
    executor_id: str
    attempt: int
    function_name: str
    topic: str
    started_at: int


class Received(NamedTuple):
    """The answer to ReceiveMessage: what became the checkpoint; nothing, if there is no message."""

    message: str | None = None
    serialization: str | None = None
    #: Another executor or attempt holds the workflow now; nothing was consumed.
    fenced: bool = False


class SetEvent(NamedTuple):
    """Set an event's value, if the workflow is still held by this executor and attempt."""

    workflow_id: str
    branch: str
    function_id: int
    executor_id: str
    attempt: int
    key: str
    value: str
    serialization: str


class WriteStream(NamedTuple):
    """Append to a stream, if the workflow is still held by this executor and attempt; no value closes it.

    What was written at this place with this ``sequence`` before is not written again.
    """

    workflow_id: str
    branch: str
    function_id: int
    sequence: int
    executor_id: str
    attempt: int
    key: str
    value: str | None
    serialization: str


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

Command: TypeAlias = (
    "StartWorkflow | RecordCheckpoint | SendMessage | ReceiveMessage | SetEvent | WriteStream | RecordOutcome"
)
Answer: TypeAlias = "Started | Recorded | Sent | Received | Written"


class Together(NamedTuple):
    """Commands that are written in one transaction, in this order; the answer is a tuple of theirs."""

    commands: tuple[Command, ...]


Submitted: TypeAlias = "Command | Together"


#: Statuses that an executor may write as an outcome.
OUTCOMES: frozenset[str] = frozenset(
    {Status.SUCCESS.value, Status.ERROR.value, Status.MAX_RECOVERY_ATTEMPTS_EXCEEDED.value}
)
