"""Django under the conformance suite: models on the alias that the adapter goes through."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from contextlib import AbstractContextManager, contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar

if TYPE_CHECKING or __package__:
    from tests.adapters.django import project
else:  # loaded by its path, in a child process
    sys.path.insert(0, str(Path(__file__).resolve().parents[3]))
    from tests.adapters.django import project

project.configure()

from django.db import close_old_connections, connections, models, transaction  # noqa: E402

from durably.testing.conformance import Capabilities, Subject  # noqa: E402
from durably_django import DjangoAdapter  # noqa: E402


class Item(models.Model):
    n: models.IntegerField[int, int] = models.IntegerField(unique=True)
    note: models.TextField[str | None, str | None] = models.TextField(null=True)

    class Meta:
        app_label = "conformance"
        db_table = "conformance_item"
        managed = False


class Counter(models.Model):
    n: models.IntegerField[int, int] = models.IntegerField()

    class Meta:
        app_label = "conformance"
        db_table = "conformance_counter"
        managed = False


ALIAS = "conformance"


class DjangoSubject(Subject):
    """Models, on psycopg, sqlite3 and PyMySQL."""

    name: ClassVar[str] = "django"
    # Django has a connection for each thread.
    capabilities: ClassVar[Capabilities] = Capabilities(elsewhere="outside")

    def open(self) -> Any:
        # Before 5.2, Django's own choice for MySQL leaves out characters of four bytes.
        kinds: dict[str, dict[str, Any]] = {"sqlite": {"timeout": self.lock_seconds}, "mysql": {"charset": "utf8mb4"}}
        options = kinds.get(self.url.partition("://")[0], {})
        project.add_alias(ALIAS, project.database(self.url, **options))
        return DjangoAdapter(ALIAS)

    def close(self) -> None:
        # The alias stays, for threads that end after this and close their connections then.
        connections[ALIAS].close()

    def thread_ends(self) -> None:
        connections.close_all()

    def add(self, n: int, note: str | None = None) -> None:
        Item.objects.using(ALIAS).create(n=n, note=note)

    def items(self) -> list[int]:
        return list(Item.objects.using(ALIAS).order_by("id").values_list("n", flat=True))

    def note(self, n: int) -> str | None:
        return Item.objects.using(ALIAS).get(n=n).note

    def increment(self) -> int:
        counter = Counter.objects.using(ALIAS).get(pk=1)
        counter.n += 1
        counter.save(using=ALIAS)
        return counter.n

    def statement(self, sql: str) -> list[tuple[Any, ...]]:
        with connections[ALIAS].cursor() as cursor:
            cursor.execute(sql)
            return cursor.fetchall() if cursor.description else []

    def savepoint(self) -> AbstractContextManager[Any]:
        return transaction.atomic(using=ALIAS)

    def commit(self) -> None:
        transaction.commit(using=ALIAS)

    def rollback(self) -> None:
        transaction.rollback(using=ALIAS)

    @contextmanager
    def transaction(self) -> Iterator[None]:
        try:
            with transaction.atomic(using=ALIAS):
                yield
        finally:
            close_old_connections()
