"""A cancelled workflow ends at once, wherever it is; at most the step that runs ends first, and is kept."""

from __future__ import annotations

import asyncio
import threading
import time

import pytest

import durably
from durably import Client, Durably, Status, WorkflowCancelledError, crashpoints, workflow
from tests.execution.rows import checkpoints
from tests.managing.flows import (
    KINDS,
    LONG,
    THREE,
    WAITER,
    WAITS,
    Stand,
    echo,
    note,
    note_later,
    other,
    start,
    stay,
)

#: A cancellation is noticed sooner; a busy machine is slow.
SOON = 3.0


@pytest.mark.parametrize("kind", KINDS)
def test_the_step_that_runs_ends_and_is_kept(system_url: str, stand: Stand, kind: str) -> None:
    with Durably("cancel", system_database_url=system_url):
        handle = start(THREE[kind], "w", 0)
        stand.arrived()
        handle.cancel()
        # Whoever waits is told at once, though the step still runs.
        with pytest.raises(WorkflowCancelledError, match="'w' was cancelled") as caught:
            handle.get_result(timeout_seconds=SOON)
        assert caught.value.workflow_id == "w"  # type: ignore[attr-defined]
        assert not stand.go.is_set()
        status = handle.get_status()
        assert status.status is Status.CANCELLED
        assert status.completed_at is not None
        stand.go.set()
    assert stand.ran == {"one": 1, "two": 1}
    assert [name.rpartition(".")[2].removesuffix("_later") for name in checkpoints(system_url, "w")] == ["note", "stay"]


EVERY_WAIT = [*((kind, how) for kind in KINDS for how in WAITS), ("coroutine", "gather")]


@pytest.mark.parametrize(("kind", "how"), EVERY_WAIT, ids=[f"{kind}-{how}" for kind, how in EVERY_WAIT])
def test_who_waits_is_woken(system_url: str, stand: Stand, kind: str, how: str) -> None:
    with Durably("cancel", system_database_url=system_url) as app:
        start(other, "other")
        handle = start(WAITER[kind], "w", how)
        stand.arrived(2)
        began = time.monotonic()
        durably.cancel_workflow("w")
        with pytest.raises(WorkflowCancelledError):
            handle.get_result(timeout_seconds=SOON)
        # Nothing of it stays behind on a thread or on the loop, but what it waits for goes on.
        while [run.workflow_id for run in app._require().services.active.runs()] != ["other"]:
            assert time.monotonic() - began < SOON
            time.sleep(0.005)
        stand.go.set()
    assert stand.ran == {"before": 1, "other": 1}


def test_a_step_that_waits_to_be_tried_again_is_not(system_url: str, stand: Stand) -> None:
    @durably.step(max_attempts=5, interval_seconds=600, max_interval_seconds=600)
    def failing() -> None:
        stand.ran["failing"] += 1
        stand.inside.release()
        raise ValueError

    @workflow
    def flow() -> None:
        failing()

    with Durably("cancel", system_database_url=system_url) as app:
        handle = start(flow, "w")
        stand.arrived()
        began = time.monotonic()
        handle.cancel()
        with pytest.raises(WorkflowCancelledError):
            handle.get_result(timeout_seconds=SOON)
        while len(app._require().services.active):
            assert time.monotonic() - began < SOON
            time.sleep(0.005)
    assert stand.ran == {"failing": 1}
    assert checkpoints(system_url, "w") == []


def test_who_calls_a_workflow_directly_is_told(system_url: str, stand: Stand) -> None:
    told: list[BaseException] = []

    def call() -> None:
        try:
            with app.current(), durably.workflow_options(workflow_id="w"):
                WAITER["plain"]("sleep")
        except WorkflowCancelledError as error:
            told.append(error)

    with Durably("cancel", system_database_url=system_url) as app:
        thread = threading.Thread(target=call)
        thread.start()
        stand.arrived()
        durably.cancel_workflow("w")
        thread.join(SOON)
    assert len(told) == 1


def test_a_second_start_of_the_id_is_told_of_the_cancellation(system_url: str, stand: Stand) -> None:
    with Durably("cancel", system_database_url=system_url):
        start(WAITER["plain"], "w", "sleep").cancel()
        with pytest.raises(WorkflowCancelledError):
            start(WAITER["plain"], "w", "sleep").get_result(timeout_seconds=SOON)


