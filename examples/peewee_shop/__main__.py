"""Places a few orders, twice, and looks whether the numbers are right: ``python -m examples.peewee_shop [FOLDER]``."""

from __future__ import annotations

import sys
import tempfile
from pathlib import Path

from peewee import SqliteDatabase

import durably
from durably import Durably
from durably_peewee import Peewee
from examples.peewee_shop import payments
from examples.peewee_shop.shop import Item, Order, OutOfStock, checkout, database

ORDERS = [("o-1", "mug", 2), ("o-2", "pen", 5), ("o-3", "mug", 1), ("o-4", "pen", 1), ("o-5", "mug", 11)]
SHELF = {"mug": (990, 10), "pen": (150, 50)}
#: There never were as many mugs.
SOLD_OUT = {"o-5"}


def main(folder: Path) -> bool:
    """Run the shop with its data in ``folder``; whether all numbers are what they should be."""
    database.initialize(SqliteDatabase(str(folder / "shop.db")))
    with database.connection_context():
        database.create_tables([Item, Order])
        for sku, (unit_cents, stock) in SHELF.items():
            if Item.get_or_none(Item.sku == sku) is None:
                Item.create(sku=sku, unit_cents=unit_cents, stock=stock)

    with Durably("peewee-shop", adapters={"default": Peewee(database)}):
        for _ in range(2):  # the second time each id is known, and its outcome is the first one
            handles = []
            for order_id, sku, quantity in ORDERS:
                with durably.workflow_options(workflow_id=order_id):
                    handles.append(durably.start_workflow(checkout, order_id, sku, quantity))
            for handle in handles:
                try:
                    print(f"{handle.workflow_id}: {handle.get_result(timeout_seconds=30)}")
                except OutOfStock as error:
                    print(f"{handle.workflow_id}: {error}")

    return audit()


def audit() -> bool:
    """Compare the books with what was ordered, and with what the provider has charged."""
    placed = [(order_id, sku, quantity) for order_id, sku, quantity in ORDERS if order_id not in SOLD_OUT]
    earned = {sku: sum(n * SHELF[sku][0] for _, which, n in placed if which == sku) for sku in SHELF}
    left = {sku: SHELF[sku][1] - sum(n for _, which, n in placed if which == sku) for sku in SHELF}
    with database.connection_context():
        found_left = {item.sku: item.stock for item in Item.select()}
        found_earned = {item.sku: item.revenue_cents for item in Item.select()}
        receipts = {order.order_id: order.receipt for order in Order.select()}
    numbers = [
        ("stock", found_left, left),
        ("revenue", found_earned, earned),
        ("receipts", receipts, {order_id: f"receipt-{order_id}" for order_id, _, _ in placed}),
        ("charged", sum(payments.charged.values()), sum(earned.values())),
    ]
    for name, found, expected in numbers:
        print(f"{name}: {found}{'' if found == expected else f', and it should be {expected}'}")
    return all(found == expected for _, found, expected in numbers)


if __name__ == "__main__":
    if len(sys.argv) > 1:
        sys.exit(0 if main(Path(sys.argv[1])) else 1)
    with tempfile.TemporaryDirectory() as temporary:
        sys.exit(0 if main(Path(temporary)) else 1)
