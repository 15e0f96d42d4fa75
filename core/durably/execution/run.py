"""One workflow that executes here: who holds it, whether it still may, and how its checkpoints are made and read."""

from __future__ import annotations

from typing import Any

from durably.declared import Declaration
from durably.drive import Promise
from durably.errors import NonDeterminismError
from durably.execution.history import History
from durably.execution.services import Services
from durably.execution.signals import Parked
from durably.ledger.commands import RecordCheckpoint, Recorded
from durably.model import Checkpoint, CheckpointKey, Fence
from durably.serialization import Payload, TypeTable, is_faithful


class Run:
    """The execution of one claim of one workflow."""

    def __init__(
        self,
        services: Services,
        declaration: Declaration,
        workflow_id: str,
        run_id: str,
        attempt: int,
        history: History,
    ) -> None:
        self.services = services
        self.declaration = declaration
        self.workflow_id = workflow_id
        self.run_id = run_id
        self.fence = Fence(services.executor_id, attempt)
        self.asynchronous = declaration.is_async
        self.history = history
        #: An earlier attempt may have left completion rows that its history does not show.
        self.recovered = attempt > 1
        #: Kept when the workflow's row is written (True), or its start came to nothing (False).
        self.begun: Promise[bool] = Promise()
        #: Before this moment (monotonic) the database had not been asked to let this executor hold the workflow.
        self.asked_at = services.clock.monotonic()
        #: When the database acknowledged that this executor holds the workflow (monotonic); None before.
        self.held_since: float | None = None
        #: Why this execution must stop, once it must.
        self.stopped: str | None = None
        self.nondeterminism: NonDeterminismError | None = None

    def check(self) -> None:
        """Raise Parked if this execution has lost its workflow."""
        if self.stopped is not None:
            raise Parked(self.workflow_id, self.stopped)

    def stop(self, why: str) -> None:
        """Have the execution end at its next call, without an outcome of its own."""
        self.stopped = why

    # -- checkpoints ---------------------------------------------------------------------------------------------

    def what(self, part: str, key: CheckpointKey, name: str) -> str:
        """How messages name a value of one call."""
        return f"{part} of {name!r} (function id {key}) in workflow {self.workflow_id!r}"

    def step_key(self, key: CheckpointKey) -> str:
        """The idempotency key of one call: the same on every attempt and every recovery."""
        return f"{self.run_id}:{key}"

    def replayed(self, recorded: Checkpoint, key: CheckpointKey, declaration: Declaration) -> Any:
        """What a recorded call returned, or raise what it raised."""
        serialization = self.services.serialization
        if recorded.error is not None:
            payload = Payload(recorded.error, recorded.serialization)
            raise serialization.load_error(payload, what=self.what("the error", key, declaration.name))
        if recorded.output is None:
            return None
        return serialization.load(
            Payload(recorded.output, recorded.serialization),
            declaration.types,
            what=self.what("the output", key, declaration.name),
        )

    def output_checkpoint(self, value: Any, key: CheckpointKey, name: str, types: TypeTable) -> Checkpoint:
        """The checkpoint of a value; SerializationError if it cannot make the round trip."""
        payload = self.services.serialization.dump(value, types, what=self.what("the output", key, name))
        return Checkpoint(name, payload.text, None, payload.serialization)

    def error_checkpoint(
        self, error: Exception | SystemExit, key: CheckpointKey, name: str
    ) -> tuple[Checkpoint, Exception]:
        """The checkpoint of an error, and the error to raise now, which is the one that a replay will raise."""
        serialization = self.services.serialization
        what = self.what("the error", key, name)
        payload = serialization.dump_error(error, what=what)
        if isinstance(error, Exception) and is_faithful(error):
            raised = error
        else:
            raised = serialization.load_error(payload, what=what)
            raised.__cause__ = error
        return Checkpoint(name, None, payload.text, payload.serialization), raised

    async def record(
        self,
        key: CheckpointKey,
        checkpoint: Checkpoint,
        started_at: int,
        child_workflow_id: str | None = None,
    ) -> None:
        """Write a checkpoint; Parked if another executor holds the workflow."""
        answer = await self.services.ledger.record(self.command(key, checkpoint, started_at, child_workflow_id))
        if answer is Recorded.FENCED:
            self.stop("another executor took it over")
            self.check()
        if answer is Recorded.CANCELLED:
            self.stop("it was cancelled")

    def command(
        self,
        key: CheckpointKey,
        checkpoint: Checkpoint,
        started_at: int,
        child_workflow_id: str | None = None,
    ) -> RecordCheckpoint:
        """The command that writes a checkpoint of this run."""
        return RecordCheckpoint(
            self.workflow_id,
            key.branch,
            key.function_id,
            self.fence.executor_id,
            self.fence.attempt,
            *checkpoint,
            child_workflow_id,
            started_at,
        )
