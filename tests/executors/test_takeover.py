"""An executor whose lease runs out loses its workflows; it can write nothing more, and returns the other's outcome."""

from __future__ import annotations

import asyncio
import logging
import threading
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor

import pytest

import durably
from durably import Durably, Status, step, workflow
from tests.execution.rows import checkpoints, rows
from tests.executors.clocks import FreezingClock

LEASE = 0.6


@pytest.fixture
def clock() -> Iterator[FreezingClock]:
    frozen = FreezingClock()
    yield frozen
    frozen.thaw()


class Body:
    """A step's body that blocks in its first executor until it is told to go on."""

    def __init__(self) -> None:
        self.inside, self.go = threading.Event(), threading.Event()
        self.runs: list[int] = []

    def __call__(self) -> int:
        self.runs.append(len(self.runs) + 1)
        if len(self.runs) == 1:
            self.inside.set()
            assert self.go.wait(30)
            return 1
        return 2


def silent_and_peer(system_url: str, clock: FreezingClock) -> tuple[Durably, Durably]:
    silent = Durably("takeover", system_database_url=system_url, lease_seconds=LEASE, clock=clock)
    peer = Durably("takeover", system_database_url=system_url, lease_seconds=LEASE)
    return silent, peer


def test_a_peer_takes_over_and_the_late_writer_is_fenced(system_url: str, clock: FreezingClock) -> None:
    body = Body()
    after: list[str] = []

    @step(name="one")
    def one() -> int:
        return body()

    @step(name="two")
    def two(number: int) -> int:
        after.append(f"two after {number}")
        return number * 10

    @workflow
    def flow() -> int:
        return two(one())

    def call() -> int:
        with silent.current(), durably.workflow_options(workflow_id="w"):
            return flow()

    silent, peer = silent_and_peer(system_url, clock)
    with silent, ThreadPoolExecutor(1) as pool:
        first = pool.submit(call)
        assert body.inside.wait(30)
        clock.freeze()
        with peer, peer.current():
            assert durably.get_result("w", timeout_seconds=30) == 20
            status = durably.get_workflow_status("w")
            assert (status.status, status.attempt, status.recovery_attempts) == (Status.SUCCESS, 2, 1)
            # Only now does the first one's body return. What it returned is not recorded, and nobody sees it.
            body.go.set()
            clock.thaw()
            assert first.result(30) == 20
    assert body.runs == [1, 2]
    assert after == ["two after 2"]
    assert checkpoints(system_url, "w") == ["one", "two"]


def test_a_late_coroutine_is_fenced_too(system_url: str, clock: FreezingClock) -> None:
    body = Body()

    @workflow
    async def flow() -> int:
        return await durably.aio.run_step(body)

    silent, peer = silent_and_peer(system_url, clock)
    with silent:
        with silent.current():
            handle = durably.start_workflow(flow)
        assert body.inside.wait(30)
        clock.freeze()
        with peer, peer.current():
            assert durably.get_result(handle.workflow_id, timeout_seconds=30) == 2
            body.go.set()
            clock.thaw()
            assert handle.get_result(timeout_seconds=30) == 2
    assert body.runs == [1, 2]


def test_a_late_outcome_is_refused(system_url: str, clock: FreezingClock) -> None:
    body = Body()

    @workflow
    def flow() -> int:
        return body()

    silent, peer = silent_and_peer(system_url, clock)
    with silent, ThreadPoolExecutor(1) as pool:

        def call() -> int:
            with silent.current(), durably.workflow_options(workflow_id="w"):
                return flow()

        first = pool.submit(call)
        assert body.inside.wait(30)
        clock.freeze()
        with peer, peer.current():
            assert durably.get_result("w", timeout_seconds=30) == 2
            body.go.set()
            clock.thaw()
            assert first.result(30) == 2
            assert durably.get_result("w") == 2


def test_no_body_begins_after_the_lease_is_over(system_url: str, clock: FreezingClock) -> None:
    """The executor judges by its own clock; it needs no word from the database that it is too late."""
    body = Body()
    begun: list[str] = []
    executor: list[str] = []

    @step
    def next_step() -> None:
        begun.append(threading.current_thread().name)

    @workflow
    def flow() -> int:
        number = body()  # workflow code, which takes its time
        next_step()
        return number

    silent, peer = silent_and_peer(system_url, clock)
    with silent:
        with silent.current():
            handle = durably.start_workflow(flow)
            executor.append(handle.get_status().executor_id or "")
        assert body.inside.wait(30)
        clock.freeze()
        with peer, peer.current():
            assert durably.get_result(handle.workflow_id, timeout_seconds=30) == 2
            assert len(begun) == 1
            body.go.set()
            clock.thaw()
            assert handle.get_result(timeout_seconds=30) == 2
    assert len(begun) == 1


