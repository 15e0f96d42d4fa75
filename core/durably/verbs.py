"""The verbs, blocking; ``durably.aio`` has the same names, awaited. Both are made from one coroutine each."""

from __future__ import annotations

import functools
from collections.abc import Callable, Coroutine, Iterator, Sequence
from typing import TYPE_CHECKING, Any, TypeVar, cast, overload

from durably import context
from durably.awaited_verbs import AwaitedVerbs
from durably.client import without_self
from durably.declared import StepOptions
from durably.drive import drive, refuse_on_loop
from durably.engine import Durably
from durably.handles import WorkflowHandle
from durably.serialization import TypeTable

if TYPE_CHECKING:
    from typing import Concatenate

    from typing_extensions import ParamSpec

    P = ParamSpec("P")

R = TypeVar("R")
T = TypeVar("T")


def current() -> Durably:
    """The current engine."""
    return cast("Durably", context.current_engine())


def _verb(
    method: Callable[Concatenate[AwaitedVerbs, P], Coroutine[Any, Any, R]],
) -> Callable[P, R]:
    """The blocking form of a verb, on the current engine."""
    name = method.__name__

    @functools.wraps(method)
    def run(*args: P.args, **kwargs: P.kwargs) -> R:
        refuse_on_loop(name)
        return drive(method(current().aio, *args, **kwargs))

    run.__signature__ = without_self(method)  # type: ignore[attr-defined]
    return run


send = _verb(AwaitedVerbs.send)
send_bulk = _verb(AwaitedVerbs.send_bulk)
set_event = _verb(AwaitedVerbs.set_event)
get_all_events = _verb(AwaitedVerbs.get_all_events)
write_stream = _verb(AwaitedVerbs.write_stream)
close_stream = _verb(AwaitedVerbs.close_stream)
cancel_workflow = _verb(AwaitedVerbs.cancel_workflow)
cancel_workflows = _verb(AwaitedVerbs.cancel_workflows)
resume_workflow = _verb(AwaitedVerbs.resume_workflow)
resume_workflows = _verb(AwaitedVerbs.resume_workflows)
fork_workflow = _verb(AwaitedVerbs.fork_workflow)
delete_workflow = _verb(AwaitedVerbs.delete_workflow)
delete_workflows = _verb(AwaitedVerbs.delete_workflows)
update_workflow_attributes = _verb(AwaitedVerbs.update_workflow_attributes)
get_workflow_status = _verb(AwaitedVerbs.get_workflow_status)
list_workflows = _verb(AwaitedVerbs.list_workflows)
count_workflows = _verb(AwaitedVerbs.count_workflows)
list_workflow_steps = _verb(AwaitedVerbs.list_workflow_steps)
list_stranded_workflows = _verb(AwaitedVerbs.list_stranded_workflows)
sleep = _verb(AwaitedVerbs.sleep)
now = _verb(AwaitedVerbs.now)
uuid = _verb(AwaitedVerbs.uuid)
patch = _verb(AwaitedVerbs.patch)
deprecate_patch = _verb(AwaitedVerbs.deprecate_patch)


# -- generic verbs, whose type variables a helper would lose -----------------------------------------------------


@overload
def start_workflow(
    function: Callable[P, Coroutine[Any, Any, R]], /, *args: P.args, **kwargs: P.kwargs
) -> WorkflowHandle[R]: ...
@overload
def start_workflow(function: Callable[P, R], /, *args: P.args, **kwargs: P.kwargs) -> WorkflowHandle[R]: ...
def start_workflow(function: Callable[..., Any], /, *args: Any, **kwargs: Any) -> WorkflowHandle[Any]:
    """Start a workflow in the background. When this returns, it is recorded and will reach an outcome.

    With ``workflow_options(workflow_id=…)`` a second start of the same id gets a handle to the first.
    SerializationError if an argument cannot be stored, WorkflowIdConflictError if the id is another workflow's.
    """
    refuse_on_loop("start_workflow")
    engine = current()
    workflow_id, types = drive(engine.start(function, args, kwargs))
    return WorkflowHandle(workflow_id, engine, types)


