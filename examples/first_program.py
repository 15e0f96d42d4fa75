"""The first program: an order is reserved, charged and answered, and runs only once however often it is asked for.

    python examples/first_program.py

makes shop.db and shop.durably.db in the current folder. Run it again: the order's id is known, so the answer is the
first one, and nothing is reserved or charged a second time.
"""

from __future__ import annotations

from sqlalchemy import create_engine
from sqlalchemy.orm import DeclarativeBase, Mapped, Session, mapped_column

import durably
from durably import Durably, step, transaction, workflow
from durably_sqlalchemy import session

DATABASE = "sqlite:///shop.db"


class Base(DeclarativeBase):
    pass


class Item(Base):
    __tablename__ = "items"
    sku: Mapped[str] = mapped_column(primary_key=True)
    stock: Mapped[int]


@transaction
def reserve(sku: str, quantity: int) -> int:  # exactly once: its writes and its checkpoint are one commit
    item = session().get_one(Item, sku, with_for_update=True)
    item.stock -= quantity
    print(f"reserved {quantity} × {sku}, {item.stock} are left")
    return item.stock


@step(max_attempts=3, interval_seconds=1.0, backoff_rate=2.0)
def charge(order_id: str, cents: int) -> str:  # at least once: hand the idempotency key on
    print(f"charged {cents / 100:.2f} for {order_id}, with the key {durably.step_key()}")
    return f"receipt for {order_id}"


@workflow
def checkout(order_id: str, sku: str, quantity: int) -> str:
    reserve(sku, quantity)
    return charge(order_id, quantity * 990)


app = Durably(name="shop", application_database_url=DATABASE, app_db_client="sqlalchemy")

if __name__ == "__main__":
    engine = create_engine(DATABASE)
    Base.metadata.create_all(engine)
    with Session(engine) as s, s.begin():
        if s.get(Item, "widget") is None:
            s.add(Item(sku="widget", stock=10))

    with app:  # launch … shutdown
        with durably.workflow_options(workflow_id="order-1"):
            handle = durably.start_workflow(checkout, "order-1", "widget", 2)
        print(f"order-1 is done: {handle.get_result()}")
