"""What type checkers see of the Tortoise adapter. Checked by `make check`, never run.

A `type: ignore` stands where a checker must complain: if it does not, mypy reports the comment as unused.
"""

from __future__ import annotations

from collections.abc import Sequence

from tortoise.backends.base.client import TransactionalDBClient
from typing_extensions import assert_type

from durably import Durably, transaction
from durably.adapter import AsyncAdapter, Flushes, Joins, Locates
from durably_tortoise import Tortoise, TortoiseAdapter, from_url


def it_is_an_adapter() -> list[object]:
    adapter: AsyncAdapter[TransactionalDBClient] = assert_type(TortoiseAdapter(), TortoiseAdapter)
    assert_type(Tortoise("reports"), TortoiseAdapter)
    flushes: Flushes[TransactionalDBClient] = TortoiseAdapter("default")
    joins: Joins[TransactionalDBClient] = TortoiseAdapter(url="postgresql://localhost/shop")
    locates: Locates = TortoiseAdapter(connection="default")
    halves: Sequence[TortoiseAdapter] = from_url("sqlite:///shop.db")
    Durably("shop", adapters={"default": adapter, "reports": halves})
    TortoiseAdapter(3)  # type: ignore[arg-type]
    from_url()  # type: ignore[call-arg]
    return [flushes, joins, locates]


@transaction(adapter="reports", read_only=True)
async def count(sku: str) -> int:
    return len(sku)


async def transactions_keep_their_signatures() -> None:
    assert_type(await count("duck"), int)
    await count(1)  # type: ignore[arg-type]
