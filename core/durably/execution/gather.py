"""Arms of a workflow that go on side by side, each with function ids of its own, so that no timing changes them."""

from __future__ import annotations

from collections.abc import Awaitable
from typing import Any

from durably import context
from durably.context import Frame
from durably.execution.calls import CallingRun
from durably.execution.signals import ExecutionSignal
from durably.execution.waits import workflow_code


async def gather(*arms: Awaitable[Any], return_exceptions: bool = False) -> list[Any]:
    """What the arms return, in order. All arms run to their end; then the first one's error, in order, is raised.

    Outside the code of a workflow this is ``asyncio.gather``.
    """
    import asyncio

    run = workflow_code()
    if run is None:
        return list(await asyncio.gather(*arms, return_exceptions=return_exceptions))
    try:
        await run.may_go_on()  # what came before the arms is recorded before anything of theirs
        names = run.next_branches(len(arms))
    except BaseException:
        for arm in arms:
            if asyncio.iscoroutine(arm):
                arm.close()  # or else it complains that nobody awaited it
        raise
    tasks = [asyncio.ensure_future(_arm(run, name, arm)) for name, arm in zip(names, arms, strict=True)]
    try:
        await _ended(tasks)
    finally:
        # For a gather that this one is in an arm of, that is something that ends first, too.
        await run.busy(_leave(run, tasks))
    return _results(tasks, return_exceptions)


async def _ended(tasks: list[Any]) -> None:
    """Return once all have ended, or one of them has to do so without the workflow's outcome."""
    import asyncio

    left = set(tasks)
    while left:
        done, left = await asyncio.wait(left, return_when=asyncio.FIRST_EXCEPTION)
        if any(isinstance(_error(task), ExecutionSignal) for task in done):
            return


async def _leave(run: CallingRun, tasks: list[Any]) -> None:
    """Have arms end that must not go on. If that is because the run must stop, what they are at ends first."""
    import asyncio

    left, cancelled = {task for task in tasks if not task.done()}, set[Any]()
    while left:
        busy = {task for task in left - cancelled if run.stopped is not None and run.is_busy(task)}
        for task in left - cancelled - busy:
            cancelled.add(task)
            task.cancel()
        ends = [run.free(task).future(asyncio.get_running_loop()) for task in busy]
        await asyncio.wait([*left, *ends], return_when=asyncio.FIRST_COMPLETED)
        left = {task for task in left if not task.done()}
    for task in tasks:
        _error(task)  # looked at, so that no task complains that nobody did


async def _arm(run: CallingRun, branch: str, arm: Awaitable[Any]) -> Any:
    with context.entered(Frame(run, branch, task=context.current_task())):
        return await arm


def _results(tasks: list[Any], return_exceptions: bool) -> list[Any]:
    errors = [_error(task) for task in tasks]
    for error in errors:
        if isinstance(error, ExecutionSignal):
            raise error
    if not return_exceptions:
        for error in errors:
            if error is not None:
                raise error
    return [error if error is not None else task.result() for task, error in zip(tasks, errors, strict=True)]


def _error(task: Any) -> BaseException | None:
    import asyncio

    if task.cancelled():
        return asyncio.CancelledError()
    error: BaseException | None = task.exception()
    return error
