"""A step: run its body, again if it failed and may, and record what came of it."""

from __future__ import annotations

import random
from collections.abc import Awaitable
from itertools import count
from types import CoroutineType
from typing import Any

from durably import context
from durably.context import Body
from durably.crashpoints import reach
from durably.declared import Declaration, StepOptions
from durably.errors import BlockingCallError, SerializationError, StepAttemptsExceededError, StepTimeoutError
from durably.execution.run import Run
from durably.execution.timelimit import TimeIsUp, time_limit
from durably.model import CheckpointKey


async def run_step(
    run: Run, key: CheckpointKey, declaration: Declaration, args: tuple[Any, ...], kwargs: dict[str, Any]
) -> Any:
    """Run a step that has no checkpoint yet, and write its checkpoint; its value, or its recorded error."""
    started_at = run.services.clock.now_ms()
    try:
        value = await _attempts(run, key, declaration, args, kwargs)
        checkpoint = run.output_checkpoint(value, key, declaration.name, declaration.types)
    except Exception as error:
        checkpoint, raised = run.error_checkpoint(error, key, declaration.name)
        await run.record(key, checkpoint, started_at)
        if raised is error:
            raise
        raise raised from error
    await run.record(key, checkpoint, started_at)
    return value


async def _attempts(
    run: Run, key: CheckpointKey, declaration: Declaration, args: tuple[Any, ...], kwargs: dict[str, Any]
) -> Any:
    options = declaration.step
    clock = run.services.clock
    began = clock.monotonic()
    failures: list[str] = []
    while True:
        attempt = len(failures) + 1
        try:
            return await _body(run, key, declaration, args, kwargs, attempt)
        except Exception as error:
            failures.append(f"attempt {attempt}: {type(error).__name__}: {error}")
            if options.max_attempts == 1 or not _may_retry(options, error):
                raise
            delay = _delay(options, attempt)
            late = (
                options.timeout_seconds is not None
                and not declaration.is_async
                and clock.monotonic() + delay - began > options.timeout_seconds
            )
            if attempt >= options.max_attempts or late:
                raise _exceeded(run, key, declaration, failures, late) from error
        run.check()
        await run.pause(delay)
        await run.services.lease.valid()
        run.check()


async def _body(
    run: Run,
    key: CheckpointKey,
    declaration: Declaration,
    args: tuple[Any, ...],
    kwargs: dict[str, Any],
    attempt: int,
) -> Any:
    inside = Body(declaration.name, key.function_id, run.step_key(key), attempt, counter=count(1))
    with context.body(inside):
        reach("step.body.before")
        value = declaration.function(*args, **kwargs)
        if declaration.is_async:
            value = await _in_time(run, key, declaration, value, attempt)
        elif isinstance(value, CoroutineType):
            value.close()
            raise BlockingCallError(
                f"step {declaration.name!r} is a plain function and returned a coroutine; "
                "declare it with `async def`, or hand the coroutine function itself to run_step"
            )
        reach("step.body.after")
        return value


async def _in_time(run: Run, key: CheckpointKey, declaration: Declaration, value: Awaitable[Any], attempt: int) -> Any:
    seconds = declaration.step.timeout_seconds
    try:
        with time_limit(seconds):
            return await value
    except TimeIsUp as error:
        raise StepTimeoutError(
            f"step {declaration.name!r} (function id {key}) of workflow {run.workflow_id!r} took longer than "
            f"{seconds:g} s in attempt {attempt}, and was cancelled",
            workflow_id=run.workflow_id,
            step=declaration.name,
            attempt=attempt,
        ) from error


def _may_retry(options: StepOptions, error: Exception) -> bool:
    if isinstance(error, SerializationError):
        return False
    return options.should_retry is None or options.should_retry(error)


def _delay(options: StepOptions, attempt: int) -> float:
    full = min(options.interval_seconds * options.backoff_rate ** (attempt - 1), options.max_interval_seconds)
    return full * random.uniform(0.5, 1.0)  # noqa: S311  spread, not secrecy


def _exceeded(
    run: Run, key: CheckpointKey, declaration: Declaration, failures: list[str], late: bool
) -> StepAttemptsExceededError:
    bound = f"{declaration.step.timeout_seconds} s were up" if late else "no attempt is left"
    return StepAttemptsExceededError(
        f"step {declaration.name!r} (function id {key}) of workflow {run.workflow_id!r} failed "
        f"{len(failures)} times, and {bound}; the last: {failures[-1]}",
        workflow_id=run.workflow_id,
        step=declaration.name,
        errors=failures,
    )
