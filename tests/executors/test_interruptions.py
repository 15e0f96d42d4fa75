"""A run that is interrupted (Ctrl-C, a cancelled task) has no outcome; the same executor runs it again."""

from __future__ import annotations

import asyncio
import threading
from typing import Any

import pytest

import durably
from durably import Durably, Status, step, workflow
from tests.execution.rows import checkpoints

LEASE = 0.6


class Interrupted(BaseException):
    """Stands for KeyboardInterrupt, which a test runner would take for its own."""


@pytest.mark.parametrize("signal", [KeyboardInterrupt, SystemExit, Interrupted])
def test_an_interrupted_call_is_run_again(system_url: str, signal: type[BaseException]) -> None:
    ran: list[str] = []

    @step(name="one")
    def one() -> None:
        ran.append("one")

    @step(name="two")
    def two() -> str:
        ran.append("two")
        if ran.count("two") == 1:
            raise signal
        return "done"

    @workflow
    def flow() -> str:
        one()
        return two()

    with Durably("interrupted", system_database_url=system_url, lease_seconds=LEASE):
        with durably.workflow_options(workflow_id="w"), pytest.raises(signal):
            flow()
        assert durably.get_workflow_status("w").status is Status.PENDING
        assert durably.get_result("w", timeout_seconds=30) == "done"
        assert durably.get_workflow_status("w").attempt == 1
    assert ran == ["one", "two", "two"]
    assert checkpoints(system_url, "w") == ["one", "two"]


def test_a_cancelled_task_is_run_again(system_url: str) -> None:
    ran: list[str] = []
    inside = threading.Event()

    @step
    async def two() -> str:
        ran.append("two")
        if len(ran) == 1:
            inside.set()
            await asyncio.Event().wait()
        return "done"

    @workflow
    async def flow() -> str:
        return await two()

    async def main() -> Any:
        async with Durably("interrupted", system_database_url=system_url, lease_seconds=LEASE):
            with durably.workflow_options(workflow_id="w"):
                task = asyncio.ensure_future(flow())
                await asyncio.to_thread(inside.wait, 30)
                task.cancel()
            with pytest.raises(asyncio.CancelledError):
                await task
            return await durably.aio.get_result("w", timeout_seconds=30)

    assert asyncio.run(main()) == "done"
    assert ran == ["two", "two"]


def test_an_interrupted_run_in_the_background_is_run_again(system_url: str) -> None:
    ran: list[str] = []

    @workflow
    def flow() -> str:
        ran.append("flow")
        if len(ran) == 1:
            raise Interrupted
        return "done"

    with Durably("interrupted", system_database_url=system_url, lease_seconds=LEASE):
        assert durably.start_workflow(flow).get_result(timeout_seconds=30) == "done"
    assert ran == ["flow", "flow"]


def test_a_wait_that_is_cancelled_leaves_the_workflow_alone(system_url: str) -> None:
    go, ran = threading.Event(), []

    @workflow
    def flow() -> str:
        ran.append("flow")
        assert go.wait(30)
        return "done"

    async def main() -> str:
        async with Durably("interrupted", system_database_url=system_url, lease_seconds=LEASE):
            handle = await durably.aio.start_workflow(flow)
            with pytest.raises(asyncio.TimeoutError):
                await asyncio.wait_for(handle.get_result(), 0.05)
            go.set()
            return await handle.get_result(timeout_seconds=30)

    assert asyncio.run(main()) == "done"
    assert ran == ["flow"]


def test_an_exit_by_the_workflows_own_code_is_its_outcome(system_url: str) -> None:
    ran: list[str] = []

    @workflow
    def flow() -> None:
        ran.append("flow")
        raise SystemExit(3)

    with Durably("interrupted", system_database_url=system_url, lease_seconds=LEASE):
        handle = durably.start_workflow(flow)
        with pytest.raises(durably.RemoteError) as caught:
            handle.get_result(timeout_seconds=30)
        assert handle.get_status().status is Status.ERROR
    assert caught.value.type_name == "builtins.SystemExit"  # type: ignore[attr-defined]
    assert ran == ["flow"]