def test_what_has_ended_stays_as_it_is(system_url: str) -> None:
    @workflow
    def failing() -> None:
        raise ValueError("no")

    with Durably("cancel", system_database_url=system_url):
        done, failed = start(echo, "done", 1), start(failing, "failed")
        assert done.get_result() == 1
        with pytest.raises(ValueError, match="no"):
            failed.get_result()
        before = [one.get_status() for one in (done, failed)]
        durably.cancel_workflows(["done", "failed", "nobody"])
        assert [one.get_status() for one in (done, failed)] == before
        assert done.get_result() == 1


def test_twice_is_once(system_url: str, stand: Stand) -> None:
    with Durably("cancel", system_database_url=system_url):
        handle = start(THREE["plain"], "w", 0)
        stand.arrived()
        handle.cancel()
        first = handle.get_status()
        handle.cancel()
        durably.cancel_workflows(["w", "w"])
        assert handle.get_status() == first
        stand.go.set()


def test_many_at_once(system_url: str, stand: Stand) -> None:
    ids = [f"w{number}" for number in range(120)]
    with Durably("cancel", system_database_url=system_url):
        for one in ids:
            start(WAITER["coroutine"], one, "sleep")
        stand.arrived(len(ids))
        durably.cancel_workflows(ids[:-1])
        for one in ids[:-1]:
            with pytest.raises(WorkflowCancelledError):
                durably.get_result(one, timeout_seconds=SOON)
        assert durably.count_workflows(group_by=["status"]) == {("CANCELLED",): 119, ("PENDING",): 1}
        durably.cancel_workflow(ids[-1])


def test_before_an_executor_has_claimed_it(system_url: str) -> None:
    ran: list[int] = []

    @workflow
    def flow(number: int) -> None:
        ran.append(number)

    with Durably("cancel", system_database_url=system_url, executes="none"):
        handles = [start(flow, f"w{number}", number) for number in range(3)]
        handles[1].cancel()
        with pytest.raises(WorkflowCancelledError):
            handles[1].get_result(timeout_seconds=SOON)
    with Durably("cancel", system_database_url=system_url):
        assert [durably.get_result(one, timeout_seconds=LONG) for one in ("w0", "w2")] == [None, None]
        assert durably.get_workflow_status("w1").attempt == 0
    assert sorted(ran) == [0, 2]


def test_an_executor_elsewhere_hears_of_it(system_url: str, stand: Stand) -> None:
    """From a client and from another engine; on PostgreSQL by notification, on SQLite from the file."""
    with Durably("cancel", system_database_url=system_url) as app:
        first, second = start(WAITER["plain"], "w1", "sleep"), start(WAITER["coroutine"], "w2", "recv")
        stand.arrived(2)
        with Client(system_url, name="cancel") as client:
            client.cancel_workflow("w1")
        with Durably("cancel", system_database_url=system_url, executes="none") as elsewhere:
            elsewhere.cancel_workflow("w2")
        with app.current():
            began = time.monotonic()
            for handle in (first, second):
                with pytest.raises(WorkflowCancelledError):
                    handle.get_result(timeout_seconds=SOON)
            while len(app._require().services.active):
                assert time.monotonic() - began < SOON
                time.sleep(0.005)


def test_in_a_workflow_it_is_recorded(system_url: str, stand: Stand) -> None:
    """A replay neither cancels again nor tells anybody; meanwhile the other one may have been resumed."""
    lives: list[int] = []

    class Killed(BaseException):
        pass

    @workflow
    def canceller() -> str:
        durably.cancel_workflow("w")
        lives.append(1)
        if len(lives) == 1:
            raise Killed
        return "done"

    with Durably("cancel", system_database_url=system_url, lease_seconds=0.6):
        target = start(WAITER["plain"], "w", "sleep")
        stand.arrived()
        with durably.workflow_options(workflow_id="c"), pytest.raises(Killed):
            canceller()
        with pytest.raises(WorkflowCancelledError):
            target.get_result(timeout_seconds=SOON)
        target.resume()
        waited = threading.Event()

        def wait() -> None:
            try:
                target.get_result(timeout_seconds=2)
            except durably.WaitTimeoutError:
                waited.set()

        thread = threading.Thread(target=wait)
        thread.start()
        assert durably.get_result("c", timeout_seconds=LONG) == "done"
        thread.join(LONG)
        assert waited.is_set()
        assert target.get_status().status is Status.PENDING
        steps = durably.list_workflow_steps("c", payloads=True)
        assert [(one.name, one.output) for one in steps] == [("durably.cancel", ["w"])]
        durably.cancel_workflow("w")
    assert len(lives) == 2


def test_a_workflow_can_cancel_itself(system_url: str, stand: Stand) -> None:
    @workflow
    def flow() -> None:
        durably.cancel_workflow("w")
        note("after")

    with Durably("cancel", system_database_url=system_url), pytest.raises(WorkflowCancelledError):
        start(flow, "w").get_result(timeout_seconds=SOON)
    assert stand.ran == {}


