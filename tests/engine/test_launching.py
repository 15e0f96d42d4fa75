"""Constructing opens nothing, launching opens, shutting down closes: in any order, and each with a clear error."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest

import durably
from durably import BlockingCallError, ConfigurationError, Durably, NotLaunchedError, step, workflow


@workflow
def plain() -> str | None:
    return durably.workflow_id()


@workflow
async def later() -> str | None:
    return durably.workflow_id()


def durably_threads() -> set[str]:
    return {thread.name for thread in threading.enumerate() if thread.name.startswith("durably-")}


def test_constructing_opens_nothing(tmp_path: Path) -> None:
    threads = durably_threads()
    app = Durably("shop", system_database_url=f"sqlite:///{tmp_path}/shop.db")
    assert repr(app) == "Durably('shop', not launched)"
    assert list(tmp_path.iterdir()) == []
    assert durably_threads() == threads


@pytest.mark.parametrize(
    "verb",
    [
        pytest.param(lambda: plain(), id="call"),
        pytest.param(lambda: durably.start_workflow(plain), id="start_workflow"),
        pytest.param(lambda: durably.retrieve_workflow("x"), id="retrieve_workflow"),
        pytest.param(lambda: durably.get_result("x"), id="get_result"),
        pytest.param(lambda: durably.get_workflow_status("x"), id="get_workflow_status"),
        pytest.param(lambda: asyncio.run(later()), id="await"),
        pytest.param(lambda: asyncio.run(durably.aio.start_workflow(later)), id="aio.start_workflow"),
        pytest.param(lambda: asyncio.run(durably.aio.retrieve_workflow("x")), id="aio.retrieve_workflow"),
        pytest.param(lambda: asyncio.run(durably.aio.get_result("x")), id="aio.get_result"),
        pytest.param(lambda: asyncio.run(durably.aio.get_workflow_status("x")), id="aio.get_workflow_status"),
    ],
)
def test_without_an_engine_a_verb_says_what_to_do(verb: Callable[[], Any], sqlite_path: Path) -> None:
    with pytest.raises(NotLaunchedError, match=r"call app\.launch\(\) first"):
        verb()
    app = Durably("shop", system_database_url=f"sqlite:///{sqlite_path}")
    with pytest.raises(NotLaunchedError, match=r"call app\.launch\(\) first"):
        verb()
    app.launch()
    app.shutdown()
    with pytest.raises(NotLaunchedError, match=r"call app\.launch\(\) first"):
        verb()


def test_nothing_is_left_open(system_url: str) -> None:
    threads = durably_threads()
    for _ in range(3):
        with Durably("shop", system_database_url=system_url):
            durably.start_workflow(later).get_result(timeout_seconds=30)
            durably.start_workflow(plain).get_result(timeout_seconds=30)
            assert {"durably-heartbeat", "durably-takeover"} <= durably_threads()
    # Threads that ran workflows stay a while for more; they hold nothing.
    assert {name for name in durably_threads() - threads if not name.startswith("durably-workflow-")} == set()


def test_a_second_launch_is_refused(system_url: str) -> None:
    with Durably("shop", system_database_url=system_url) as app:
        assert repr(app) == "Durably('shop', launched)"
        with pytest.raises(ConfigurationError, match="'shop' is launched already; shut it down first"):
            app.launch()
        assert plain() is not None


def test_many_threads_launch_one_engine_once(system_url: str) -> None:
    app = Durably("shop", system_database_url=system_url)
    barrier = threading.Barrier(8)
    before = durably_threads()

    def launch() -> str:
        barrier.wait(30)
        try:
            app.launch()
        except ConfigurationError as error:
            return str(error)
        return "launched"

    with ThreadPoolExecutor(8) as pool:
        results = [future.result(30) for future in [pool.submit(launch) for _ in range(8)]]
    try:
        assert sorted(results, key=len)[0] == "launched"
        assert results.count("launched") == 1
        assert plain() is not None
    finally:
        app.shutdown()
    assert durably_threads() == before


def test_an_engine_is_launched_again_after_shutdown(system_url: str) -> None:
    app = Durably("shop", system_database_url=system_url)
    handles = []
    for _ in range(3):
        app.launch()
        handles.append(durably.start_workflow(plain))
        handles[-1].get_result(timeout_seconds=30)
        app.shutdown()
        app.shutdown()  # harmless
    with app:
        # A handle is the engine's, whichever of its launches it is from.
        assert [one.get_result() for one in handles] == [one.workflow_id for one in handles]


def test_a_launch_that_fails_leaves_nothing_behind(tmp_path: Path) -> None:
    threads = durably_threads()
    folder = tmp_path / "missing"
    app = Durably("shop", system_database_url=f"sqlite:///{folder}/shop.db")
    for _ in range(2):
        with pytest.raises(durably.DatabaseUnavailableError, match="the folder exists"):
            app.launch()
        with pytest.raises(NotLaunchedError):
            plain()
    assert durably_threads() == threads
    folder.mkdir()
    with app:
        assert plain() is not None


def test_an_exception_inside_shuts_down(system_url: str) -> None:
    app = Durably("shop", system_database_url=system_url)
    with pytest.raises(ValueError, match="mine"), app:
        raise ValueError("mine")
    with pytest.raises(NotLaunchedError):
        plain()


def test_an_asynchronous_engine_uses_the_callers_loop(system_url: str) -> None:
    @workflow
    async def where() -> bool:
        return asyncio.get_running_loop() is loop

    loop: asyncio.AbstractEventLoop | None = None

    async def main() -> None:
        nonlocal loop
        loop = asyncio.get_running_loop()
        app = Durably("shop", system_database_url=system_url)
        for _ in range(2):
            async with app:
                assert await where()
                assert await (await durably.aio.start_workflow(where)).get_result(timeout_seconds=30)
            with pytest.raises(NotLaunchedError):
                await where()
        assert "durably-loop" not in durably_threads()

    asyncio.run(main())


def test_a_synchronous_engine_starts_one_loop_when_needed(system_url: str) -> None:
    @workflow
    async def where() -> tuple[str, int]:
        return threading.current_thread().name, id(asyncio.get_running_loop())

    with Durably("shop", system_database_url=system_url):
        plain()
        assert "durably-loop" not in durably_threads()
        first, second = (durably.start_workflow(where).get_result(timeout_seconds=30) for _ in range(2))
        assert first == second
        assert first[0] == "durably-loop"
    assert "durably-loop" not in durably_threads()


def test_a_loop_of_the_users_takes_its_place(system_url: str) -> None:
    @workflow
    async def where() -> tuple[str, int]:
        return threading.current_thread().name, id(asyncio.get_running_loop())

    loop = asyncio.new_event_loop()
    thread = threading.Thread(target=loop.run_forever, name="mine")
    thread.start()
    try:
        with Durably("shop", system_database_url=system_url, loop=loop):
            assert durably.start_workflow(where).get_result(timeout_seconds=30) == ("mine", id(loop))
            assert "durably-loop" not in durably_threads()
        assert loop.is_running()  # it is not ours to stop
    finally:
        loop.call_soon_threadsafe(loop.stop)
        thread.join()
        loop.close()


@pytest.mark.parametrize("verb", ["launch", "shutdown", "__enter__"])
def test_blocking_life_cycle_calls_are_refused_on_a_loop(verb: str, sqlite_path: Path) -> None:
    app = Durably("shop", system_database_url=f"sqlite:///{sqlite_path}")

    async def main() -> None:
        with pytest.raises(BlockingCallError, match="use `async with app:`"):
            getattr(app, verb)()

    asyncio.run(main())
    assert not sqlite_path.exists()


def test_steps_are_plain_calls_outside_workflows_also_when_launched(system_url: str) -> None:
    @step
    def charge() -> tuple[Any, ...]:
        return durably.workflow_id(), durably.step_id(), durably.attempt()

    @step
    async def charge_later() -> tuple[Any, ...]:
        return durably.workflow_id(), durably.step_id(), durably.attempt()

    with Durably("shop", system_database_url=system_url):
        assert charge() == asyncio.run(charge_later()) == (None, None, 1)
        assert durably.run_step(charge) == (None, None, 1)
        assert durably.step_key() != durably.step_key()
