"""One workflow that executes here: who holds it, whether it still may, and how its checkpoints are made and read."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import Any, TypeVar, cast

from durably.crashpoints import reach
from durably.declared import Declaration
from durably.drive import Promise
from durably.errors import NonDeterminismError, WorkflowCancelledError
from durably.execution.history import History
from durably.execution.services import Services
from durably.execution.signals import Parked
from durably.ledger import queries, talk
from durably.ledger.backend import Session
from durably.ledger.commands import RecordCheckpoint, Recorded
from durably.ledger.news import Kind
from durably.model import Checkpoint, CheckpointKey, Fence, Life, Status
from durably.serialization import Payload, TypeTable, is_faithful

T = TypeVar("T")


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
        #: An earlier execution may have left completion rows that its history does not show.
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
        #: What it waits for right now; kept when it is stopped, so that it notices.
        self._waits: set[Promise[Any]] = set()

    # -- waiting -------------------------------------------------------------------------------------------------

    async def wait(self, promise: Promise[Any], seconds: float | None) -> bool:
        """Wait for a promise, at most ``seconds``; whether it was kept. Parked as soon as the run is stopped.

        Where this executor hears of a cancellation elsewhere only by looking, it looks meanwhile.
        """
        if seconds is None:
            await self._watched(promise, promise)
        else:
            await self._watched(promise, self.services.clock.within(promise, seconds))
        return promise.done()

    async def wait_along(self, promise: Promise[Any], seconds: float | None) -> None:
        """The same for a promise that others wait for, too, and that is therefore not kept when this run is stopped."""
        mine: Promise[None] = Promise()
        promise.tell(mine)
        try:
            await self.wait(mine, seconds)
        finally:
            promise.untell(mine)

    @property
    def waiting(self) -> bool:
        """Whether it waits for something durably, rather than doing something."""
        return bool(self._waits)

    async def _watched(self, promise: Promise[Any], wait: Awaitable[object]) -> None:
        life = (self.workflow_id, self.run_id, self.fence.attempt)
        with self.services.ledger.news.watch(Kind.CANCELLED, *life) as watch:
            watch.fresh()
            self._waits.add(promise)
            try:
                self.check()
                await wait
            finally:
                self._waits.discard(promise)
        self.check()

    async def pause(self, seconds: float) -> None:
        """Wait ``seconds``. Parked as soon as the run is stopped."""
        stopped: Promise[None] = Promise()
        await self._watched(stopped, self.services.clock.sleep(seconds, stopped))

    def check(self) -> None:
        """Raise Parked if this execution has lost its workflow."""
        if self.stopped is not None:
            raise Parked(self.workflow_id, self.stopped)

    async def stop_with(self, error: Exception) -> None:
        """Parked if ``error`` is the end of a workflow that was cancelled together with this one.

        It is not recorded then: when both are resumed, this one waits for the other again.
        """
        if isinstance(error, WorkflowCancelledError):
            await self.confirm()

    @property
    def life(self) -> Life:
        """What news of this claim's end names it."""
        return Life(self.run_id, self.fence.attempt, self.workflow_id)

    async def confirm(self) -> None:
        """The same, once the database has been asked."""
        found = await self.services.ledger.read(lambda session: queries.statuses(session, [self.workflow_id]))
        row = found.get(self.workflow_id)
        mine = (Status.PENDING, self.run_id, *self.fence)
        if row is None or (row.status, row.run_id, row.executor_id, row.attempt) != mine:
            self.stop("it was cancelled, or another executor took it over")
        self.check()

    def stop(self, why: str) -> None:
        """Have the execution end at its next call, or from its wait, without an outcome of its own."""
        self.stopped = why
        for promise in list(self._waits):
            promise.set_result(None)

    # -- checkpoints ---------------------------------------------------------------------------------------------

    def what(self, part: str, key: CheckpointKey, name: str) -> str:
        """How messages name a value of one call."""
        return f"{part} of {name!r} (function id {key}) in workflow {self.workflow_id!r}"

    def step_key(self, key: CheckpointKey) -> str:
        """The idempotency key of one call: the same on every attempt and every recovery."""
        return f"{self.run_id}:{key}"

    def replayed(self, recorded: Checkpoint, key: CheckpointKey, name: str, types: TypeTable) -> Any:
        """What a recorded call returned, or raise what it raised."""
        serialization = self.services.serialization
        if recorded.error is not None:
            payload = Payload(recorded.error, recorded.serialization)
            raise serialization.load_error(payload, what=self.what("the error", key, name))
        if recorded.output is None:
            return None
        return serialization.load(
            Payload(recorded.output, recorded.serialization),
            types,
            what=self.what("the output", key, name),
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
        self.heed(await self.services.ledger.record(self.command(key, checkpoint, started_at, child_workflow_id)))

    def heed(self, answer: Recorded) -> None:
        """Stop where an answer says so. Parked if another executor holds the workflow."""
        if answer is Recorded.FENCED:
            self.stop("another executor took it over")
            self.check()
        if answer is Recorded.CANCELLED:
            self.stop("it was cancelled")

    async def change(
        self,
        what: str,
        work: Callable[[Session], T],
        record: Callable[[T], RecordCheckpoint | None],
        told: Callable[[T], object] = lambda _: None,
    ) -> T:
        """Change something and record it in one transaction; Parked if another executor holds the workflow.

        ``told`` hears what was done, be it that this very workflow was deleted. Its crash points are ``{what}.before``
        and ``{what}.after``.
        """
        fence = self.command(CheckpointKey("", 0), Checkpoint("", None, None, ""), 0)
        reach(f"{what}.before")
        result, answer = await self.services.ledger.change(lambda session: talk.recorded(session, work, record, fence))
        reach(f"{what}.after")
        if result is not None:
            told(result)
        if answer is Recorded.FENCED:
            self.stop("another executor took it over")
            self.check()
        if answer is Recorded.CANCELLED:
            self.stop("it was cancelled")
        return cast("T", result)

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
