"""The nouns that every layer shares: statuses with their legal transitions, and the rows users see."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from enum import Enum
from typing import NamedTuple


class Status(str, Enum):
    """Where a workflow is in its life. The values are what the database holds."""

    ENQUEUED = "ENQUEUED"
    DELAYED = "DELAYED"
    PENDING = "PENDING"
    SUCCESS = "SUCCESS"
    ERROR = "ERROR"
    CANCELLED = "CANCELLED"
    MAX_RECOVERY_ATTEMPTS_EXCEEDED = "MAX_RECOVERY_ATTEMPTS_EXCEEDED"

    def __str__(self) -> str:
        return self.value

    @property
    def is_final(self) -> bool:
        """Whether the workflow has its outcome."""
        return self in FINAL


#: Every legal change of status, and the word for what makes it. The docs' diagram is drawn from this table.
TRANSITIONS: Mapping[tuple[Status, Status], str] = {
    (Status.DELAYED, Status.ENQUEUED): "its delay has passed",
    (Status.DELAYED, Status.CANCELLED): "cancelled",
    (Status.ENQUEUED, Status.PENDING): "claimed by an executor",
    (Status.ENQUEUED, Status.CANCELLED): "cancelled",
    (Status.PENDING, Status.PENDING): "taken over from a lost executor",
    (Status.PENDING, Status.ENQUEUED): "handed back",
    (Status.PENDING, Status.SUCCESS): "returned",
    (Status.PENDING, Status.ERROR): "raised",
    (Status.PENDING, Status.CANCELLED): "cancelled",
    (Status.PENDING, Status.MAX_RECOVERY_ATTEMPTS_EXCEEDED): "lost its executor too often",
    (Status.CANCELLED, Status.ENQUEUED): "resumed",
    (Status.MAX_RECOVERY_ATTEMPTS_EXCEEDED, Status.ENQUEUED): "resumed",
}

FINAL: frozenset[Status] = frozenset(
    {Status.SUCCESS, Status.ERROR, Status.CANCELLED, Status.MAX_RECOVERY_ATTEMPTS_EXCEEDED}
)


class Fence(NamedTuple):
    """The fencing token: who holds a workflow, and by which of its claims. Every write carries it."""

    executor_id: str
    attempt: int


class CheckpointKey(NamedTuple):
    """The place of a checkpoint within one workflow: the arm of a gather ('' outside), and the function id from 1."""

    branch: str
    function_id: int

    def __str__(self) -> str:
        return f"{self.branch}/{self.function_id}" if self.branch else str(self.function_id)


class Checkpoint(NamedTuple):
    """A recorded output or error of a step or transaction; payloads are still encoded."""

    function_name: str
    output: str | None
    error: str | None
    serialization: str


class Outcome(NamedTuple):
    """How a workflow ended; payloads are still encoded."""

    status: Status
    output: str | None
    error: str | None
    serialization: str


@dataclass(frozen=True)
class WorkflowStatus:
    """One workflow as its row tells it. Times are milliseconds since the Unix epoch, by the database's clock.

    ``attempt`` counts every claim; ``recovery_attempts`` only those after a lost lease, since the last progress.
    """

    workflow_id: str
    run_id: str
    status: Status
    name: str
    class_name: str | None
    config_name: str | None
    application_name: str
    application_version: str | None
    executor_id: str | None
    queue_name: str | None
    attempt: int
    recovery_attempts: int
    created_at: int
    completed_at: int | None
