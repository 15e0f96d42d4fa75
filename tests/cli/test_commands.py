"""The command line, as a user runs it: help, the printed schema, and migrations that work or say why not."""

from __future__ import annotations

import logging
import os
import sqlite3
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import NamedTuple

import psycopg
import pytest
from typer.testing import CliRunner

from durably import __version__, schema
from durably.adapter import DialectName
from durably.cli import app
from durably.client import open_ledger
from durably.clock import SystemClock
from durably.config import Settings


class Run(NamedTuple):
    code: int
    output: str


@pytest.fixture
def durably(monkeypatch: pytest.MonkeyPatch) -> Iterator[Callable[..., Run]]:
    """Run a command in this process, which saves the start of one."""
    monkeypatch.delenv("DURABLY_SYSTEM_DATABASE_URL", raising=False)
    monkeypatch.setenv("COLUMNS", "200")
    logger = logging.getLogger("durably.ledger")
    level = logger.level

    def run(*arguments: str) -> Run:
        result = CliRunner().invoke(app, arguments, prog_name="durably")
        return Run(result.exit_code, result.output)

    yield run
    logger.setLevel(level)


def process(*arguments: str, **environment: str) -> subprocess.CompletedProcess[str]:
    """Run a command as a user does."""
    kept = {key: value for key, value in os.environ.items() if not key.startswith("DURABLY_")}
    return subprocess.run(
        [sys.executable, "-c", "from durably.cli import main; main()", *arguments],
        env={**kept, "COLUMNS": "200", "NO_COLOR": "1", **environment},
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )


Command = Callable[..., Run]


def accepts(url: str) -> None:
    """Without migrating anything."""
    open_ledger(Settings("shop", url, run_migrations=False), SystemClock()).close()


def test_help_names_the_commands(durably: Command) -> None:
    run = durably("--help")
    assert run.code == 0
    for command in ("migrate", "schema", "version"):
        assert command in run.output


def test_without_a_command_it_shows_the_help(durably: Command) -> None:
    assert "migrate" in durably().output


def test_an_unknown_command_is_an_error(durably: Command) -> None:
    assert durably("no-such-command").code == 2


def test_the_version_is_the_packages(durably: Command) -> None:
    assert durably("version").output.strip() == __version__


def test_a_dialect_that_cannot_be_a_system_database_is_refused(durably: Command) -> None:
    run = durably("schema", "mysql")
    assert run.code == 2
    assert "postgresql" in run.output


@pytest.mark.parametrize("dialect", ["sqlite", "postgresql"])
def test_the_printed_schema_is_the_one_that_is_migrated(durably: Command, dialect: DialectName) -> None:
    run = durably("schema", dialect)
    assert run.code == 0
    assert run.output.strip() == schema.script(dialect).strip()


def test_the_printed_schema_runs_as_it_is(durably: Command, sqlite_path: Path, postgres_url: str) -> None:
    connection = sqlite3.connect(sqlite_path)
    connection.executescript(durably("schema", "sqlite").output)
    connection.close()
    accepts(f"sqlite:///{sqlite_path}")
    with psycopg.connect(postgres_url, autocommit=True) as raw:
        raw.execute(durably("schema").output.encode())
    raw.close()
    accepts(postgres_url)


def test_migrate_brings_a_database_up_to_date_and_says_so(system_url: str) -> None:
    url = system_url.replace("://durably@", "://durably:hunter2@")
    first = process("migrate", url)
    assert first.returncode == 0, first.stderr
    assert "0001_initial" in first.stderr
    assert "up to date" in first.stdout
    assert "hunter2" not in first.stderr + first.stdout
    accepts(system_url)
    second = process("migrate", url)
    assert second.returncode == 0
    assert "0001_initial" not in second.stderr


def test_migrate_takes_the_address_from_the_environment(sqlite_path: Path) -> None:
    run = process("migrate", DURABLY_SYSTEM_DATABASE_URL=f"sqlite:///{sqlite_path}")
    assert run.returncode == 0, run.stderr
    accepts(f"sqlite:///{sqlite_path}")


def test_what_cannot_be_opened_is_one_line_and_an_exit_code() -> None:
    run = process("migrate", "postgresql://shop:hunter2@127.0.0.1:1/shop")
    assert run.returncode == 1
    assert "Traceback" not in run.stderr
    assert "hunter2" not in run.stderr
    assert run.stdout == ""


@pytest.mark.parametrize(
    ("url", "says"),
    [
        ("postgresql://shop:hunter2@127.0.0.1:1/shop", "cannot open the system database"),
        ("postgresql://shop:hunter2@[::1/shop", "not one that PostgreSQL understands"),
        ("postgresql://shop:hun%zzter2@127.0.0.1:1/shop", "not one that PostgreSQL understands"),
        ("oracle://shop:hunter2@localhost/shop", "does not begin with postgresql://"),
        ("mysql://shop:hunter2@localhost/shop", "cannot be on MySQL"),
        ("sqlite:////no/such/folder/shop.db", "folder exists"),
        ("sqlite:///:memory:", "names no file"),
    ],
)
def test_what_cannot_be_migrated_says_why_without_a_traceback_or_a_password(
    durably: Command, url: str, says: str
) -> None:
    run = durably("migrate", url)
    assert run.code == 1
    assert says in run.output
    assert "Traceback" not in run.output
    assert "hunter2" not in run.output
    assert "zzter2" not in run.output


def test_migrate_without_an_address_says_what_is_missing(durably: Command) -> None:
    run = durably("migrate")
    assert run.code == 2
    assert "url" in run.output.lower()
