"""The exactly-once protocol: a transaction's writes and its checkpoint commit together, or neither does.

1. What history records is returned (``Run.call_at``).
2. On every try after the first, and on the first try of a recovered attempt whose checkpoints are apart, look whether
   the checkpoint is there: the commit may have happened although its acknowledgement was lost.
3. Begin through the ORM, run the user's function, insert the checkpoint in the same transaction, commit.
4. A transient failure anywhere in 3 rolls back and starts again at 2, on a fresh connection, within a bound of time.
5. The user's own error rolls back, and is then recorded in the same unique-keyed place.

The unique key arbitrates: whoever inserts second gets no row, rolls back, and returns what the first recorded.
"""

from __future__ import annotations

import contextlib
import logging
import random
from collections.abc import AsyncIterator
from enum import Enum
from itertools import count
from typing import Any
from uuid import uuid4

from durably import context
from durably.context import Body
from durably.crashpoints import reach
from durably.declared import Declaration
from durably.errors import (
    AmbientTransactionError,
    SerializationError,
    TransactionEndedError,
    TransactionRetriesExceededError,
)
from durably.execution.adapters import Half
from durably.execution.apart import completion_at, place_of
from durably.execution.run import Run
from durably.execution.signals import HandedBack
from durably.ledger import queries
from durably.model import Checkpoint, CheckpointKey
from durably.sql import completion
from durably.sql.completion import Guard, Recording
from durably.sql.drivers import Failure
from durably.sql.failures import classify, is_transient, was_cancelled

log = logging.getLogger("durably.transactions")

RETRY_FIRST, RETRY_LAST = 0.002, 1.0


class _Refused(Exception):
    """No row was inserted: somebody else recorded it, or this executor may not. Carries nothing out of here."""


async def run_transaction(
    run: Run, key: CheckpointKey, declaration: Declaration, args: tuple[Any, ...], kwargs: dict[str, Any]
) -> Any:
    """Run a transaction that history does not know, exactly once; its value, or its recorded error."""
    half = run.services.adapters.for_transaction(declaration)
    if half.adapter.ambient() is not None:
        raise AmbientTransactionError(
            f"transaction {declaration.name!r} of workflow {run.workflow_id!r} was called while a transaction is open "
            "on this connection already; leave that one first, or enqueue the workflow from inside it",
            workflow_id=run.workflow_id,
        )
    return await _Protocol(run, key, declaration, half).run(args, kwargs)


class _Stage(Enum):
    """How far a try is, which decides what an error means."""

    #: Finding out where the checkpoint goes, at the adapter's first use: no error of it is the transaction's own.
    PREPARE = "prepare"
    #: Connecting and beginning: a refused connection is the database's, not the user's.
    BEGIN = "begin"
    #: The user's function, and the record.
    BODY = "body"
    #: From here on an error leaves open whether the commit happened.
    COMMIT = "commit"