def test_a_step_can_cancel(system_url: str, stand: Stand) -> None:
    """In a step's body it is an outside effect like others: done at once, not recorded."""

    @durably.step
    def cancel() -> None:
        durably.cancel_workflow("w")

    @workflow
    def flow() -> str:
        cancel()
        return "done"

    with Durably("cancel", system_database_url=system_url):
        target = start(WAITER["plain"], "w", "sleep")
        stand.arrived()
        assert start(flow, "c").get_result(timeout_seconds=LONG) == "done"
        with pytest.raises(WorkflowCancelledError):
            target.get_result(timeout_seconds=SOON)
        assert len(durably.list_workflow_steps("c")) == 1


def test_awaited(system_url: str, stand: Stand) -> None:
    async def main() -> None:
        async with Durably("cancel", system_database_url=system_url):
            with durably.workflow_options(workflow_id="w1"):
                first = await durably.aio.start_workflow(WAITER["coroutine"], "sleep")
            with durably.workflow_options(workflow_id="w2"):
                second = await durably.aio.start_workflow(WAITER["coroutine"], "recv")
            await asyncio.to_thread(stand.arrived, 2)
            results = [asyncio.ensure_future(one.get_result()) for one in (first, second)]
            await asyncio.sleep(0)
            await first.cancel()
            await durably.aio.cancel_workflows(["w2"], children=True)
            for result in results:
                with pytest.raises(WorkflowCancelledError):
                    await asyncio.wait_for(result, SOON)
            assert (await second.get_status()).status is Status.CANCELLED

    asyncio.run(main())


def test_one_id_is_no_list(system_url: str) -> None:
    with Durably("cancel", system_database_url=system_url):
        for verb in (durably.cancel_workflows, durably.resume_workflows, durably.delete_workflows):
            with pytest.raises(durably.ConfigurationError, match="list of ids"):
                verb("w-1")
            verb([])


def test_between_its_claim_and_its_first_step(system_url: str, stand: Stand) -> None:
    """The news comes when the workflow is claimed and does not execute yet; it is not forgotten."""
    with Durably("cancel", system_database_url=system_url, executes="none"):
        start(WAITER["plain"], "w", "sleep")
    claimed = threading.Event()

    def cancel(point: str) -> None:
        if point == "claim.after" and not claimed.is_set():
            claimed.set()
            app.cancel_workflow("w")

    crashpoints.arm(cancel)
    app = Durably("cancel", system_database_url=system_url)
    try:
        with app:
            assert claimed.wait(LONG)
            with pytest.raises(WorkflowCancelledError):
                durably.get_result("w", timeout_seconds=SOON)
            assert app._require().services.active.drained().wait(SOON)
            assert app.get_workflow_status("w").attempt == 1
    finally:
        crashpoints.arm(None)
    assert stand.ran == {}


@pytest.mark.parametrize("inner", [False, True], ids=["arms", "arms of arms"])
def test_the_steps_that_run_in_arms_end_and_are_kept(system_url: str, stand: Stand, inner: bool) -> None:
    """Those that wait are woken; what an arm does outside any step is not waited for."""

    @durably.step
    async def slow(name: str) -> str:
        stand.ran[name] += 1
        stand.inside.release()
        await asyncio.to_thread(stand.go.wait, LONG)
        return name

    async def work(name: str) -> None:
        await slow(name)
        await note_later(f"after {name}")

    async def idle() -> None:
        stand.inside.release()
        await asyncio.Event().wait()

    async def arms(name: str) -> None:
        await durably.aio.gather(
            work(f"{name}1"), durably.aio.run_step(stay, f"{name}2"), durably.aio.sleep(600), idle()
        )

    @workflow
    async def flow() -> None:
        if inner:
            await durably.aio.gather(arms("a"), arms("b"), durably.aio.recv(timeout_seconds=None))
        else:
            await arms("a")

    with Durably("cancel", system_database_url=system_url) as app:
        handle = start(flow, "w")
        steps = ["a1", "a2", "b1", "b2"] if inner else ["a1", "a2"]
        stand.arrived(len(steps) * 3 // 2)
        handle.cancel()
        with pytest.raises(WorkflowCancelledError):
            handle.get_result(timeout_seconds=SOON)
        stand.go.set()
        assert app._require().services.active.drained().wait(SOON)
        kept = [one.output for one in durably.list_workflow_steps("w", payloads=True) if one.name != "durably.sleep"]
        assert sorted(kept) == steps
    assert stand.ran == dict.fromkeys(steps, 1)
