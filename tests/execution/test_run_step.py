"""``run_step``: any function is a step of the current workflow, recorded and retried like a declared one."""

from __future__ import annotations

import asyncio
import functools
import threading
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

import pytest

import durably
from durably import BlockingCallError, ConfigurationError, Durably, StepOptions, step, workflow
from tests.execution.rows import checkpoints


class Fetcher:
    """Has methods that make good steps."""

    def __init__(self, base: str) -> None:
        self.base = base

    def fetch(self, path: str) -> str:
        return f"{self.base}/{path}#{durably.step_id()}"

    async def fetch_later(self, path: str) -> str:
        await asyncio.sleep(0)
        return f"{self.base}/{path}#{durably.step_id()}"

    @step
    def declared(self, path: str) -> str:
        return f"{self.base}/{path}#{durably.step_id()}"


def fetch(path: str, *, base: str = "plain") -> str:
    return f"{base}/{path}#{durably.step_id()}"


async def fetch_later(path: str, *, base: str = "later") -> str:
    await asyncio.sleep(0)
    return f"{base}/{path}#{durably.step_id()}"


@step
def declared(path: str) -> str:
    return f"declared/{path}#{durably.step_id()}"


@step
async def declared_later(path: str) -> str:
    return f"declared later/{path}#{durably.step_id()}"


def test_a_plain_workflow_runs_anything(system_url: str) -> None:
    here = Fetcher("method")

    @workflow
    def flow() -> list[str]:
        return [
            durably.run_step(fetch, "a"),
            durably.run_step(fetch, "b", base="kwargs"),
            durably.run_step(StepOptions(name="c"), fetch, "c"),
            durably.run_step(lambda: f"lambda#{durably.step_id()}"),
            durably.run_step(here.fetch, "d"),
            durably.run_step(here.declared, "e"),
            durably.run_step(declared, "f"),
            durably.run_step(functools.partial(fetch, base="partial"), "g"),
        ]

    with Durably("inline", system_database_url=system_url), durably.workflow_options(workflow_id="f"):
        assert flow() == [
            "plain/a#1",
            "kwargs/b#2",
            "plain/c#3",
            "lambda#4",
            "method/d#5",
            "method/e#6",
            "declared/f#7",
            "partial/g#8",
        ]
    assert [name.removeprefix(f"{__name__}.") for name in checkpoints(system_url, "f")] == [
        "fetch",
        "fetch",
        "c",
        "test_a_plain_workflow_runs_anything.<locals>.flow.<locals>.<lambda>",
        "Fetcher.fetch",
        "Fetcher.declared",
        "declared",
        "partial",
    ]


def test_an_asynchronous_workflow_runs_anything(system_url: str) -> None:
    here = Fetcher("method")

    @workflow
    async def flow() -> list[str]:
        run_step = durably.aio.run_step
        return [
            await run_step(fetch_later, "a"),
            await run_step(fetch, "b", base="kwargs"),
            await run_step(StepOptions(name="c"), fetch_later, "c"),
            await run_step(lambda: f"lambda#{durably.step_id()}"),
            await run_step(here.fetch_later, "d"),
            await run_step(here.fetch, "e"),
            await run_step(here.declared, "f"),
            await run_step(declared_later, "g"),
            await run_step(declared, "h"),
            await run_step(functools.partial(fetch_later, base="partial"), "i"),
        ]

    async def main() -> list[str]:
        async with Durably("inline", system_database_url=system_url):
            return await flow()

    assert asyncio.run(main()) == [
        "later/a#1",
        "kwargs/b#2",
        "later/c#3",
        "lambda#4",
        "method/d#5",
        "method/e#6",
        "method/f#7",
        "declared later/g#8",
        "declared/h#9",
        "partial/i#10",
    ]


def test_functions_of_the_standard_library_are_steps(system_url: str) -> None:
    import os.path
    import time
    import uuid

    @workflow
    def flow() -> tuple[int, bool, uuid.UUID, float]:
        return (
            durably.run_step(len, "four"),
            durably.run_step(os.path.exists, "/"),
            durably.run_step(uuid.uuid4),
            durably.run_step(time.monotonic),
        )

    with Durably("inline", system_database_url=system_url):
        number, exists, unique, seconds = flow()
    assert (number, exists, type(unique), type(seconds)) == (4, True, uuid.UUID, float)


@dataclass
class Callback:
    """A callable object that has no hash."""

    base: str
    calls: list[str] = field(default_factory=list)

    def __call__(self, path: str) -> str:
        self.calls.append(path)
        return f"{self.base}/{path}"


class AsyncCallback:
    """An object whose call is a coroutine."""

    async def __call__(self, path: str) -> str:
        await asyncio.sleep(0)
        return f"awaited/{path}"


def test_callable_objects_are_steps(system_url: str) -> None:
    @workflow
    def flow() -> str:
        return durably.run_step(Callback("object"), "a")

    @workflow
    async def flow_later() -> str:
        return await durably.aio.run_step(AsyncCallback(), "a")

    with Durably("inline", system_database_url=system_url):
        assert flow() == "object/a"
        assert durably.start_workflow(flow_later).get_result(timeout_seconds=30) == "awaited/a"


