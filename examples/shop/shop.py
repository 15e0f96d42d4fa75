"""Placing an order: a durable workflow of two transactions and a step."""

from __future__ import annotations

from sqlalchemy import select

import durably
from durably import step, transaction, workflow
from durably_sqlalchemy import session
from examples.shop import payments
from examples.shop.models import Item, Order, Sale, StockMovement


class OutOfStock(Exception):
    """There are fewer on the shelf than were ordered."""


@transaction
def reserve(order_id: str, sku: str, quantity: int) -> int:
    """Take the goods off the shelf; the price to pay. Exactly once: its writes and its checkpoint are one commit."""
    item = session().get_one(Item, sku, with_for_update=True)
    if item.stock < quantity:
        raise OutOfStock(f"{quantity} × {sku} were ordered, and there are {item.stock}")
    item.stock -= quantity
    cents = quantity * item.unit_cents
    session().add(Order(order_id=order_id, sku=sku, quantity=quantity, cents=cents))
    session().add(StockMovement(order_id=order_id, sku=sku, quantity=quantity))
    return cents


@step(max_attempts=8, interval_seconds=0.05)
def charge(order_id: str, cents: int) -> str:
    """Charge the card; the receipt. At least once: the provider gets the step's key, and so knows a repetition."""
    return payments.charge(order_id, cents, idempotency_key=durably.step_key())


@transaction
def confirm(order_id: str, receipt: str) -> None:
    """Enter the money in the books. Exactly once."""
    order = session().scalars(select(Order).where(Order.order_id == order_id)).one()
    order.status, order.receipt = "confirmed", receipt
    item = session().get_one(Item, order.sku, with_for_update=True)
    item.revenue_cents += order.cents
    session().add(Sale(order_id=order_id, cents=order.cents, receipt=receipt))


@workflow
def checkout(order_id: str, sku: str, quantity: int) -> str:
    """Place one order. If its process is killed in here, the next one goes on from the last checkpoint."""
    cents = reserve(order_id, sku, quantity)
    receipt = charge(order_id, cents)
    confirm(order_id, receipt)
    return receipt
