"""A fork begins with what another workflow recorded before a step, and goes on from there by itself."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest

import durably
from durably import (
    Client,
    ConfigurationError,
    Durably,
    Status,
    WorkflowIdConflictError,
    WorkflowNotFoundError,
    workflow,
)
from tests.managing.flows import LONG, Stand, echo, note, note_later, start


@workflow
def talker(number: int) -> list[Any]:
    """Five functions of its own: step, event, stream, step, event."""
    done: list[Any] = [note("one")]
    durably.set_event("where", f"{durably.workflow_id()} early")
    durably.write_stream("numbers", number)
    done.append(note("four"))
    durably.set_event("where", f"{durably.workflow_id()} late")
    durably.set_event("other", number)
    durably.write_stream("numbers", number + 1)
    durably.write_stream("letters", "a")
    durably.close_stream("numbers")
    return done


def stream(workflow_id: str, key: str) -> list[Any]:
    """All values of a stream of a workflow that has ended."""
    return list(durably.read_stream(workflow_id, key))


def so_far(workflow_id: str, key: str) -> tuple[list[Any], bool]:
    """The values of a stream of a workflow that has not ended, and whether the stream is closed."""
    found: list[Any] = []
    try:
        for value in durably.read_stream(workflow_id, key, timeout_seconds=0.05):
            found.append(value)
    except durably.WaitTimeoutError:
        return found, False
    return found, True


def test_what_comes_before_the_step_is_copied_and_the_rest_runs(system_url: str, stand: Stand) -> None:
    with Durably("fork", system_database_url=system_url):
        source = start(talker, "w", 7, attributes={"kind": "source"})
        assert source.get_result(timeout_seconds=LONG) == ["one", "four"]
        forked = durably.fork_workflow("w", 4)
        assert durably.get_result(forked, timeout_seconds=LONG) == ["one", "four"]
        assert stand.ran == {"one": 1, "four": 2}
        status = durably.get_workflow_status(forked)
        assert (status.forked_from, status.attributes, status.parent_workflow_id) == ("w", {"kind": "source"}, None)
        assert status.run_id != source.get_status().run_id
        assert durably.get_all_events(forked) == {"where": f"{forked} late", "other": 7}
        assert stream(forked, "numbers") == [7, 8]
        assert stream(forked, "letters") == ["a"]
        # The source is as it was.
        assert durably.get_all_events("w") == {"where": "w late", "other": 7}
        assert stream("w", "numbers") == [7, 8]


@pytest.mark.parametrize(
    ("start_step", "events", "numbers"),
    [
        (1, {}, []),
        (2, {}, []),
        (3, {"where": "w early"}, []),
        (4, {"where": "w early"}, [7]),
        (6, {"where": "w late"}, [7]),
        (8, {"where": "w late", "other": 7}, [7, 8]),
        (100, {"where": "w late", "other": 7}, [7, 8]),
    ],
)
def test_exactly_what_comes_before(
    system_url: str, stand: Stand, start_step: int, events: dict[str, Any], numbers: list[int]
) -> None:
    with Durably("fork", system_database_url=system_url):
        start(talker, "w", 7).get_result(timeout_seconds=LONG)
    with Durably("fork", system_database_url=system_url, executes="none"):
        durably.fork_workflow("w", start_step, new_workflow_id="f")
        assert durably.get_workflow_status("f").status is Status.ENQUEUED
        assert [one.function_id for one in durably.list_workflow_steps("f")] == list(range(1, min(start_step, 10)))
        assert durably.get_all_events("f") == events
        assert so_far("f", "numbers") == (numbers, start_step > 9)


def test_from_the_first_step_everything_runs_again(system_url: str, stand: Stand) -> None:
    @workflow
    async def flow() -> list[str]:
        gathered = await durably.aio.gather(arm("a"), arm("b"))
        return [*gathered, await note_later("c")]

    async def arm(name: str) -> str:
        return await note_later(name)

    with Durably("fork", system_database_url=system_url):
        assert start(flow, "w").get_result(timeout_seconds=LONG) == ["a", "b", "c"]
        assert durably.get_result(durably.fork_workflow("w"), timeout_seconds=LONG) == ["a", "b", "c"]
    assert stand.ran == {"a": 2, "b": 2, "c": 2}


def test_a_gather_before_the_step_belongs_to_the_past(system_url: str, stand: Stand) -> None:
    @workflow
    async def flow() -> list[str]:
        first = await note_later("one")
        gathered = await durably.aio.gather(arm("a"), arm("b"))
        second = await note_later("two")
        late = await durably.aio.gather(arm("c"), arm("d"))
        return [first, *gathered, second, *late]

    async def arm(name: str) -> str:
        await durably.aio.set_event("last", name)
        inner = await durably.aio.gather(note_later(f"{name}1"), note_later(f"{name}2"))
        return "".join([*inner, await note_later(name)])

    expected = ["one", "a1a2a", "b1b2b", "two", "c1c2c", "d1d2d"]
    early = ["one", "a", "a1", "a2", "b", "b1", "b2"]
    late = ["two", "c", "c1", "c2", "d", "d1", "d2"]
    with Durably("fork", system_database_url=system_url):
        assert start(flow, "w").get_result(timeout_seconds=LONG) == expected
        assert durably.get_event("w", "last") in ("c", "d")
        forked = durably.fork_workflow("w", 2)
        assert durably.get_result(forked, timeout_seconds=LONG) == expected
        assert stand.ran == {**dict.fromkeys(early, 1), **dict.fromkeys(late, 2)}
    with Durably("fork", system_database_url=system_url, executes="none"):
        forked = durably.fork_workflow("w", 2)
        assert durably.get_event(forked, "last") in ("a", "b")


def test_the_last_event_is_the_one_that_was_set_last(system_url: str, stand: Stand) -> None:
    """Whether in a gather or after it, and however many functions its arms had."""

    @workflow
    async def flow() -> str:
        await durably.aio.gather(arm("in"))
        await durably.aio.set_event("key", "after")
        await durably.aio.gather(arm("in again"))
        return await note_later("end")

    async def arm(value: str) -> None:
        for number in range(4):
            await durably.aio.set_event("key", f"{value} {number}")

    with Durably("fork", system_database_url=system_url):
        assert start(flow, "w").get_result(timeout_seconds=LONG) == "end"
    with Durably("fork", system_database_url=system_url, executes="none"):
        assert durably.get_event(durably.fork_workflow("w", 3), "key") == "in again 3"
        assert durably.get_event(durably.fork_workflow("w", 2), "key") == "in again 3"


def test_it_follows_what_its_source_was_told(system_url: str, stand: Stand) -> None:
    """Recorded values, errors, children and received messages are its past, too; messages themselves are not copied."""

    @workflow
    def child() -> str:
        return note("child")

    @workflow
    def flow() -> list[Any]:
        seen: list[Any] = [durably.uuid(), child(), durably.recv(timeout_seconds=LONG)]
        with pytest.raises(WorkflowNotFoundError):
            durably.get_result("nobody")
        seen.append(durably.recv(timeout_seconds=0))
        return [*seen, note("last")]

    with Durably("fork", system_database_url=system_url):
        handle = start(flow, "w")
        durably.send("w", "hello")
        first = handle.get_result(timeout_seconds=LONG)
        durably.send("w", "too late")
        second = durably.get_result(durably.fork_workflow("w", 6), timeout_seconds=LONG)
        assert second == first
        assert first[1:] == ["child", "hello", None, "last"]
    assert stand.ran == {"child": 1, "last": 2}


def test_children_of_a_fork_are_its_own(system_url: str, stand: Stand) -> None:
    @workflow
    def child() -> str | None:
        return durably.workflow_id()

    @workflow
    def flow() -> list[str | None]:
        return [child(), durably.start_workflow(child).get_result(), child()]

    with Durably("fork", system_database_url=system_url):
        assert start(flow, "w").get_result(timeout_seconds=LONG) == ["w-1", "w-2", "w-4"]
        durably.fork_workflow("w", 3, new_workflow_id="f")
        assert durably.get_result("f", timeout_seconds=LONG) == ["w-1", "w-2", "f-4"]
        assert [one.child_workflow_id for one in durably.list_workflow_steps("f")] == ["w-1", "w-2", "w-2", "f-4"]


def test_of_a_workflow_that_failed_or_still_runs(system_url: str, stand: Stand) -> None:
    broken = [True]

    @workflow
    def flow() -> str:
        one = note("one")
        if durably.run_step(lambda: broken[0]):
            raise ValueError("no")
        return one

    @workflow
    def running() -> str:
        note("first")
        return stand("second")

    with Durably("fork", system_database_url=system_url):
        with pytest.raises(ValueError, match="no"):
            start(flow, "w").get_result(timeout_seconds=LONG)
        broken[0] = False
        assert durably.get_result(durably.fork_workflow("w", 2), timeout_seconds=LONG) == "one"
        start(running, "r")
        stand.arrived()
        forked = durably.fork_workflow("r", 2)
        stand.arrived()
        stand.go.set()
        for one in ("r", forked):
            assert durably.get_result(one, timeout_seconds=LONG) == "second"
    assert stand.ran == {"one": 1, "first": 1, "second": 2}


def test_under_a_given_id_once(system_url: str, stand: Stand) -> None:
    with Durably("fork", system_database_url=system_url):
        start(talker, "w", 1).get_result(timeout_seconds=LONG)
        start(echo, "taken", 1).get_result(timeout_seconds=LONG)
        assert durably.fork_workflow("w", 4, new_workflow_id="f") == "f"
        assert durably.fork_workflow("w", 4, new_workflow_id="f") == "f"
        durably.get_result("f", timeout_seconds=LONG)
        assert stand.ran == {"one": 1, "four": 2}
        for taken in ("taken", "w"):
            with pytest.raises(WorkflowIdConflictError, match="no fork of 'w'"):
                durably.fork_workflow("w", 4, new_workflow_id=taken)
        assert durably.get_result("taken") == 1


def test_errors(system_url: str) -> None:
    with Durably("fork", system_database_url=system_url):
        start(echo, "w", 1).get_result(timeout_seconds=LONG)
        with pytest.raises(WorkflowNotFoundError, match="'nobody' to fork"):
            durably.fork_workflow("nobody")
        for wrong in (0, -1):
            with pytest.raises(ConfigurationError, match="counted from 1"):
                durably.fork_workflow("w", wrong)
        for unusable in ("", "  ", "a\nb", "x" * 256):
            with pytest.raises(ConfigurationError, match="not usable"):
                durably.fork_workflow("w", new_workflow_id=unusable)
        assert durably.count_workflows() == {(): 1}


def test_for_another_version(system_url: str, stand: Stand) -> None:
    with Durably("fork", system_database_url=system_url, application_version="1"):
        start(talker, "w", 1).get_result(timeout_seconds=LONG)
        same = durably.fork_workflow("w", 2)
        other = durably.fork_workflow("w", 2, application_version="2")
        durably.get_result(same, timeout_seconds=LONG)
        assert durably.get_workflow_status(other).status is Status.ENQUEUED
        assert [one.workflow_id for one in durably.list_stranded_workflows()] == [other]
    with Durably("fork", system_database_url=system_url, application_version="2"):
        assert durably.get_result(other, timeout_seconds=LONG) == ["one", "four"]
        assert durably.list_stranded_workflows() == []


def test_in_a_workflow_it_is_recorded(system_url: str, stand: Stand) -> None:
    lives: list[int] = []

    class Killed(BaseException):
        pass

    @workflow
    def forker() -> list[str]:
        with pytest.raises(WorkflowNotFoundError):
            durably.fork_workflow("nobody")
        with pytest.raises(WorkflowIdConflictError):
            durably.fork_workflow("w", new_workflow_id="w")
        made = [durably.fork_workflow("w", 4), durably.fork_workflow("w", 4, new_workflow_id="given")]
        lives.append(1)
        if len(lives) == 1:
            raise Killed
        return made

    with Durably("fork", system_database_url=system_url, lease_seconds=0.6):
        start(talker, "w", 1).get_result(timeout_seconds=LONG)
        with durably.workflow_options(workflow_id="f"), pytest.raises(Killed):
            forker()
        # The id follows from the place, as a child's does.
        assert durably.get_result("f", timeout_seconds=LONG) == ["f-3", "given"]
        for one in ("f-3", "given"):
            durably.get_result(one, timeout_seconds=LONG)
        assert durably.count_workflows(durably.WorkflowQuery(is_fork=True)) == {(): 2}
    assert stand.ran == {"one": 1, "four": 3}


def test_from_a_client_and_awaited(system_url: str, stand: Stand) -> None:
    async def main() -> list[Any]:
        async with Durably("fork", system_database_url=system_url):
            with durably.workflow_options(workflow_id="w"):
                await (await durably.aio.start_workflow(talker, 1)).get_result()
            async with Client(system_url, name="fork") as client:
                forked = [await client.aio.fork_workflow("w", 4), await durably.aio.fork_workflow("w", 4)]
                return [await client.aio.get_result(one, timeout_seconds=LONG) for one in forked]

    assert asyncio.run(main()) == [["one", "four"]] * 2
    assert stand.ran == {"one": 1, "four": 3}
