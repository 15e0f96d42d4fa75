"""Workflows from their start or claim to their outcome, in whichever thread or task calls.

The same coroutines run a workflow in its caller's thread, in a background thread, and on an event loop.
"""

from __future__ import annotations

import logging
import threading
from typing import Any, NamedTuple
from uuid import uuid4

from durably import context
from durably.context import CurrentEngine, Frame
from durably.declared import Declaration
from durably.errors import (
    NotLaunchedError,
    NotRegisteredError,
    RecoveryAttemptsExceededError,
    WorkflowIdConflictError,
)
from durably.execution.calls import CallingRun
from durably.execution.history import History
from durably.execution.joining import Open, refuse_start
from durably.execution.outcome import decode_outcome
from durably.execution.receivers import bind, receiver_names, split
from durably.execution.run import Run
from durably.execution.services import Services
from durably.execution.signals import ExecutionSignal, HandedBack, Parked
from durably.ledger import queries
from durably.ledger.commands import RecordCheckpoint, RecordOutcome, Started, StartWorkflow
from durably.ledger.queries import Claimed
from durably.model import CheckpointKey, Outcome, Status, WorkflowStatus
from durably.registry import registry
from durably.serialization import Payload, TypeTable

log = logging.getLogger("durably.execution")


class Ready(NamedTuple):
    """A run that this process holds, and what its function is to be called with."""

    run: CallingRun
    args: tuple[Any, ...]
    kwargs: dict[str, Any]
    #: Somebody waits for the value, also if another executor finds it; else the execution is over when it is lost.
    called: bool = False


