"""Migrations: each applied once, whoever comes first and whatever kills it; and refused clearly where not allowed."""

from __future__ import annotations

import logging
import sqlite3
import subprocess
import sys
from collections.abc import Callable
from functools import partial
from pathlib import Path

import psycopg
import pytest

from durably import schema
from durably.adapter import DialectName
from durably.client import make_backend, open_ledger
from durably.clock import SystemClock
from durably.config import Settings, resolve
from durably.errors import SchemaBehindError
from durably.ledger import migrations
from durably.ledger.backend import Backend
from tests.ledger.writing import in_threads

Catalog = list[tuple[object, ...]]
BOTH: tuple[DialectName, ...] = ("sqlite", "postgresql")


def postgres_catalog(url: str) -> Catalog:
    """All that makes a schema: columns with their types, defaults and collations, keys and indexes."""
    with psycopg.connect(url) as connection:
        columns = connection.execute(
            "SELECT table_name, column_name, ordinal_position, data_type, is_nullable, column_default, collation_name"
            " FROM information_schema.columns WHERE table_schema = 'durably' ORDER BY 1, 3"
        ).fetchall()
        indexes = connection.execute(
            "SELECT tablename, indexdef FROM pg_indexes WHERE schemaname = 'durably' ORDER BY 1, 2"
        ).fetchall()
        options = connection.execute(
            "SELECT relname, relkind, reloptions FROM pg_class WHERE relnamespace = 'durably'::regnamespace ORDER BY 1"
        ).fetchall()
        applied = connection.execute("SELECT version, name FROM durably.migrations ORDER BY 1").fetchall()
    connection.close()
    return [*columns, *indexes, *options, *applied]


def sqlite_catalog(url: str) -> Catalog:
    connection = sqlite3.connect(url.removeprefix("sqlite:///"))
    try:
        schema = connection.execute(
            "SELECT type, name, tbl_name, sql FROM sqlite_master WHERE name NOT LIKE 'sqlite_%' ORDER BY 1, 2"
        ).fetchall()
        return [*schema, *connection.execute("SELECT version, name FROM durably_migrations ORDER BY 1").fetchall()]
    finally:
        connection.close()


def catalog(url: str) -> Catalog:
    return sqlite_catalog(url) if url.startswith("sqlite") else postgres_catalog(url)


def launch(url: str, *, run_migrations: bool = True) -> None:
    settings = resolve("shop", adapter_url=None, environment={}, system_database_url=url, run_migrations=run_migrations)
    open_ledger(settings, SystemClock()).close()


def change(url: str, sql: str) -> None:
    backend = make_backend(Settings("test", url))
    try:
        backend.change(lambda session: session.execute(sql))
    finally:
        backend.disconnect()


def read(url: str, work: Callable[[Backend], list[migrations.Migration]]) -> list[migrations.Migration]:
    backend = make_backend(Settings("test", url))
    try:
        return work(backend)
    finally:
        backend.disconnect()


def test_they_are_applied_once_in_order_and_recorded(system_url: str, caplog: pytest.LogCaptureFixture) -> None:
    everything = migrations.migrations("sqlite" if system_url.startswith("sqlite") else "postgresql")
    assert [one.version for one in everything] == list(range(1, len(everything) + 1))
    assert read(system_url, migrations.pending) == everything
    with caplog.at_level(logging.INFO, logger="durably.ledger"):
        launch(system_url)
    assert [f"{one.version:04}_{one.name}" in caplog.text for one in everything] == [True] * len(everything)
    assert read(system_url, migrations.pending) == []
    before = catalog(system_url)
    assert read(system_url, migrations.migrate) == []
    launch(system_url)
    assert catalog(system_url) == before


def test_both_dialects_have_the_same_migrations() -> None:
    names = [[(one.version, one.name) for one in migrations.migrations(kind)] for kind in BOTH]
    assert names[0] == names[1]


def test_without_the_right_to_migrate_a_schema_that_is_behind_says_what_to_run(system_url: str) -> None:
    with pytest.raises(SchemaBehindError, match=r"0001_initial.*durably migrate") as behind:
        launch(system_url, run_migrations=False)
    assert behind.value.__dict__["missing"] == [1, 2]
    launch(system_url)
    launch(system_url, run_migrations=False)


