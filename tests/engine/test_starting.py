"""Two ways to start a workflow: a direct call in the caller's thread or task, and in the background with a handle."""

from __future__ import annotations

import asyncio
import threading
from contextvars import ContextVar

import pytest

import durably
from durably import (
    Durably,
    NotRegisteredError,
    SerializationError,
    Status,
    WaitTimeoutError,
    WorkflowNotFoundError,
    step,
    workflow,
)


def test_a_direct_call_runs_in_the_callers_thread(system_url: str) -> None:
    @step
    def where() -> int:
        return threading.get_ident()

    @workflow
    def flow(greeting: str, *, name: str) -> tuple[str, int, int]:
        return f"{greeting} {name}", threading.get_ident(), where()

    with Durably("start", system_database_url=system_url):
        here = threading.get_ident()
        assert flow("hello", name="world") == ("hello world", here, here)


def test_a_direct_call_of_a_coroutine_runs_in_the_callers_task(system_url: str) -> None:
    @step
    async def where() -> str:
        task = asyncio.current_task()
        return task.get_name() if task else ""

    @workflow
    async def flow() -> tuple[str, str]:
        task = asyncio.current_task()
        return task.get_name() if task else "", await where()

    async def main() -> None:
        async with Durably("start", system_database_url=system_url):
            task = asyncio.current_task()
            assert task is not None
            assert await flow() == (task.get_name(), task.get_name())

    asyncio.run(main())


def test_a_start_runs_in_the_background(system_url: str) -> None:
    go = threading.Event()

    @workflow
    def flow(amount: int) -> tuple[int, str]:
        assert go.wait(30)
        return amount, threading.current_thread().name

    with Durably("start", system_database_url=system_url):
        handle = durably.start_workflow(flow, 7)
        status = handle.get_status()
        assert (status.status, status.workflow_id, status.attempt) == (Status.PENDING, handle.workflow_id, 1)
        go.set()
        amount, thread = handle.get_result(timeout_seconds=30)
        assert (amount, thread[:17]) == (7, "durably-workflow-")
        assert handle.get_status().status is Status.SUCCESS


def test_both_kinds_start_from_both_kinds_of_code(system_url: str) -> None:
    @workflow
    def plain(amount: int) -> int:
        return amount + 1

    @workflow
    async def later(amount: int) -> int:
        await asyncio.sleep(0)
        return amount + 1

    async def main() -> None:
        async with Durably("start", system_database_url=system_url):
            first = await durably.aio.start_workflow(plain, 1)
            second = await durably.aio.start_workflow(later, 2)
            assert [await first.get_result(timeout_seconds=30), await second.get_result()] == [2, 3]
            assert (await second.get_status()).status is Status.SUCCESS

    with Durably("start", system_database_url=system_url):
        handles = [durably.start_workflow(plain, 1), durably.start_workflow(later, 2)]
        assert [handle.get_result(timeout_seconds=30) for handle in handles] == [2, 3]
    asyncio.run(main())


def test_what_runs_in_the_background_inherits_nothing(system_url: str) -> None:
    """A recovery would have nothing to inherit."""
    request: ContextVar[str] = ContextVar("request", default="none")

    @workflow
    def plain() -> str:
        return request.get()

    @workflow
    async def later() -> str:
        return request.get()

    async def main() -> None:
        async with Durably("start", system_database_url=system_url):
            handles = [await durably.aio.start_workflow(plain), await durably.aio.start_workflow(later)]
            assert [await handle.get_result(timeout_seconds=30) for handle in handles] == ["none", "none"]
            assert await later() == "mine"

    request.set("mine")
    with Durably("start", system_database_url=system_url):
        handles = [durably.start_workflow(plain), durably.start_workflow(later)]
        assert [handle.get_result(timeout_seconds=30) for handle in handles] == ["none", "none"]
        assert plain() == "mine"
    asyncio.run(main())


def test_a_handle_is_found_again_by_its_id(system_url: str) -> None:
    @workflow
    def flow() -> list[int]:
        return [1, 2]

    async def main() -> None:
        async with Durably("start", system_database_url=system_url):
            handle = await durably.aio.retrieve_workflow("f-1")
            assert await handle.get_result() == await durably.aio.get_result("f-1") == [1, 2]
            assert (await durably.aio.get_workflow_status("f-1")).workflow_id == "f-1"

    with Durably("start", system_database_url=system_url):
        with durably.workflow_options(workflow_id="f-1"):
            flow()
        handle = durably.retrieve_workflow("f-1", expect=list[int])
        assert handle.get_result() == durably.get_result("f-1") == [1, 2]
        assert durably.get_workflow_status("f-1").status is Status.SUCCESS
    asyncio.run(main())