def test_an_executor_that_was_only_slow_goes_on(system_url: str, clock: FreezingClock) -> None:
    """Its lease ran out, but nobody took its work: it renews, and ends what it holds."""
    body = Body()

    @step
    def one() -> int:
        return body()

    @workflow
    def flow() -> int:
        return one() + one()

    with Durably("takeover", system_database_url=system_url, lease_seconds=LEASE, clock=clock):
        handle = durably.start_workflow(flow)
        assert body.inside.wait(30)
        clock.freeze()
        expired = "SELECT count(*) FROM durably.executors WHERE lease_expires_at < ?"
        until = rows(system_url, "SELECT max(lease_expires_at) FROM durably.executors")[0][0]
        with Durably("other", system_database_url=system_url, lease_seconds=60):  # somebody else's clock goes on
            wait = threading.Event()
            while not rows(system_url, expired, (until + 1,)):
                wait.wait(0.01)
        body.go.set()
        clock.thaw()
        assert handle.get_result(timeout_seconds=30) == 3
        assert handle.get_status().attempt == 1


def test_many_workflows_change_hands(system_url: str, clock: FreezingClock, caplog: pytest.LogCaptureFixture) -> None:
    count = 120  # more than one claim takes
    stuck, go = threading.Semaphore(0), threading.Event()
    silent_runs, peer_runs = [], []

    @step
    def one(number: int) -> int:
        if number in silent_runs:
            peer_runs.append(number)
            return number
        silent_runs.append(number)
        stuck.release()
        assert go.wait(60)
        return -1

    @workflow
    def flow(number: int) -> int:
        return one(number)

    silent, peer = silent_and_peer(system_url, clock)
    with silent:
        with silent.current():
            handles = [durably.start_workflow(flow, number) for number in range(count)]
        for _ in range(count):
            assert stuck.acquire(timeout=30)
        clock.freeze()
        with caplog.at_level(logging.WARNING, "durably.executor"), peer, peer.current():
            results = [durably.get_result(handle.workflow_id, timeout_seconds=60) for handle in handles]
            assert results == list(range(count))
            go.set()
            clock.thaw()
            assert [handle.get_result(timeout_seconds=60) for handle in handles] == list(range(count))
    assert sorted(peer_runs) == list(range(count))
    assert "its lease ran out" in caplog.text


def test_two_peers_do_not_both_take_over(system_url: str, clock: FreezingClock) -> None:
    body = Body()

    @workflow
    def flow() -> int:
        return durably.run_step(body)

    silent, peer = silent_and_peer(system_url, clock)
    third = Durably("takeover", system_database_url=system_url, lease_seconds=LEASE)
    with silent:
        with silent.current():
            handle = durably.start_workflow(flow)
        assert body.inside.wait(30)
        clock.freeze()
        with peer, third, peer.current():
            assert durably.get_result(handle.workflow_id, timeout_seconds=30) == 2
            assert durably.get_workflow_status(handle.workflow_id).attempt == 2
            body.go.set()
            clock.thaw()
            assert handle.get_result(timeout_seconds=30) == 2
    assert body.runs == [1, 2]


def test_applications_do_not_take_each_others_work(system_url: str, clock: FreezingClock) -> None:
    body = Body()

    @workflow
    def flow() -> int:
        return durably.run_step(body)

    @workflow
    def ping() -> str:
        return "pong"

    shop = Durably("shop", system_database_url=system_url, lease_seconds=LEASE, clock=clock)
    bank = Durably("bank", system_database_url=system_url, lease_seconds=LEASE)
    shop2 = Durably("shop", system_database_url=system_url, lease_seconds=LEASE)
    with shop:
        with shop.current():
            handle = durably.start_workflow(flow)
        assert body.inside.wait(30)
        clock.freeze()
        with bank, shop2:
            with bank.current():
                assert ping() == "pong"
            with shop2.current():
                assert durably.get_result(handle.workflow_id, timeout_seconds=30) == 2
                taken_by = durably.get_workflow_status(handle.workflow_id).executor_id
                names = dict(rows(system_url, "SELECT executor_id, application_name FROM durably.executors"))
                assert names[taken_by] == "shop"
        body.go.set()
        clock.thaw()


def test_an_asynchronous_engine_takes_over_on_its_loop(system_url: str, clock: FreezingClock) -> None:
    body = Body()

    @step
    async def one() -> int:
        return await asyncio.to_thread(body)

    @workflow
    async def flow() -> int:
        return await one()

    async def main(workflow_id: str) -> int:
        async with peer:
            with peer.current():
                result: int = await durably.aio.get_result(workflow_id, timeout_seconds=30)
                return result

    silent, peer = silent_and_peer(system_url, clock)
    with silent:
        with silent.current():
            handle = durably.start_workflow(flow)
        assert body.inside.wait(30)
        clock.freeze()
        try:
            assert asyncio.run(main(handle.workflow_id)) == 2
        finally:
            body.go.set()
            clock.thaw()
        assert handle.get_result(timeout_seconds=30) == 2
