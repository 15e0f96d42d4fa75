"""Replay: what is recorded is never run again, and a replay that takes another path ends in one clear error.

An executor is made to leave its workflows behind by shutting it down without patience; the next one claims them.
"""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Callable
from typing import Any

import pytest

import durably
from durably import Durably, NonDeterminismError, Status, StepOptions, step, workflow
from durably.registry import Snapshot, registry
from tests.execution.rows import checkpoints


class Journal:
    """What ran, in order; and a place where the first executor gets stuck."""

    def __init__(self) -> None:
        self.lines: list[Any] = []
        self.stuck = threading.Event()
        self.release = threading.Event()
        self.replaying = False

    def write(self, line: Any) -> Any:
        self.lines.append(line)
        return line

    def get_stuck_once(self) -> None:
        """In the first life, block until the executor is gone."""
        if not self.replaying:
            self.stuck.set()
            assert self.release.wait(30)

    def two_lives(self, system_url: str, start: Callable[[], Any], between: Callable[[], None] | None = None) -> Any:
        """Start in one executor, which goes away while it is stuck; the result that another one comes to."""
        app = Durably("replay", system_database_url=system_url)
        app.launch()
        try:
            workflow_id = start().workflow_id
            assert self.stuck.wait(30)
        finally:
            self.replaying = True
            app.shutdown(timeout_seconds=0)
        if between is not None:
            between()
        try:
            with Durably("replay", system_database_url=system_url):
                return durably.get_result(workflow_id, timeout_seconds=30)
        finally:
            self.release.set()


@pytest.fixture
def journal() -> Journal:
    return Journal()


def test_recorded_steps_do_not_run_again(system_url: str, journal: Journal) -> None:
    @step
    def one(number: int) -> int:
        journal.write(f"one {number}")
        return number * 10

    @step
    def fails() -> None:
        journal.write("fails")
        raise ConnectionError("no", 5)

    @step
    def last() -> str:
        journal.write("last")
        journal.get_stuck_once()
        return "end"

    @workflow
    def flow(number: int) -> list[Any]:
        journal.write("body")
        values: list[Any] = [one(number), one(number + 1)]
        try:
            fails()
        except ConnectionError as error:
            values.append(error.args)
        return [*values, last()]

    result = journal.two_lives(system_url, lambda: durably.start_workflow(flow, 1))
    assert result == [10, 20, ("no", 5), "end"]
    # The workflow's own code and the step that was under way run again, as promised; nothing else does.
    assert journal.lines == ["body", "one 1", "one 2", "fails", "last", "body", "last"]


def test_recorded_steps_of_a_coroutine_do_not_run_again(system_url: str, journal: Journal) -> None:
    @step
    async def one(number: int) -> int:
        await asyncio.sleep(0)
        journal.write(f"one {number}")
        return number * 10

    @step
    def last() -> str:
        journal.write("last")
        journal.get_stuck_once()
        return "end"

    @workflow
    async def flow() -> list[Any]:
        both = await asyncio.gather(one(1), one(2))
        return [*both, await durably.aio.run_step(last)]

    assert journal.two_lives(system_url, lambda: durably.start_workflow(flow)) == [10, 20, "end"]
    assert sorted(journal.lines) == ["last", "last", "one 1", "one 2"]


def test_ids_and_keys_are_the_same_in_every_life(system_url: str, journal: Journal) -> None:
    seen: list[tuple[Any, ...]] = []

    @step
    def last() -> None:
        seen.append((durably.workflow_id(), durably.step_id(), durably.step_key(), durably.attempt()))
        journal.get_stuck_once()

    @workflow
    def flow() -> None:
        durably.run_step(lambda: None)
        last()

    journal.two_lives(system_url, lambda: durably.start_workflow(flow))
    assert len(seen) == 2
    assert seen[0] == seen[1]
    assert seen[0][1] == 2


def test_recorded_children_do_not_run_again(system_url: str, journal: Journal) -> None:
    @workflow
    def child(name: str) -> str | None:
        journal.write(f"child {name}")
        return durably.workflow_id()

    @step
    def last() -> None:
        journal.get_stuck_once()

    @workflow
    def flow() -> list[str | None]:
        called = child("called")
        started = durably.start_workflow(child, "started").get_result()
        last()
        return [called, started]

    def start() -> Any:
        with durably.workflow_options(workflow_id="p"):
            return durably.start_workflow(flow)

    assert journal.two_lives(system_url, start) == ["p-1", "p-2"]
    assert journal.lines == ["child called", "child started"]


