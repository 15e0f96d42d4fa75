"""The verbs, blocking; ``durably.aio`` has the same names, awaited. Both are made from one coroutine each."""

from __future__ import annotations

from collections.abc import Callable, Coroutine
from typing import TYPE_CHECKING, Any, TypeVar, cast, overload

from durably import context
from durably.declared import StepOptions
from durably.drive import blocking, drive, refuse_on_loop
from durably.engine import Durably
from durably.handles import WorkflowHandle
from durably.model import WorkflowStatus
from durably.serialization import TypeTable

if TYPE_CHECKING:
    from typing_extensions import ParamSpec

    P = ParamSpec("P")

R = TypeVar("R")
T = TypeVar("T")


def current() -> Durably:
    """The current engine."""
    return cast("Durably", context.current_engine())


# -- coroutines, shared with durably.aio -------------------------------------------------------------------------


async def _get_workflow_status(workflow_id: str) -> WorkflowStatus:
    """The row of a workflow as it is now. WorkflowNotFoundError."""
    return await current().status(workflow_id)


get_workflow_status = blocking(_get_workflow_status)


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
