"""A model for tests: its table is made on the alias that a test chooses."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, TypeVar

import durably
from tests.adapters.django import project

project.configure()

from django.db import connections, models  # noqa: E402

T = TypeVar("T")


class Note(models.Model):
    text: models.TextField[str, str] = models.TextField(unique=True)

    class Meta:
        app_label = "conformance"
        db_table = "note"


def make_table(alias: str = "default") -> None:
    """Its table."""
    with connections[alias].schema_editor() as editor:
        editor.create_model(Note)


def notes(alias: str = "default") -> list[str]:
    """What is in it, in the order of writing."""
    return list(Note.objects.using(alias).order_by("id").values_list("text", flat=True))


def add(text: str, alias: str = "default") -> None:
    """Write one."""
    Note.objects.using(alias).create(text=text)


def transaction_of(body: Callable[[], T], name: str = "noted", **options: Any) -> Callable[[], T]:
    """A transaction with that body."""
    declared: Callable[[], T] = durably.transaction(name=name, **options)(body)
    return declared


def workflow_of(body: Callable[[], T], name: str = "noting", **options: Any) -> Callable[[], T]:
    """A workflow of one transaction with that body."""
    call = transaction_of(body, **options)

    def run() -> T:
        return call()

    return durably.workflow(name=name)(run)
