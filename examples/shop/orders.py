"""The orders to place, read from a CSV file: order_id, sku, quantity, unit_cents."""

from __future__ import annotations

import csv
from dataclasses import dataclass
from pathlib import Path

SAMPLE = Path(__file__).with_name("orders.csv")
COLUMNS = ("order_id", "sku", "quantity", "unit_cents")


class BadOrders(Exception):
    """The file cannot be used; the message says which line, and why."""


@dataclass(frozen=True)
class OrderLine:
    """One line of the file: so many of one article, at its price."""

    order_id: str
    sku: str
    quantity: int
    unit_cents: int

    @property
    def cents(self) -> int:
        """What the customer pays."""
        return self.quantity * self.unit_cents


def read_orders(path: Path) -> list[OrderLine]:
    """Every order of the file once: a line that is there twice, word for word, is one order."""
    orders: dict[str, OrderLine] = {}
    prices: dict[str, int] = {}
    with path.open(newline="", encoding="utf-8-sig") as file:
        rows = csv.DictReader(file)
        missing = [name for name in COLUMNS if name not in (rows.fieldnames or ())]
        if missing:
            raise BadOrders(f"{path} has no column {', '.join(missing)}; its first line must name {', '.join(COLUMNS)}")
        for row in rows:
            where = f"{path}, line {rows.line_num}"
            order = _order(row, where)
            if orders.setdefault(order.order_id, order) != order:
                raise BadOrders(f"{where}: order {order.order_id!r} was there before, with something else in it")
            if prices.setdefault(order.sku, order.unit_cents) != order.unit_cents:
                raise BadOrders(f"{where}: {order.sku!r} had another price before")
    if not orders:
        raise BadOrders(f"{path} has no orders")
    return list(orders.values())


def _order(row: dict[str, str], where: str) -> OrderLine:
    try:
        order = OrderLine(row["order_id"].strip(), row["sku"].strip(), int(row["quantity"]), int(row["unit_cents"]))
    except (AttributeError, TypeError, ValueError) as error:
        raise BadOrders(
            f"{where}: quantity and unit_cents must be whole numbers, and nothing may be left out"
        ) from error
    if not order.order_id or not order.sku or order.quantity < 1 or order.unit_cents < 0:
        raise BadOrders(f"{where}: an order needs an id, a sku, a quantity of 1 or more and a price of 0 or more")
    return order
