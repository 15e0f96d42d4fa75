"""Placing an order: a durable workflow of two transactions and a step, with Tortoise's models as always."""

from __future__ import annotations

import durably
from durably import step, transaction, workflow
from examples.tortoise_shop import payments
from examples.tortoise_shop.models import Item, Purchase


class OutOfStock(Exception):
    """There are fewer on the shelf than were ordered."""


@transaction
async def reserve(order_id: str, sku: str, quantity: int) -> int:
    """Take the goods off the shelf; the price to pay. Exactly once: its writes and its checkpoint are one commit."""
    item = await Item.select_for_update().get(sku=sku)
    if item.stock < quantity:
        raise OutOfStock(f"{quantity} × {sku} were ordered, and there are {item.stock}")
    item.stock -= quantity
    await item.save()
    cents = quantity * item.unit_cents
    await Purchase.create(order_id=order_id, sku=sku, quantity=quantity, cents=cents)
    return cents


@step(max_attempts=3, interval_seconds=0.05)
async def charge(order_id: str, cents: int) -> str:
    """Charge the card; the receipt. At least once: the provider gets the step's key, and so knows a repetition."""
    return await payments.charge(order_id, cents, idempotency_key=durably.step_key())


@transaction
async def confirm(order_id: str, receipt: str) -> None:
    """Enter the receipt in the books. Exactly once."""
    await Purchase.filter(order_id=order_id).update(receipt=receipt)


@workflow
async def checkout(order_id: str, sku: str, quantity: int) -> str:
    """Place one order. If its process is killed in here, the next one goes on from the last checkpoint."""
    cents = await reserve(order_id, sku, quantity)
    receipt = await charge(order_id, cents)
    await confirm(order_id, receipt)
    return receipt
