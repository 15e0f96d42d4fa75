"""Messages: in order per topic, each received once, from anywhere."""

from __future__ import annotations

import asyncio
import time
from dataclasses import dataclass
from typing import Any

import pytest

import durably
from durably import Client, Durably, Message, WorkflowNotFoundError, step, workflow
from tests.execution.rows import checkpoints, rows
from tests.messaging.forms import Form, Verbs

SECONDS = 60


def started(flow: Any, *args: Any, workflow_id: str | None = None) -> durably.WorkflowHandle[Any]:
    with durably.workflow_options(workflow_id=workflow_id):
        handle: durably.WorkflowHandle[Any] = durably.start_workflow(flow, *args)
    return handle


def receiver(form: Form) -> Any:
    async def receive(verbs: Verbs, *topics: str | None) -> list[Any]:
        return [await verbs.recv(topic, timeout_seconds=SECONDS) for topic in topics]

    return form.workflow(receive)


def test_messages_come_in_order_and_topics_are_apart(system_url: str, form: Form) -> None:
    receive = receiver(form)
    with Durably("talk", system_database_url=system_url):
        handle = started(receive, "a", None, "b", "a", None, "a")
        for number in range(3):
            durably.send(handle.workflow_id, f"a{number}", topic="a")
        durably.send(handle.workflow_id, "b0", "b")
        for number in range(2):
            durably.send(handle.workflow_id, number)
        assert handle.get_result(timeout_seconds=SECONDS) == ["a0", 0, "b0", "a1", 1, "a2"]
    assert rows(system_url, "SELECT count(*) FROM durably.notifications WHERE NOT consumed") == [(0,)]


def test_a_message_that_is_there_before_is_received_and_one_that_comes_later_wakes(system_url: str, form: Form) -> None:
    receive = receiver(form)
    with Durably("talk", system_database_url=system_url):
        handle = started(receive, "first", "second")
        durably.send(handle.workflow_id, 1, "second")
        with pytest.raises(durably.WaitTimeoutError):
            handle.get_result(timeout_seconds=0.3)
        began = time.monotonic()
        durably.send(handle.workflow_id, 0, "first")
        assert handle.get_result(timeout_seconds=SECONDS) == [0, 1]
        assert time.monotonic() - began < 5


def test_workflows_send_to_each_other(system_url: str, form: Form) -> None:
    async def ping(verbs: Verbs, other: str, times: int) -> list[Any]:
        heard = []
        for number in range(times):
            await verbs.send(other, number, "ping")
            heard.append(await verbs.recv("pong", timeout_seconds=SECONDS))
        return heard

    async def pong(verbs: Verbs, other: str, times: int) -> list[Any]:
        heard = []
        for _ in range(times):
            number = await verbs.recv("ping", timeout_seconds=SECONDS)
            heard.append(number)
            await verbs.send(other, -number, "pong")
        return heard

    pinging, ponging = form.workflow(ping), form.workflow(pong)
    with Durably("talk", system_database_url=system_url):
        answers = started(ponging, "ping", 10, workflow_id="pong")
        questions = started(pinging, "pong", 10, workflow_id="ping")
        assert questions.get_result(timeout_seconds=SECONDS) == [-number for number in range(10)]
        assert answers.get_result(timeout_seconds=SECONDS) == list(range(10))
    assert checkpoints(system_url, "ping") == ["durably.send", "durably.recv"] * 10


def test_hundreds_of_messages_are_received_once_and_in_order(system_url: str, form: Form) -> None:
    async def receive(verbs: Verbs, count: int) -> list[Any]:
        return [await verbs.recv(timeout_seconds=SECONDS) for _ in range(count)]

    with Durably("talk", system_database_url=system_url):
        handle = started(form.workflow(receive), 300)
        for first in range(0, 300, 100):
            durably.send_bulk([Message(handle.workflow_id, number) for number in range(first, first + 100)])
        assert handle.get_result(timeout_seconds=SECONDS) == list(range(300))


def test_arms_on_one_topic_receive_each_message_once(system_url: str) -> None:
    @workflow(name="receive")
    async def receive(arms: int, each: int) -> list[list[int]]:
        async def arm() -> list[int]:
            return [await durably.aio.recv("t", timeout_seconds=SECONDS, expect=int) or 0 for _ in range(each)]

        return await durably.aio.gather(*(arm() for _ in range(arms)))

    with Durably("talk", system_database_url=system_url):
        handle = durably.start_workflow(receive, 8, 40)
        for number in range(0, 320, 64):
            durably.send_bulk([Message(handle.workflow_id, one + 1, "t") for one in range(number, number + 64)])
        received = handle.get_result(timeout_seconds=SECONDS)
        assert sorted(number for arm in received for number in arm) == list(range(1, 321))
        assert all(arm == sorted(arm) for arm in received), "each arm gets later messages later"


