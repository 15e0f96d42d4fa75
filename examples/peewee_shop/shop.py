"""Placing an order: a durable workflow of two transactions and a step, with Peewee's models as they always are."""

from __future__ import annotations

from peewee import CharField, DatabaseProxy, IntegerField, Model

import durably
from durably import step, transaction, workflow
from examples.peewee_shop import payments

#: Initialized by the program, once it knows where its data is.
database = DatabaseProxy()


class Item(Model):
    """What is on the shelf, and what it has earned."""

    sku = CharField(primary_key=True)
    unit_cents = IntegerField()
    stock = IntegerField()
    revenue_cents = IntegerField(default=0)

    class Meta:
        database = database


class Order(Model):
    """Confirmed as soon as it has a receipt."""

    order_id = CharField(primary_key=True)
    sku = CharField()
    quantity = IntegerField()
    cents = IntegerField()
    receipt = CharField(null=True)

    class Meta:
        database = database
        table_name = "orders"


class OutOfStock(Exception):
    """There are fewer on the shelf than were ordered."""


@transaction
def reserve(order_id: str, sku: str, quantity: int) -> int:
    """Take the goods off the shelf; the price to pay. Exactly once: its writes and its checkpoint are one commit."""
    item = Item.get_by_id(sku)
    if item.stock < quantity:
        raise OutOfStock(f"{quantity} × {sku} were ordered, and there are {item.stock}")
    cents: int = quantity * item.unit_cents
    Item.update(stock=Item.stock - quantity).where(Item.sku == sku).execute()
    Order.create(order_id=order_id, sku=sku, quantity=quantity, cents=cents)
    return cents


@step(max_attempts=8, interval_seconds=0.01)
def charge(order_id: str, cents: int) -> str:
    """Charge the card; the receipt. At least once: the provider gets the step's key, and so knows a repetition."""
    return payments.charge(order_id, cents, idempotency_key=durably.step_key())


@transaction
def confirm(order_id: str, receipt: str) -> None:
    """Enter the money in the books. Exactly once."""
    order = Order.get_by_id(order_id)
    order.receipt = receipt
    order.save()
    Item.update(revenue_cents=Item.revenue_cents + order.cents).where(Item.sku == order.sku).execute()


@workflow
def checkout(order_id: str, sku: str, quantity: int) -> str:
    """Place one order. If its process is killed in here, the next one goes on from the last checkpoint."""
    cents = reserve(order_id, sku, quantity)
    receipt = charge(order_id, cents)
    confirm(order_id, receipt)
    return receipt
