"""A child workflow called by its parent: its id follows from its place, its result is recorded like a step's.

Unless ``workflow_options`` gave it another id, which may name a workflow that somebody started before.
"""

from __future__ import annotations

from collections.abc import Coroutine
from typing import Any, Protocol

from durably.declared import Declaration
from durably.execution.run import Run
from durably.model import CheckpointKey


class CallChild(Protocol):
    """Runs a child workflow, and gives what it returned."""

    def __call__(
        self, declaration: Declaration, workflow_id: str, args: tuple[Any, ...], kwargs: dict[str, Any]
    ) -> Coroutine[Any, Any, Any]: ...


def child_id(run: Run, key: CheckpointKey) -> str:
    """``{parent}-{function id}``; inside a gather, the branch comes before the function id."""
    return f"{run.workflow_id}-{key.branch}-{key.function_id}" if key.branch else f"{run.workflow_id}-{key.function_id}"


async def run_child(
    run: Run,
    key: CheckpointKey,
    workflow_id: str,
    declaration: Declaration,
    args: tuple[Any, ...],
    kwargs: dict[str, Any],
    call_child: CallChild,
) -> Any:
    """Run a child whose result has no checkpoint yet. After a crash in between, its id finds it again."""
    started_at = run.services.clock.now_ms()
    try:
        value = await call_child(declaration, workflow_id, args, kwargs)
    except Exception as error:
        await run.stop_with(error)
        checkpoint, raised = run.error_checkpoint(error, key, declaration.name)
        await run.record(key, checkpoint, started_at, workflow_id)
        if raised is error:
            raise
        raise raised from error
    checkpoint = run.output_checkpoint(value, key, declaration.name, declaration.types)
    await run.record(key, checkpoint, started_at, workflow_id)
    return value
