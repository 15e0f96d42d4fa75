"""Events: values by key that a workflow shows to the outside; the last one counts, and forks know the earlier ones."""

from __future__ import annotations

from typing import Any

from durably.drive import Promise
from durably.execution.waits import Deadline, checked_seconds, workflow_code
from durably.ledger import talk
from durably.ledger.commands import SetEvent
from durably.ledger.news import Kind, Watch
from durably.messaging.connection import Connection, dumped, expected, place_of, writer
from durably.model import Checkpoint, CheckpointKey
from durably.names import checked_id, checked_name
from durably.serialization import Payload

SET, GET, GET_ALL = "durably.set_event", "durably.get_event", "durably.get_all_events"


async def set_event(connection: Connection, key: str, value: Any) -> None:
    """Set the value of one of this workflow's events."""
    run, body = writer("set_event")
    checked_name(key, "the key of the event")
    payload = dumped(connection, value, f"the event {key!r} of workflow {run.workflow_id!r}")

    def command(place: CheckpointKey) -> SetEvent:
        return SetEvent(run.workflow_id, *place, *run.fence, key, *payload)

    if body is not None:
        (answer,) = await connection.ledger.write("event", command(place_of(body)[0]))
        run.heed(answer)
        return

    async def perform(place: CheckpointKey) -> None:
        done = run.command(place, Checkpoint(SET, None, None, ""), connection.clock.now_ms())
        answer, _ = await connection.ledger.write("event", command(place), done)
        run.heed(answer)

    await run.operation(SET, perform, expected(None))


async def get_event(
    connection: Connection, workflow_id: str, key: str, timeout_seconds: float | None, expect: Any
) -> Any:
    """The value of an event of any workflow, once it is set; None if that does not happen in time."""
    checked_id(workflow_id, "get_event")
    checked_name(key, "the key of the event")
    seconds = None if timeout_seconds is None else checked_seconds(timeout_seconds, "get_event")
    types = expected(expect)
    what = f"the event {key!r} of workflow {workflow_id!r}"
    run = workflow_code()
    with connection.ledger.news.watch(Kind.EVENT, workflow_id, key) as watch:
        if run is None:
            payload = await _wait_outside(connection, watch, seconds)
            return None if payload is None else connection.serialization.load(payload, types, what=what)

        async def perform(place: CheckpointKey) -> Any:
            started_at = connection.clock.now_ms()
            deadline = Deadline(run, place, GET, seconds)
            payload = None
            while True:
                news = watch.fresh()
                payload = await _read(connection, watch)
                if payload is not None or deadline.passed:
                    break
                await deadline.wait(news)
            text, serialization = payload if payload is not None else (None, "")
            await run.record(place, Checkpoint(GET, text, None, serialization), started_at)
            return None if payload is None else connection.serialization.load(payload, types, what=what)

        return await run.operation(GET, perform, types)


async def _read(connection: Connection, watch: Watch) -> Payload | None:
    (wanted,) = watch.wanted
    return await connection.ledger.read(lambda session: talk.event(session, wanted.workflow_id, wanted.detail))


async def _wait_outside(connection: Connection, watch: Watch, seconds: float | None) -> Payload | None:
    clock = connection.clock
    end = None if seconds is None else clock.monotonic() + seconds
    while True:
        news: Promise[None] = watch.fresh()
        payload = await _read(connection, watch)
        left = None if end is None else end - clock.monotonic()
        if payload is not None or (left is not None and left <= 0):
            return payload
        if left is None:
            await news
        else:
            await clock.within(news, left)


async def get_all_events(connection: Connection, workflow_id: str) -> dict[str, Any]:
    """The events of a workflow by key, as they are now."""

    checked_id(workflow_id, "get_all_events")

    async def find() -> dict[str, Any]:
        found = await connection.ledger.read(lambda session: talk.events(session, workflow_id))
        what = f"an event of workflow {workflow_id!r}"
        return {key: connection.serialization.load(one, expected(None), what=what) for key, one in found.items()}

    run = workflow_code()
    return await (find() if run is None else run.noted(GET_ALL, find, expected(None)))
