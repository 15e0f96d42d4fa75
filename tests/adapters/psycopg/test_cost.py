"""A transaction costs what it costs without Durably, and two statements more: counted on the wire."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest
from psycopg_pool import AsyncConnectionPool, ConnectionPool

from tests.adapters.psycopg.lab import Lab, given
from tests.budget.wire import Wire


@pytest.fixture
def wire(made: Lab) -> Iterator[Wire]:
    """Between the pool and the server; Durably's own connections go past it."""
    with Wire(made.url) as wire:
        made.open_pool(max_size=1)
        kind: Any = AsyncConnectionPool if made.asynchronous else ConnectionPool
        pool = kind(wire.url, min_size=1, max_size=1, open=False)

        async def opened() -> None:
            await given(pool.open(wait=True))

        made.wait(opened())
        made.launch(pool)
        yield wire
        made.shutdown()

        async def closed() -> None:
            await given(pool.close())

        made.wait(closed())


@pytest.mark.parametrize(
    ("options", "trips"),
    [
        ({}, 5),  # BEGIN, the guard, the function's statement, the record, COMMIT
        ({"isolation_level": "serializable"}, 6),  # … and SET TRANSACTION
        ({"read_only": True}, 4),  # BEGIN, SET TRANSACTION, the function's statement, COMMIT
    ],
    ids=["plain", "isolation level", "read only"],
)
def test_the_round_trips_of_a_transaction(made: Lab, wire: Wire, options: dict[str, Any], trips: int) -> None:
    async def body(c: Any) -> None:
        await given(c.execute("SELECT count(*) FROM item"))

    flow = made.flow(body, **options)
    for _ in range(8):  # until the driver has prepared everything
        made.wait(flow())
    before = wire.traffic
    made.wait(flow())
    assert (wire.traffic - before).round_trips == trips
