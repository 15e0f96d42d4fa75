"""The nouns that every layer shares: statuses with their legal transitions, and the rows users see."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from enum import Enum
from typing import Any, NamedTuple


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


class Life(NamedTuple):
    """One claim of one workflow, as news of its end names it: what is late must not meet the claim after it."""

    run_id: str
    attempt: int
    workflow_id: str

    def __str__(self) -> str:
        return f"{self.run_id}/{self.attempt}/{self.workflow_id}"

    @classmethod
    def named(cls, text: str) -> Life:
        """The reverse of ``str``."""
        run_id, attempt, workflow_id = text.split("/", 2)
        return cls(run_id, int(attempt), workflow_id)


#: Ends the name of a branch that holds ends of waits, and no checkpoints of calls.
DEADLINES = "!"


class CheckpointKey(NamedTuple):
    """The place of a checkpoint within one workflow: the arm of a gather ('' outside), and the function id from 1."""

    branch: str
    function_id: int

    def __str__(self) -> str:
        return f"{self.branch}/{self.function_id}" if self.branch else str(self.function_id)

    def deadline(self) -> CheckpointKey:
        """Where the end of a wait that is not over is written down: beside its place, in a branch for that."""
        return CheckpointKey(f"{self.branch}{DEADLINES}", self.function_id)


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
    ``inputs`` (positional and named arguments), ``output`` and ``error`` are there in lists that ask for payloads; what
    this process cannot decode is given as the text that is stored.
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
    started_at: int | None
    completed_at: int | None
    parent_workflow_id: str | None
    timeout_ms: int | None
    deadline: int | None
    forked_from: str | None
    authenticated_user: str | None
    attributes: dict[str, Any] = field(default_factory=dict)
    inputs: tuple[tuple[Any, ...], dict[str, Any]] | str | None = None
    output: Any = None
    error: Exception | None = None

    @property
    def cursor(self) -> str:
        """Where a list goes on after this workflow: ``WorkflowQuery(after=last.cursor)``."""
        return f"{self.created_at}/{self.workflow_id}"


@dataclass(frozen=True)
class StepInfo:
    """One checkpoint of a workflow. Times are milliseconds since the Unix epoch."""

    #: The arm of a gather; empty outside one.
    branch: str
    function_id: int
    name: str
    child_workflow_id: str | None
    started_at: int | None
    completed_at: int | None
    failed: bool
    #: Only where payloads were asked for.
    output: Any = None
    error: Exception | None = None


@dataclass(frozen=True)
class WorkflowQuery:
    """Which workflows to list or count. Every filter that is given must hold; lists mean "one of these".

    Times are aware datetimes; ``…_after`` includes its moment, ``…_before`` does not. ``attributes``: a workflow's must
    contain these. ``after``: the ``cursor`` of the last workflow of the page before, which stays right whatever is
    added or removed meanwhile. ``payloads``: load inputs, outputs and errors, too.
    """

    workflow_ids: Sequence[str] | None = None
    workflow_id_prefix: str | None = None
    statuses: Sequence[Status | str] | None = None
    names: Sequence[str] | None = None
    application_versions: Sequence[str] | None = None
    executor_ids: Sequence[str] | None = None
    queue_names: Sequence[str] | None = None
    users: Sequence[str] | None = None
    parent_workflow_ids: Sequence[str] | None = None
    forked_from: Sequence[str] | None = None
    created_after: datetime | None = None
    created_before: datetime | None = None
    started_after: datetime | None = None
    started_before: datetime | None = None
    completed_after: datetime | None = None
    completed_before: datetime | None = None
    has_parent: bool | None = None
    has_queue: bool | None = None
    is_fork: bool | None = None
    attributes: Mapping[str, Any] | None = None
    every_application: bool = False
    newest_first: bool = False
    limit: int = 100
    after: str | None = None
    payloads: bool = False


#: What ``count_workflows`` can group by, and the column of each.
GROUPS: Mapping[str, str] = {
    "status": "status",
    "name": "name",
    "application_version": "application_version",
    "executor_id": "executor_id",
    "queue_name": "queue_name",
    "user": "authenticated_user",
}
