"""Placing an order: a durable workflow of two transactions, in plain SQL, and a step."""

from __future__ import annotations

import durably
from durably import step, transaction, workflow
from durably_psycopg import connection
from examples.psycopg_shop import payments


class OutOfStock(Exception):
    """There are fewer on the shelf than were ordered."""


@transaction
def reserve(order_id: str, sku: str, quantity: int) -> int:
    """Take the goods off the shelf; the price to pay. Exactly once: its writes and its checkpoint are one commit."""
    item = (
        connection()
        .execute(
            "UPDATE psycopg_shop.item SET stock = stock - %(quantity)s WHERE sku = %(sku)s AND stock >= %(quantity)s"
            " RETURNING unit_cents",
            {"sku": sku, "quantity": quantity},
        )
        .fetchone()
    )
    if item is None:
        raise OutOfStock(f"there are not {quantity} × {sku}")
    cents = int(item["unit_cents"]) * quantity
    connection().execute(
        "INSERT INTO psycopg_shop.purchase (order_id, sku, quantity, cents) VALUES (%s, %s, %s, %s)",
        (order_id, sku, quantity, cents),
    )
    return cents


@step(max_attempts=3, interval_seconds=0.05)
def charge(order_id: str, cents: int) -> str:
    """Charge the card; the receipt. At least once: the provider gets the step's key, and so knows a repetition."""
    return payments.charge(order_id, cents, idempotency_key=durably.step_key())


@transaction
def confirm(order_id: str, receipt: str) -> None:
    """Enter the receipt in the books. Exactly once."""
    connection().execute("UPDATE psycopg_shop.purchase SET receipt = %s WHERE order_id = %s", (receipt, order_id))


@workflow
def checkout(order_id: str, sku: str, quantity: int) -> str:
    """Place one order. If its process is killed in here, the next one goes on from the last checkpoint."""
    receipt = charge(order_id, reserve(order_id, sku, quantity))
    confirm(order_id, receipt)
    return receipt
