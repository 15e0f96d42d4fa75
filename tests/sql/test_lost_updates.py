"""The warning about lost updates: on paper, and from what MariaDB answers."""

from __future__ import annotations

from contextlib import closing

import pytest

from durably.sql import lost_updates
from durably.testing import mariadb

MARIADB_10, MARIADB_11, MYSQL_8 = "tx_isolation", "transaction_isolation", "transaction_isolation"


@pytest.mark.parametrize(
    ("rows", "said"),
    [
        ([(MARIADB_10, "REPEATABLE-READ"), ("innodb_snapshot_isolation", "OFF")], "innodb_snapshot_isolation=ON"),
        ([(MARIADB_10, "REPEATABLE-READ"), ("innodb_snapshot_isolation", "ON")], None),
        ([(MARIADB_11, "REPEATABLE-READ"), ("innodb_snapshot_isolation", "ON")], None),
        ([(MARIADB_11, "READ-COMMITTED"), ("innodb_snapshot_isolation", "ON")], "READ COMMITTED"),
        ([(MARIADB_10, "SERIALIZABLE"), ("innodb_snapshot_isolation", "OFF")], None),
        ([(MYSQL_8, "REPEATABLE-READ")], "REPEATABLE READ"),
        ([(MYSQL_8, "READ-UNCOMMITTED")], "READ UNCOMMITTED"),
        ([(MYSQL_8, "SERIALIZABLE")], None),
        ([], None),
    ],
)
def test_only_levels_that_lose_updates_are_warned_of(rows: list[tuple[str, str]], said: str | None) -> None:
    advice = lost_updates.advice(rows)
    if said is None:
        assert advice is None
    else:
        assert advice is not None
        assert said in advice
        assert "isolation_level='serializable'" in advice


def test_a_setting_that_would_not_help_is_not_recommended() -> None:
    for rows in (
        [(MYSQL_8, "REPEATABLE-READ")],
        [(MARIADB_10, "READ-COMMITTED"), ("innodb_snapshot_isolation", "OFF")],
    ):
        assert "innodb_snapshot_isolation" not in str(lost_updates.advice(rows))


def test_other_databases_are_not_asked() -> None:
    assert lost_updates.look("postgresql") is None
    assert lost_updates.look("sqlite") is None


@pytest.mark.parametrize(
    ("settings", "warns"),
    [
        ("innodb_snapshot_isolation = OFF", True),
        ("innodb_snapshot_isolation = ON", False),
        ("tx_isolation = 'SERIALIZABLE'", False),
        ("tx_isolation = 'READ-COMMITTED'", True),
    ],
)
def test_what_mariadb_answers(mariadb_url: str, settings: str, warns: bool) -> None:
    query = lost_updates.look("mysql")
    assert query is not None
    with closing(mariadb.connect(mariadb_url)) as connection, connection.cursor() as cursor:
        cursor.execute(f"SET SESSION {settings}")
        cursor.execute(*query)
        assert (lost_updates.advice(cursor.fetchall()) is not None) == warns
