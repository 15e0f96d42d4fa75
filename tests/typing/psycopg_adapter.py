"""What type checkers see of the psycopg adapter. Checked by `make check`, never run.

A `type: ignore` stands where a checker must complain: if it does not, mypy reports the comment as unused.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import psycopg
from psycopg.rows import DictRow
from psycopg_pool import AsyncConnectionPool, ConnectionPool
from typing_extensions import assert_type

import durably
from durably.adapter import Adapter, AsyncAdapter, Closes, Locates
from durably_psycopg import (
    AsyncPsycopg,
    Psycopg,
    async_connection,
    connection,
    from_url,
    with_async_connection,
    with_connection,
)


class MyConnection(psycopg.Connection[DictRow]):
    """A connection of the user's own class."""


def reserve(c: MyConnection, sku: str, quantity: int = 1) -> int:
    return quantity


def reserve_plainly(c: psycopg.Connection, sku: str) -> str:
    return sku


async def reserve_async(c: psycopg.AsyncConnection[DictRow], sku: str) -> int:
    return 1


def the_halves_are_adapters(
    pool: ConnectionPool[psycopg.Connection[DictRow]],
    async_pool: AsyncConnectionPool[psycopg.AsyncConnection[DictRow]],
    any_pool: ConnectionPool,
) -> list[object]:
    plain: Adapter[psycopg.Connection[Any]] = assert_type(Psycopg(pool), Psycopg)
    awaited: AsyncAdapter[psycopg.AsyncConnection[Any]] = assert_type(AsyncPsycopg(async_pool), AsyncPsycopg)
    closes: Sequence[Closes] = [Psycopg(any_pool), AsyncPsycopg("postgresql:///shop")]
    locates: Sequence[Locates] = [Psycopg("postgresql:///shop"), AsyncPsycopg(async_pool)]
    halves: Sequence[Psycopg | AsyncPsycopg] = from_url("postgresql:///shop")
    Psycopg(lambda: psycopg.connect("dbname=shop"))
    AsyncPsycopg(lambda: psycopg.AsyncConnection.connect("dbname=shop"))
    Psycopg(async_pool)  # type: ignore[arg-type]
    AsyncPsycopg(pool)  # type: ignore[arg-type]
    AsyncPsycopg(lambda: psycopg.connect("dbname=shop"))  # type: ignore[arg-type,return-value]
    return [plain, awaited, *closes, *locates, *halves]


async def connections_take_statements(sku: str) -> None:
    assert_type(connection(), psycopg.Connection[Any])
    assert_type(async_connection(), psycopg.AsyncConnection[Any])
    connection().execute("UPDATE item SET stock = stock - 1 WHERE sku = %s", (sku,))
    await async_connection().execute("UPDATE item SET stock = stock - 1 WHERE sku = %s", (sku,))
    connection(sku)  # type: ignore[call-arg]


async def helpers_lose_their_first_parameter() -> None:
    handed: Callable[[str], str] = with_connection(reserve_plainly)
    assert_type(handed("a"), str)
    assert_type(with_connection(reserve)("a", quantity=2), int)
    assert_type(durably.transaction(with_connection(reserve))("a"), int)
    assert_type(await with_async_connection(reserve_async)("a"), int)
    later = with_async_connection(reserve_async)
    assert_type(await durably.transaction(later)("a"), int)
    with_connection(reserve)(1)  # type: ignore[arg-type]
    with_connection(reserve)("a", 1, 2)  # type: ignore[call-arg]
    with_async_connection(reserve_plainly)  # type: ignore[type-var,arg-type]
