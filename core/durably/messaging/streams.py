"""Streams: values that a workflow appends under a key, read in order from any offset while it goes on."""

from __future__ import annotations

from collections.abc import AsyncIterator, Iterator
from typing import Any

from durably.drive import Promise, drive
from durably.errors import ConfigurationError, WaitTimeoutError, WorkflowNotFoundError
from durably.execution.calls import CallingRun
from durably.execution.waits import checked_seconds, workflow_code
from durably.ledger import queries, talk
from durably.ledger.commands import WriteStream
from durably.ledger.news import Kind
from durably.messaging.connection import Connection, dumped, expected, place_of, writer
from durably.model import Checkpoint, CheckpointKey
from durably.names import checked_id, checked_name
from durably.serialization import Payload

WRITE, CLOSE, READ = "durably.write_stream", "durably.close_stream", "durably.read_stream"
#: How many values one look takes.
SHARE = 500
#: Offsets are 32-bit numbers in the database.
LAST_OFFSET = 2**31 - 1


async def write_stream(connection: Connection, key: str, value: Any) -> None:
    """Append a value to one of this workflow's streams."""
    run, _ = writer("write_stream")
    payload = dumped(connection, value, f"a value of stream {key!r} of workflow {run.workflow_id!r}")
    await _append(connection, WRITE, key, payload)


async def close_stream(connection: Connection, key: str) -> None:
    """Append the end of a stream, so that who reads it stops there."""
    await _append(connection, CLOSE, key, None)


async def _append(connection: Connection, verb: str, stream: str, payload: Payload | None) -> None:
    run, body = writer(verb.partition(".")[2])
    checked_name(stream, "the key of the stream")
    text, serialization = payload if payload is not None else (None, "")

    def command(place: CheckpointKey, sequence: int) -> WriteStream:
        return WriteStream(run.workflow_id, *place, sequence, *run.fence, stream, text, serialization)

    if body is not None:
        (answer,) = await connection.ledger.write("stream", command(*place_of(body)))
        run.heed(answer)
        return

    async def perform(place: CheckpointKey) -> None:
        done = run.command(place, Checkpoint(verb, None, None, ""), connection.clock.now_ms())
        answer, _ = await connection.ledger.write("stream", command(place, 0), done)
        run.heed(answer)

    await run.operation(verb, perform, expected(None))


# -- reading -----------------------------------------------------------------------------------------------------


class Reader:
    """Reads one stream, a share at a time; ``None`` is its end. In a workflow each share is a recorded operation."""

    def __init__(
        self,
        connection: Connection,
        workflow_id: str,
        key: str,
        offset: int,
        timeout_seconds: float | None,
        expect: Any,
    ) -> None:
        self._connection = connection
        self._workflow_id = checked_id(workflow_id, "read_stream")
        self._key = checked_name(key, "the key of the stream")
        self._offset = _checked_offset(offset)
        self._seconds = None if timeout_seconds is None else checked_seconds(timeout_seconds, "read_stream")
        self._types = expected(expect)

    async def share(self) -> list[Any] | None:
        """The next values, at least one; None at the end. WaitTimeoutError if none comes in time."""
        run = workflow_code()
        if run is None:
            texts = await self._next(None)
        else:
            texts = await run.noted(READ, lambda: self._next(run), expected(None))
        if texts is None:
            return None
        self._offset += len(texts)
        what = f"a value of stream {self._key!r} of workflow {self._workflow_id!r}"
        return [self._connection.serialization.load(Payload(*one), self._types, what=what) for one in texts]

    async def _next(self, run: CallingRun | None) -> list[list[str]] | None:
        clock, news = self._connection.clock, self._connection.ledger.news
        end = None if self._seconds is None else clock.monotonic() + self._seconds
        with news.watch(Kind.STREAM, self._workflow_id, self._key, self._offset, end=True) as watch:
            while True:
                fresh = watch.fresh()
                found = await self._look()
                if found is not None:
                    return found or None
                left = None if end is None else end - clock.monotonic()
                if left is not None and left <= 0:
                    raise WaitTimeoutError(
                        f"stream {self._key!r} of workflow {self._workflow_id!r} had no value at offset {self._offset} "
                        f"in {self._seconds:g} s",
                        workflow_id=self._workflow_id,
                    )
                await self._wait(run, fresh, left)

    async def _look(self) -> list[list[str]] | None:
        """Values from the offset on; [] at the end of the stream, None if there are none yet."""
        wanted = (self._workflow_id, self._key, self._offset, SHARE)
        # The status first: what a workflow wrote is there before its end is.
        statuses = await self._connection.ledger.read(lambda session: queries.statuses(session, [self._workflow_id]))
        if self._workflow_id not in statuses:
            raise WorkflowNotFoundError(
                f"there is no workflow with the id {self._workflow_id!r} to read a stream of",
                workflow_id=self._workflow_id,
            )
        rows = await self._connection.ledger.read(lambda session: talk.stream(session, *wanted))
        values: list[list[str]] = []
        for text, serialization in rows:
            if text is None:
                return values
            values.append([text, serialization])
        if values:
            return values
        return [] if statuses[self._workflow_id].status.is_final else None

    async def _wait(self, run: CallingRun | None, fresh: Promise[None], left: float | None) -> None:
        """For another value, or for the end of the workflow."""
        if run is not None:
            await run.wait(fresh, left)
        elif left is None:
            await fresh
        else:
            await self._connection.clock.within(fresh, left)


def _checked_offset(given: Any) -> int:
    if isinstance(given, bool) or not isinstance(given, int) or not 0 <= given <= LAST_OFFSET:
        raise ConfigurationError(f"the offset of a stream is {given!r}; give a number from 0 on")
    return given


def values(reader: Reader) -> Iterator[Any]:
    """All values of a stream, blocking for the next one."""
    while (share := drive(reader.share())) is not None:
        yield from share


async def values_async(reader: Reader) -> AsyncIterator[Any]:
    """The same, awaited."""
    while (share := await reader.share()) is not None:
        for value in share:
            yield value
