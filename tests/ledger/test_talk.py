"""The commands of messages, events and streams on each kind of database: fenced, safe to send again, in any batch."""

from __future__ import annotations

import random
from typing import Any

import pytest

from durably.ledger import manage, queries, talk
from durably.ledger.backend import Backend
from durably.ledger.commands import Command, Received, Recorded, Sent
from durably.model import CheckpointKey
from durably.serialization import Payload
from tests.ledger.commands import ALICE, BOB, checkpoint, claimant, outcome, start
from tests.ledger.talking import event, message, receive, stream


def rows(backend: Backend, sql: str) -> list[tuple[Any, ...]]:
    return backend.read(lambda session: session.execute(sql))


def lost(backend: Backend, *workflow_ids: str) -> None:
    """Another executor takes the workflows over."""
    backend.change(lambda session: session.execute("UPDATE {t}workflow_status SET executor_id = 'bob', attempt = 2"))
    assert set(queries_of(backend, workflow_ids)) == {(BOB, 2)}


def queries_of(backend: Backend, workflow_ids: Any) -> list[tuple[str | None, int]]:
    found = backend.read(lambda session: queries.statuses(session, list(workflow_ids)))
    return [(row.executor_id, row.attempt) for row in found.values()]


def cancelled(backend: Backend, *workflow_ids: str) -> None:
    backend.change(lambda session: manage.cancel(session, list(workflow_ids)))


def recorded(backend: Backend, workflow_id: str) -> dict[CheckpointKey, Any]:
    return dict(backend.read(lambda session: queries.history(session, [workflow_id]))[workflow_id])


@pytest.fixture(autouse=True)
def workflows(backend: Backend) -> None:
    backend.write([start("w"), start("v")])


# -- messages ----------------------------------------------------------------------------------------------------


def test_a_message_is_written_once_however_often_it_is_sent(backend: Backend) -> None:
    same = message("w", "1", '"first"')
    assert backend.write([same, same]) == [Sent.SENT, Sent.SENT]
    assert backend.write([same]) == [Sent.SENT]
    assert backend.write([message("w", "1", '"other"'), message("v", "1")]) == [Sent.SENT, Sent.SENT]
    assert rows(backend, "SELECT destination_uuid, message FROM {t}notifications ORDER BY destination_uuid DESC") == [
        ("w", '"first"'),
        ("v", '"1"'),
    ]


def test_a_message_to_nobody_is_not_written_and_its_neighbours_are(backend: Backend) -> None:
    batch = [message("w", "1"), message("nobody", "2"), message("nobody", "3", sender="v"), message("v", "4")]
    assert backend.write(batch) == [Sent.SENT, Sent.UNKNOWN, Sent.UNKNOWN, Sent.SENT]
    assert len(rows(backend, "SELECT 1 FROM {t}notifications")) == 2
    assert recorded(backend, "v") == {}


def test_what_begins_in_the_same_batch_can_be_sent_to(backend: Backend) -> None:
    answers = backend.write([message("new", "1"), start("new"), message("new", "2", sender="new")])
    assert [answers[0], answers[2]] == [Sent.SENT, Sent.SENT]


def test_a_sender_is_fenced_with_its_checkpoint(backend: Backend) -> None:
    assert backend.write([message("v", "1", sender="w")]) == [Sent.SENT]
    assert recorded(backend, "w").keys() == {CheckpointKey("", 1)}
    lost(backend, "w", "v")
    assert backend.write([message("v", "2", sender="w", function_id=2)]) == [Sent.FENCED]
    assert backend.write([message("nobody", "2", sender="w", function_id=2)]) == [Sent.FENCED]
    assert backend.write([message("v", "3", sender="w", function_id=2, executor=BOB, attempt=2)]) == [Sent.SENT]
    assert len(rows(backend, "SELECT 1 FROM {t}notifications")) == 2
    assert len(recorded(backend, "w")) == 2


