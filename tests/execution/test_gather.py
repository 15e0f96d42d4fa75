"""Gather: arms side by side, each with function ids of its own, so that no timing changes where they are recorded."""

from __future__ import annotations

import asyncio
import random
import threading
import time
from collections.abc import Coroutine
from typing import Any

import pytest

import durably
from durably import Durably, NonDeterminismError, WorkflowCancelledError, step, workflow
from durably.execution.signals import HandedBack
from tests.execution.rows import rows
from tests.messaging.lives import SECONDS, Lives, waited_for


def run(flow: Any, *args: Any, workflow_id: str = "w") -> Any:
    with durably.workflow_options(workflow_id=workflow_id):
        handle = durably.start_workflow(flow, *args)
    return handle.get_result(timeout_seconds=SECONDS)


def places(url: str, workflow_id: str = "w") -> list[tuple[str, int, str]]:
    """What is recorded, and where."""
    found = rows(
        url,
        "SELECT branch, function_id, function_name FROM durably.operation_outputs WHERE workflow_uuid = ?"
        " ORDER BY branch, function_id",
        (workflow_id,),
    )
    return [(branch, function_id, name) for branch, function_id, name in found]


async def do(name: str) -> str:
    """One recorded operation of that name in the branch that calls."""
    return await durably.aio.run_step(durably.StepOptions(name=name), lambda: name)


def test_each_arm_counts_for_itself(system_url: str) -> None:
    @workflow(name="flow")
    async def flow() -> list[Any]:
        async def arm(name: str, count: int) -> list[str]:
            return [await do(f"{name}{number}") for number in range(count)]

        before = await do("before")
        both = await durably.aio.gather(arm("a", 2), arm("b", 1))
        between = await do("between")
        again = await durably.aio.gather(arm("c", 1))
        at_once = await durably.aio.gather(arm("d", 1))
        nothing = await durably.aio.gather()
        return [before, both, between, again, at_once, nothing]

    with Durably("gather", system_database_url=system_url):
        assert run(flow) == ["before", [["a0", "a1"], ["b0"]], "between", [["c0"]], [["d0"]], []]
    # A branch says how many functions came before it, which gather it is there, and which arm.
    assert places(system_url) == [
        ("", 1, "before"),
        ("", 2, "between"),
        ("1.1.0", 1, "a0"),
        ("1.1.0", 2, "a1"),
        ("1.1.1", 1, "b0"),
        ("2.1.0", 1, "c0"),
        ("2.2.0", 1, "d0"),
    ]


def test_arms_have_arms(system_url: str) -> None:
    @workflow(name="flow")
    async def flow() -> Any:
        async def leaf(name: str) -> str:
            return await do(name)

        async def arm(name: str) -> list[str]:
            await do(name)
            return await durably.aio.gather(leaf(f"{name}x"), leaf(f"{name}y"))

        return await durably.aio.gather(arm("a"), durably.aio.gather(leaf("b"), arm("c")))

    with Durably("gather", system_database_url=system_url):
        assert run(flow) == [["ax", "ay"], ["b", ["cx", "cy"]]]
    assert places(system_url) == [
        ("0.1.0", 1, "a"),
        ("0.1.0/1.1.0", 1, "ax"),
        ("0.1.0/1.1.1", 1, "ay"),
        ("0.1.1/0.1.0", 1, "b"),
        ("0.1.1/0.1.1", 1, "c"),
        ("0.1.1/0.1.1/1.1.0", 1, "cx"),
        ("0.1.1/0.1.1/1.1.1", 1, "cy"),
    ]


def test_calls_made_before_the_gather_have_the_places_of_their_calls(system_url: str) -> None:
    @step(name="one")
    async def one(number: int) -> int:
        await asyncio.sleep(0.05 / number)
        return number

    @workflow(name="flow")
    async def flow() -> list[int]:
        return await durably.aio.gather(one(1), one(2), one(3))

    with Durably("gather", system_database_url=system_url):
        assert run(flow) == [1, 2, 3]
    assert places(system_url) == [("", number, "one") for number in (1, 2, 3)]