@overload
def retrieve_workflow(workflow_id: str) -> WorkflowHandle[Any]: ...
@overload
def retrieve_workflow(workflow_id: str, *, expect: type[T]) -> WorkflowHandle[T]: ...
def retrieve_workflow(workflow_id: str, *, expect: Any = None) -> WorkflowHandle[Any]:
    """A handle to a workflow that exists, in whatever process it runs. WorkflowNotFoundError.

    ``expect``: the type that its result is decoded to; by default what the workflow's own annotation says.
    """
    refuse_on_loop("retrieve_workflow")
    engine = current()
    drive(engine.status(workflow_id))
    return WorkflowHandle(workflow_id, engine, TypeTable.for_type(expect) if expect is not None else None)


@overload
def get_result(workflow_id: str, *, timeout_seconds: float | None = None) -> Any: ...
@overload
def get_result(workflow_id: str, *, timeout_seconds: float | None = None, expect: type[T]) -> T: ...
def get_result(workflow_id: str, *, timeout_seconds: float | None = None, expect: Any = None) -> Any:
    """Wait for a workflow's outcome: what it returned, or the error it ended with, raised."""
    refuse_on_loop("get_result")
    types = TypeTable.for_type(expect) if expect is not None else None
    return drive(current().result(workflow_id, timeout_seconds=timeout_seconds, expect=types))


@overload
def recv(topic: str | None = None, *, timeout_seconds: float | None = 60.0) -> Any: ...
@overload
def recv(topic: str | None = None, *, timeout_seconds: float | None = 60.0, expect: type[T]) -> T | None: ...
def recv(topic: str | None = None, *, timeout_seconds: float | None = 60.0, expect: Any = None) -> Any:
    """The oldest message of the topic that this workflow has not received; None if none comes in time.

    For the code of workflows. Each message is received once, in the order of sending, also after crashes.
    """
    refuse_on_loop("recv")
    return drive(current().aio.recv(topic, timeout_seconds=timeout_seconds, expect=expect))


@overload
def get_event(workflow_id: str, key: str, *, timeout_seconds: float | None = 60.0) -> Any: ...
@overload
def get_event(workflow_id: str, key: str, *, timeout_seconds: float | None = 60.0, expect: type[T]) -> T | None: ...
def get_event(workflow_id: str, key: str, *, timeout_seconds: float | None = 60.0, expect: Any = None) -> Any:
    """The value of a workflow's event, once it is set; None if that does not happen in time."""
    refuse_on_loop("get_event")
    return drive(current().aio.get_event(workflow_id, key, timeout_seconds=timeout_seconds, expect=expect))


def read_stream(
    workflow_id: str, key: str, *, offset: int = 0, timeout_seconds: float | None = None, expect: Any = None
) -> Iterator[Any]:
    """The values of a stream from ``offset`` on, as they come; ends when it is closed, or its workflow ends.

    WaitTimeoutError when no value comes for ``timeout_seconds``, WorkflowNotFoundError.
    """
    return current().read_stream(workflow_id, key, offset=offset, timeout_seconds=timeout_seconds, expect=expect)


def wait_first(handles: Sequence[WorkflowHandle[R]], *, timeout_seconds: float | None = None) -> WorkflowHandle[R]:
    """The handle of the workflow that has its outcome first. WaitTimeoutError."""
    refuse_on_loop("wait_first")
    first = drive(current().first([one.workflow_id for one in handles], timeout_seconds))
    return next(one for one in handles if one.workflow_id == first)


def wait_all(handles: Sequence[WorkflowHandle[R]], *, timeout_seconds: float | None = None) -> list[R]:
    """Wait for all; what they returned, in order, or the first one's error, in order, raised. WaitTimeoutError."""
    refuse_on_loop("wait_all")
    return drive(current().all_of([one.awaited for one in handles], timeout_seconds))


@overload
def run_step(options: StepOptions, function: Callable[P, R], /, *args: P.args, **kwargs: P.kwargs) -> R: ...
@overload
def run_step(function: Callable[P, R], /, *args: P.args, **kwargs: P.kwargs) -> R: ...
def run_step(first: Any, /, *args: Any, **kwargs: Any) -> Any:
    """Run any function as a step of the current workflow, recorded like a declared one.

    ``run_step(fetch, url)``, or ``run_step(StepOptions(max_attempts=3), fetch, url)``. Outside a workflow it is a plain
    call.
    """
    from durably.inline import run_inline  # with all that executes, which a mere import does without

    refuse_on_loop("run_step")
    return drive(run_inline(first, args, kwargs))
