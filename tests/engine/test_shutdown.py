"""Shutting down: what executes may end, what does not end in time is handed back at once, and nobody's work fails."""

from __future__ import annotations

import asyncio
import threading
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest

import durably
from durably import Durably, NotLaunchedError, Status, step, workflow
from tests.execution.rows import rows


class Stuck:
    """Where a workflow waits until the test lets it go on."""

    def __init__(self) -> None:
        self.inside, self.go = threading.Event(), threading.Event()

    def wait(self) -> None:
        self.inside.set()
        assert self.go.wait(30)


def closing(app: Durably, pool: ThreadPoolExecutor, seconds: float = 30.0) -> Any:
    """Shut down on another thread; returned when the engine takes nothing more."""
    done = pool.submit(app.shutdown, seconds)
    pause = threading.Event()
    while repr(app).endswith("'launched')") or "not launched" not in repr(app):
        pause.wait(0.001)
    return done


def test_what_executes_may_end(system_url: str) -> None:
    stuck = Stuck()

    @step
    def after() -> str:
        return "ended"

    @workflow
    def flow() -> str:
        stuck.wait()
        return after()

    app = Durably("shutdown", system_database_url=system_url)
    app.launch()
    workflow_id = durably.start_workflow(flow).workflow_id
    assert stuck.inside.wait(30)
    with ThreadPoolExecutor(1) as pool:
        done = closing(app, pool)
        assert not done.done()
        stuck.go.set()
        done.result(30)
    with app:
        assert durably.get_result(workflow_id) == "ended"
        assert durably.get_workflow_status(workflow_id).attempt == 1


def test_what_executes_may_go_on_using_its_engine(system_url: str) -> None:
    """Draining, the engine takes no new work from outside; a workflow that has begun needs its verbs to end."""
    stuck = Stuck()

    @workflow
    def child() -> str:
        return "child"

    @workflow
    async def child_later() -> str:
        return "later"

    @workflow
    def flow() -> list[Any]:
        stuck.wait()
        found = durably.workflow_id()
        assert found is not None
        started = [durably.start_workflow(child), durably.start_workflow(child_later)]
        return [
            child(),
            *(one.get_result(timeout_seconds=30) for one in started),
            str(durably.get_workflow_status(found).status),
        ]

    app = Durably("shutdown", system_database_url=system_url)
    app.launch()
    workflow_id = durably.start_workflow(flow).workflow_id
    assert stuck.inside.wait(30)
    with ThreadPoolExecutor(1) as pool:
        done = closing(app, pool)
        with pytest.raises(NotLaunchedError):
            durably.start_workflow(child)
        with pytest.raises(NotLaunchedError):
            child()
        stuck.go.set()
        done.result(30)
    with app:
        assert durably.get_result(workflow_id, timeout_seconds=30) == ["child", "child", "later", "PENDING"]


def test_an_asynchronous_engine_drains_too(system_url: str) -> None:
    go = threading.Event()

    @step
    async def one() -> str:
        await asyncio.to_thread(go.wait, 30)
        return "ended"

    @workflow
    async def flow() -> str:
        return await one()

    async def main() -> str:
        app = Durably("shutdown", system_database_url=system_url)
        async with app:
            workflow_id = (await durably.aio.start_workflow(flow)).workflow_id
            await asyncio.sleep(0)
            asyncio.get_running_loop().call_later(0.05, go.set)
        async with app:
            result: str = await durably.aio.get_result(workflow_id, timeout_seconds=30)
            assert (await durably.aio.get_workflow_status(workflow_id)).attempt == 1
            return result

    assert asyncio.run(main()) == "ended"


@pytest.mark.parametrize("kind", ["call", "start", "coroutine"])
def test_what_does_not_end_in_time_is_handed_back(system_url: str, kind: str) -> None:
    stuck, lives = Stuck(), []

    def body() -> str:
        lives.append(threading.current_thread().name)
        if len(lives) == 1:
            stuck.wait()
            return "late"
        return "by another"

    @workflow
    def flow() -> str:
        return durably.run_step(body)

    @workflow
    async def flow_later() -> str:
        return await durably.aio.run_step(body)

    def call() -> str:
        with app.current(), durably.workflow_options(workflow_id="w"):
            if kind == "call":
                return flow()
            handle = durably.start_workflow(flow) if kind == "start" else durably.start_workflow(flow_later)
            return handle.get_result()

    app = Durably("shutdown", system_database_url=system_url)
    app.launch()
    with ThreadPoolExecutor(1) as pool:
        caller = pool.submit(call)
        assert stuck.inside.wait(30)
        app.shutdown(timeout_seconds=0)
        status = rows(system_url, "SELECT status, executor_id FROM durably.workflow_status WHERE workflow_uuid = 'w'")
        assert status == [("ENQUEUED", None)]
        assert rows(system_url, "SELECT executor_id FROM durably.executors") == []
        with Durably("shutdown", system_database_url=system_url) as other, other.current():
            assert durably.get_result("w", timeout_seconds=30) == "by another"
            # The late body may return now; it is too late for it to be heard.
            stuck.go.set()
            with pytest.raises(NotLaunchedError):
                caller.result(30)
            assert durably.get_result("w") == "by another"
            assert durably.get_workflow_status("w").status is Status.SUCCESS
    assert len(lives) == 2


def test_a_family_is_handed_back_whole(system_url: str) -> None:
    """A child that is cut off by the shutdown is not its parent's error."""
    stuck, lives = Stuck(), []

    def body() -> str:
        lives.append(1)
        if len(lives) == 1:
            stuck.wait()
        return "child"

    @workflow
    def child() -> str:
        return durably.run_step(body)

    @workflow
    def parent() -> list[str]:
        started = durably.start_workflow(child)
        return [child(), started.get_result()]

    app = Durably("shutdown", system_database_url=system_url)
    app.launch()
    with durably.workflow_options(workflow_id="p"):
        durably.start_workflow(parent)
    assert stuck.inside.wait(30)
    app.shutdown(timeout_seconds=0)
    try:
        with Durably("shutdown", system_database_url=system_url):
            assert durably.get_result("p", timeout_seconds=30) == ["child", "child"]
    finally:
        stuck.go.set()


def test_who_waits_is_told(system_url: str) -> None:
    with Durably("shutdown", system_database_url=system_url, executes="none") as app:

        @workflow
        def flow() -> None:
            """Nobody executes it."""

        handle = durably.start_workflow(flow)
        waiting = threading.Event()

        def wait() -> None:
            waiting.set()
            handle.get_result()

        with ThreadPoolExecutor(1) as pool:
            waiter = pool.submit(wait)
            assert waiting.wait(30)
            app.shutdown()
            with pytest.raises(NotLaunchedError):
                waiter.result(30)