@pytest.mark.parametrize("seed", range(5))
def test_a_replay_finds_its_checkpoints_whatever_the_timing(lives: Lives, seed: int) -> None:
    """Arms of random depth and width, whose steps take other times in the second life."""
    shape = random.Random(seed)  # noqa: S311
    tree = [[shape.randint(0, 3) for _ in range(shape.randint(1, 4))] for _ in range(shape.randint(2, 4))]
    timing = random.Random(seed + 100)  # noqa: S311
    stop_at = shape.randint(3, 3 + sum(map(sum, tree)))
    bodies: list[str] = []

    @step(name="work")
    async def work(name: str) -> str:
        await asyncio.sleep(timing.uniform(0, 0.02))
        bodies.append(name)
        if len(bodies) >= stop_at:
            await lives_end()
        return name

    async def lives_end() -> None:
        if not lives.second:
            lives.stuck.set()
            await asyncio.sleep(SECONDS)

    async def leaf(name: str, count: int) -> list[str]:
        done = []
        for number in range(count):
            await asyncio.sleep(timing.uniform(0, 0.02))
            done.append(await work(f"{name}.{number}"))
        return done

    async def arm(name: str, leaves: list[int]) -> list[Any]:
        await work(name)
        found = await durably.aio.gather(*(leaf(f"{name}.{number}", count) for number, count in enumerate(leaves)))
        return [await work(f"{name}.end"), found]

    @workflow(name="flow")
    async def flow() -> list[Any]:
        found = await durably.aio.gather(*(arm(str(number), leaves) for number, leaves in enumerate(tree)))
        return [found, await work("end")]

    recorded: list[Any] = []

    def between() -> None:
        recorded.extend(row[0] for row in rows(lives.url, "SELECT output FROM durably.operation_outputs"))
        bodies.append("second life")

    result = lives.interrupted(lambda: durably.start_workflow(flow), between)
    expected = [
        [
            [f"{n}.end", [[f"{n}.{m}.{k}" for k in range(count)] for m, count in enumerate(leaves)]]
            for n, leaves in enumerate(tree)
        ],
        "end",
    ]
    assert result == expected
    second = bodies[bodies.index("second life") + 1 :]
    assert {f'"{name}"' for name in second}.isdisjoint(recorded), "what was recorded did not run again"
    assert len(second) == len(set(second))
    assert len(recorded) + len(second) == len(places(lives.url))


# -- errors ------------------------------------------------------------------------------------------------------


def test_all_arms_end_and_the_first_error_in_order_is_raised(system_url: str) -> None:
    ended: list[str] = []

    async def arm(name: str, seconds: float, error: Exception | None) -> str:
        await asyncio.sleep(seconds)
        await do(name)
        ended.append(name)
        if error is not None:
            raise error
        return name

    @workflow(name="raising")
    async def raising() -> None:
        await durably.aio.gather(
            arm("slow", 0.2, None), arm("late", 0.1, ValueError("first in order")), arm("early", 0, KeyError("second"))
        )

    @workflow(name="returning")
    async def returning() -> list[str]:
        found = await durably.aio.gather(arm("a", 0.1, None), arm("b", 0, ValueError("no")), return_exceptions=True)
        return [repr(one) for one in found]

    with Durably("gather", system_database_url=system_url):
        with pytest.raises(ValueError, match="first in order"):
            run(raising)
        assert sorted(ended) == ["early", "late", "slow"]
        assert run(returning, workflow_id="r") == ["'a'", "ValueError('no')"]


def test_an_arm_that_cancels_itself_is_an_error_like_others(system_url: str) -> None:
    @workflow(name="flow")
    async def flow() -> list[str]:
        async def gives_up() -> None:
            raise asyncio.CancelledError

        found = await durably.aio.gather(gives_up(), do("other"), return_exceptions=True)
        return [type(one).__name__ for one in found]

    with Durably("gather", system_database_url=system_url):
        assert run(flow) == ["CancelledError", "str"]