def test_a_child_that_is_under_way_goes_on(system_url: str, journal: Journal) -> None:
    @step
    def one() -> None:
        journal.write("one")

    @step
    def two() -> None:
        journal.write("two")
        journal.get_stuck_once()

    @workflow
    def child() -> str | None:
        one()
        two()
        return durably.workflow_id()

    @workflow
    def flow() -> str | None:
        return child()

    def start() -> Any:
        with durably.workflow_options(workflow_id="p"):
            return durably.start_workflow(flow)

    assert journal.two_lives(system_url, start) == "p-1"
    assert journal.lines == ["one", "two", "two"]


def test_a_renamed_function_is_known_by_its_alias(system_url: str, journal: Journal) -> None:
    def declared(version: str, *former: str) -> Callable[[], str]:
        @step(name=f"{version} step", aliases=tuple(f"{one} step" for one in former))
        def first() -> str:
            return f"{journal.write(version)} step"

        @workflow(name=f"{version} flow", aliases=tuple(f"{one} flow" for one in former))
        def flow() -> str:
            value = first()
            durably.run_step(StepOptions(name="last"), journal.get_stuck_once)
            return f"{version} flow got {value}"

        return flow

    old = declared("old")

    def deploy() -> None:
        registry.restore(Snapshot({}, {}))
        declared("new", "old")

    result = journal.two_lives(system_url, lambda: durably.start_workflow(old), between=deploy)
    assert result == "new flow got old step"
    assert journal.lines == ["old"]


# -- another path -------------------------------------------------------------------------------------------------


def other_path(journal: Journal, swallow: bool) -> Callable[[], str]:
    """A workflow whose second step depends on which life it is."""

    @step(name="first")
    def first() -> None:
        journal.write("first")

    @step(name="left")
    def left() -> None:
        journal.write("left")

    @step(name="right")
    def right() -> None:
        journal.write("right")

    @step(name="last")
    def last() -> None:
        journal.write("last")
        journal.get_stuck_once()

    @workflow(name="flow")
    def flow() -> str:
        first()
        try:
            (right if journal.replaying else left)()
            last()
        except Exception:
            if not swallow:
                raise
            try:
                last()
            except Exception:
                return "swallowed twice"
        return "end"

    return flow


@pytest.mark.parametrize("swallow", [False, True], ids=["raised", "swallowed"])
def test_another_path_is_an_error_that_names_both_steps(system_url: str, journal: Journal, swallow: bool) -> None:
    flow = other_path(journal, swallow)

    def start() -> Any:
        with durably.workflow_options(workflow_id="w"):
            return durably.start_workflow(flow)

    with pytest.raises(
        NonDeterminismError, match=r"'w' took another path.*function id 2.*'right', but 'left'"
    ) as caught:
        journal.two_lives(system_url, start)
    error: Any = caught.value
    assert (error.workflow_id, error.function_id, error.recorded, error.called) == ("w", 2, "left", "right")
    assert "aliases=(old_name,)" in str(error)
    with Durably("replay", system_database_url=system_url):
        assert durably.get_workflow_status("w").status is Status.ERROR
    # Nothing ran on the wrong path, even where the workflow's code went on.
    assert journal.lines == ["first", "left", "last"]
    assert checkpoints(system_url, "w") == ["first", "left"]


def test_another_kind_of_call_at_the_same_place_is_another_path(system_url: str, journal: Journal) -> None:
    @workflow(name="child")
    def child() -> None:
        journal.write("child")

    @step(name="step")
    def plain() -> None:
        journal.write("step")

    @step(name="last")
    def last() -> None:
        journal.get_stuck_once()

    @workflow
    def flow() -> None:
        (child if journal.replaying else plain)()
        last()

    with pytest.raises(NonDeterminismError, match="'child', but 'step'"):
        journal.two_lives(system_url, lambda: durably.start_workflow(flow))
    assert journal.lines == ["step"]