def test_many_senders_and_receivers_at_once(system_url: str) -> None:
    @workflow(name="receive")
    async def receive(count: int) -> list[tuple[str, int]]:
        return [await durably.aio.recv(timeout_seconds=SECONDS) for _ in range(count)]

    @workflow(name="send")
    async def send(name: str, count: int, receivers: int) -> None:
        async def arm(receiver: int) -> None:
            for number in range(count):
                await durably.aio.send(f"r-{receiver}", (name, number))

        await durably.aio.gather(*(arm(receiver) for receiver in range(receivers)))

    with Durably("talk", system_database_url=system_url):
        receivers = [started(receive, 5 * 8, workflow_id=f"r-{number}") for number in range(5)]
        senders = [started(send, f"s-{number}", 8, 5) for number in range(5)]
        for sender in senders:
            sender.get_result(timeout_seconds=SECONDS)
        for one in receivers:
            received = one.get_result(timeout_seconds=SECONDS)
            for name in range(5):
                mine = [number for sender, number in received if sender == f"s-{name}"]
                assert mine == list(range(8)), "in the order of sending"


# -- nothing comes -----------------------------------------------------------------------------------------------


def test_a_receive_that_is_over_gives_none_and_is_recorded(system_url: str, form: Form) -> None:
    async def receive(verbs: Verbs) -> list[Any]:
        return [
            await verbs.recv("t", timeout_seconds=0.1),
            await verbs.recv("t", timeout_seconds=0),
            await verbs.recv("t", timeout_seconds=-1),
            await verbs.recv("other", timeout_seconds=None),
        ]

    with Durably("talk", system_database_url=system_url):
        handle = started(form.workflow(receive), workflow_id="w")
        durably.send("w", "there", "other")
        assert handle.get_result(timeout_seconds=SECONDS) == [None, None, None, "there"]
    assert checkpoints(system_url, "w") == ["durably.recv"] * 4


def test_a_message_may_be_none(system_url: str, form: Form) -> None:
    receive = receiver(form)
    with Durably("talk", system_database_url=system_url):
        handle = started(receive, None, None)
        durably.send(handle.workflow_id, None)
        durably.send(handle.workflow_id, 1)
        assert handle.get_result(timeout_seconds=SECONDS) == [None, 1]


# -- idempotency -------------------------------------------------------------------------------------------------


def test_a_message_with_an_idempotency_key_is_sent_once_ever(system_url: str, form: Form) -> None:
    receive = receiver(form)
    with Durably("talk", system_database_url=system_url):
        handle = started(receive, None, None, None)
        other = started(receive, None, None)
        for workflow_id in (handle.workflow_id, other.workflow_id):
            for number in range(3):
                durably.send(workflow_id, number, idempotency_key="k")
            durably.send_bulk([Message(workflow_id, 7, None, "k"), Message(workflow_id, 8, None, "l")])
        asyncio.run(durably.aio.send(handle.workflow_id, 9, idempotency_key="k"))
        durably.send(handle.workflow_id, 10)
        assert handle.get_result(timeout_seconds=SECONDS) == [0, 8, 10]
        assert other.get_result(timeout_seconds=SECONDS) == [0, 8], "a key counts for one destination"
        # Also when it was received long ago.
        durably.send(handle.workflow_id, 11, idempotency_key="k")
    assert rows(
        system_url, "SELECT count(*) FROM durably.notifications WHERE destination_uuid = ?", (handle.workflow_id,)
    ) == [(3,)]


def test_without_a_key_the_same_message_is_sent_again(system_url: str, form: Form) -> None:
    receive = receiver(form)
    with Durably("talk", system_database_url=system_url):
        handle = started(receive, None, None)
        for _ in range(2):
            durably.send(handle.workflow_id, "same")
        assert handle.get_result(timeout_seconds=SECONDS) == ["same", "same"]


def test_a_step_that_is_retried_sends_once(system_url: str, form: Form) -> None:
    tries: list[int] = []

    async def send(verbs: Verbs, to: str) -> None:
        @step(name="tell", max_attempts=3, interval_seconds=0.01)
        def tell() -> None:
            tries.append(durably.attempt())
            durably.send(to, "first")
            durably.send(to, "second", idempotency_key="mine")
            durably.send_bulk([Message(to, "third"), Message(to, "fourth")])
            if len(tries) < 3:
                raise ConnectionError("again")
            durably.send(to, "last")

        await verbs.run_step(tell)

    async def receive(verbs: Verbs) -> list[Any]:
        return [await verbs.recv(timeout_seconds=SECONDS) for _ in range(5)] + [await verbs.recv(timeout_seconds=0)]

    with Durably("talk", system_database_url=system_url):
        handle = started(form.workflow(receive))
        started(form.workflow(send), handle.workflow_id).get_result(timeout_seconds=SECONDS)
        expected = ["first", "second", "third", "fourth", "last", None]
        assert handle.get_result(timeout_seconds=SECONDS) == expected
    assert tries == [1, 2, 3]


# -- nobody there ------------------------------------------------------------------------------------------------


