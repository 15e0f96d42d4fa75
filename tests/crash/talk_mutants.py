"""Broken engines that the oracle of the talking program must catch: each takes apart what must be one commit."""

from __future__ import annotations

from collections.abc import Callable
from itertools import count
from typing import Any
from uuid import uuid4

from durably.crashpoints import reach
from durably.execution import runner
from durably.ledger.backend import Session
from durably.ledger.commands import Received, ReceiveMessage, RecordCheckpoint
from durably.ledger.ledger import Ledger
from durably.messaging import connection, streams

_numbers = count(1_000_000)


def apply(name: str | None) -> None:
    """Break the engine of this process in that way."""
    if name is not None:
        MUTANTS[name]()


def _record_before_writing() -> None:
    """The checkpoint of an event or a stream's value is committed before the value."""

    async def write(self: Ledger, what: str, *commands: Any) -> tuple[Any, ...]:
        reach(f"{what}.before")
        answers = [await self._commit.submit(commands[-1])]
        reach(f"{what}.after")
        for command in reversed(commands[:-1]):
            answers.insert(0, await self._commit.submit(command))
        return tuple(answers)

    Ledger.write = write  # type: ignore[method-assign]


def _consume_before_recording() -> None:
    """A message is consumed before it is recorded as received."""

    def consume(session: Session, command: ReceiveMessage) -> tuple[Any, ...] | None:
        rows = session.execute(
            "SELECT position, message, serialization FROM {t}notifications WHERE destination_uuid = ? AND topic = ?"
            " AND NOT consumed ORDER BY position LIMIT 1",
            (command.workflow_id, command.topic),
        )
        if rows:
            session.execute("UPDATE {t}notifications SET consumed = NOT consumed WHERE position = ?", (rows[0][0],))
        return rows[0][1:] if rows else None

    async def receive(self: Ledger, command: ReceiveMessage) -> Received:
        found = await self.change(lambda session: consume(session, command))
        if found is None:
            return Received()
        reach("receive.after")
        message, serialization = found
        place = (*command[:5], command.function_name)
        await self.record(RecordCheckpoint(*place, message, None, serialization, None, command.started_at))
        return Received(message, serialization)

    Ledger.receive = receive  # type: ignore[method-assign]


def _stream_without_a_place() -> None:
    """What a step's body appends has another number in each attempt."""
    place_of = connection.place_of

    def elsewhere(body: Any) -> Any:
        return place_of(body)[0], next(_numbers) + uuid4().int % 1_000_000

    streams.place_of = elsewhere  # type: ignore[attr-defined]


def _child_by_chance() -> None:
    """A child that is called has another id each time."""
    call_child = runner.Runner.call_child

    async def called(self: Any, declaration: Any, workflow_id: str, args: Any, kwargs: Any) -> Any:
        return await call_child(self, declaration, f"{workflow_id}-{uuid4().hex[:4]}", args, kwargs)

    runner.Runner.call_child = called  # type: ignore[method-assign]


MUTANTS: dict[str, Callable[[], None]] = {
    "record before writing": _record_before_writing,
    "consume before recording": _consume_before_recording,
    "stream without a place": _stream_without_a_place,
    "child by chance": _child_by_chance,
}
