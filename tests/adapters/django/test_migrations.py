"""Durably's tables as Django migrations: on the aliases that the setting names, and nowhere else."""

from __future__ import annotations

import io
from importlib import resources
from pathlib import Path
from typing import Any

import pytest
from django.core.management import call_command
from django.db import connections
from django.test import override_settings

import durably
from durably import Durably, SchemaBehindError, schema
from durably.adapter import DialectName
from durably.client import make_backend
from durably.config import resolve
from durably.ledger import migrations as ledger
from durably_django import DjangoAdapter
from durably_django.process import executing, process
from tests.adapters.django.notes import add, make_table, notes, workflow_of
from tests.adapters.django.site import Site

DIALECTS: list[DialectName] = ["postgresql", "sqlite"]


def tables(alias: str = "default") -> set[str]:
    """Durably's tables on an alias."""
    connection = connections[alias]
    with connection.cursor() as cursor:
        if connection.vendor == "postgresql":
            cursor.execute("SELECT tablename FROM pg_tables WHERE schemaname = 'durably'")
        elif connection.vendor == "mysql":
            cursor.execute("SHOW TABLES LIKE 'durably\\_%'")
        else:
            cursor.execute(
                "SELECT name FROM sqlite_master WHERE type = 'table' AND name LIKE 'durably\\_%' ESCAPE '\\'"
            )
        found = {row[0].removeprefix("durably_") for row in cursor.fetchall()}
    # A role of PostgreSQL's that is called like the schema makes its own tables there, too.
    return {name for name in found if not name.startswith("django_")}


def expected(dialect: DialectName = "sqlite") -> set[str]:
    return {name.removeprefix("durably.").removeprefix("durably_") for name in schema.tables(dialect)}


def pending(url: str) -> list[Any]:
    """What the ledger itself finds missing."""
    backend = make_backend(resolve("site", adapter_url=None, environment={}, system_database_url=url))
    try:
        return ledger.pending(backend)
    finally:
        backend.disconnect()


def test_every_step_of_durably_is_a_migration_of_django() -> None:
    files = [file.name for file in resources.files("durably_django.migrations").iterdir()]
    numbers = sorted(int(name[:4]) for name in files if name[:4].isdigit())
    for dialect in DIALECTS:
        versions = [step.version for step in schema.steps(dialect)]
        assert numbers == versions, (
            "add adapters/durably_django/migrations/NNNN_name.py with ApplyStep(n) for each step of durably.schema"
        )
        for version in versions:
            (file,) = (name for name in files if name.startswith(f"{version:04}_"))
            assert f"ApplyStep({version})" in (resources.files("durably_django.migrations") / file).read_text()


def test_migrating_makes_the_system_tables_and_the_ledger_finds_nothing_to_do(site: Site, url: str) -> None:
    site.add("default", url)
    site.set()
    with pytest.raises(SchemaBehindError, match=r"run `manage\.py migrate`"):
        process.launched()
    site.migrate()
    assert tables() == expected()
    assert pending(url) == []
    process.launched()
    with Durably("other", system_database_url=url, executes="own") as executor:
        assert "launched" in repr(executor)
    site.migrate("default", "durably_django", "zero")
    assert tables() == set()
    site.migrate()
    assert pending(url) == []


def test_what_an_executor_has_migrated_is_left_as_it_is(site: Site, url: str) -> None:
    with Durably("site", system_database_url=url):
        pass
    site.add("default", url)
    site.set()
    site.migrate()
    assert tables() == expected()


@pytest.mark.parametrize("kind", ["sqlite", "postgresql", "mysql"])
def test_other_aliases_get_completion_rows_if_they_are_adapters_and_else_nothing(
    site: Site, tmp_path: Path, request: pytest.FixtureRequest, kind: str
) -> None:
    fixture = {"postgresql": "postgres_url", "mysql": "mariadb_url"}.get(kind)
    reports = request.getfixturevalue(fixture) if fixture else f"sqlite:///{tmp_path}/reports.db"
    site.add("default", f"sqlite:///{tmp_path}/site.db")
    site.add("reports", reports)
    site.add("unnamed", f"sqlite:///{tmp_path}/unnamed.db")
    site.set(adapters=["default", "reports"])
    for alias in ("default", "reports", "unnamed"):
        site.migrate(alias)
    assert tables("default") == expected()
    assert tables("reports") == {"transaction_completion"}
    assert tables("unnamed") == set()
    site.migrate("reports", "durably_django", "zero")
    assert tables("reports") == set()
    assert tables("default") == expected()


