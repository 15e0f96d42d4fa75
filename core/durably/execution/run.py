"""One workflow that executes here: it numbers the calls, replays what is recorded, and runs what is not."""

from __future__ import annotations

from typing import Any

from durably import context
from durably.declarations import Declaration
from durably.drive import Promise
from durably.errors import NonDeterminismError
from durably.execution.child import run_child
from durably.execution.history import History
from durably.execution.services import Children, Services
from durably.execution.signals import Parked
from durably.execution.step import run_step
from durably.execution.transaction import run_transaction
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
        call_child: Children,
    ) -> None:
        self.services = services
        self.declaration = declaration
        self.workflow_id = workflow_id
        self.run_id = run_id
        self.fence = Fence(services.executor_id, attempt)
        self.asynchronous = declaration.is_async
        self.history = history
        self.call_child = call_child
        #: An earlier attempt may have left completion rows that its history does not show.
        self.recovered = attempt > 1
        #: Kept when the workflow's row is written (True), or its start came to nothing (False).
        self.begun: Promise[bool] = Promise()
        #: When the database acknowledged that this executor holds the workflow (monotonic); None before.
        self.held_since: float | None = None
        #: Why this execution must stop, once it must.
        self.stopped: str | None = None
        self.nondeterminism: NonDeterminismError | None = None
        self._function_ids: dict[str, int] = {}

    # -- calls from the workflow's code --------------------------------------------------------------------------

    async def call(self, declaration: Declaration, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:
        """Run a step, transaction or child workflow as the next function of this workflow."""
        return await self.call_at(self.next_key(), declaration, args, kwargs)

    def next_key(self) -> CheckpointKey:
        """The place of the next function of the current branch; function ids count from 1 in order of call."""
        frame = context.frame()
        branch = frame.branch if frame is not None else ""
        function_id = self._function_ids.get(branch, 0) + 1
        self._function_ids[branch] = function_id
        return CheckpointKey(branch, function_id)

    async def call_at(
        self, key: CheckpointKey, declaration: Declaration, args: tuple[Any, ...], kwargs: dict[str, Any]
    ) -> Any:
        """The same, at a place that was taken before."""
        try:
            recorded = self.history.find(key, declaration)
        except NonDeterminismError as error:
            # Kept, since user code may catch it and go on along the wrong path.
            self.nondeterminism = error
            raise
        if recorded is not None:
            return self.replayed(recorded, key, declaration)
        self.check()
        await self.services.lease.valid()
        self.check()
        if declaration.kind == "step":
            return await run_step(self, key, declaration, args, kwargs)
        if declaration.kind == "transaction":
            return await run_transaction(self, key, declaration, args, kwargs)
        return await run_child(self, key, declaration, args, kwargs)

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

    def error_checkpoint(self, error: Exception, key: CheckpointKey, name: str) -> tuple[Checkpoint, Exception]:
        """The checkpoint of an error, and the error to raise now, which is the one that a replay will raise."""
        serialization = self.services.serialization
        what = self.what("the error", key, name)
        payload = serialization.dump_error(error, what=what)
        raised = error
        if not is_faithful(error):
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
