"""One outcome per workflow id: whoever starts it again, in any way, gets the first one's outcome."""

from __future__ import annotations

import asyncio
import threading
from collections import Counter
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from typing import Any

import pytest

import durably
from durably import ConfigurationError, Durably, OptionsReusedError, WorkflowIdConflictError, step, workflow

THREADS = 16


class Bodies:
    """Counts how often each body ran, over all threads."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self.counts: Counter[str] = Counter()

    def ran(self, what: str) -> int:
        with self._lock:
            self.counts[what] += 1
            return self.counts[what]


def at_once(calls: Sequence[Callable[[], Any]]) -> list[Any]:
    """The results of ``calls``, each made on a thread of its own, as much at the same time as can be."""
    barrier = threading.Barrier(len(calls))

    def run(call: Callable[[], Any]) -> Any:
        barrier.wait(30)
        return call()

    with ThreadPoolExecutor(len(calls)) as pool:
        return list(pool.map(run, calls))


def test_the_second_start_gets_the_first_ones_value(system_url: str) -> None:
    bodies = Bodies()

    @workflow
    def flow(amount: int) -> int:
        bodies.ran("flow")
        return amount

    with Durably("ids", system_database_url=system_url):
        results = []
        for amount in (1, 2):
            with durably.workflow_options(workflow_id="order-1"):
                results.append(flow(amount))
        with durably.workflow_options(workflow_id="order-1"):
            handle = durably.start_workflow(flow, 3)
        results.append(handle.get_result(timeout_seconds=30))
    assert results == [1, 1, 1]
    assert bodies.counts == {"flow": 1}
    assert handle.workflow_id == "order-1"


def test_the_second_start_gets_the_first_ones_error(system_url: str) -> None:
    bodies = Bodies()

    @workflow
    def flow(amount: int) -> int:
        bodies.ran("flow")
        raise ValueError("no", amount)

    with Durably("ids", system_database_url=system_url):
        for amount in (1, 2):
            with durably.workflow_options(workflow_id="order-1"), pytest.raises(ValueError, match="no") as caught:
                flow(amount)
            assert caught.value.args == ("no", 1)
    assert bodies.counts == {"flow": 1}


@pytest.mark.parametrize("start", ["call", "start"])
def test_many_threads_start_one_id(system_url: str, start: str) -> None:
    bodies = Bodies()

    @step
    def charge(thread: int) -> int:
        bodies.ran("charge")
        return thread

    @workflow
    def flow(thread: int) -> int:
        bodies.ran("flow")
        return charge(thread)

    def call(order: str, thread: int) -> Any:
        with durably.workflow_options(workflow_id=order):
            if start == "call":
                return flow(thread)
            return durably.start_workflow(flow, thread).get_result(timeout_seconds=30)

    with Durably("ids", system_database_url=system_url):
        for order in ("a", "b", "c", "d"):
            results = at_once([partial(call, order, thread) for thread in range(THREADS)])
            assert len(set(results)) == 1
    assert bodies.counts == {"flow": 4, "charge": 4}


def test_two_executors_start_one_id(system_url: str) -> None:
    bodies = Bodies()

    @step
    def charge(caller: str) -> str:
        bodies.ran("charge")
        return caller

    @workflow
    def flow(caller: str) -> str:
        bodies.ran("flow")
        return charge(caller)

    def call(app: Durably, order: str, start: bool) -> Any:
        with app.current(), durably.workflow_options(workflow_id=order):
            return durably.start_workflow(flow, repr(app)).get_result(timeout_seconds=30) if start else flow(repr(app))

    first, second = (Durably("ids", system_database_url=system_url) for _ in range(2))
    with first, second:
        for order in ("a", "b", "c", "d", "e"):
            calls = [partial(call, app, order, start) for start in (True, False) * 2 for app in (first, second)]
            results = at_once(calls)
            assert len(set(results)) == 1
    assert bodies.counts == {"flow": 5, "charge": 5}


def test_many_tasks_start_one_id(system_url: str) -> None:
    bodies = Bodies()

    @workflow
    async def flow(task: int) -> int:
        bodies.ran("flow")
        await asyncio.sleep(0)
        return task

    async def call(task: int) -> int:
        with durably.workflow_options(workflow_id="one"):
            return await flow(task)

    async def main() -> list[int]:
        async with Durably("ids", system_database_url=system_url):
            return await asyncio.gather(*(call(task) for task in range(THREADS)))

    assert len(set(asyncio.run(main()))) == 1
    assert bodies.counts == {"flow": 1}


def test_a_start_waits_for_a_direct_call_that_still_runs(system_url: str) -> None:
    inside, go = threading.Event(), threading.Event()

    @workflow
    def flow(caller: str) -> str:
        inside.set()
        assert go.wait(30)
        return caller

    def call() -> str:
        with durably.workflow_options(workflow_id="one"):
            return flow("first")

    with Durably("ids", system_database_url=system_url), ThreadPoolExecutor(1) as pool:
        first = pool.submit(call)
        assert inside.wait(30)
        with durably.workflow_options(workflow_id="one"):
            handle = durably.start_workflow(flow, "second")
        go.set()
        assert handle.get_result(timeout_seconds=30) == first.result(30) == "first"


@pytest.mark.parametrize("still_runs", [True, False], ids=["running", "ended"])
def test_an_id_is_one_functions(system_url: str, still_runs: bool) -> None:
    go = threading.Event()

    @workflow(name="checkout")
    def checkout() -> str:
        assert go.wait(30)
        return "checkout"

    @workflow(name="refund")
    def refund() -> str:
        raise AssertionError("this must not run")

    with Durably("ids", system_database_url=system_url) as app:
        with durably.workflow_options(workflow_id="order-1"):
            handle = durably.start_workflow(checkout)
        if not still_runs:
            go.set()
            handle.get_result(timeout_seconds=30)
        for start in (refund, lambda: durably.start_workflow(refund)):
            with (
                durably.workflow_options(workflow_id="order-1"),
                pytest.raises(WorkflowIdConflictError, match="'order-1' is taken by 'checkout'") as caught,
            ):
                start()
            assert (caught.value.workflow_id, caught.value.existing) == ("order-1", "checkout")  # type: ignore[attr-defined]
        go.set()
        assert handle.get_result(timeout_seconds=30) == "checkout"
        app.shutdown()


def test_an_id_is_one_applications(system_url: str) -> None:
    @workflow
    def flow() -> str:
        return "done"

    with Durably("shop", system_database_url=system_url), durably.workflow_options(workflow_id="order-1"):
        flow()
    with (
        Durably("warehouse", system_database_url=system_url),
        durably.workflow_options(workflow_id="order-1"),
        pytest.raises(WorkflowIdConflictError, match="of application 'shop'"),
    ):
        flow()


def test_ids_are_told_apart_to_the_last_character(system_url: str) -> None:
    ids = ["a", "A", "a ", " a", "ä", "a'", 'a"', "a%", "a_", "a;--", "日本", "x" * 255, "x" * 254 + "y", "{t}", "?"]

    @workflow
    def flow(given: str) -> str:
        assert durably.workflow_id() == given
        return given

    with Durably("ids", system_database_url=system_url):
        for given in ids:
            with durably.workflow_options(workflow_id=given):
                assert flow(given) == given
        assert [durably.get_result(given) for given in ids] == ids


@pytest.mark.parametrize("given", ["", " ", "\t", "a\n", "a\0b", "\ud800", "x" * 256, "a\u200b"], ids=repr)
def test_an_id_must_be_usable(given: str) -> None:
    with (
        pytest.raises(ConfigurationError, match=r"workflow id .* is not usable"),
        durably.workflow_options(workflow_id=given),
    ):
        raise AssertionError("the block must not begin")


@pytest.mark.parametrize("given", [5, b"order-1"], ids=repr)
def test_an_id_is_text(given: Any) -> None:
    with (
        pytest.raises(ConfigurationError, match=r"workflow id .* is not usable"),
        durably.workflow_options(workflow_id=given),
    ):
        raise AssertionError("the block must not begin")


def test_a_start_without_an_id_gets_a_fresh_one(system_url: str) -> None:
    @workflow
    def flow() -> str | None:
        return durably.workflow_id()

    with Durably("ids", system_database_url=system_url):
        assert len({flow(), flow(), durably.start_workflow(flow).workflow_id}) == 3
    assert durably.workflow_id() is None


def test_one_block_serves_one_start(system_url: str) -> None:
    @workflow
    def flow() -> str | None:
        return durably.workflow_id()

    with Durably("ids", system_database_url=system_url), durably.workflow_options(workflow_id="one"):
        assert flow() == "one"
        for start in (flow, lambda: durably.start_workflow(flow)):
            with pytest.raises(OptionsReusedError, match="'one'") as caught:
                start()
            assert caught.value.workflow_id == "one"  # type: ignore[attr-defined]
        with durably.workflow_options():  # a block without an id gives fresh ones
            assert flow() != "one"
        with durably.workflow_options(workflow_id="two"):
            assert flow() == "two"


def test_a_block_is_not_inherited_by_what_runs_inside(system_url: str) -> None:
    @workflow
    def child() -> str | None:
        return durably.workflow_id()

    @workflow
    def parent() -> list[str | None]:
        return [durably.workflow_id(), child(), durably.start_workflow(child).get_result(timeout_seconds=30)]

    with Durably("ids", system_database_url=system_url), durably.workflow_options(workflow_id="p"):
        assert parent() == ["p", "p-1", "p-2"]


def test_a_block_inside_a_workflow_names_its_child(system_url: str) -> None:
    bodies = Bodies()

    @workflow
    def child() -> str | None:
        bodies.ran("child")
        return durably.workflow_id()

    @workflow
    async def child_later() -> str | None:
        return durably.workflow_id()

    @workflow
    def parent() -> list[str | None]:
        with durably.workflow_options(workflow_id="called"):
            called = child()
        with durably.workflow_options(workflow_id="started"):
            started = durably.start_workflow(child).get_result(timeout_seconds=30)
        return [called, started]

    @workflow
    async def parent_later() -> str | None:
        with durably.workflow_options(workflow_id="awaited"):
            return await child_later()

    with Durably("ids", system_database_url=system_url):
        assert parent() == ["called", "started"]
        assert durably.start_workflow(parent_later).get_result(timeout_seconds=30) == "awaited"
        # … and makes the call idempotent, across parents too.
        assert parent() == ["called", "started"]
    assert bodies.counts == {"child": 2}
