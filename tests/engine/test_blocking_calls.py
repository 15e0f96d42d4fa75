"""What would block an event loop, or could never be awaited, is refused with the form that works."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Any

import pytest

import durably
from durably import BlockingCallError, Durably, step, workflow


@step
def plain_step(amount: int) -> int:
    return amount + 1


@step
async def later_step(amount: int) -> int:
    await asyncio.sleep(0)
    return amount + 1


@workflow
def plain() -> str:
    return "plain"


@workflow
async def later() -> str:
    return "later"


@pytest.mark.parametrize(
    ("verb", "instead"),
    [
        pytest.param(lambda: durably.start_workflow(plain), "durably.aio.start_workflow", id="start_workflow"),
        pytest.param(lambda: durably.retrieve_workflow("x"), "durably.aio.retrieve_workflow", id="retrieve_workflow"),
        pytest.param(lambda: durably.get_result("x"), "durably.aio.get_result", id="get_result"),
        pytest.param(lambda: durably.get_workflow_status("x"), "durably.aio.get_workflow_status", id="status"),
        pytest.param(lambda: durably.run_step(plain_step, 1), "durably.aio.run_step", id="run_step"),
        pytest.param(lambda: plain(), "durably.aio.start_workflow(plain, ...)", id="call"),
    ],
)
def test_a_blocking_verb_on_a_loop_names_the_awaited_one(
    system_url: str, verb: Callable[[], Any], instead: str
) -> None:
    async def main() -> None:
        async with Durably("loop", system_database_url=system_url):
            with pytest.raises(BlockingCallError) as caught:
                verb()
            assert instead in str(caught.value)

    asyncio.run(main())


def test_a_blocking_handle_on_a_loop_is_refused(system_url: str) -> None:
    async def main(handle: durably.WorkflowHandle[str]) -> None:
        with pytest.raises(BlockingCallError, match=r"durably\.aio\.WorkflowHandle\.get_result"):
            handle.get_result()
        with pytest.raises(BlockingCallError, match=r"durably\.aio\.WorkflowHandle\.get_status"):
            handle.get_status()

    with Durably("loop", system_database_url=system_url):
        asyncio.run(main(durably.start_workflow(plain)))


def test_a_plain_step_in_an_asynchronous_workflow_is_refused(system_url: str) -> None:
    @workflow
    async def flow() -> int:
        with pytest.raises(BlockingCallError, match=r"use `await durably\.aio\.run_step\(plain_step, \.\.\.\)`"):
            plain_step(1)
        # The refusal took no place: what follows is the first function of the workflow.
        return await later_step(1)

    async def main() -> None:
        async with Durably("loop", system_database_url=system_url):
            assert await flow() == 2

    asyncio.run(main())


def refused(call: Callable[[], Any]) -> str:
    with pytest.raises(BlockingCallError) as caught:
        call()
    return str(caught.value)


def test_a_coroutine_step_in_a_plain_workflow_is_refused_at_the_call(system_url: str) -> None:
    @workflow
    def flow() -> list[str]:
        return [refused(lambda: later_step(1)), refused(lambda: durably.run_step(later_step, 1))]

    with Durably("loop", system_database_url=system_url):
        for message in flow():
            assert "declare the workflow with `async def`" in message


def test_the_refusal_is_the_workflows_error_if_nobody_catches_it(system_url: str) -> None:
    @workflow
    def flow() -> None:
        _forgotten = later_step(1)

    with (
        Durably("loop", system_database_url=system_url),
        pytest.raises(BlockingCallError, match="is a coroutine function"),
    ):
        durably.start_workflow(flow).get_result(timeout_seconds=30)


def test_a_plain_workflow_may_start_a_coroutine_workflow(system_url: str) -> None:
    @workflow
    def flow() -> str:
        return durably.start_workflow(later).get_result(timeout_seconds=30)

    with Durably("loop", system_database_url=system_url):
        assert flow() == "later"


def test_an_asynchronous_workflow_may_start_a_plain_workflow(system_url: str) -> None:
    @workflow
    async def flow() -> str:
        return await (await durably.aio.start_workflow(plain)).get_result(timeout_seconds=30)

    async def main() -> None:
        async with Durably("loop", system_database_url=system_url):
            assert await flow() == "plain"

    asyncio.run(main())


def test_blocking_code_cannot_run_a_coroutine_outside_workflows_either() -> None:
    with pytest.raises(BlockingCallError, match=r"later_step is a coroutine function; use `await durably\.aio\."):
        _forgotten = durably.run_step(later_step, 1)
