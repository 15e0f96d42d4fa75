"""The decorators: they declare workflows, steps and transactions, put them in the registry, and do nothing else.

A decorated function stays a function with its own signature. What it does when called depends on where: inside a
workflow it is recorded, inside a step's body and before launch it is a plain call.
"""

from __future__ import annotations

import functools
import inspect
import sys
from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Any, TypeVar, cast, overload

from durably import context
from durably.declared import Declaration, Kind, StepOptions, TransactionOptions, WorkflowOptions, declaration_of
from durably.drive import drive, running_loop
from durably.errors import BlockingCallError, ConfigurationError, DeclarationError
from durably.registry import registered_name, registry

if TYPE_CHECKING:
    from durably.context import Frame

F = TypeVar("F", bound=Callable[..., Any])


def declare(function: F, kind: Kind, name: str | None, aliases: tuple[str, ...], **options: Any) -> F:
    """Register ``function`` and give it its durable form. Works through classmethod and staticmethod."""
    if isinstance(function, (classmethod, staticmethod)):
        inner = declare(function.__func__, kind, name, aliases, **options)
        return cast("F", type(function)(inner))
    if not inspect.isfunction(function):
        raise DeclarationError(
            f"@{kind} takes a function or coroutine function, not {type(function).__name__}; "
            "put the decorator directly above the `def`"
        )
    if (other := declaration_of(function)) is not None:
        raise DeclarationError(f"{function.__qualname__} is declared twice, as {other.kind} and as {kind}")
    if inspect.isasyncgenfunction(function) or inspect.isgeneratorfunction(function):
        raise DeclarationError(f"@{kind} cannot run the generator {function.__qualname__}; return a list")
    # Where the user wrote it, behind other decorators: their wrappers are all in one place.
    code = getattr(inspect.unwrap(function), "__code__", function.__code__)
    declaration = Declaration(
        kind=kind,
        name=name or registered_name(function),
        function=function,
        is_async=inspect.iscoroutinefunction(function),
        source=(code.co_filename, code.co_firstlineno),
        aliases=tuple(aliases),
        **options,
    )
    registry.add(declaration)
    durable = _durable_form(declaration)
    durable.__durably__ = declaration  # type: ignore[attr-defined]
    return cast("F", durable)


def _durable_form(declaration: Declaration) -> Callable[..., Any]:
    if declaration.kind == "workflow":
        return _async_workflow(declaration) if declaration.is_async else _sync_workflow(declaration)
    return _async_function(declaration) if declaration.is_async else _sync_function(declaration)


def _sync_workflow(declaration: Declaration) -> Callable[..., Any]:
    @functools.wraps(declaration.function)
    def call(*args: Any, **kwargs: Any) -> Any:
        frame = context.frame()
        if frame is not None and frame.body is not None:
            raise _workflow_in_body(declaration, frame)
        if running_loop() is not None:
            raise BlockingCallError(
                f"{declaration} is a plain function, and calling it would block the event loop; "
                f"use `handle = await durably.aio.start_workflow({declaration.function.__name__}, ...)`"
            )
        if frame is not None:
            return drive(frame.run.call(declaration, args, kwargs))
        return drive(context.current_engine().call_workflow(declaration, args, kwargs))

    return call


def _async_workflow(declaration: Declaration) -> Callable[..., Any]:
    # A plain def that gives a coroutine, so that a child's place is that of its call, and not of its first turn.
    @functools.wraps(declaration.function)
    def call(*args: Any, **kwargs: Any) -> Any:
        frame = context.frame()
        if frame is None:
            return _call_workflow(declaration, args, kwargs)
        if frame.body is not None:
            raise _workflow_in_body(declaration, frame)
        return frame.run.call(declaration, args, kwargs)

    if sys.version_info >= (3, 12):
        inspect.markcoroutinefunction(call)
    return call


