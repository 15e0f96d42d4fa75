"""A transaction outside any workflow: through its adapter, whole and retried, but recorded nowhere."""

from __future__ import annotations

import random
from typing import Any

from durably import context
from durably.clock import Clock
from durably.declared import Declaration
from durably.errors import TransactionRetriesExceededError
from durably.execution.adapters import Half
from durably.sql.failures import is_transient, was_cancelled

RETRY_FIRST, RETRY_LAST = 0.002, 1.0


async def run_outside(
    half: Half,
    declaration: Declaration,
    args: tuple[Any, ...],
    kwargs: dict[str, Any],
    clock: Clock,
    seconds: float,
) -> Any:
    """Run it in a transaction of its own, again after transient failures; or in the one the caller has open."""
    joined = half.adapter.ambient()
    if joined is not None:
        # Not this call's to begin, to retry or to end; what it has done is undone if it raises.
        async with half.savepoint(joined):
            value = await _body(half, joined, declaration, args, kwargs)
            await half.flush(joined)
            return value
    deadline = clock.monotonic() + seconds
    delay = RETRY_FIRST
    while True:
        failure: Exception | None = None
        begun = False
        options = declaration.transaction
        turn = half.turn(options.read_only)
        try:
            async with turn, half.begin(options.isolation_level, options.read_only) as handle:
                begun = True
                value = await _body(half, handle, declaration, args, kwargs)
                await half.flush(handle)
            return value
        except Exception as error:
            if turn.committed or was_cancelled(error) or not is_transient(error, connecting=not begun):
                raise
            failure = error
        if clock.monotonic() + delay > deadline:
            raise TransactionRetriesExceededError(
                f"transaction {declaration.name!r} met transient database failures for {seconds:g} s; "
                f"nothing was written. The last: {failure}",
                transaction=declaration.name,
            ) from failure
        await clock.sleep(delay * random.uniform(0.5, 1.0))  # noqa: S311  spread, not secrecy
        delay = min(delay * 2, RETRY_LAST)


async def _body(
    half: Half, handle: Any, declaration: Declaration, args: tuple[Any, ...], kwargs: dict[str, Any]
) -> Any:
    with context.transaction_opened(declaration.name, handle, half.asynchronous):
        value = declaration.function(*args, **kwargs)
        return await value if declaration.is_async else value
