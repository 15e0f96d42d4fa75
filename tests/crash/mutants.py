"""Broken engines that the oracle must catch: each undoes one thing that makes a transaction exactly once."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any
from uuid import uuid4

from durably.crashpoints import reach
from durably.execution import transaction
from durably.ledger import queries
from durably.ledger.commands import RecordCheckpoint, Recorded, RecordOutcome
from durably.ledger.ledger import Ledger
from durably.model import Checkpoint
from durably.sql import completion


def apply(name: str | None) -> None:
    """Break the engine of this process in that way."""
    if name is not None:
        MUTANTS[name]()


async def _record_alone(protocol: Any, checkpoint: Checkpoint) -> None:
    """A transaction with the record and nothing else."""
    async with protocol.begun(False) as handle:
        guard = completion.Guard(uuid4().hex, protocol.run_.services.lease_ms)
        await protocol.half.execute(handle, *completion.guard_begin(protocol.half.dialect.name, guard))
        await protocol.record(handle, checkpoint, guard)


def _checkpoint(protocol: Any, value: Any) -> Checkpoint:
    declaration = protocol.declaration
    recorded: Checkpoint = protocol.run_.output_checkpoint(value, protocol.key, declaration.name, declaration.types)
    return recorded


async def _commit_then_record(self: Any, args: tuple[Any, ...], kwargs: dict[str, Any], read_only: bool) -> Any:
    async with self.begun(read_only) as handle:
        self.stage = transaction._Stage.BODY
        value = await self.body(handle, args, kwargs)
        await self.half.flush(handle)
        reach("transaction.commit.before")
    reach("transaction.commit.after")
    checkpoint = _checkpoint(self, value)
    await _record_alone(self, checkpoint)
    self.echo(checkpoint)
    return value


async def _record_then_commit(self: Any, args: tuple[Any, ...], kwargs: dict[str, Any], read_only: bool) -> Any:
    await _record_alone(self, _checkpoint(self, "recorded before it was done"))
    async with self.begun(read_only) as handle:
        self.stage = transaction._Stage.BODY
        value = await self.body(handle, args, kwargs)
        await self.half.flush(handle)
        reach("transaction.commit.before")
    reach("transaction.commit.after")
    return value


def _record_after_commit() -> None:
    transaction._Protocol.attempt_inside = _commit_then_record  # type: ignore[method-assign]


def _record_before_commit() -> None:
    transaction._Protocol.attempt_inside = _record_then_commit  # type: ignore[method-assign]


def _no_fence() -> None:
    """Every write to the ledger carries the token that it finds in the row, rather than the one of its own claim."""
    record, finish = Ledger.record, Ledger.finish

    async def holder(ledger: Ledger, workflow_id: str) -> dict[str, Any]:
        row = (await ledger.read(lambda session: queries.statuses(session, [workflow_id])))[workflow_id]
        return {"executor_id": row.executor_id, "attempt": row.attempt}

    async def unfenced_record(self: Ledger, command: RecordCheckpoint) -> Recorded:
        return await record(self, command._replace(**await holder(self, command.workflow_id)))

    async def unfenced_finish(self: Ledger, command: RecordOutcome) -> bool:
        return await finish(self, command._replace(**await holder(self, command.workflow_id)))

    Ledger.record = unfenced_record  # type: ignore[method-assign]
    Ledger.finish = unfenced_finish  # type: ignore[method-assign]


MUTANTS: dict[str, Callable[[], None]] = {
    "record after commit": _record_after_commit,
    "record before commit": _record_before_commit,
    "no fence": _no_fence,
}
