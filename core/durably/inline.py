"""Steps that are declared where they are called: ``run_step(function, …)``."""

from __future__ import annotations

import contextvars
import functools
import inspect
from collections.abc import Callable
from types import FunctionType
from typing import Any

from durably import context
from durably.declared import Declaration, StepOptions, declaration_of
from durably.drive import Offload, drive, running_loop
from durably.errors import BlockingCallError, ConfigurationError
from durably.execution.calls import CallingRun
from durably.registry import registered_name


async def run_inline(first: Any, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:
    """Run a function as a step of the current workflow; outside a workflow, just call it.

    ``first`` is the function, or StepOptions with the function as the first of ``args``. A plain function that is
    awaited in an asynchronous workflow runs on a background thread.
    """
    options, function, args = _taken_apart(first, args)
    frame = context.frame()
    if frame is None or frame.body is not None or not isinstance(frame.run, CallingRun):
        return await _plainly(function, args, kwargs)
    declaration = declaration_of(function)
    if declaration is None:
        declaration = _inline(function, options)
    elif getattr(function, "__self__", None) is not None:
        args = (function.__self__, *args)  # type: ignore[attr-defined]
    if declaration.kind == "workflow":
        raise ConfigurationError(f"{declaration} is a workflow; call it, or start it, rather than run it as a step")
    run, key = frame.run, frame.run.next_key(declaration.name)
    if declaration.is_async and not run.asynchronous:
        raise BlockingCallError(
            f"step {declaration.name!r} is a coroutine function, and workflow {run.workflow_id!r} is a plain function "
            "that cannot await it: declare the workflow with `async def`"
        )
    if declaration.is_async or running_loop() is None:
        return await run.call_at(key, declaration, args, kwargs)
    here = contextvars.copy_context()
    call = Offload(lambda: here.run(drive, run.call_at(key, declaration, args, kwargs)), run.services.in_thread)
    return await run.busy(call)


async def _plainly(function: Callable[..., Any], args: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:
    """Call it outside a workflow, or inside a body; a plain function that is awaited outside runs on a thread."""
    if running_loop() is not None and context.frame() is None and not _is_async(function):
        import asyncio

        return await asyncio.to_thread(function, *args, **kwargs)
    value = function(*args, **kwargs)
    if not inspect.isawaitable(value):
        return value
    if running_loop() is None:
        if inspect.iscoroutine(value):
            value.close()
        name = getattr(function, "__qualname__", repr(function))
        raise BlockingCallError(f"{name} is a coroutine function; use `await durably.aio.run_step(...)`")
    return await value


def _taken_apart(first: Any, args: tuple[Any, ...]) -> tuple[StepOptions, Callable[..., Any], tuple[Any, ...]]:
    if not isinstance(first, StepOptions):
        return _DEFAULT, first, args
    if not args or not callable(args[0]):
        raise ConfigurationError("run_step(StepOptions(...), function, ...) needs the function second")
    return first, args[0], args[1:]


_DEFAULT = StepOptions()


def _inline(function: Callable[..., Any], options: StepOptions) -> Declaration:
    """A declaration that is not registered: an inline step is found by its place, and never by its name."""
    # Functions are told apart by identity. Other callables may be equal and yet differ, or have no hash.
    if isinstance(function, FunctionType) and isinstance(options.should_retry, (FunctionType, type(None))):
        return _remembered(function, options)
    return _made(function, options)


def _made(function: Callable[..., Any], options: StepOptions) -> Declaration:
    plain = inspect.unwrap(function)
    code = getattr(plain, "__code__", None)
    return Declaration(
        kind="step",
        name=options.name or (registered_name(plain) if hasattr(plain, "__qualname__") else type(plain).__qualname__),
        function=function,
        is_async=_is_async(function),
        source=(code.co_filename, code.co_firstlineno) if code is not None else ("", 0),
        step=options,
    )


def _is_async(function: Callable[..., Any]) -> bool:
    declaration = declaration_of(function)
    if declaration is not None:
        return declaration.is_async
    return inspect.iscoroutinefunction(function) or inspect.iscoroutinefunction(type(function).__call__)


_remembered = functools.lru_cache(maxsize=1024)(_made)