def test_an_unknown_destination_is_a_clear_error(system_url: str) -> None:
    with Durably("talk", system_database_url=system_url):
        with pytest.raises(WorkflowNotFoundError, match="no workflow with the id 'nobody' to send to") as caught:
            durably.send("nobody", 1)
        assert vars(caught.value)["workflow_id"] == "nobody"
        with pytest.raises(WorkflowNotFoundError, match="'nobody'"):
            asyncio.run(durably.aio.send("nobody", 1, idempotency_key="k"))
        with pytest.raises(WorkflowNotFoundError, match="'neither', 'nobody'"):
            durably.send_bulk([Message("nobody", 1), Message("neither", 2)])
    assert rows(system_url, "SELECT count(*) FROM durably.notifications") == [(0,)]


def test_an_unknown_destination_is_recorded(system_url: str, form: Form) -> None:
    async def send(verbs: Verbs) -> list[str]:
        errors = []
        for attempt in (verbs.send("nobody", 1), verbs.send_bulk([Message("w", 1), Message("nobody", 1)])):
            try:
                await attempt
            except WorkflowNotFoundError as error:
                errors.append(str(error))
        return errors

    with Durably("talk", system_database_url=system_url):
        errors = started(form.workflow(send), workflow_id="w").get_result(timeout_seconds=SECONDS)
    assert len(errors) == 2
    assert checkpoints(system_url, "w") == ["durably.send", "durably.send_bulk"]
    assert rows(system_url, "SELECT count(*) FROM durably.operation_outputs WHERE error IS NULL") == [(0,)]
    assert rows(system_url, "SELECT count(*) FROM durably.notifications") == [(0,)]


def test_a_bulk_is_sent_all_or_not_at_all(system_url: str, form: Form) -> None:
    receive = receiver(form)
    with Durably("talk", system_database_url=system_url):
        there = started(receive, "t")
        with pytest.raises(WorkflowNotFoundError):
            durably.send_bulk([Message(there.workflow_id, 1, "t"), Message("nobody", 2, "t")])
        durably.send_bulk([])
        durably.send_bulk([Message(there.workflow_id, 3, "t")])
        assert there.get_result(timeout_seconds=SECONDS) == [3]


def test_what_has_ended_can_be_sent_to(system_url: str, form: Form) -> None:
    """It is no error of the sender that it was late."""
    receive = receiver(form)
    with Durably("talk", system_database_url=system_url):
        handle = started(receive)
        handle.get_result(timeout_seconds=SECONDS)
        durably.send(handle.workflow_id, 1)


# -- from elsewhere ----------------------------------------------------------------------------------------------


def test_engines_and_clients_send_in_both_directions(system_url: str, form: Form) -> None:
    receive = receiver(form)
    one, two = Durably("one", system_database_url=system_url), Durably("two", system_database_url=system_url)
    with one, two, Client(system_url, name="one") as client:
        with one.current():
            here = started(receive, "a", "b", "c", workflow_id="here")
        with two.current():
            there = started(receive, "a", workflow_id="there")
            durably.send("here", 1, "a")
        with one.current():
            durably.send("there", 2, "a")
        two.send("here", 3, "b")
        client.send("here", 4, "c")
        assert here.get_result(timeout_seconds=SECONDS) == [1, 3, 4]
        assert there.get_result(timeout_seconds=SECONDS) == [2]


def test_the_awaited_verbs_of_an_engine_send_and_receive(system_url: str) -> None:
    @workflow(name="receive")
    async def receive() -> Any:
        return await durably.aio.recv(timeout_seconds=SECONDS)

    async def main() -> Any:
        async with Durably("talk", system_database_url=system_url) as app:
            handle = await durably.aio.start_workflow(receive)
            await app.aio.send(handle.workflow_id, {"n": 1})
            return await handle.get_result(timeout_seconds=SECONDS)

    assert asyncio.run(main()) == {"n": 1}


# -- values ------------------------------------------------------------------------------------------------------


@dataclass
class Paid:
    order: str
    cents: int


@dataclass
class Day:
    paid: list[Paid]


def test_expect_names_the_type(system_url: str, form: Form) -> None:
    async def receive(verbs: Verbs) -> str:
        received = [
            await verbs.recv(timeout_seconds=SECONDS, expect=Paid),
            await verbs.recv(timeout_seconds=SECONDS, expect=Day),
            await verbs.recv("none", timeout_seconds=0, expect=Paid),
        ]
        return repr(received)

    flow = form.workflow(receive)
    with Durably("talk", system_database_url=system_url):
        handle = started(flow)
        durably.send(handle.workflow_id, Paid("o", 5))
        durably.send(handle.workflow_id, Day([Paid("p", 6)]))
        assert handle.get_result(timeout_seconds=SECONDS) == repr([Paid("o", 5), Day([Paid("p", 6)]), None])


def test_values_come_as_they_were_sent(system_url: str, form: Form) -> None:
    values: list[Any] = ["a\0b", "a\ud800b", "", "\U0001f9f5" * 3, "%s ? :n $1", "x" * 1_000_000, {"n": [1.5, True]}]
    receive = receiver(form)
    with Durably("talk", system_database_url=system_url):
        handle = started(receive, *[None] * len(values) * 2)
        for value in values:
            durably.send(handle.workflow_id, value)
        durably.send_bulk([Message(handle.workflow_id, value) for value in values])
        assert handle.get_result(timeout_seconds=SECONDS) == values * 2
