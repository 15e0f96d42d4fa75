"""The calls of a workflow's code: numbered in order, replayed where they are recorded, run where they are not."""

from __future__ import annotations

from collections.abc import Coroutine
from typing import Any

from durably import context
from durably.declared import Declaration
from durably.errors import NonDeterminismError
from durably.execution.child import CallChild, child_id, run_child
from durably.execution.run import Run
from durably.execution.step import run_step
from durably.execution.transaction import run_transaction
from durably.model import CheckpointKey


class CallingRun(Run):
    """A run as its workflow's code sees it: what it calls is a step, a transaction, or a child workflow."""

    def __init__(self, *args: Any, call_child: CallChild, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self._call_child = call_child
        self._function_ids: dict[str, int] = {}

    def call(self, declaration: Declaration, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Coroutine[Any, Any, Any]:
        """Run a step, transaction or child workflow as the next function of this workflow.

        Its place is taken now, in the order of the calls, whenever the coroutine is awaited.
        """
        given = context.options().take_workflow_id(declaration.name) if declaration.kind == "workflow" else None
        return self.call_at(self.next_key(), declaration, args, kwargs, given)

    def next_key(self) -> CheckpointKey:
        """The place of the next function of the current branch; function ids count from 1 in order of call."""
        frame = context.frame()
        branch = frame.branch if frame is not None else ""
        function_id = self._function_ids.get(branch, 0) + 1
        self._function_ids[branch] = function_id
        return CheckpointKey(branch, function_id)

    async def call_at(
        self,
        key: CheckpointKey,
        declaration: Declaration,
        args: tuple[Any, ...],
        kwargs: dict[str, Any],
        workflow_id: str | None = None,
    ) -> Any:
        """The same, at a place that was taken before; ``workflow_id`` is a child's, if it was given one."""
        if self.nondeterminism is not None:
            raise self.nondeterminism
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
        child = workflow_id or child_id(self, key)
        return await run_child(self, key, child, declaration, args, kwargs, self._call_child)
