"""SQLAlchemy's Session, through psycopg."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

from sqlalchemy import create_engine
from sqlalchemy.orm import DeclarativeBase, Mapped, Session, mapped_column

from benchmarks.orms import Orm
from durably_sqlalchemy import SQLAlchemy, session


class Base(DeclarativeBase): ...


class Item(Base):
    """One row."""

    __tablename__ = "item"
    id: Mapped[int] = mapped_column(primary_key=True)
    n: Mapped[int]
    note: Mapped[str | None]


@contextmanager
def opened(url: str) -> Iterator[Orm]:
    """The ORM on that database."""
    engine = create_engine(url.replace("postgresql:", "postgresql+psycopg:"))

    def plain() -> None:
        with Session(engine) as s, s.begin():
            s.add(Item(n=1, note="plain"))

    def insert() -> None:
        session().add(Item(n=1, note="durable"))

    try:
        yield Orm("SQLAlchemy (psycopg)", "sqlalchemy", SQLAlchemy(engine), plain, insert)
    finally:
        engine.dispose()
