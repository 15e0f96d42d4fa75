"""The shop's tables, as SQLAlchemy models. Nothing here knows about Durably."""

from __future__ import annotations

from sqlalchemy import func, select
from sqlalchemy.ext.asyncio import AsyncEngine, AsyncSession
from sqlalchemy.orm import DeclarativeBase, Mapped, mapped_column

#: What is on the shelf when the shop opens.
OPENING_STOCK, UNIT_CENTS = 100, 990


class Base(DeclarativeBase):
    """The shop's models."""


class Item(Base):
    """An article. Both numbers are read, changed and written back, so that a repeated write would show."""

    __tablename__ = "items"
    sku: Mapped[str] = mapped_column(primary_key=True)
    stock: Mapped[int]
    revenue_cents: Mapped[int] = mapped_column(default=0)


class Order(Base):
    """What a customer ordered. No unique key on the order id: nothing but Durably keeps it from being placed twice."""

    __tablename__ = "orders"
    id: Mapped[int] = mapped_column(primary_key=True)
    order_id: Mapped[str] = mapped_column(index=True)
    sku: Mapped[str]
    quantity: Mapped[int]
    receipt: Mapped[str | None]


async def open_shop(engine: AsyncEngine) -> None:
    """Make the tables, and fill the shelf if it is the first time."""
    async with engine.begin() as connection:
        await connection.run_sync(Base.metadata.create_all)
    async with AsyncSession(engine) as session, session.begin():
        if await session.scalar(select(func.count()).select_from(Item)) == 0:
            session.add(Item(sku="mug", stock=OPENING_STOCK))