def test_a_cancelled_sender_has_sent_and_is_told(backend: Backend) -> None:
    cancelled(backend, "w")
    assert backend.write([message("v", "1", sender="w"), message("w", "2")]) == [Sent.CANCELLED, Sent.SENT]
    assert len(rows(backend, "SELECT 1 FROM {t}notifications")) == 2
    assert len(recorded(backend, "w")) == 1


def test_messages_are_received_in_the_order_of_sending_each_once(backend: Backend) -> None:
    backend.write([message("w", str(number)) for number in range(5)])
    backend.write([message("w", "5"), message("v", "0"), message("w", "6", topic="t")])
    received = [backend.write([receive("w", number)])[0] for number in range(1, 8)]
    assert received == [*[Received(f'"{number}"', "json") for number in range(6)], Received()]
    assert backend.write([receive("w", 8, topic="t"), receive("v", 1)]) == [
        Received('"6"', "json"),
        Received('"0"', "json"),
    ]
    history = recorded(backend, "w")
    assert [history[CheckpointKey("", number)].output for number in range(1, 7)] == [
        f'"{number}"' for number in range(6)
    ]
    assert CheckpointKey("", 7) not in history, "that nothing was there is nothing to record"


def test_a_receive_that_is_sent_again_gets_the_same(backend: Backend) -> None:
    backend.write([message("w", "1"), message("w", "2")])
    first = backend.write([receive("w", 1)])
    assert backend.write([receive("w", 1)]) == first
    assert backend.write([receive("w", 1), receive("w", 2)]) == [*first, Received('"2"', "json")]
    assert backend.write([receive("w", 1), receive("w", 2), receive("w", 3)])[2] == Received()


def test_several_receives_of_one_batch_take_different_messages(backend: Backend) -> None:
    backend.write([message("w", str(number), topic="t") for number in range(3)])
    batch = [receive("w", 1, topic="t", branch=f"0.1.{arm}") for arm in range(5)]
    assert backend.write(batch) == [*[Received(f'"{number}"', "json") for number in range(3)], Received(), Received()]
    assert rows(backend, "SELECT count(*) FROM {t}notifications WHERE consumed") == [(3,)]


def test_who_is_fenced_consumes_nothing(backend: Backend) -> None:
    backend.write([message("w", "1"), message("v", "1")])
    lost(backend, "w", "v")
    assert backend.write([receive("w", 1), receive("v", 1, executor=BOB, attempt=2)]) == [
        Received(fenced=True),
        Received('"1"', "json"),
    ]
    cancelled(backend, "w")
    assert backend.write([receive("w", 1, executor=BOB, attempt=2)]) == [Received(fenced=True)]
    assert rows(backend, "SELECT destination_uuid FROM {t}notifications WHERE NOT consumed") == [("w",)]
    assert recorded(backend, "w") == {}


def test_a_fenced_receive_does_not_take_its_neighbours_turn(backend: Backend) -> None:
    backend.write([message("w", "1"), message("w", "2")])
    lost(backend, "w")
    answers = backend.write([receive("w", 1), receive("w", 2, executor=BOB, attempt=2)])
    assert answers == [Received(fenced=True), Received('"1"', "json")]


def test_what_is_sent_and_received_in_one_batch(backend: Backend) -> None:
    answers = backend.write([receive("w", 1), message("w", "1", sender="v"), outcome("v")])
    assert answers == [Received('"1"', "json"), Sent.SENT, True]


def test_a_bulk_is_all_or_nothing_and_safe_to_repeat(backend: Backend) -> None:
    there = [message("w", "1"), message("v", "2"), message("w", "3")]
    missing = [message("none", "2"), message("w", "1"), message("gone", "4")]
    assert backend.change(lambda session: talk.send_all(session, missing)) == ["gone", "none"]
    assert rows(backend, "SELECT 1 FROM {t}notifications") == []
    for _ in range(2):
        assert backend.change(lambda session: talk.send_all(session, there)) == []
    assert rows(backend, "SELECT message FROM {t}notifications ORDER BY position") == [('"1"',), ('"2"',), ('"3"',)]