class Runner:
    """Starts and executes workflows for one engine."""

    def __init__(self, services: Services, engine: CurrentEngine) -> None:
        self.services = services
        self.engine = engine

    # -- starting ------------------------------------------------------------------------------------------------

    async def call(
        self, declaration: Declaration, args: tuple[Any, ...], kwargs: dict[str, Any], workflow_id: str
    ) -> Any:
        """Start a workflow and execute it here; if the id is taken, wait for that one's outcome."""
        ready = await self.start(declaration, args, kwargs, workflow_id)
        if ready is None:
            return await self.result(workflow_id, declaration)
        return await self.execute(ready._replace(called=True))

    async def call_child(
        self, declaration: Declaration, workflow_id: str, args: tuple[Any, ...], kwargs: dict[str, Any]
    ) -> Any:
        """The same for a child; that it is handed back, or this engine shuts down, is not the child's error."""
        try:
            ready = await self.start(declaration, args, kwargs, workflow_id)
            if ready is None:
                return await self.result(workflow_id, declaration)
            return await self._execute(ready._replace(called=True))
        except NotLaunchedError as error:
            if not self.services.outcomes.closed:
                raise  # the child's own, of another engine
            raise Parked(workflow_id, str(error)) from error

    async def start(
        self, declaration: Declaration, args: tuple[Any, ...], kwargs: dict[str, Any], workflow_id: str
    ) -> Ready | None:
        """Write the workflow's row, held by this executor; None if the id is taken by an earlier start."""
        run = self._run(declaration, workflow_id, uuid4().hex, 1, History(workflow_id))
        command = self.command(run, declaration, args, kwargs, held=True)
        while not self.services.active.add(run):
            # An earlier start is on its way, or running, in this very process.
            earlier = self.services.active.get(workflow_id)
            if earlier is not None and await earlier.begun and await self._is_there(earlier, declaration, command):
                return None
        created = False
        try:
            started = await self.services.ledger.start(command)
            created = started.created
        finally:
            if not created:
                self.services.active.remove(run)
            run.begun.set_result(created)
        if not created:
            self.refuse_conflict(declaration, command, started.existing)
            return None
        run.held_since = self.services.clock.monotonic()
        self._expect_end(command)
        return Ready(run, args, kwargs)

    def _expect_end(self, command: StartWorkflow) -> None:
        if command.timeout_ms is not None:
            self.services.due_in(command.timeout_ms / 1000)
        elif command.deadline_ms is not None:
            self._expect_at(command.deadline_ms)

    def _expect_at(self, deadline_ms: int) -> None:
        self.services.due_in((deadline_ms - self.services.clock.now_ms()) / 1000)

    async def start_beside(
        self,
        declaration: Declaration,
        args: tuple[Any, ...],
        kwargs: dict[str, Any],
        workflow_id: str,
        done: RecordCheckpoint,
        *,
        held: bool,
    ) -> Ready | None:
        """Write a child's row and its parent's checkpoint in one transaction; what is to run here, if ``held``."""
        run = self._run(declaration, workflow_id, uuid4().hex, int(held), History(workflow_id))
        command = self.command(run, declaration, args, kwargs, held=held)
        added = held and self.services.active.add(run)
        started = Started(False)
        try:
            started, _ = await self.services.ledger.write("child", command, done)
        finally:
            if added and not started.created:
                self.services.active.remove(run)
            run.begun.set_result(started.created)
        if not started.created:
            self.refuse_conflict(declaration, command, started.existing)
        if not started.created or not added:
            return None
        run.held_since = self.services.clock.monotonic()
        self._expect_end(command)
        return Ready(run, args, kwargs)

    def command(
        self, run: Run, declaration: Declaration, args: tuple[Any, ...], kwargs: dict[str, Any], *, held: bool
    ) -> StartWorkflow:
        """The command that starts ``run``: held by this executor, or left for any."""
        class_name, config_name = receiver_names(declaration, args)
        inputs = self.services.serialization.dump_arguments(
            split(declaration, args)[1],
            kwargs,
            declaration.types,
            what=f"the arguments of {declaration} with workflow id {run.workflow_id!r}",
        )
        options, frame = context.options(), context.frame()
        parent = frame.run.workflow_id if frame is not None else None
        return StartWorkflow(
            workflow_id=run.workflow_id,
            run_id=run.run_id,
            status=(Status.PENDING if held else Status.ENQUEUED).value,
            name=declaration.name,
            class_name=class_name,
            config_name=config_name,
            application_name=self.services.application_name,
            application_version=options.application_version or self.services.application_version,
            executor_id=self.services.executor_id if held else None,
            attempt=1 if held else 0,
            parent_workflow_id=parent,
            timeout_ms=options.timeout_ms,
            deadline_ms=options.deadline_ms,
            inherits_deadline=parent is not None
            and not (options.detached or options.timeout_ms is not None or options.deadline_ms is not None),
            attributes=options.attributes,
            inputs=inputs.text,
            serialization=inputs.serialization,
        )

    async def leave(
        self, declaration: Declaration, args: tuple[Any, ...], kwargs: dict[str, Any], workflow_id: str
    ) -> None:
        """Write the workflow's row for any executor of this application."""
        command = self._command_to_leave(declaration, args, kwargs, workflow_id)
        started = await self.services.ledger.start(command)
        if not started.created:
            self.refuse_conflict(declaration, command, started.existing)

    async def join(
        self, joined: Open, declaration: Declaration, args: tuple[Any, ...], kwargs: dict[str, Any], workflow_id: str
    ) -> None:
        """Write the row in the transaction that the caller has open, for any executor once that commits."""
        if not await joined.holds(self.services.ledger):
            raise refuse_start(declaration, joined)
        command = self._command_to_leave(declaration, args, kwargs, workflow_id)
        started = await joined.start(command)
        if not started.created:
            self.refuse_conflict(declaration, command, started.existing)

    def _command_to_leave(
        self, declaration: Declaration, args: tuple[Any, ...], kwargs: dict[str, Any], workflow_id: str
    ) -> StartWorkflow:
        run = self._run(declaration, workflow_id, uuid4().hex, 0, History(workflow_id))
        return self.command(run, declaration, args, kwargs, held=False)

    def refuse_conflict(
        self, declaration: Declaration, command: StartWorkflow, existing: WorkflowStatus | None
    ) -> None:
        """Raise WorkflowIdConflictError if the id belongs to another workflow than the one started now."""
        if existing is None or (
            existing.name in (declaration.name, *declaration.aliases)
            and (existing.class_name, existing.config_name) == (command.class_name, command.config_name)
            and existing.application_name == command.application_name
        ):
            return
        raise WorkflowIdConflictError(
            f"workflow id {command.workflow_id!r} is taken by {existing.name!r} of application "
            f"{existing.application_name!r}; give this start of {declaration.name!r} another id",
            workflow_id=command.workflow_id,
            existing=existing.name,
        )

    async def _is_there(self, earlier: Run, declaration: Declaration, command: StartWorkflow) -> bool:
        """Whether the workflow that runs here already is there; if it was deleted, it makes room."""
        rows = await self.services.ledger.read(lambda session: queries.statuses(session, [command.workflow_id]))
        row = rows.get(command.workflow_id)
        if row is None:
            earlier.stop("it was deleted")
            return False
        self.refuse_conflict(declaration, command, row)
        return True

    def _run(
        self, declaration: Declaration, workflow_id: str, run_id: str, attempt: int, history: History
    ) -> CallingRun:
        return CallingRun(self.services, declaration, workflow_id, run_id, attempt, history, call_child=self.call_child)

    # -- claimed -------------------------------------------------------------------------------------------------

    async def adopt(self, claimed: list[Claimed], asked_at: float, *, again: bool = False) -> list[Ready]:
        """Make runs of workflows that this executor claimed after ``asked_at``, with their histories in one read.

        ``again``: they have run here before in the same attempt, and were interrupted.
        """
        if not claimed:
            return []
        ids = [one.status.workflow_id for one in claimed]
        histories = await self.services.ledger.read(lambda session: queries.history(session, ids))
        ready = []
        for one in claimed:
            adopted = await self._adopt(one, histories[one.status.workflow_id], asked_at)
            if adopted is not None:
                adopted.run.recovered |= again
                ready.append(adopted)
        return ready

    async def _adopt(self, claimed: Claimed, recorded: Any, asked_at: float) -> Ready | None:
        status = claimed.status
        declaration = registry.find(status.name)
        if declaration is None:
            raise NotRegisteredError(f"workflow function {status.name!r} is not registered", name=status.name)
        run = self._run(
            declaration,
            status.workflow_id,
            status.run_id,
            status.attempt,
            History(status.workflow_id, recorded),
        )
        run.asked_at, run.held_since = asked_at, self.services.clock.monotonic()
        if status.deadline is not None:
            self._expect_at(status.deadline)
        run.begun.set_result(True)
        limit = declaration.workflow.max_recovery_attempts
        if limit is not None and status.recovery_attempts > limit:
            await self._dead_letter(run, status)
            return None
        try:
            receiver = bind(declaration, status)
            args, kwargs = self.services.serialization.load_arguments(
                Payload(claimed.inputs, claimed.serialization),
                declaration.types,
                what=f"the arguments of workflow {status.workflow_id!r}",
            )
        except Exception as error:
            await self._finish(run, self._error_outcome(run, error))
            return None
        earlier = self.services.active.get(run.workflow_id)
        if earlier is not None and earlier.held_since is not None and earlier.life != run.life:
            # It was cancelled and resumed, or deleted and started anew, and has not heard of that.
            earlier.stop("it was cancelled, or another executor took it over")
        if not self.services.active.add(run):
            return None
        return Ready(run, (*receiver, *args), kwargs)

    async def _dead_letter(self, run: Run, status: WorkflowStatus) -> None:
        error = RecoveryAttemptsExceededError(
            f"workflow {run.workflow_id!r} ({run.declaration.name!r}) lost its executor {status.recovery_attempts} "
            "times without progress, and is set aside; look at what kills its process, then resume it",
            workflow_id=run.workflow_id,
            recovery_attempts=status.recovery_attempts,
        )
        log.error("%s", error)
        outcome = self._error_outcome(run, error)._replace(status=Status.MAX_RECOVERY_ATTEMPTS_EXCEEDED)
        await self._finish(run, outcome)

    # -- executing -----------------------------------------------------------------------------------------------

    async def execute(self, ready: Ready) -> Any:
        """Execute a workflow that this process holds, to its outcome; its value, or its error."""
        try:
            return await self._execute(ready)
        except HandedBack as signal:
            raise signal.error from signal.__cause__

    async def _execute(self, ready: Ready) -> Any:
        """The same; HandedBack goes on to the parent, if there is one, which cannot go on without its child."""
        run = ready.run
        try:
            try:
                value = await self._body(ready)
            except ExecutionSignal:
                raise
            except Exception as error:
                return await self._raised(run, error)
            except SystemExit as error:
                # In the main thread it may be a signal's (the process is told to end), and is no outcome. Elsewhere it
                # is the code's own, which a replay would only repeat.
                if threading.current_thread() is threading.main_thread():
                    raise
                return await self._raised(run, error)
            return await self._returned(run, value)
        except HandedBack:
            await self._hand_back(run)
            raise
        except Parked:
            self.services.active.remove(run)
            return await self.result(run.workflow_id, run.declaration) if ready.called else None
        finally:
            # An interruption (cancelled task, Ctrl-C) leaves the row PENDING; the heartbeat finds and re-runs it.
            self.services.active.remove(run)

    async def _body(self, ready: Ready) -> Any:
        function = ready.run.declaration.function
        with (
            context.engine_current(self.engine),
            context.options_set(None),
            context.entered(Frame(ready.run, task=context.current_task() if ready.run.asynchronous else None)),
        ):
            value = function(*ready.args, **ready.kwargs)
            return await value if ready.run.declaration.is_async else value

    async def _returned(self, run: Run, value: Any) -> Any:
        if run.nondeterminism is not None:
            return await self._raised(run, run.nondeterminism)
        run.check()
        try:
            payload = self.services.serialization.dump(
                value,
                run.declaration.types,
                what=f"the output of workflow {run.workflow_id!r} ({run.declaration.name!r})",
            )
        except Exception as error:
            return await self._raised(run, error)
        outcome = Outcome(Status.SUCCESS, payload.text, None, payload.serialization)
        await self._end(run, outcome)
        return value

    async def _raised(self, run: Run, error: Exception | SystemExit) -> Any:
        run.check()
        checkpoint, raised = run.error_checkpoint(
            run.nondeterminism or error, CheckpointKey("", 0), run.declaration.name
        )
        outcome = Outcome(Status.ERROR, None, checkpoint.error, checkpoint.serialization)
        await self._end(run, outcome)
        raise error if isinstance(error, SystemExit) else raised

    async def _end(self, run: Run, outcome: Outcome) -> None:
        """Write the outcome; Parked if another one counts."""
        if not await self._finish(run, outcome):
            raise Parked(run.workflow_id, "it was cancelled, or another executor took it over")

    async def _finish(self, run: Run, outcome: Outcome) -> bool:
        written = await self.services.ledger.finish(
            RecordOutcome(
                run.workflow_id,
                *run.fence,
                outcome.status.value,
                outcome.output,
                outcome.error,
                outcome.serialization,
            )
        )
        self.services.active.remove(run)
        if written:
            self.services.outcomes.announce(run.workflow_id, outcome)
        return written

    def _error_outcome(self, run: Run, error: Exception) -> Outcome:
        checkpoint, _ = run.error_checkpoint(error, CheckpointKey("", 0), run.declaration.name)
        return Outcome(Status.ERROR, None, checkpoint.error, checkpoint.serialization)

    async def _hand_back(self, run: Run) -> None:
        executor_id, ids = self.services.executor_id, [run.workflow_id]
        await self.services.ledger.change(lambda session: queries.hand_back(session, executor_id, ids))

    # -- outcomes ------------------------------------------------------------------------------------------------

    async def result(self, workflow_id: str, declaration: Declaration | None, expect: TypeTable | None = None) -> Any:
        """Wait for a workflow's outcome, whoever executes it; its value, or its error."""
        promise, frame = self.services.outcomes.promise(workflow_id), context.frame()
        if frame is not None and frame.body is None and isinstance(frame.run, Run):
            await frame.run.wait_along(promise, None)
        outcome = await promise
        types = expect or (declaration.types if declaration is not None else None)
        return decode_outcome(self.services.serialization, workflow_id, outcome, types)