def test_what_is_no_awaitable_is_an_error_of_its_arm(system_url: str) -> None:
    @workflow(name="flow")
    async def flow() -> list[str]:
        found = await durably.aio.gather(5, do("other"), return_exceptions=True)  # type: ignore[arg-type]
        return [type(one).__name__ for one in found]

    with Durably("gather", system_database_url=system_url):
        assert run(flow) == ["TypeError", "str"]


def test_an_arm_that_cannot_go_on_here_stops_the_others(system_url: str) -> None:
    """As when a transaction's database is away for too long: the workflow is handed back, without the others' waits."""
    cancelled: list[str] = []
    lives: list[int] = []

    @workflow(name="flow")
    async def flow() -> str:
        lives.append(len(lives))

        async def waits() -> None:
            try:
                await asyncio.sleep(SECONDS)
            except asyncio.CancelledError:
                cancelled.append("waits")
                raise

        async def fails() -> None:
            await asyncio.sleep(0.05)
            raise HandedBack("w", ConnectionError("away"))

        if len(lives) == 1:
            await durably.aio.gather(waits(), fails(), return_exceptions=True)
        return "second life"

    with Durably("gather", system_database_url=system_url):
        with durably.workflow_options(workflow_id="w"):
            durably.start_workflow(flow)
        waited_for(lambda: cancelled == ["waits"])
        assert durably.get_result("w", timeout_seconds=SECONDS) == "second life"


# -- other tasks -------------------------------------------------------------------------------------------------


def test_durable_calls_from_other_tasks_are_an_error_that_names_gather(system_url: str) -> None:
    messages: list[str] = []

    @step(name="s")
    async def s() -> None: ...

    @workflow(name="child")
    async def child() -> None: ...

    async def call_step() -> None:
        await s()

    async def start_child() -> None:
        await durably.aio.start_workflow(child)

    async def call_child() -> None:
        await child()

    calls: dict[str, Any] = {
        "s": call_step,
        "durably.sleep": lambda: durably.aio.sleep(0),
        "durably.send": lambda: durably.aio.send("w", 1),
        "durably.recv": lambda: durably.aio.recv(timeout_seconds=0),
        "durably.set_event": lambda: durably.aio.set_event("k", 1),
        "durably.get_event": lambda: durably.aio.get_event("w", "k", timeout_seconds=0),
        "durably.write_stream": lambda: durably.aio.write_stream("k", 1),
        "durably.now": durably.aio.now,
        "durably.uuid": durably.aio.uuid,
        "durably.patch-p": lambda: durably.aio.patch("p"),
        "durably.start_workflow": start_child,
        "child": call_child,
        "gather": lambda: durably.aio.gather(call_step()),
    }

    async def called(coroutine: Coroutine[Any, Any, Any]) -> None:
        await coroutine

    @workflow(name="flow")
    async def flow() -> str:
        for name, call in calls.items():
            with pytest.raises(NonDeterminismError, match=r"in another task.*durably\.aio\.gather") as caught:
                await asyncio.create_task(called(call()))
            messages.append(str(caught.value))
            assert vars(caught.value)["called"] == name
        return await do("goes on")

    with Durably("gather", system_database_url=system_url):
        assert run(flow) == "goes on"
    assert len(messages) == len(calls)
    assert places(system_url) == [("", 1, "goes on")]


def test_threads_of_a_coroutine_are_other_tasks(system_url: str) -> None:
    @workflow(name="flow")
    async def flow() -> None:
        with pytest.raises(NonDeterminismError, match=r"durably\.aio\.gather"):
            await asyncio.to_thread(durably.set_event, "k", 1)

    with Durably("gather", system_database_url=system_url):
        run(flow)


def test_a_task_as_an_arm_is_another_task(system_url: str) -> None:
    @workflow(name="flow")
    async def flow() -> None:
        with pytest.raises(NonDeterminismError, match=r"durably\.aio\.gather"):
            await durably.aio.gather(asyncio.create_task(durably.aio.sleep(0)))

    with Durably("gather", system_database_url=system_url):
        run(flow)