# -- events ------------------------------------------------------------------------------------------------------


def events(backend: Backend, workflow_id: str = "w") -> dict[str, str]:
    found = backend.read(lambda session: talk.events(session, workflow_id))
    return {key: payload.text for key, payload in found.items()}


def test_the_last_value_of_a_batch_counts_and_each_place_keeps_its_own(backend: Backend) -> None:
    batch = [event("w", "k", str(number), function_id=1 + number // 2) for number in range(6)]
    assert backend.write([*batch, event("v", "k", "9")]) == [Recorded.RECORDED] * 7
    assert events(backend) == {"k": "5"}
    assert events(backend, "v") == {"k": "9"}
    history = rows(
        backend,
        "SELECT function_id, value FROM {t}workflow_events_history WHERE workflow_uuid = 'w' ORDER BY function_id",
    )
    assert history == [(1, "1"), (2, "3"), (3, "5")]
    assert backend.write([batch[0]]) == [Recorded.RECORDED]
    assert backend.read(lambda session: talk.event(session, "w", "k")) == Payload("0", "json")
    assert backend.read(lambda session: talk.event(session, "w", "l")) is None


def test_events_are_fenced_by_attempt_and_told_of_a_cancellation(backend: Backend) -> None:
    cancelled(backend, "v")
    assert backend.write([event("w", "k"), event("v", "k")]) == [Recorded.RECORDED, Recorded.CANCELLED]
    lost(backend, "w")
    assert backend.write(
        [event("w", "k", "2"), event("w", "k", "3", executor=BOB, attempt=2), event("nobody", "k")]
    ) == [
        Recorded.FENCED,
        Recorded.RECORDED,
        Recorded.FENCED,
    ]
    assert events(backend) == {"k": "3"}
    assert events(backend, "v") == {"k": "1"}
    assert events(backend, "nobody") == {}


# -- streams -----------------------------------------------------------------------------------------------------


def values(backend: Backend, key: str = "k", workflow_id: str = "w", offset: int = 0, limit: int = 100) -> list[Any]:
    return [row[0] for row in backend.read(lambda session: talk.stream(session, workflow_id, key, offset, limit))]


def test_values_are_appended_in_the_order_of_the_batch(backend: Backend) -> None:
    batch = [stream("w", "k", str(number), function_id=number + 1) for number in range(4)]
    others = [stream("w", "l", "10", function_id=1), stream("v", "k", "20")]
    assert backend.write([batch[0], others[0], *batch[1:], others[1]]) == [Recorded.RECORDED] * 6
    backend.write([stream("w", "k", None, function_id=9)])
    assert values(backend) == ["0", "1", "2", "3", None]
    assert values(backend, offset=2, limit=2) == ["2", "3"]
    assert values(backend, "l") == ["10"]
    assert values(backend, workflow_id="v") == ["20"]


def test_what_was_written_at_a_place_is_not_written_again(backend: Backend) -> None:
    batch = [stream("w", "k", str(number), sequence=number) for number in range(1, 4)]
    assert backend.write(batch[:2]) == [Recorded.RECORDED] * 2
    assert backend.write([*batch, *batch]) == [Recorded.RECORDED] * 6
    # In another attempt the body may write something else; what was there first stays.
    assert backend.write([stream("w", "k", "99", sequence=2)]) == [Recorded.RECORDED]
    assert values(backend) == ["1", "2", "3"]


def test_streams_are_fenced_and_told_of_a_cancellation(backend: Backend) -> None:
    cancelled(backend, "v")
    assert backend.write([stream("w", "k"), stream("v", "k")]) == [Recorded.RECORDED, Recorded.CANCELLED]
    lost(backend, "w")
    late = [stream("w", "k", "2", function_id=2), stream("w", "k", "3", function_id=3, executor=BOB, attempt=2)]
    assert backend.write(late) == [Recorded.FENCED, Recorded.RECORDED]
    assert values(backend) == ["1", "3"]


# -- together ----------------------------------------------------------------------------------------------------


def test_a_change_and_its_record_are_one(backend: Backend) -> None:
    def add(attempt: int, executor: str = ALICE) -> tuple[int | None, Recorded]:
        fence = checkpoint("w", 0, executor=executor, attempt=attempt)
        done = checkpoint("w", 1, executor=executor, attempt=attempt)
        return backend.change(
            lambda session: talk.recorded(
                session, lambda s: len(talk.send_all(s, [message("v", "1")])), lambda _: done, fence
            )
        )

    assert add(2) == (None, Recorded.FENCED)
    assert (rows(backend, "SELECT 1 FROM {t}notifications"), recorded(backend, "w")) == ([], {})
    assert add(1) == (0, Recorded.RECORDED)
    assert add(1) == (0, Recorded.RECORDED), "and again, if nobody heard"
    assert len(recorded(backend, "w")) == 1
    cancelled(backend, "w")
    assert add(1) == (0, Recorded.CANCELLED)


class Model:
    """What random commands are to come to."""

    def __init__(self, chance: random.Random, workflow_ids: list[str]) -> None:
        self._chance = chance
        self._workflow_ids = workflow_ids
        self._number = 0
        self.places = dict.fromkeys(workflow_ids, 0)
        self.sent: dict[str, list[str]] = {one: [] for one in workflow_ids}
        self.events: dict[str, dict[str, str]] = {one: {} for one in workflow_ids}
        self.streams: dict[str, list[str]] = {one: [] for one in workflow_ids}

    def command(self) -> Command:
        self._number += 1
        one, text = self._chance.choice(self._workflow_ids), str(self._number)
        self.places[one] += 1
        place = self.places[one]
        kind = self._chance.choice(["send", "receive", "event", "stream", "checkpoint"])
        if kind == "send":
            self.sent[one].append(text)
            return message(one, f"m{text}", text)
        if kind == "receive":
            return receive(one, place)
        if kind == "event":
            self.events[one]["k"] = text
            return event(one, "k", text, function_id=place)
        if kind == "stream":
            self.streams[one].append(text)
            return stream(one, "k", text, function_id=place)
        return checkpoint(one, place, output=text)


def test_random_batches_come_to_what_they_are_to_come_to(backend: Backend) -> None:
    chance = random.Random(7)  # noqa: S311
    workflow_ids = [f"r-{number}" for number in range(6)]
    backend.write([start(one) for one in workflow_ids])
    model = Model(chance, workflow_ids)
    received: dict[str, list[str]] = {one: [] for one in workflow_ids}
    for _ in range(25):
        batch = [model.command() for _ in range(chance.randint(1, 40))]
        answers = backend.write(batch)
        if chance.random() < 0.3:
            # Its acknowledgement was lost: what received something receives the same.
            first, answers = answers, backend.write(batch)
            assert all(one in (other, Received()) for one, other in zip(first, answers, strict=True))
        for command, answer in zip(batch, answers, strict=True):
            if isinstance(answer, Received) and answer.message is not None:
                received[command.workflow_id].append(answer.message)
    for one in workflow_ids:
        assert sorted(received[one], key=int) == model.sent[one][: len(received[one])], "the oldest, each once"
        assert events(backend, one) == model.events[one]
        assert values(backend, workflow_id=one, limit=10_000) == model.streams[one]


def test_a_claim_finds_what_was_received_before(backend: Backend) -> None:
    backend.write([message("w", "1"), start("other", executor=None)])
    backend.write([receive("w", 1)])
    taken = backend.each(queries.claim_waiting_by(claimant(BOB), 10))
    assert [one.status.workflow_id for one in taken] == ["other"]
    assert recorded(backend, "w")[CheckpointKey("", 1)].output == '"1"'