def test_equal_functions_are_not_mixed_up(system_url: str) -> None:
    class Same:
        def __init__(self, value: int) -> None:
            self.value = value

        def __eq__(self, other: object) -> bool:
            return isinstance(other, Same)

        def __hash__(self) -> int:
            return 1

        def __call__(self) -> int:
            return self.value

    @workflow
    def flow() -> list[int]:
        return [durably.run_step(Same(value)) for value in (1, 2, 3)]

    with Durably("inline", system_database_url=system_url):
        assert flow() == [1, 2, 3]


def test_its_options_hold(system_url: str) -> None:
    attempts: list[int] = []

    def flaky() -> str:
        attempts.append(durably.attempt())
        if len(attempts) < 3:
            raise ConnectionError("not yet")
        return "done"

    async def flaky_later() -> str:
        return flaky()

    options = StepOptions(max_attempts=3, interval_seconds=0)

    @workflow
    def flow() -> str:
        return durably.run_step(options, flaky)

    @workflow
    async def flow_later() -> str:
        return await durably.aio.run_step(options, flaky_later)

    with Durably("inline", system_database_url=system_url):
        assert flow() == "done"
        assert attempts == [1, 2, 3]
        attempts.clear()
        assert durably.start_workflow(flow_later).get_result(timeout_seconds=30) == "done"
        assert attempts == [1, 2, 3]


def test_a_plain_function_does_not_block_the_loop(system_url: str) -> None:
    """The step waits for something that only another task of the same loop can do."""
    ticked = threading.Event()

    def wait_for_the_other_task() -> bool:
        return ticked.wait(30)

    @step
    def declared_wait() -> bool:
        return ticked.wait(30)

    @workflow
    async def flow() -> list[bool]:
        run_step = durably.aio.run_step
        return [await run_step(wait_for_the_other_task), await run_step(declared_wait)]

    async def tick() -> None:
        await asyncio.sleep(0)
        ticked.set()

    async def main() -> list[bool]:
        async with Durably("inline", system_database_url=system_url):
            running = asyncio.ensure_future(flow())
            other = asyncio.ensure_future(tick())
            result = await running
            await other
            return result

    assert asyncio.run(main()) == [True, True]


def test_plain_functions_run_side_by_side(system_url: str) -> None:
    """Each waits until all are inside; each is the first of its own branch, whichever ends first."""
    barrier = threading.Barrier(4)

    def meet(number: int) -> tuple[int, int | None]:
        barrier.wait(30)
        return number, durably.step_id()

    @workflow
    async def flow() -> list[tuple[int, int | None]]:
        return await durably.aio.gather(*(durably.aio.run_step(meet, number) for number in (1, 2, 3, 4)))

    async def main() -> list[tuple[int, int | None]]:
        async with Durably("inline", system_database_url=system_url):
            return await flow()

    assert asyncio.run(main()) == [(1, 1), (2, 1), (3, 1), (4, 1)]


def test_outside_a_workflow_it_is_a_plain_call() -> None:
    assert durably.run_step(fetch, "a") == "plain/a#None"
    assert durably.run_step(StepOptions(max_attempts=5), fetch, "a", base="b") == "b/a#None"
    assert asyncio.run(durably.aio.run_step(fetch_later, "a")) == "later/a#None"
    assert asyncio.run(durably.aio.run_step(fetch, "a")) == "plain/a#None"


def test_inside_a_step_it_is_a_plain_call(system_url: str) -> None:
    @step
    def outer() -> list[str]:
        return [durably.run_step(fetch, "a"), declared("b")]

    @workflow
    def flow() -> list[str]:
        return [*outer(), declared("c")]

    with Durably("inline", system_database_url=system_url), durably.workflow_options(workflow_id="f"):
        assert flow() == ["plain/a#1", "declared/b#1", "declared/c#2"]
    assert len(checkpoints(system_url, "f")) == 2


def test_a_workflow_is_not_a_step(system_url: str) -> None:
    @workflow
    def child() -> int:
        return 1

    @workflow
    def flow() -> int:
        return durably.run_step(child)

    with Durably("inline", system_database_url=system_url), pytest.raises(ConfigurationError, match="is a workflow"):
        flow()


def test_options_without_a_function_are_refused() -> None:
    wrong: list[Callable[[], Any]] = [
        lambda: durably.run_step(StepOptions()),  # type: ignore[call-overload]
        lambda: durably.run_step(StepOptions(), "fetch"),  # type: ignore[call-overload]
    ]
    for call in wrong:
        with pytest.raises(ConfigurationError, match="needs the function second"):
            call()


def test_a_forgotten_coroutine_is_a_clear_error(system_url: str) -> None:
    @workflow
    async def flow() -> str:
        return await durably.aio.run_step(lambda: fetch_later("a"))

    with Durably("inline", system_database_url=system_url):
        handle = durably.start_workflow(flow)
        with pytest.raises(BlockingCallError, match="hand the coroutine function itself to run_step"):
            handle.get_result(timeout_seconds=30)
