"""The verbs, awaited: the same names as in ``durably``, for code on an event loop."""

from __future__ import annotations

import functools
from collections.abc import AsyncIterator, Awaitable, Callable, Coroutine, Sequence
from typing import TYPE_CHECKING, Any, TypeVar, overload

from durably.awaited_verbs import AwaitedVerbs
from durably.client import without_self
from durably.declared import StepOptions
from durably.execution.gather import gather
from durably.handles import AsyncWorkflowHandle as WorkflowHandle
from durably.inline import run_inline
from durably.serialization import TypeTable
from durably.verbs import current

if TYPE_CHECKING:
    from typing import Concatenate

    from typing_extensions import ParamSpec

    P = ParamSpec("P")

R = TypeVar("R")
T = TypeVar("T")

__all__ = [
    "WorkflowHandle",
    "cancel_workflow",
    "cancel_workflows",
    "close_stream",
    "count_workflows",
    "delete_workflow",
    "delete_workflows",
    "deprecate_patch",
    "fork_workflow",
    "gather",
    "get_all_events",
    "get_event",
    "get_result",
    "get_workflow_status",
    "list_stranded_workflows",
    "list_workflow_steps",
    "list_workflows",
    "now",
    "patch",
    "read_stream",
    "recv",
    "resume_workflow",
    "resume_workflows",
    "retrieve_workflow",
    "run_step",
    "send",
    "send_bulk",
    "set_event",
    "sleep",
    "start_workflow",
    "update_workflow_attributes",
    "uuid",
    "wait_all",
    "wait_first",
    "write_stream",
]


def _verb(
    method: Callable[Concatenate[AwaitedVerbs, P], Coroutine[Any, Any, R]],
) -> Callable[P, Coroutine[Any, Any, R]]:
    """A verb on the current engine."""

    @functools.wraps(method)
    async def run(*args: P.args, **kwargs: P.kwargs) -> R:
        return await method(current().aio, *args, **kwargs)

    run.__signature__ = without_self(method)  # type: ignore[attr-defined]
    return run


cancel_workflow = _verb(AwaitedVerbs.cancel_workflow)
cancel_workflows = _verb(AwaitedVerbs.cancel_workflows)
close_stream = _verb(AwaitedVerbs.close_stream)
count_workflows = _verb(AwaitedVerbs.count_workflows)
delete_workflow = _verb(AwaitedVerbs.delete_workflow)
delete_workflows = _verb(AwaitedVerbs.delete_workflows)
deprecate_patch = _verb(AwaitedVerbs.deprecate_patch)
fork_workflow = _verb(AwaitedVerbs.fork_workflow)
get_all_events = _verb(AwaitedVerbs.get_all_events)
get_workflow_status = _verb(AwaitedVerbs.get_workflow_status)
list_stranded_workflows = _verb(AwaitedVerbs.list_stranded_workflows)
list_workflow_steps = _verb(AwaitedVerbs.list_workflow_steps)
list_workflows = _verb(AwaitedVerbs.list_workflows)
now = _verb(AwaitedVerbs.now)
patch = _verb(AwaitedVerbs.patch)
resume_workflow = _verb(AwaitedVerbs.resume_workflow)
resume_workflows = _verb(AwaitedVerbs.resume_workflows)
send = _verb(AwaitedVerbs.send)
send_bulk = _verb(AwaitedVerbs.send_bulk)
set_event = _verb(AwaitedVerbs.set_event)
sleep = _verb(AwaitedVerbs.sleep)
update_workflow_attributes = _verb(AwaitedVerbs.update_workflow_attributes)
uuid = _verb(AwaitedVerbs.uuid)
write_stream = _verb(AwaitedVerbs.write_stream)


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


@overload
async def recv(topic: str | None = None, *, timeout_seconds: float | None = 60.0) -> Any: ...
@overload
async def recv(topic: str | None = None, *, timeout_seconds: float | None = 60.0, expect: type[T]) -> T | None: ...
async def recv(topic: str | None = None, *, timeout_seconds: float | None = 60.0, expect: Any = None) -> Any:
    """The oldest message of the topic that this workflow has not received; see ``durably.recv``."""
    return await current().aio.recv(topic, timeout_seconds=timeout_seconds, expect=expect)


@overload
async def get_event(workflow_id: str, key: str, *, timeout_seconds: float | None = 60.0) -> Any: ...
@overload
async def get_event(
    workflow_id: str, key: str, *, timeout_seconds: float | None = 60.0, expect: type[T]
) -> T | None: ...
async def get_event(workflow_id: str, key: str, *, timeout_seconds: float | None = 60.0, expect: Any = None) -> Any:
    """The value of a workflow's event, once it is set; see ``durably.get_event``."""
    return await current().aio.get_event(workflow_id, key, timeout_seconds=timeout_seconds, expect=expect)


def read_stream(
    workflow_id: str, key: str, *, offset: int = 0, timeout_seconds: float | None = None, expect: Any = None
) -> AsyncIterator[Any]:
    """The values of a stream, as they come: ``async for value in durably.aio.read_stream(…)``."""
    return current().aio.read_stream(workflow_id, key, offset=offset, timeout_seconds=timeout_seconds, expect=expect)


async def wait_first(
    handles: Sequence[WorkflowHandle[R]], *, timeout_seconds: float | None = None
) -> WorkflowHandle[R]:
    """The handle of the workflow that has its outcome first. WaitTimeoutError."""
    first = await current().first([one.workflow_id for one in handles], timeout_seconds)
    return next(one for one in handles if one.workflow_id == first)


async def wait_all(handles: Sequence[WorkflowHandle[R]], *, timeout_seconds: float | None = None) -> list[R]:
    """Wait for all; what they returned, in order, or the first one's error, in order, raised. WaitTimeoutError."""
    return await current().all_of([one.awaited for one in handles], timeout_seconds)
