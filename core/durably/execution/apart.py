"""Completion rows: what transactions have committed in application databases apart, whether history knows it or not.

The system database is told of a completion row afterwards, and a crash may lose that.
"""

from __future__ import annotations

from durably.drive import Offload, drive
from durably.errors import DatabaseUnavailableError
from durably.execution.adapters import Half
from durably.execution.run import Run
from durably.execution.signals import HandedBack
from durably.model import Checkpoint, CheckpointKey
from durably.sql import completion
from durably.sql.completion import Place
from durably.sql.failures import is_transient


def place_of(run: Run, key: CheckpointKey) -> Place:
    """Where a transaction of this life is recorded."""
    return Place(run.workflow_id, run.run_id, key, run.fence)


async def completion_at(half: Half, place: Place) -> Checkpoint | None:
    """The completion row at a place, in a read of its own."""
    async with half.begin(None, True) as handle:
        rows = await half.execute(handle, *completion.find_completion(place))
    return Checkpoint(*rows[0]) if rows else None


async def committed_at(run: Run, key: CheckpointKey) -> str | None:
    """The name of the transaction that an earlier attempt committed at ``key`` in any database apart, or None."""
    if not run.recovered:
        return None
    place = place_of(run, key)
    for half in run.services.adapters.one_of_each(asynchronous=run.asynchronous):
        try:
            found = await _look(run, half, place)
        except Exception as error:
            if not is_transient(error, connecting=True) and not isinstance(error, DatabaseUnavailableError):
                raise
            raise HandedBack(run.workflow_id, error) from error
        if found is not None:
            return found.function_name
    return None


async def _look(run: Run, half: Half, place: Place) -> Checkpoint | None:
    async def look() -> Checkpoint | None:
        await half.prepare(run.services.executor_id)
        return None if half.colocated else await completion_at(half, place)

    if half.asynchronous:
        return await look()
    return await Offload(lambda: drive(look()), run.services.in_thread)
