"""An application on Django: models on the alias ``default``, which is told at the last moment where it leads."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any
from urllib.parse import unquote, urlsplit

import django
import pymysql
from django.conf import settings
from django.db import connections, models
from django.db.models import F

from durably_django import DjangoAdapter
from tests.crash import applications
from tests.crash.applications import Application

PRELOADED = (
    "django.db.backends.mysql.base",
    "django.db.backends.postgresql.base",
    "django.db.backends.sqlite3.base",
)
_ENGINES = {"postgresql": "postgresql", "sqlite": "sqlite3", "mysql": "mysql"}

pymysql.install_as_MySQLdb()
settings.configure(USE_TZ=True)
django.setup()


class Effect(models.Model):
    """What a transaction did. The table has no key of any kind; Django wants to be told of one."""

    workflow_id: models.TextField[str, str] = models.TextField()
    step: models.IntegerField[int, int] = models.IntegerField()
    attempt: models.IntegerField[int, int] = models.IntegerField()
    pid: models.IntegerField[int, int] = models.IntegerField()
    at: models.BigIntegerField[int, int] = models.BigIntegerField(primary_key=True)

    class Meta:
        """As the table is."""

        app_label = "crash"
        db_table = "effect"
        managed = False


class Balance(models.Model):
    """One account."""

    account: models.TextField[str, str] = models.TextField(primary_key=True)
    amount: models.BigIntegerField[int, int] = models.BigIntegerField()

    class Meta:
        """As the table is."""

        app_label = "crash"
        db_table = "balance"
        managed = False


def move(effect: applications.Effect, source: str, sink: str) -> None:
    """Move one unit: in one way from the source, which locks it, and in another to the sink."""
    Effect.objects.create(**effect._asdict())
    balance = Balance.objects.select_for_update().get(account=source)
    balance.amount -= 1
    balance.save()
    Balance.objects.filter(account=sink).update(amount=F("amount") + 1)


@contextmanager
def blocking(url: str) -> Iterator[Application]:
    """The database as ``default``. Nobody has asked for the connections before: then they read the settings."""
    settings.DATABASES = {"default": _database(url)}
    try:
        yield Application(DjangoAdapter(), move)
    finally:
        connections.close_all()


def _database(url: str) -> dict[str, Any]:
    parts = urlsplit(url)
    return {
        "ENGINE": f"django.db.backends.{_ENGINES[parts.scheme]}",
        "NAME": unquote(parts.path[1:]),
        "HOST": parts.hostname or "",
        "PORT": str(parts.port or ""),
        "USER": parts.username or "",
        "PASSWORD": unquote(parts.password or ""),
    }
