"""Durably's transactions through Tortoise ORM 0.24 and later, asynchronous as Tortoise itself.

    from durably import Durably, transaction
    from durably_tortoise import TortoiseAdapter
    from tortoise import Tortoise

    @transaction
    async def reserve(sku: str, quantity: int) -> int:
        item = await Item.select_for_update().get(sku=sku)
        item.stock -= quantity
        await item.save()
        return item.stock

    app = Durably("shop", adapters={"default": TortoiseAdapter()})

    async def main() -> None:
        await Tortoise.init(db_url="postgres://...", modules={"models": ["shop.models"]})
        async with app:
            ...

The models work as always: inside the function, Tortoise's connection is the transaction's, which Durably begins and
ends. Everything that the function does through it commits together with its checkpoint, or not at all; tasks that the
function starts and waits for (``asyncio.gather``) take part in it. For a part that may fail use Tortoise's own
``async with in_transaction():``, which is a savepoint in there.

Outside transactions, in steps and in the workflow's own code, Durably does nothing for Tortoise. A workflow in the
background runs in a context of its own, where the models of Tortoise 1.x find their connections only after
``Tortoise.init(..., _enable_global_fallback=True)``.

``Tortoise`` is the adapter's name in Durably's documentation, and the same class as ``TortoiseAdapter``.
"""

from __future__ import annotations

from durably_tortoise.adapter import TortoiseAdapter, from_url

Tortoise = TortoiseAdapter

__all__ = ["Tortoise", "TortoiseAdapter", "from_url"]