def test_other_tasks_inside_a_step_are_the_steps_own(system_url: str) -> None:
    @step(name="s")
    async def s() -> list[int]:
        async def number(one: int) -> int:
            await durably.aio.write_stream("k", one)
            return one

        return list(await asyncio.gather(number(1), number(2)))

    @workflow(name="flow")
    async def flow() -> list[int]:
        return await s()

    with Durably("gather", system_database_url=system_url):
        assert run(flow) == [1, 2]
        assert sorted(durably.read_stream("w", "k")) == [1, 2]


def test_outside_workflows_it_is_asyncios(system_url: str) -> None:
    async def number(one: int) -> int:
        return one

    async def main() -> list[Any]:
        return await durably.aio.gather(number(1), number(2))

    with Durably("gather", system_database_url=system_url):
        assert asyncio.run(main()) == [1, 2]
    assert asyncio.run(main()) == [1, 2], "nor is an engine needed"


# -- children, cancelling ----------------------------------------------------------------------------------------


def test_arms_have_children_with_ids_of_their_places(system_url: str) -> None:
    @workflow(name="child")
    async def child(number: int) -> str:
        return f"{durably.workflow_id()} {number}"

    @workflow(name="flow")
    async def flow() -> list[Any]:
        async def calls(number: int) -> str:
            return await child(number)

        async def starts(number: int) -> str:
            handle = await durably.aio.start_workflow(child, number)
            return await handle.get_result()

        return await durably.aio.gather(calls(1), starts(2), child(3))

    with Durably("gather", system_database_url=system_url):
        # The third was called by the workflow itself; its place is there.
        assert run(flow) == ["w-1.1.0-1 1", "w-1.1.1-1 2", "w-1 3"]
        assert {one.workflow_id for one in durably.list_workflows()} == {"w", "w-1.1.0-1", "w-1.1.1-1", "w-1"}


def test_a_hundred_children_are_gathered(system_url: str) -> None:
    @workflow(name="child")
    async def child(number: int) -> int:
        return number

    @workflow(name="flow")
    async def flow() -> list[int]:
        return await durably.aio.gather(*(child(number) for number in range(100)))

    with Durably("gather", system_database_url=system_url):
        assert run(flow) == list(range(100))


def test_a_cancelled_workflow_ends_all_its_arms(system_url: str) -> None:
    waiting = threading.Semaphore(0)

    @workflow(name="flow")
    async def flow() -> None:
        async def sleeps() -> None:
            waiting.release()
            await durably.aio.sleep(SECONDS)

        async def receives() -> None:
            waiting.release()
            await durably.aio.recv(timeout_seconds=SECONDS)

        await durably.aio.gather(sleeps(), receives(), sleeps())

    with Durably("gather", system_database_url=system_url):
        with durably.workflow_options(workflow_id="w"):
            handle = durably.start_workflow(flow)
        for _ in range(3):
            assert waiting.acquire(timeout=SECONDS)
        began = time.monotonic()
        handle.cancel()
        with pytest.raises(WorkflowCancelledError):
            handle.get_result(timeout_seconds=SECONDS)
    # The shutdown found nothing left to wait for.
    assert time.monotonic() - began < 8


def test_a_cancelled_task_cancels_its_arms(system_url: str) -> None:
    events: list[str] = []

    @workflow(name="flow")
    async def flow() -> None:
        async def arm(name: str) -> None:
            try:
                await asyncio.sleep(SECONDS)
            finally:
                events.append(name)

        await durably.aio.gather(arm("a"), arm("b"))

    async def main() -> None:
        async with Durably("gather", system_database_url=system_url):
            task = asyncio.ensure_future(flow())
            await asyncio.sleep(0.3)
            task.cancel()
            with pytest.raises(asyncio.CancelledError):
                await task
            assert sorted(events) == ["a", "b"]
            # What was interrupted is not over; nobody is to wait for it here.
            (left,) = await durably.aio.list_workflows()
            await durably.aio.cancel_workflow(left.workflow_id)

    asyncio.run(main())