def test_a_database_that_is_newer_is_accepted(system_url: str) -> None:
    launch(system_url)
    change(system_url, "INSERT INTO {t}migrations (version, name, applied_at) VALUES (9999, 'of_tomorrow', 0)")
    launch(system_url)
    launch(system_url, run_migrations=False)


def test_the_printed_schema_applied_by_hand_is_the_migrated_one(system_url: str, tmp_path: Path) -> None:
    if system_url.startswith("sqlite"):
        by_hand = f"sqlite:///{tmp_path / 'by_hand.db'}"
        connection = sqlite3.connect(tmp_path / "by_hand.db")
        connection.executescript(schema.script("sqlite"))
        connection.close()
        launch(system_url)
        assert catalog(by_hand) == catalog(system_url)
        launch(by_hand, run_migrations=False)
        return
    with psycopg.connect(system_url, autocommit=True) as raw:
        raw.execute(schema.script("postgresql").encode())
        by_hand_catalog = catalog(system_url)
        launch(system_url, run_migrations=False)
        launch(system_url)
        raw.execute("DROP SCHEMA durably CASCADE")
    raw.close()
    launch(system_url)
    assert by_hand_catalog == catalog(system_url)


def test_a_schema_that_an_administrator_made_is_used(postgres_url: str) -> None:
    with psycopg.connect(postgres_url, autocommit=True) as raw:
        raw.execute("CREATE SCHEMA durably")
    raw.close()
    launch(postgres_url)


@pytest.mark.parametrize("isolation", ["serializable", "repeatable read"])
def test_a_database_whose_default_isolation_is_stricter_is_migrated_at_once_by_several(
    postgres_url: str, isolation: str
) -> None:
    with psycopg.connect(postgres_url, autocommit=True) as raw:
        raw.execute(f"ALTER DATABASE {raw.info.dbname} SET default_transaction_isolation = '{isolation}'".encode())
    raw.close()
    in_threads([partial(launch, postgres_url)] * 4)
    assert read(postgres_url, migrations.pending) == []


def test_many_threads_migrate_at_once(system_url: str) -> None:
    in_threads([partial(launch, system_url)] * 6)
    assert read(system_url, migrations.pending) == []


LAUNCH = """
import sys
from durably.client import open_ledger
from durably.clock import SystemClock
from durably.config import Settings
sys.stdin.read(1)
open_ledger(Settings("shop", sys.argv[1]), SystemClock()).close()
"""


def test_four_processes_migrate_at_once(system_url: str) -> None:
    processes = [
        subprocess.Popen(
            [sys.executable, "-c", LAUNCH, system_url], stdin=subprocess.PIPE, stderr=subprocess.PIPE, text=True
        )
        for _ in range(4)
    ]
    ended = [process.communicate("x", timeout=60)[1] for process in processes]
    assert [process.returncode for process in processes] == [0] * 4, ended
    assert read(system_url, migrations.pending) == []


KILLED = """
import sys
from durably.client import open_ledger
from durably.clock import SystemClock
from durably.config import Settings
from durably.crashpoints import kill_at
url, nth = sys.argv[1:]
if int(nth):
    kill_at("migration.statement", int(nth))
open_ledger(Settings("shop", url), SystemClock()).close()
"""


def test_a_kill_at_each_statement_leaves_a_database_that_the_next_run_completes(system_url: str) -> None:
    dialect: DialectName = "sqlite" if system_url.startswith("sqlite") else "postgresql"
    everything = list(migrations.migrations(dialect))
    for number, migration in enumerate(everything):
        statements = len(list(migration.statements()))
        assert statements > 5
        # The first kill of a migration lets the one before it end; from then on only its own statements are left.
        before = len(list(everything[number - 1].statements())) if number else 0
        for nth in (before + 1, *range(2, statements + 1)):
            killed = subprocess.run([sys.executable, "-c", KILLED, system_url, str(nth)], timeout=60, check=False)
            assert killed.returncode == -9, f"no kill at statement {nth} of {migration.name}"
            pending = read(system_url, migrations.pending)
            assert pending == everything[number:], "nothing of a migration stays that did not end"
    launch(system_url)
    complete = catalog(system_url)
    assert read(system_url, migrations.pending) == []
    # The same schema as one that was never interrupted.
    if dialect == "postgresql":
        change(system_url, "DROP SCHEMA durably CASCADE")
        launch(system_url)
        assert catalog(system_url) == complete