def test_nobody_waits_for_what_is_not_there(system_url: str) -> None:
    async def main() -> None:
        async with Durably("start", system_database_url=system_url):
            for ask in (durably.aio.retrieve_workflow, durably.aio.get_result, durably.aio.get_workflow_status):
                with pytest.raises(WorkflowNotFoundError, match="'no-such-id'"):
                    await ask("no-such-id")

    with Durably("start", system_database_url=system_url):
        for ask in (durably.retrieve_workflow, durably.get_result, durably.get_workflow_status):
            with pytest.raises(WorkflowNotFoundError, match="'no-such-id'") as caught:
                ask("no-such-id")
            assert caught.value.workflow_id == "no-such-id"  # type: ignore[attr-defined]
    asyncio.run(main())


def test_a_wait_may_end_before_the_workflow(system_url: str) -> None:
    go = threading.Event()

    @workflow
    def flow() -> str:
        assert go.wait(30)
        return "done"

    async def wait_later() -> None:
        handle = await durably.aio.retrieve_workflow("slow")
        with pytest.raises(WaitTimeoutError):
            await handle.get_result(timeout_seconds=0.01)

    with Durably("start", system_database_url=system_url):
        with durably.workflow_options(workflow_id="slow"):
            handle = durably.start_workflow(flow)
        with pytest.raises(WaitTimeoutError, match="runs on") as caught:
            handle.get_result(timeout_seconds=0.01)
        assert isinstance(caught.value, TimeoutError)
        with pytest.raises(WaitTimeoutError):
            durably.get_result("slow", timeout_seconds=0)
        asyncio.run(wait_later())
        go.set()
        assert handle.get_result(timeout_seconds=30) == "done"


def test_an_argument_that_cannot_be_stored_is_refused_at_the_call(system_url: str) -> None:
    ran: list[object] = []

    @workflow
    def flow(thing: object) -> None:
        ran.append(thing)

    with Durably("start", system_database_url=system_url):
        for call in (flow, lambda thing: durably.start_workflow(flow, thing)):
            with (
                durably.workflow_options(workflow_id="bad"),
                pytest.raises(
                    SerializationError, match=r"arguments of workflow .*flow' with workflow id 'bad'"
                ) as caught,
            ):
                call(threading.Lock())
            assert "args" in caught.value.path  # type: ignore[attr-defined]
        assert ran == []
        with pytest.raises(WorkflowNotFoundError):
            durably.get_workflow_status("bad")
        with durably.workflow_options(workflow_id="bad"):  # the id is not used up
            flow("fine")
    assert ran == ["fine"]


def test_only_a_workflow_can_be_started(system_url: str) -> None:
    @step
    def charge() -> None:
        """Does nothing."""

    def plain() -> None:
        """Does nothing."""

    with Durably("start", system_database_url=system_url):
        with pytest.raises(NotRegisteredError, match=r"charge is not a workflow.*it is a step"):
            durably.start_workflow(charge)
        with pytest.raises(NotRegisteredError, match=r"plain is not a workflow; declare it with @durably\.workflow"):
            durably.start_workflow(plain)


def test_wrong_arguments_are_the_workflows_own_error(system_url: str) -> None:
    @workflow
    def flow(amount: int) -> int:
        return amount

    with Durably("start", system_database_url=system_url), pytest.raises(TypeError, match="amount"):
        flow()  # type: ignore[call-arg]


def test_many_at_once_all_end(system_url: str) -> None:
    @step
    def one(number: int) -> int:
        return number

    @workflow
    def flow(number: int) -> int:
        return one(number) + 1

    @workflow
    async def later(number: int) -> int:
        return await durably.aio.run_step(one, number) + 1

    with Durably("start", system_database_url=system_url):
        handles = [durably.start_workflow(flow if number % 2 else later, number) for number in range(60)]
        assert [handle.get_result(timeout_seconds=60) for handle in handles] == list(range(1, 61))
