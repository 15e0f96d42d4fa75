"""Django, on psycopg, with its thread's connection."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from urllib.parse import unquote, urlsplit

import django
from django.conf import settings

from benchmarks.orms import Orm

if not settings.configured:
    # The address is not known yet; ``opened`` fills it in.
    settings.configure(
        DATABASES={"default": {"ENGINE": "django.db.backends.postgresql", "NAME": "unknown", "CONN_MAX_AGE": None}}
    )
    django.setup()

from django.db import connection, models, transaction

from durably_django import DjangoAdapter


class Item(models.Model):
    """The table of the benchmark."""

    n: models.IntegerField[int, int] = models.IntegerField()
    note: models.TextField[str | None, str | None] = models.TextField(null=True)

    class Meta:
        app_label = "benchmark"
        db_table = "item"


def plain() -> None:
    """As its documentation does it."""
    with transaction.atomic():
        Item.objects.create(n=1, note="plain")


def insert() -> None:
    """The same in a transaction of Durably's."""
    Item.objects.create(n=1, note="durable")


@contextmanager
def opened(url: str) -> Iterator[Orm]:
    """The ORM on that database."""
    parts = urlsplit(url)
    connection.settings_dict.update(
        NAME=unquote(parts.path[1:]),
        HOST=parts.hostname or "",
        PORT=parts.port or "",
        USER=unquote(parts.username or ""),
        PASSWORD=unquote(parts.password or ""),
    )
    try:
        yield Orm("Django (psycopg)", "django", DjangoAdapter(), plain, insert)
    finally:
        connection.close()