async def _call_workflow(declaration: Declaration, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:
    return await context.current_engine().call_workflow(declaration, args, kwargs)


def _sync_function(declaration: Declaration) -> Callable[..., Any]:
    function = declaration.function

    @functools.wraps(function)
    def call(*args: Any, **kwargs: Any) -> Any:
        frame = context.frame()
        if frame is not None and frame.body is None:
            if running_loop() is not None:
                raise BlockingCallError(
                    f"{declaration} is a plain function; calling it in the asynchronous workflow "
                    f"{frame.run.workflow_id!r} would block the event loop: "
                    f"use `await durably.aio.run_step({function.__name__}, ...)`"
                )
            return drive(frame.run.call(declaration, args, kwargs))
        if declaration.kind == "transaction" and not context.transaction_is_open():
            if running_loop() is not None:
                raise BlockingCallError(
                    f"{declaration} is a plain function, and calling it would block the event loop; "
                    f"use `await durably.aio.run_step({function.__name__}, ...)`, or declare it with `async def`"
                )
            return drive(context.transaction_engine().call_transaction(declaration, args, kwargs))
        return function(*args, **kwargs)

    return call


def _async_function(declaration: Declaration) -> Callable[..., Any]:
    function = declaration.function

    # A plain def that gives a coroutine, so that a call from blocking code fails at once rather than being forgotten.
    @functools.wraps(function)
    def call(*args: Any, **kwargs: Any) -> Any:
        frame = context.frame()
        if frame is not None and frame.body is None:
            if not frame.run.asynchronous:
                raise BlockingCallError(
                    f"{declaration} is a coroutine function, and workflow {frame.run.workflow_id!r} is a plain "
                    "function that cannot await it: declare the workflow with `async def`, or the step without"
                )
            return frame.run.call(declaration, args, kwargs)
        if declaration.kind == "transaction" and not context.transaction_is_open():
            return context.transaction_engine().call_transaction(declaration, args, kwargs)
        return function(*args, **kwargs)

    if sys.version_info >= (3, 12):
        inspect.markcoroutinefunction(call)
    return call


def _workflow_in_body(declaration: Declaration, frame: Frame) -> DeclarationError:
    name = frame.body.name if frame.body else ""
    return DeclarationError(
        f"{declaration} was called inside the body of step {name!r} of workflow {frame.run.workflow_id!r}; "
        "call it from the workflow itself, where it is recorded"
    )


@overload
def workflow(function: F, /) -> F: ...
@overload
def workflow(
    *, name: str | None = None, aliases: tuple[str, ...] = (), max_recovery_attempts: int | None = 100
) -> Callable[[F], F]: ...
def workflow(
    function: F | None = None,
    /,
    *,
    name: str | None = None,
    aliases: tuple[str, ...] = (),
    max_recovery_attempts: int | None = 100,
) -> F | Callable[[F], F]:
    """Declare a workflow: a deterministic function of steps, recovered by replay after a crash.

    ``name``: the registered name, by default ``module.qualname``; keep it stable, rows carry it. ``aliases``: former
    names, so that what was started under them still runs. ``max_recovery_attempts``: how many lost leases without
    progress dead-letter it (None: never).
    """
    if max_recovery_attempts is not None and max_recovery_attempts < 1:
        raise ConfigurationError(f"max_recovery_attempts is {max_recovery_attempts}; give at least 1, or None")
    options = {"workflow": WorkflowOptions(max_recovery_attempts)}
    return _decorate(function, "workflow", name, aliases, options)


@overload
def step(function: F, /) -> F: ...
@overload
def step(
    *,
    name: str | None = None,
    aliases: tuple[str, ...] = (),
    max_attempts: int = 1,
    interval_seconds: float = 1.0,
    backoff_rate: float = 2.0,
    max_interval_seconds: float = 3600.0,
    should_retry: Callable[[Exception], bool] | None = None,
    timeout_seconds: float | None = None,
) -> Callable[[F], F]: ...
def step(
    function: F | None = None,
    /,
    *,
    name: str | None = None,
    aliases: tuple[str, ...] = (),
    max_attempts: int = 1,
    interval_seconds: float = 1.0,
    backoff_rate: float = 2.0,
    max_interval_seconds: float = 3600.0,
    should_retry: Callable[[Exception], bool] | None = None,
    timeout_seconds: float | None = None,
) -> F | Callable[[F], F]:
    """Declare a step: a function with effects outside the database. It runs at least once; see StepOptions.

    Hand ``durably.step_key()`` to whatever the step calls, as an idempotency key.
    """
    options = StepOptions(
        name,
        max_attempts,
        interval_seconds,
        backoff_rate,
        max_interval_seconds,
        should_retry,
        timeout_seconds,
    )
    return _decorate(function, "step", name, aliases, {"step": options})


@overload
def transaction(function: F, /) -> F: ...
@overload
def transaction(
    *,
    name: str | None = None,
    aliases: tuple[str, ...] = (),
    adapter: str = "default",
    isolation_level: str | None = None,
    read_only: bool = False,
) -> Callable[[F], F]: ...
def transaction(
    function: F | None = None,
    /,
    *,
    name: str | None = None,
    aliases: tuple[str, ...] = (),
    adapter: str = "default",
    isolation_level: str | None = None,
    read_only: bool = False,
) -> F | Callable[[F], F]:
    """Declare a transaction: a function whose writes go through an adapter and take effect exactly once.

    ``adapter``: which of the engine's adapters. ``isolation_level``: "read committed", "repeatable read" or
    "serializable"; by default the database's own. Serialization failures, deadlocks and lost connections run the
    whole function again.
    """
    options = TransactionOptions(adapter, isolation_level, read_only)
    return _decorate(function, "transaction", name, aliases, {"transaction": options})


def _decorate(
    function: F | None, kind: Kind, name: str | None, aliases: tuple[str, ...], options: Mapping[str, Any]
) -> F | Callable[[F], F]:
    if function is not None:
        return declare(function, kind, name, aliases, **options)
    return lambda decorated: declare(decorated, kind, name, aliases, **options)
