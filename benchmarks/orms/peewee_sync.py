"""Peewee, on psycopg, with the connection that its thread has open."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

from peewee import AutoField, DatabaseProxy, IntegerField, Model, PostgresqlDatabase, TextField

from benchmarks.orms import Orm
from durably_peewee import Peewee

database = DatabaseProxy()


class Item(Model):
    """The table of the benchmark."""

    id = AutoField()
    n = IntegerField()
    note = TextField(null=True)

    class Meta:
        database = database
        table_name = "item"


def plain() -> None:
    """As its documentation does it."""
    with database.atomic():
        Item.create(n=1, note="plain")


def insert() -> None:
    """The same in a transaction of Durably's."""
    Item.create(n=1, note="durable")


@contextmanager
def opened(url: str) -> Iterator[Orm]:
    """The ORM on that database."""
    database.initialize(PostgresqlDatabase(url, prefer_psycopg3=True))
    with database.connection_context():
        yield Orm("Peewee (psycopg)", "peewee", Peewee(database), plain, insert)
