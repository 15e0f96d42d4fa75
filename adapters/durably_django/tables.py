"""Which of Durably's tables belong on which alias, and what is done with them through Django's connections."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Literal

from django.db import router, transaction
from django.db.backends.base.base import BaseDatabaseWrapper
from django.db.migrations.loader import MigrationLoader
from django.db.migrations.recorder import MigrationRecorder

from durably.schema import Tables
from durably_django import conf
from durably_django.addresses import connection_of, dialect

#: ``system``: workflows and checkpoints. ``completion``: the completion rows of an adapter's database apart.
Kind = Literal["system", "completion"]
LABEL = "durably_django"


def belongs(kind: Kind, alias: str) -> bool:
    """Whether the setting ``DURABLY`` puts these tables on that alias, and no router refuses.

    Routers are asked ``allow_migrate(alias, "durably_django", durably=kind)``.
    """
    if not conf.is_set():
        return False
    configuration = conf.read()
    wanted = alias == configuration.system_alias if kind == "system" else alias in configuration.apart()
    return wanted and router.allow_migrate(alias, LABEL, durably=kind)


def tables(connection: BaseDatabaseWrapper) -> Tables:
    """Durably's tables, through a connection of Django's and in its transaction."""

    def execute(sql: str, params: Sequence[Any]) -> list[tuple[Any, ...]]:
        with connection.cursor() as cursor:
            cursor.execute(sql, tuple(params))
            return cursor.fetchall() if cursor.description else []

    return Tables(dialect(connection.alias), "format", execute)


def complete(alias: str) -> None:
    """Make what is missing on an alias that was named after its migrations had been recorded there."""
    connection = connection_of(alias)
    for kind in ("system", "completion"):
        if not belongs(kind, alias):
            continue
        if kind == "system":
            for step in tables(connection).pending():
                with transaction.atomic(using=alias):
                    tables(connection).apply(step.version)
        else:
            with transaction.atomic(using=alias):
                tables(connection).create_completion_table()


def empty(alias: str) -> None:
    """Delete all rows, as ``manage.py flush`` does with all models' rows, and every TransactionTestCase at its end."""
    if belongs("system", alias) or belongs("completion", alias):
        with transaction.atomic(using=alias):
            tables(connection_of(alias)).empty()


def is_migrated(alias: str) -> bool:
    """Whether Durably's migrations have been applied to an alias, or are turned off by ``MIGRATION_MODULES``."""
    module, _ = MigrationLoader.migrations_module(LABEL)
    if module is None:
        return True
    return any(label == LABEL for label, _ in MigrationRecorder(connection_of(alias)).applied_migrations())
