"""The audit: counts what is in the shop's books and in the provider's ledger, and compares it with the orders.

Plain SQL on the application's own tables. What Durably has recorded is not looked at.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple

from sqlalchemy import Engine, text

from examples.shop import payments
from examples.shop.orders import OrderLine


class Progress(NamedTuple):
    """How far the shop has come."""

    done: int
    in_flight: int


def progress(engine: Engine) -> Progress:
    """Orders that are confirmed, and those that are under way."""
    query = "SELECT count(*), coalesce(sum(CASE WHEN status = 'confirmed' THEN 1 ELSE 0 END), 0) FROM orders"
    with engine.connect() as connection:
        placed, done = connection.execute(text(query)).one()
    return Progress(int(done), int(placed - done))


@dataclass(frozen=True)
class Audit:
    """What was found, and what it should have been."""

    orders_expected: int
    orders_found: int
    done: int
    lost: int
    doubled: int
    stock_expected: int
    stock_found: int
    money_expected: int
    money_in_books: int
    money_at_provider: int
    #: Requests that came to the provider for a card that it had charged already.
    repeated_requests: int
    #: One line for each article whose stock is not what it should be.
    wrong_stock: tuple[str, ...]

    @property
    def is_right(self) -> bool:
        """Whether every number is what it should be."""
        return (
            self.orders_expected == self.orders_found == self.done
            and self.lost == self.doubled == 0
            and not self.wrong_stock
            and self.money_expected == self.money_in_books == self.money_at_provider
        )


def audit(engine: Engine, ledger: Path, orders: Sequence[OrderLine], opening_stock: dict[str, int]) -> Audit:
    """Count everything, once all is over."""
    placed = _per_order(engine, "SELECT order_id, count(*) FROM orders GROUP BY order_id")
    confirmed = _per_order(engine, "SELECT order_id, count(*) FROM orders WHERE status = 'confirmed' GROUP BY order_id")
    moved = _per_order(engine, "SELECT order_id, count(*) FROM stock_movements GROUP BY order_id")
    sold = _per_order(engine, "SELECT order_id, count(*) FROM sales GROUP BY order_id")
    with payments.ledger(ledger) as connection:
        charged = Counter(dict(connection.execute("SELECT order_id, count(*) FROM charges GROUP BY order_id")))
        [(at_provider, repeated)] = connection.execute(
            "SELECT coalesce(sum(cents), 0), coalesce(sum(requests - 1), 0) FROM charges"
        )
    with engine.connect() as connected:
        stock = {sku: count for sku, count in connected.execute(text("SELECT sku, stock FROM items"))}
        in_books = connected.execute(text("SELECT coalesce(sum(revenue_cents), 0) FROM items")).scalar_one()

    effects = (placed, moved, charged, sold)
    expected = Counter(opening_stock)
    for order in orders:
        expected[order.sku] -= order.quantity
    done = sum(1 for order in orders if confirmed[order.order_id] and all(one[order.order_id] for one in effects))
    return Audit(
        orders_expected=len(orders),
        orders_found=len(placed),
        done=done,
        lost=len(orders) - done,
        doubled=len({order_id for one in effects for order_id, count in one.items() if count > 1}),
        stock_expected=sum(expected.values()),
        stock_found=sum(stock.values()),
        money_expected=sum(order.cents for order in orders),
        money_in_books=int(in_books),
        money_at_provider=int(at_provider),
        repeated_requests=int(repeated),
        wrong_stock=tuple(
            f"{sku}: {stock.get(sku)} instead of {count}" for sku, count in expected.items() if stock.get(sku) != count
        ),
    )


def _per_order(engine: Engine, query: str) -> Counter[str]:
    with engine.connect() as connection:
        return Counter({order_id: count for order_id, count in connection.execute(text(query))})
