"""Placing an order: a durable workflow of two transactions and a step, all of them coroutines."""

from __future__ import annotations

import asyncio

from sqlalchemy import select

import durably
from durably import step, transaction, workflow
from durably_sqlalchemy import async_session
from examples.fastapi_shop.models import UNIT_CENTS, Item, Order
from examples.shop import payments


class OutOfStock(Exception):
    """There are fewer on the shelf than were ordered."""


@transaction
async def reserve(order_id: str, sku: str, quantity: int) -> int:
    """Take the goods off the shelf; the price to pay. Exactly once: its writes and its checkpoint are one commit."""
    item = await async_session().get_one(Item, sku, with_for_update=True)
    if item.stock < quantity:
        raise OutOfStock(f"{quantity} × {sku} were ordered, and there are {item.stock}")
    item.stock -= quantity
    async_session().add(Order(order_id=order_id, sku=sku, quantity=quantity))
    return quantity * UNIT_CENTS


@step(max_attempts=10, interval_seconds=0.05)
async def charge(order_id: str, cents: int) -> str:
    """Charge the card; the receipt. At least once: the provider gets the step's key, and so knows a repetition."""
    # The provider's client is blocking, and its answers are sometimes late, and sometimes lost.
    return await asyncio.to_thread(payments.charge, order_id, cents, idempotency_key=durably.step_key())


@transaction
async def confirm(order_id: str, cents: int, receipt: str) -> None:
    """Enter the money in the books. Exactly once."""
    order = (await async_session().scalars(select(Order).where(Order.order_id == order_id))).one()
    order.receipt = receipt
    item = await async_session().get_one(Item, order.sku, with_for_update=True)
    item.revenue_cents += cents


@workflow
async def checkout(order_id: str, sku: str, quantity: int) -> str:
    """Place one order. If its process is killed in here, the next one goes on from the last checkpoint."""
    cents = await reserve(order_id, sku, quantity)
    receipt = await charge(order_id, cents)
    await confirm(order_id, cents, receipt)
    return receipt
