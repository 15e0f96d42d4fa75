"""The verbs, awaited: the same names as in ``durably``, for code on an event loop."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Coroutine
from typing import TYPE_CHECKING, Any, TypeVar, overload

from durably.declared import StepOptions
from durably.handles import AsyncWorkflowHandle as WorkflowHandle
from durably.inline import run_inline
from durably.serialization import TypeTable
from durably.verbs import _get_workflow_status as get_workflow_status
from durably.verbs import current

if TYPE_CHECKING:
    from typing_extensions import ParamSpec

    P = ParamSpec("P")

R = TypeVar("R")
T = TypeVar("T")

__all__ = [
    "WorkflowHandle",
    "get_result",
    "get_workflow_status",
    "retrieve_workflow",
    "run_step",
    "start_workflow",
]


@overload
async def start_workflow(
    function: Callable[P, Coroutine[Any, Any, R]], /, *args: P.args, **kwargs: P.kwargs
) -> WorkflowHandle[R]: ...
@overload
async def start_workflow(function: Callable[P, R], /, *args: P.args, **kwargs: P.kwargs) -> WorkflowHandle[R]: ...
async def start_workflow(function: Callable[..., Any], /, *args: Any, **kwargs: Any) -> WorkflowHandle[Any]:
    """Start a workflow in the background: a coroutine as a task of this loop, a plain function on a thread.

    See ``durably.start_workflow``.
    """
    engine = current()
    workflow_id, types = await engine.start(function, args, kwargs)
    return WorkflowHandle(workflow_id, engine, types)


@overload
async def retrieve_workflow(workflow_id: str) -> WorkflowHandle[Any]: ...
@overload
async def retrieve_workflow(workflow_id: str, *, expect: type[T]) -> WorkflowHandle[T]: ...
async def retrieve_workflow(workflow_id: str, *, expect: Any = None) -> WorkflowHandle[Any]:
    """A handle to a workflow that exists; see ``durably.retrieve_workflow``."""
    engine = current()
    await engine.status(workflow_id)
    return WorkflowHandle(workflow_id, engine, TypeTable.for_type(expect) if expect is not None else None)


@overload
async def get_result(workflow_id: str, *, timeout_seconds: float | None = None) -> Any: ...
@overload
async def get_result(workflow_id: str, *, timeout_seconds: float | None = None, expect: type[T]) -> T: ...
async def get_result(workflow_id: str, *, timeout_seconds: float | None = None, expect: Any = None) -> Any:
    """Wait for a workflow's outcome: what it returned, or the error it ended with, raised."""
    types = TypeTable.for_type(expect) if expect is not None else None
    return await current().result(workflow_id, timeout_seconds=timeout_seconds, expect=types)


@overload
async def run_step(
    options: StepOptions, function: Callable[P, Awaitable[R]], /, *args: P.args, **kwargs: P.kwargs
) -> R: ...
@overload
async def run_step(options: StepOptions, function: Callable[P, R], /, *args: P.args, **kwargs: P.kwargs) -> R: ...
@overload
async def run_step(function: Callable[P, Awaitable[R]], /, *args: P.args, **kwargs: P.kwargs) -> R: ...
@overload
async def run_step(function: Callable[P, R], /, *args: P.args, **kwargs: P.kwargs) -> R: ...
async def run_step(first: Any, /, *args: Any, **kwargs: Any) -> Any:
    """Run any function as a step of the current workflow: a coroutine here, a plain function on a thread.

    This is how an asynchronous workflow calls a synchronous step or transaction. See ``durably.run_step``.
    """
    return await run_inline(first, args, kwargs)
