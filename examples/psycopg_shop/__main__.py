"""The demo: places a few orders, one of them twice, one that cannot be had, and counts what is left."""

from __future__ import annotations

import os
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any
from uuid import uuid4

from psycopg.rows import dict_row
from psycopg_pool import ConnectionPool

import durably
from durably import Durably
from durably.testing.postgres import start_postgres
from durably_psycopg import Psycopg
from examples.psycopg_shop import payments
from examples.psycopg_shop.shop import OutOfStock, checkout

TABLES = """
CREATE SCHEMA IF NOT EXISTS psycopg_shop;
CREATE TABLE IF NOT EXISTS psycopg_shop.item (
    sku text PRIMARY KEY, unit_cents integer NOT NULL, stock integer NOT NULL
);
CREATE TABLE IF NOT EXISTS psycopg_shop.purchase (
    order_id text NOT NULL, sku text NOT NULL, quantity integer NOT NULL, cents integer NOT NULL, receipt text
);
"""
SHELF = [("duck", 499, 10), ("mug", 990, 5)]
ORDERS = [("duck", 2), ("mug", 4), ("duck", 1), ("mug", 3)]  # of the last there are too few


@contextmanager
def database() -> Iterator[str]:
    """The address in DATABASE_URL, or a throw-away server's."""
    if url := os.environ.get("DATABASE_URL"):
        yield url
    else:
        print("DATABASE_URL is not set: this runs on a throw-away server")
        with start_postgres(install=True) as server:
            yield server.create_database("shop")


def open_shop(pool: ConnectionPool[Any]) -> None:
    """Make the tables, and fill the shelf."""
    with pool.connection() as connection:
        connection.execute(TABLES)
        connection.cursor().executemany(
            "INSERT INTO psycopg_shop.item (sku, unit_cents, stock) VALUES (%s, %s, %s)"
            " ON CONFLICT (sku) DO UPDATE SET unit_cents = excluded.unit_cents, stock = excluded.stock",
            SHELF,
        )


def place(order_id: str, sku: str, quantity: int) -> str | None:
    """Place an order under its own id, and wait for its outcome; the receipt."""
    with durably.workflow_options(workflow_id=order_id):
        handle = durably.start_workflow(checkout, order_id, sku, quantity)
    try:
        receipt = handle.get_result()
    except OutOfStock as error:
        print(f"{order_id}: {quantity} × {sku}: {error}")
        return None
    print(f"{order_id}: {quantity} × {sku}: {receipt}")
    return receipt


def audit(pool: ConnectionPool[Any], receipts: dict[str, str | None], run: str) -> list[str]:
    """What is off; nothing, if all is well."""
    with pool.connection() as connection:
        stock = {row["sku"]: row["stock"] for row in connection.execute("SELECT sku, stock FROM psycopg_shop.item")}
        bought = connection.execute(
            "SELECT order_id, cents, receipt FROM psycopg_shop.purchase WHERE order_id LIKE %s ORDER BY order_id",
            (f"{run}-%",),
        ).fetchall()
    booked = [(row["order_id"], row["cents"]) for row in bought]
    print(f"left: {stock['duck']} ducks, {stock['mug']} mugs")
    print(f"{len(bought)} purchases, {len(payments.charges)} charges in {len(payments.requests)} requests")
    checks = {
        "the stock": {sku: stock[sku] for sku, *_ in SHELF} == {"duck": 7, "mug": 1},
        "the purchases": booked == [(f"{run}-1", 998), (f"{run}-2", 3960), (f"{run}-3", 499)],
        "the receipts": {row["order_id"]: row["receipt"] for row in bought}
        == {order: receipt for order, receipt in receipts.items() if receipt is not None},
        "the charges": sorted(payments.charges.values()) == booked,
    }
    return [what for what, right in checks.items() if not right]


def main() -> int:
    """Run the demo; its exit status."""
    run = f"order-{uuid4().hex[:6]}"
    with database() as url, ConnectionPool(url, kwargs={"row_factory": dict_row}, open=True) as pool:
        open_shop(pool)
        with Durably("psycopg_shop", adapters={"default": Psycopg(pool)}):
            receipts = {
                f"{run}-{number}": place(f"{run}-{number}", sku, quantity)
                for number, (sku, quantity) in enumerate(ORDERS, start=1)
            }
            again = place(f"{run}-1", *ORDERS[0])  # gets the first one's outcome
        wrong = audit(pool, receipts, run)
    if again != receipts[f"{run}-1"]:
        wrong.append("the repeated order")
    print(f"off: {', '.join(wrong)}" if wrong else "every number is right")
    return 1 if wrong else 0


if __name__ == "__main__":
    sys.exit(main())
