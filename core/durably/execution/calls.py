"""The calls of a workflow's code: numbered in order, replayed where they are recorded, run where they are not."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Collection, Coroutine
from typing import Any, TypeVar

from durably import context
from durably.declared import Declaration
from durably.drive import Promise
from durably.errors import NonDeterminismError
from durably.execution.apart import committed_at
from durably.execution.child import CallChild, child_id, run_child
from durably.execution.run import Run
from durably.execution.step import run_step
from durably.execution.transaction import run_transaction
from durably.ledger.commands import Recorded
from durably.model import Checkpoint, CheckpointKey
from durably.serialization import TypeTable

T = TypeVar("T")


class CallingRun(Run):
    """A run as its workflow's code sees it: what it calls is a step, a transaction, or a child workflow."""

    def __init__(self, *args: Any, call_child: CallChild, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self._call_child = call_child
        self._function_ids: dict[str, int] = {}
        #: How many gathers there were in a branch after so many functions.
        self._gathers: dict[tuple[str, int], int] = {}
        #: The last checkpoint of each branch that was recorded without waiting for it.
        self._unwaited: dict[str, Promise[Recorded]] = {}
        #: The tasks of arms that call a function right now, and what is kept when it has ended.
        self._busy: dict[object, Promise[None]] = {}

    def call(self, declaration: Declaration, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Coroutine[Any, Any, Any]:
        """Run a step, transaction or child workflow as the next function of this workflow.

        Its place is taken now, in the order of the calls, whenever the coroutine is awaited.
        """
        given = context.options().take_workflow_id(declaration.name) if declaration.kind == "workflow" else None
        return self.call_at(self.next_key(declaration.name), declaration, args, kwargs, given)

    def next_key(self, called: str) -> CheckpointKey:
        """The place of the next function of the current branch; function ids count from 1 in order of call."""
        return CheckpointKey(self._branch(called), self._take())

    def _branch(self, called: str) -> str:
        """The current branch, in the one task that may call in it."""
        frame = context.frame()
        if frame is None:
            return ""
        if frame.task is not None and frame.task is not context.current_task():
            raise NonDeterminismError(
                f"{called!r} was called in another task than workflow {self.workflow_id!r}'s own, so that the order of "
                "its calls would depend on timing; run the parts that go on side by side with "
                "`await durably.aio.gather(...)`",
                workflow_id=self.workflow_id,
                called=called,
            )
        return frame.branch

    def _take(self) -> int:
        frame = context.frame()
        branch = frame.branch if frame is not None else ""
        function_id = self._function_ids.get(branch, 0) + 1
        self._function_ids[branch] = function_id
        return function_id

    def next_branches(self, count: int) -> list[str]:
        """Names for the arms of a gather that begins now.

        They say how many functions of this branch came before it, so that a fork knows whether it belongs to its past.
        """
        branch = self._branch("gather")
        before = self._function_ids.get(branch, 0)
        number = self._gathers.get((branch, before), 0) + 1
        self._gathers[branch, before] = number
        return [f"{branch}{'/' if branch else ''}{before}.{number}.{arm}" for arm in range(count)]

    async def peek(self, called: str) -> str | None:
        """What an earlier life did at the place of the next function, which is not taken; None if nothing."""
        branch = self._branch(called)
        key = CheckpointKey(branch, self._function_ids.get(branch, 0) + 1)
        return self.history.name_at(key) or await committed_at(self, key)

    # -- one call ------------------------------------------------------------------------------------------------

    def recorded(self, key: CheckpointKey, name: str, aliases: Collection[str] = ()) -> Checkpoint | None:
        """The checkpoint at ``key``, or None; NonDeterminismError if it is another function's."""
        if self.nondeterminism is not None:
            raise self.nondeterminism
        try:
            return self.history.find(key, name, aliases)
        except NonDeterminismError as error:
            # Kept, since user code may catch it and go on along the wrong path.
            self.nondeterminism = error
            raise

    async def may_go_on(self) -> None:
        """Return once this executor may begin something new for this workflow. Parked if it may not.

        What came before it in its branch is recorded then, so that no crash leaves this alone.
        """
        await self.may_ask()
        frame = context.frame()
        last = self._unwaited.pop(frame.branch if frame is not None else "", None)
        if last is not None:
            self.heed(await last)
            self.check()

    async def may_ask(self) -> None:
        """The same for what changes nothing and is found again, the same, by every replay."""
        self.check()
        await self.services.lease.valid()
        self.check()

    async def call_at(
        self,
        key: CheckpointKey,
        declaration: Declaration,
        args: tuple[Any, ...],
        kwargs: dict[str, Any],
        workflow_id: str | None = None,
    ) -> Any:
        """The same, at a place that was taken before; ``workflow_id`` is a child's, if it was given one."""
        return await self.busy(self._call_at(key, declaration, args, kwargs, workflow_id))

    async def _call_at(
        self,
        key: CheckpointKey,
        declaration: Declaration,
        args: tuple[Any, ...],
        kwargs: dict[str, Any],
        workflow_id: str | None,
    ) -> Any:
        recorded = self.recorded(key, declaration.name, declaration.aliases)
        if recorded is not None:
            return self.replayed(recorded, key, declaration.name, declaration.types)
        await self.may_go_on()
        if declaration.kind == "step":
            return await run_step(self, key, declaration, args, kwargs)
        if declaration.kind == "transaction":
            return await run_transaction(self, key, declaration, args, kwargs)
        child = workflow_id or child_id(self, key)
        return await run_child(self, key, child, declaration, args, kwargs, self._call_child)

    # -- arms that must end --------------------------------------------------------------------------------------

    async def busy(self, work: Awaitable[T]) -> T:
        """Do something that an arm is at, and that ends before the arm does when this run must stop."""
        task = context.current_task() if self._gathers else None
        if task is None:
            return await work
        ended = self._busy[task] = Promise[None]()
        try:
            return await work
        finally:
            self._busy.pop(task, None)
            ended.set_result(None)

    def is_busy(self, task: object) -> bool:
        """Whether an arm's task is at something."""
        return task in self._busy

    def free(self, task: object) -> Promise[None]:
        """Kept when that has ended."""
        return self._busy[task]

    # -- functions of Durably's own ------------------------------------------------------------------------------

    async def operation(
        self, name: str, perform: Callable[[CheckpointKey], Coroutine[Any, Any, T]], types: TypeTable
    ) -> T:
        """Do something of Durably's own as the next function of this workflow: ``perform`` does and records it."""
        key = self.next_key(name)
        recorded = self.recorded(key, name)
        if recorded is not None:
            value: T = self.replayed(recorded, key, name, types)
            return value
        await self.may_go_on()
        return await perform(key)

    async def noted(self, name: str, find: Callable[[], Coroutine[Any, Any, T]], types: TypeTable) -> T:
        """Find something out as the next function of this workflow, and record it, or the error."""

        async def perform(key: CheckpointKey) -> T:
            return await self.found(key, name, find, lambda value: self.output_checkpoint(value, key, name, types))

        return await self.operation(name, perform, types)

    async def found(
        self,
        key: CheckpointKey,
        name: str,
        find: Callable[[], Coroutine[Any, Any, T]],
        keep: Callable[[T], Checkpoint],
        workflow_id: str | None = None,
        is_lasting: Callable[[T], bool] = lambda _: False,
    ) -> T:
        """Find something out, and record what ``keep`` makes of it, or the error. ``workflow_id``: whom it is about.

        What ``is_lasting`` would be found again after a crash, so that nobody has to wait until it is recorded.
        """
        started_at = self.services.clock.now_ms()
        try:
            value = await find()
            checkpoint = keep(value)
        except Exception as error:
            self.check()  # that the engine shuts down is no answer
            await self.stop_with(error)
            checkpoint, raised = self.error_checkpoint(error, key, name)
            await self.record(key, checkpoint, started_at, workflow_id)
            if raised is error:
                raise
            raise raised from error
        if is_lasting(value):
            command = self.command(key, checkpoint, started_at, workflow_id)
            self._unwaited[key.branch] = self.services.ledger.record_unwaited(command)
        else:
            await self.record(key, checkpoint, started_at, workflow_id)
        return value
