"""The plan by which a transaction begins, on paper and on real databases."""

from __future__ import annotations

import sqlite3
import time
from contextlib import closing
from pathlib import Path
from typing import Any, cast

import psycopg
import pymysql
import pytest

from durably.adapter import BeginPlan, DialectName
from durably.errors import ConfigurationError
from durably.sql.begin import ISOLATION_LEVELS, begin_plan, parse_isolation_level
from durably.sql.drivers import Failure
from durably.sql.failures import classify
from durably.testing import mariadb

PLANS: list[tuple[DialectName, str | None, bool, BeginPlan]] = [
    ("postgresql", None, False, BeginPlan()),
    ("postgresql", None, True, BeginPlan(after=("SET TRANSACTION READ ONLY",))),
    (
        "postgresql",
        "repeatable read",
        False,
        BeginPlan(after=("SET TRANSACTION ISOLATION LEVEL REPEATABLE READ",)),
    ),
    (
        "postgresql",
        "serializable",
        True,
        BeginPlan(after=("SET TRANSACTION ISOLATION LEVEL SERIALIZABLE, READ ONLY",)),
    ),
    ("mysql", None, False, BeginPlan()),
    ("mysql", None, True, BeginPlan(before=("SET TRANSACTION READ ONLY",))),
    (
        "mysql",
        "read committed",
        True,
        BeginPlan(before=("SET TRANSACTION ISOLATION LEVEL READ COMMITTED, READ ONLY",)),
    ),
    ("sqlite", None, False, BeginPlan(begin="BEGIN IMMEDIATE")),
    ("sqlite", "serializable", False, BeginPlan(begin="BEGIN IMMEDIATE")),
    ("sqlite", "read uncommitted", True, BeginPlan(begin="BEGIN DEFERRED", query_only=True)),
]


@pytest.mark.parametrize(("dialect", "level", "read_only", "plan"), PLANS)
def test_each_database_has_its_rule(dialect: DialectName, level: str | None, read_only: bool, plan: BeginPlan) -> None:
    assert begin_plan(dialect, level, read_only) == plan


def test_a_plan_is_computed_once() -> None:
    assert begin_plan("postgresql", "SERIALIZABLE", True) is begin_plan("postgresql", "serializable", True)


@pytest.mark.parametrize(
    ("written", "level"),
    [
        (None, None),
        ("serializable", "serializable"),
        ("SERIALIZABLE", "serializable"),
        ("Read Committed", "read committed"),
        ("READ_COMMITTED", "read committed"),
        ("repeatable-read", "repeatable read"),
        ("  read   uncommitted ", "read uncommitted"),
    ],
)
def test_case_spaces_and_underscores_do_not_matter(written: str | None, level: str | None) -> None:
    assert parse_isolation_level(written) == level


@pytest.mark.parametrize("level", ["", "snapshot", "serializable; DROP TABLE t", "readcommitted", 3, ["serializable"]])
@pytest.mark.parametrize("dialect", ["postgresql", "mysql", "sqlite"])
def test_an_unknown_level_is_refused_with_the_ones_there_are(dialect: DialectName, level: Any) -> None:
    with pytest.raises(ConfigurationError) as caught:
        begin_plan(dialect, level, False)
    assert all(name in str(caught.value) for name in ISOLATION_LEVELS)
    assert caught.value.__dict__ == {"setting": "isolation_level", "value": level}


def test_an_unknown_dialect_is_refused() -> None:
    with pytest.raises(ConfigurationError, match="'oracle'"):
        begin_plan(cast(DialectName, "oracle"), None, False)


@pytest.mark.parametrize("level", [None, *ISOLATION_LEVELS])
@pytest.mark.parametrize("read_only", [False, True])
def test_postgresql_takes_the_plan_and_goes_back_to_its_default(
    postgres_url: str, level: str | None, read_only: bool
) -> None:
    plan = begin_plan("postgresql", level, read_only)
    with psycopg.connect(postgres_url, autocommit=True) as connection:
        for statement in (*plan.before, plan.begin, *plan.after):
            connection.execute(statement.encode())
        assert _characteristics(connection) == (level or "read committed", "on" if read_only else "off")
        connection.execute("COMMIT")
        assert _characteristics(connection) == ("read committed", "off")


def _characteristics(connection: psycopg.Connection[Any]) -> tuple[str, str]:
    row = connection.execute(
        "SELECT current_setting('transaction_isolation'), current_setting('transaction_read_only')"
    ).fetchone()
    assert row is not None
    return str(row[0]), str(row[1])


@pytest.mark.parametrize("level", [None, *ISOLATION_LEVELS])
@pytest.mark.parametrize("read_only", [False, True])
def test_mariadb_takes_the_plan_and_goes_back_to_its_default(
    mariadb_url: str, level: str | None, read_only: bool
) -> None:
    plan = begin_plan("mysql", level, read_only)
    with closing(mariadb.connect(mariadb_url)) as connection, connection.cursor() as cursor:
        cursor.execute("CREATE TABLE t (x int) ENGINE = InnoDB")
        for statement in (*plan.before, plan.begin, *plan.after):
            cursor.execute(statement)
        assert _characteristics_of_innodb(cursor) == (level or "repeatable read", read_only)
        if read_only:
            with pytest.raises(pymysql.OperationalError) as caught:
                cursor.execute("INSERT INTO t VALUES (1)")
            judged = classify(caught.value)
            assert judged is not None
            assert judged.failure is Failure.READ_ONLY
        cursor.execute("COMMIT")
        cursor.execute("BEGIN")
        assert _characteristics_of_innodb(cursor) == ("repeatable read", False)


def _characteristics_of_innodb(cursor: Any) -> tuple[str, bool]:
    """Of this connection's transaction, which begins in InnoDB with its first read or write."""
    cursor.execute("SELECT x FROM t")
    query = (
        "SELECT lower(trx_isolation_level), trx_is_read_only FROM information_schema.innodb_trx"
        " WHERE trx_mysql_thread_id = connection_id()"
    )
    time.sleep(0.12)  # the server answers from a copy of that table, up to a tenth of a second old
    cursor.execute(query)
    ((level, read_only),) = cursor.fetchall()
    return str(level), bool(read_only)


def test_sqlite_writers_take_the_lock_at_once_and_readers_cannot_write(tmp_path: Path) -> None:
    writer, reader = (
        sqlite3.connect(tmp_path / "a.db", isolation_level=None, timeout=0, check_same_thread=False) for _ in range(2)
    )
    try:
        writer.execute("CREATE TABLE t (x)")
        plan = begin_plan("sqlite", None, True)
        assert plan.query_only
        reader.execute("PRAGMA query_only=1")
        reader.execute(plan.begin)
        assert reader.execute("SELECT count(*) FROM t").fetchall() == [(0,)]
        writer.execute(begin_plan("sqlite", None, False).begin)  # beside an open reader
        with pytest.raises(sqlite3.OperationalError) as caught:
            reader.execute("INSERT INTO t VALUES (1)")
        judged = classify(caught.value)
        assert judged is not None
        assert judged.failure is Failure.READ_ONLY
    finally:
        writer.close()
        reader.close()
