"""Messages across crashes: neither sent nor received twice, and no wait is longer than it was to be."""

from __future__ import annotations

import time
from typing import Any

import durably
from durably import Message, WorkflowNotFoundError, step, workflow
from tests.execution.rows import checkpoints, rows
from tests.messaging.forms import Form, Verbs
from tests.messaging.lives import SECONDS, Lives


def sent(url: str, workflow_id: str) -> list[tuple[Any, ...]]:
    """The topics and texts of all messages to a workflow, in order."""
    return rows(
        url,
        "SELECT topic, message FROM durably.notifications WHERE destination_uuid = ? ORDER BY position",
        (workflow_id,),
    )


def test_a_replay_sends_nothing_twice(lives: Lives, form: Form) -> None:
    async def flow(verbs: Verbs) -> list[str]:
        await verbs.send("w", 1, "self")
        await verbs.send("w", 2, "self", idempotency_key="mine")
        await verbs.send_bulk([Message("w", 3, "self"), Message("w", 4, "self")])
        errors = []
        for attempt in (verbs.send("nobody", 5), verbs.send_bulk([Message("nobody", 6), Message("w", 7)])):
            try:
                await attempt
            except WorkflowNotFoundError as error:
                errors.append(str(error))
        lives.lines.append(errors)
        await lives.stuck_once(verbs)
        return errors

    flow_ = form.workflow(flow)
    errors = lives.interrupted(lambda: durably.start_workflow(flow_))
    assert sent(lives.url, "w") == [("self", str(number)) for number in range(1, 5)]
    assert lives.lines == [errors, errors]
    assert len(errors) == 2


def test_a_step_that_runs_again_in_another_process_sends_nothing_twice(lives: Lives, form: Form) -> None:
    async def flow(verbs: Verbs) -> None:
        @step(name="tell")
        def tell() -> None:
            lives.lines.append("tell")
            durably.send("w", 1, "self")
            durably.send_bulk([Message("w", 2, "self")])
            lives.stick()
            durably.send("w", 3, "self")

        await verbs.run_step(tell)

    flow_ = form.workflow(flow)
    lives.interrupted(lambda: durably.start_workflow(flow_))
    assert lives.lines == ["tell", "tell"]
    assert sent(lives.url, "w") == [("self", "1"), ("self", "2"), ("self", "3")]


def test_a_replay_receives_what_it_received_before(lives: Lives, form: Form) -> None:
    async def flow(verbs: Verbs) -> list[Any]:
        received = [await verbs.recv("t", timeout_seconds=SECONDS), await verbs.recv("nothing", timeout_seconds=0)]
        lives.lines.append(list(received))
        await lives.stuck_once(verbs)
        return [*received, await verbs.recv("t", timeout_seconds=SECONDS)]

    def start() -> None:
        durably.start_workflow(flow_)
        durably.send("w", "first", "t")
        durably.send("w", None, "t")

    flow_ = form.workflow(flow)
    assert lives.interrupted(start) == ["first", None, None]
    assert lives.lines == [["first", None], ["first", None]]
    assert rows(lives.url, "SELECT count(*) FROM durably.notifications WHERE consumed") == [(2,)]


def test_what_comes_while_nobody_runs_is_received_afterwards(lives: Lives, form: Form) -> None:
    async def flow(verbs: Verbs) -> Any:
        await lives.stuck_once(verbs)
        return await verbs.recv("t", timeout_seconds=SECONDS)

    def between() -> None:
        with durably.Client(lives.url, name="lives") as client:
            client.send("w", "late", "t")

    flow_ = form.workflow(flow)
    assert lives.interrupted(lambda: durably.start_workflow(flow_), between) == "late"


def test_a_receive_that_is_interrupted_goes_on_and_receives_once(lives: Lives, form: Form) -> None:
    async def flow(verbs: Verbs) -> list[Any]:
        lives.lines.append("body")
        return [await verbs.recv("t", timeout_seconds=SECONDS), await verbs.recv("t", timeout_seconds=0)]

    def between() -> None:
        with durably.Client(lives.url, name="lives") as client:
            client.send("w", 1, "t")

    flow_ = form.workflow(flow)
    assert lives.interrupted(lambda: durably.start_workflow(flow_), between, until=lambda: lives.lines != []) == [
        1,
        None,
    ]
    assert lives.lines == ["body", "body"]


def test_a_crash_does_not_lengthen_a_receive(lives: Lives, form: Form) -> None:
    began: list[float] = []

    async def flow(verbs: Verbs) -> Any:
        began.append(time.monotonic())
        return await verbs.recv("t", timeout_seconds=4)

    def end_is_written() -> bool:
        # Waits that are over within a second leave no row.
        return tuple(
            rows(lives.url, "SELECT workflow_uuid, branch FROM durably.operation_outputs WHERE branch <> ''")
        ) == (("w", "!"),)

    flow_ = form.workflow(flow)
    assert lives.interrupted(lambda: durably.start_workflow(flow_), lambda: time.sleep(1), until=end_is_written) is None
    took = time.monotonic() - began[0]
    assert took >= 3.9
    assert time.monotonic() - began[1] < 3.5, "the second life waited for the rest only"
    # Among its steps only the receive is listed.
    assert [name for name in checkpoints(lives.url, "w") if name == "durably.recv"] == ["durably.recv"] * 2


def test_the_time_was_up_while_nobody_ran(lives: Lives, form: Form) -> None:
    async def flow(verbs: Verbs) -> Any:
        lives.lines.append(time.monotonic())
        found = await verbs.recv("t", timeout_seconds=2)
        lives.lines.append(time.monotonic())
        return found

    def end_is_written() -> bool:
        return rows(lives.url, "SELECT count(*) FROM durably.operation_outputs") == [(1,)]

    flow_ = form.workflow(flow)
    assert (
        lives.interrupted(lambda: durably.start_workflow(flow_), lambda: time.sleep(1.5), until=end_is_written) is None
    )
    assert lives.lines[2] - lives.lines[1] < 0.9, "it only looked once more"


def test_a_message_that_is_there_when_the_time_is_up_is_received(lives: Lives, form: Form) -> None:
    async def flow(verbs: Verbs) -> Any:
        return await verbs.recv("t", timeout_seconds=2)

    def end_is_written() -> bool:
        return rows(lives.url, "SELECT count(*) FROM durably.operation_outputs") == [(1,)]

    def between() -> None:
        with durably.Client(lives.url, name="lives") as client:
            client.send("w", "in time", "t")
        time.sleep(2)

    flow_ = form.workflow(flow)
    assert lives.interrupted(lambda: durably.start_workflow(flow_), between, until=end_is_written) == "in time"


def test_arms_that_received_before_receive_the_same_again(lives: Lives) -> None:
    @workflow(name="flow")
    async def flow() -> list[list[int]]:
        async def arm() -> list[int]:
            received = [await durably.aio.recv("t", timeout_seconds=SECONDS, expect=int) or 0 for _ in range(20)]
            lives.lines.append(sorted(received))
            return received

        found = await durably.aio.gather(*(arm() for _ in range(4)))
        await durably.aio.run_step(lives.stick)
        return found

    def start() -> None:
        durably.start_workflow(flow)
        durably.send_bulk([Message("w", number, "t") for number in range(1, 81)])

    received = lives.interrupted(start)
    assert sorted(number for arm in received for number in arm) == list(range(1, 81))
    assert sorted(lives.lines[:4]) == sorted(lives.lines[4:]) == sorted(sorted(arm) for arm in received)