class _Protocol:
    """One transaction of one run, over all of its tries."""

    def __init__(self, run: Run, key: CheckpointKey, declaration: Declaration, half: Half) -> None:
        self.run_ = run
        self.key = key
        self.declaration = declaration
        self.half = half
        self.place = place_of(run, key)
        self.started_at = run.services.clock.now_ms()
        self.tries = 0
        #: How far the current try is; see ``_Stage``.
        self.stage = _Stage.PREPARE

    async def run(self, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:
        clock = self.run_.services.clock
        deadline = clock.monotonic() + self.run_.services.transaction_retry_seconds
        delay = RETRY_FIRST
        while True:
            self.tries += 1
            self.stage = _Stage.PREPARE
            failure: Exception | None = None
            try:
                await self.half.prepare(self.run_.services.executor_id)
                self.stage = _Stage.BEGIN
                if self.tries > 1 or (self.run_.recovered and not self.half.colocated):
                    found = await self.look_up()
                    if found is not None:
                        return self.adopt(found)
                return await self.attempt(args, kwargs)
            except _Refused:
                return await self.theirs()
            except Exception as error:
                if not self.is_retryable(error):
                    if self.stage is _Stage.PREPARE:
                        raise
                    return await self.user_error(error)
                failure = error
            # Outside the except block, so that the next try's errors do not carry this one as their context.
            if clock.monotonic() + delay > deadline:
                raise HandedBack(self.run_.workflow_id, self.exceeded(failure)) from failure
            log.debug(
                "transaction %r of workflow %r: try %d failed transiently, again in %.3f s (%s)",
                self.declaration.name,
                self.run_.workflow_id,
                self.tries,
                delay,
                type(failure).__name__,
            )
            await clock.sleep(delay * random.uniform(0.5, 1.0))  # noqa: S311  spread, not secrecy
            delay = min(delay * 2, RETRY_LAST)
            await self.run_.services.lease.valid()
            self.run_.check()

    def is_retryable(self, error: Exception) -> bool:
        """Whether the whole transaction may be run again."""
        connecting = self.stage in (_Stage.PREPARE, _Stage.BEGIN)
        return is_transient(error, connecting=connecting) and not was_cancelled(error)

    # -- one try -------------------------------------------------------------------------------------------------

    async def attempt(self, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:
        """Steps 3 and 4: body and record in one transaction of the ORM's.

        What the ORM calls after the commit (Django's ``on_commit``) is in the body too: a replay does not call it.
        """
        options = self.declaration.transaction
        inside = Body(
            self.declaration.name, self.key.function_id, self.run_.step_key(self.key), self.tries, True, count(1)
        )
        with context.body(inside):
            return await self.attempt_inside(args, kwargs, options.read_only)

    async def attempt_inside(self, args: tuple[Any, ...], kwargs: dict[str, Any], read_only: bool) -> Any:
        """The same, with the transaction as the current body."""
        async with self.begun(read_only) as handle:
            guard = Guard(uuid4().hex, self.run_.services.lease_ms)
            if not read_only:
                await self.half.execute(handle, *completion.guard_begin(self.half.dialect.name, guard))
            self.stage = _Stage.BODY
            value = await self.body(handle, args, kwargs)
            await self.half.flush(handle)
            checkpoint = self.run_.output_checkpoint(value, self.key, self.declaration.name, self.declaration.types)
            if not read_only:
                if not self.takes(checkpoint):
                    raise self.too_large("output")
                await self.record(handle, checkpoint, guard)
            reach("transaction.commit.before")
            self.stage = _Stage.COMMIT
        reach("transaction.commit.after")
        if read_only:
            await self.run_.record(self.key, checkpoint, self.started_at)
        else:
            self.echo(checkpoint)
        return value

    @contextlib.asynccontextmanager
    async def begun(self, read_only: bool) -> AsyncIterator[Any]:
        """The ORM's transaction; on SQLite in this process's turn among the writers of the file."""
        async with (
            self.half.turn(read_only),
            self.half.begin(self.declaration.transaction.isolation_level, read_only) as handle,
        ):
            yield handle

    async def body(self, handle: Any, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:
        with context.transaction_opened(self.declaration.name, handle, self.half.asynchronous):
            reach("transaction.body.before")
            value = self.declaration.function(*args, **kwargs)
            # Awaited as it is: wrapped in a task it would lose the connection that some ORMs tie to the task.
            return await value if self.declaration.is_async else value

    async def record(self, handle: Any, checkpoint: Checkpoint, guard: Guard) -> None:
        """Insert the checkpoint in the transaction that is open; raises unless that took place."""
        dialect = self.half.dialect.name
        released = completion.guard_release(dialect)
        if released is not None:
            try:
                await self.half.execute(handle, *released)
            except Exception as error:
                # An adapter may know better what ended it.
                if self.is_retryable(error) or isinstance(error, TransactionEndedError):
                    raise
                raise self.ended() from error
        if self.half.colocated:
            statement = completion.record_fenced(dialect, self.place, checkpoint, self.started_at, guard)
        else:
            statement = completion.record_completion(dialect, self.place, checkpoint, guard)
        answer = await self.answer(handle, statement, guard)
        if answer is Recording.ENDED:
            raise self.ended()
        if answer is Recording.REFUSED:
            raise _Refused

    async def answer(self, handle: Any, statement: completion.Statement, guard: Guard) -> Recording:
        """Run the record's statement, and read what it says."""
        dialect = self.half.dialect.name
        try:
            rows = await self.half.execute(handle, *statement)
        except Exception as error:
            if dialect not in completion.REFUSES_BY_ERROR:
                raise
            classified = classify(error)
            if classified is None or classified.failure is not Failure.UNIQUE:
                raise
            return Recording.REFUSED
        return completion.recording(dialect, rows, guard)

    def echo(self, checkpoint: Checkpoint) -> None:
        """Tell the system database of a completion row, unwaited: the outcome is written after it in any case."""
        if not self.half.colocated:
            self.run_.services.ledger.echo(self.run_.command(self.key, checkpoint, self.started_at))
            reach("echo.after")

    # -- what is recorded already --------------------------------------------------------------------------------

    async def look_up(self) -> Checkpoint | None:
        """Step 2, in a read of its own, outside the transaction."""
        if self.half.colocated or self.declaration.transaction.read_only:
            key, workflow_id = self.key, self.run_.workflow_id
            return await self.run_.services.ledger.read(lambda session: queries.checkpoint(session, workflow_id, key))
        return await completion_at(self.half, self.place)

    def adopt(self, found: Checkpoint) -> Any:
        """Return or raise what is recorded."""
        self.echo(found)
        return self.run_.replayed(found, self.key, self.declaration.name, self.declaration.types)

    async def theirs(self) -> Any:
        """After a refusal: adopt what another execution recorded, or stop since this one has lost the workflow."""
        found = await self.look_up()
        if found is not None:
            return self.adopt(found)
        self.run_.stop("it was cancelled, or another executor took it over")
        self.run_.check()

    # -- errors --------------------------------------------------------------------------------------------------

    async def user_error(self, error: Exception) -> Any:
        """Step 5: the transaction is rolled back; record the error, unless the commit took place after all."""
        if was_cancelled(error):
            raise error
        if self.stage is _Stage.COMMIT:
            # A hook after the commit may have raised, and a deferred constraint before it.
            found = await self.look_up()
            if found is not None:
                log.error(
                    "transaction %r of workflow %r has committed, and what the ORM called after that raised",
                    self.declaration.name,
                    self.run_.workflow_id,
                    exc_info=error,
                )
                return self.adopt(found)
        checkpoint, raised = self.run_.error_checkpoint(error, self.key, self.declaration.name)
        if self.half.colocated or self.declaration.transaction.read_only:
            await self.run_.record(self.key, checkpoint, self.started_at)
        else:
            if not self.takes(checkpoint):
                too_large = self.too_large("error")
                checkpoint, raised = self.run_.error_checkpoint(too_large, self.key, self.declaration.name)
            won = await self.complete_with_error(checkpoint)
            if won is not checkpoint:
                return self.adopt(won)
            self.echo(checkpoint)
        if raised is error:
            raise error
        raise raised from error

    async def complete_with_error(self, checkpoint: Checkpoint) -> Checkpoint:
        """Write an error's completion row in a transaction of its own; the row that counts, ours or an earlier one."""
        clock = self.run_.services.clock
        deadline = clock.monotonic() + self.run_.services.transaction_retry_seconds
        delay = RETRY_FIRST
        while True:
            failure: Exception | None = None
            self.stage = _Stage.BEGIN
            try:
                found = await self.look_up()
                if found is not None:
                    return found
                async with self.begun(False) as handle:
                    guard = Guard(uuid4().hex, self.run_.services.lease_ms)
                    await self.half.execute(handle, *completion.guard_begin(self.half.dialect.name, guard))
                    await self.record(handle, checkpoint, guard)
                return checkpoint
            except _Refused:
                continue
            except Exception as error:
                if not self.is_retryable(error):
                    raise
                failure = error
            if clock.monotonic() + delay > deadline:
                raise HandedBack(self.run_.workflow_id, self.exceeded(failure)) from failure
            await clock.sleep(delay)
            delay = min(delay * 2, RETRY_LAST)

    def ended(self) -> TransactionEndedError:
        return TransactionEndedError(
            f"transaction {self.declaration.name!r} of workflow {self.run_.workflow_id!r} was committed or rolled back "
            "by its own function; Durably commits when the function returns, and rolls back when it raises. "
            "For a part that may fail, use a savepoint" + self.half.dialect.also_ends,
            workflow_id=self.run_.workflow_id,
            transaction=self.declaration.name,
        )

    def takes(self, checkpoint: Checkpoint) -> bool:
        """Whether the database takes a checkpoint of that size."""
        return self.half.server.takes(checkpoint.output or checkpoint.error or "")

    def too_large(self, what: str) -> SerializationError:
        return SerializationError(
            f"the {what} of transaction {self.declaration.name!r} of workflow {self.run_.workflow_id!r} is larger than "
            f"the {self.half.server.packet_bytes} bytes that the database takes in one statement "
            "(max_allowed_packet); keep what is large in a table of your own, and return its key",
            workflow_id=self.run_.workflow_id,
            transaction=self.declaration.name,
        )

    def exceeded(self, error: Exception) -> TransactionRetriesExceededError:
        classified = classify(error, connecting=True)
        failure = classified.failure.value if classified is not None else "transient"
        return TransactionRetriesExceededError(
            f"transaction {self.declaration.name!r} of workflow {self.run_.workflow_id!r} met {failure} failures in "
            f"{self.tries} tries over {self.run_.services.transaction_retry_seconds:g} s; the workflow is handed back "
            f"and will be tried again. The last: {error}",
            workflow_id=self.run_.workflow_id,
            transaction=self.declaration.name,
        )
