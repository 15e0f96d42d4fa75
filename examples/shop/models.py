"""The shop's own tables, as SQLAlchemy models. Nothing here knows about Durably."""

from __future__ import annotations

from collections.abc import Iterable

from sqlalchemy import Engine, text
from sqlalchemy.orm import DeclarativeBase, Mapped, Session, mapped_column

from examples.shop.orders import OrderLine

#: What lies on the shelf of every article when the shop opens; more if more of it is ordered.
OPENING_STOCK = 1000


class Base(DeclarativeBase):
    """The shop's models."""


class Item(Base):
    """An article, with its running totals: read, changed and written back, so that a repeated write would show."""

    __tablename__ = "items"
    sku: Mapped[str] = mapped_column(primary_key=True)
    unit_cents: Mapped[int]
    stock: Mapped[int]
    revenue_cents: Mapped[int] = mapped_column(default=0)


# The three tables below have no unique key on the order id. In a real shop they would; here nothing but Durably
# keeps an order from being placed twice, and the audit at the end can count.


class Order(Base):
    """What a customer ordered; "reserved", then "confirmed"."""

    __tablename__ = "orders"
    id: Mapped[int] = mapped_column(primary_key=True)
    order_id: Mapped[str] = mapped_column(index=True)
    sku: Mapped[str]
    quantity: Mapped[int]
    cents: Mapped[int]
    status: Mapped[str] = mapped_column(default="reserved")
    receipt: Mapped[str | None]


class StockMovement(Base):
    """The stock's journal: what left the shelf, and for which order."""

    __tablename__ = "stock_movements"
    id: Mapped[int] = mapped_column(primary_key=True)
    order_id: Mapped[str]
    sku: Mapped[str]
    quantity: Mapped[int]


class Sale(Base):
    """The journal of the money that came in."""

    __tablename__ = "sales"
    id: Mapped[int] = mapped_column(primary_key=True)
    order_id: Mapped[str]
    cents: Mapped[int]
    receipt: Mapped[str]


def open_shop(engine: Engine, orders: Iterable[OrderLine]) -> dict[str, int]:
    """Make the tables and fill the shelves with what may be ordered; the stock of each article."""
    if engine.dialect.name == "sqlite":
        with engine.connect() as connection:
            connection.execute(text("PRAGMA journal_mode=WAL"))  # who reads does not wait for who writes
    Base.metadata.create_all(engine)
    prices: dict[str, int] = {}
    ordered: dict[str, int] = {}
    for order in orders:
        prices[order.sku] = order.unit_cents
        ordered[order.sku] = ordered.get(order.sku, 0) + order.quantity
    stock = {sku: max(OPENING_STOCK, quantity) for sku, quantity in ordered.items()}
    with Session(engine) as session, session.begin():
        session.add_all(Item(sku=sku, unit_cents=prices[sku], stock=count) for sku, count in stock.items())
    return stock