def test_a_transaction_apart_is_recorded_where_it_was_migrated_to(site: Site, url: str, tmp_path: Path) -> None:
    site.add("default", f"sqlite:///{tmp_path}/system.db")
    site.add("reports", url)
    site.set(adapters=["default", "reports"])
    site.migrate("default")
    site.migrate("reports")
    make_table("reports")
    flow = workflow_of(lambda: add("reported", "reports"), adapter="reports")
    with executing():
        durably.start_workflow(flow).get_result(timeout_seconds=20)
    assert notes("reports") == ["reported"]
    with connections["reports"].cursor() as cursor:
        prefix = "durably." if connections["reports"].vendor == "postgresql" else "durably_"
        cursor.execute(f"SELECT function_name FROM {prefix}transaction_completion")
        assert cursor.fetchall() == [("noted",)]


def test_an_alias_that_is_named_later_is_filled_in_by_the_next_migrate(site: Site, url: str, tmp_path: Path) -> None:
    site.add("default", f"sqlite:///{tmp_path}/default.db")
    site.add("later", url)
    site.set()
    site.migrate("later")
    assert tables("later") == set()
    with override_settings(DURABLY={"name": "site", "system_database": "later", "adapters": ["default", "later"]}):
        site.migrate("later")
        assert tables("later") == expected()
    with override_settings(DURABLY={"name": "site", "adapters": ["default", "later"]}):
        site.migrate("later")
        assert tables("later") == expected() | {"transaction_completion"}


def test_without_migrations_the_tables_are_made_too(site: Site, url: str) -> None:
    site.add("default", url)
    site.set()
    with override_settings(MIGRATION_MODULES={"durably_django": None}):
        site.migrate(run_syncdb=True)
    assert tables() == expected()


class NoGuests:
    def allow_migrate(self, db: str, app_label: str, **hints: Any) -> bool | None:
        return False if hints.get("durably") == "system" else None


def test_a_router_may_refuse(site: Site, url: str) -> None:
    site.add("default", url)
    site.set()
    with override_settings(DATABASE_ROUTERS=[NoGuests()]):
        site.migrate()
        assert tables() == set()


def test_the_sql_can_be_printed_and_run_by_hand(site: Site, url: str) -> None:
    site.add("default", url)
    site.set()
    for name in ("0001", "0002"):
        printed = io.StringIO()
        call_command("sqlmigrate", "durably_django", name, stdout=printed)
        with connections["default"].cursor() as cursor:
            for statement in printed.getvalue().split(";\n"):
                cursor.execute(statement)
    assert tables() == expected()
    assert pending(url) == []
    backwards = io.StringIO()
    call_command("sqlmigrate", "durably_django", "0001", backwards=True, stdout=backwards)
    assert backwards.getvalue().count("DROP TABLE") == len(expected())


def test_flush_deletes_every_workflow_and_leaves_the_tables(site: Site, url: str) -> None:
    site.add("default", url)
    site.set()
    site.migrate()
    make_table()
    flow = workflow_of(lambda: add("noted"))
    with executing(), durably.workflow_options(workflow_id="flushed"):
        durably.start_workflow(flow).get_result(timeout_seconds=20)
    assert durably.get_workflow_status("flushed").status == "SUCCESS"
    call_command("flush", interactive=False, verbosity=0)
    with pytest.raises(durably.WorkflowNotFoundError):
        durably.get_workflow_status("flushed")
    assert pending(url) == []


def test_without_a_setting_nothing_is_made(site: Site, url: str) -> None:
    site.add("default", url)
    site.migrate()
    assert tables() == set()
    assert DjangoAdapter().dialect in DIALECTS
