"""The warning about lost updates and the size of packets: on paper, and from what MariaDB answers."""

from __future__ import annotations

from contextlib import closing

import pytest

from durably.sql import server
from durably.sql.server import Server
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
    advice = server.read(rows).advice
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
        assert "innodb_snapshot_isolation" not in str(server.read(rows).advice)


def test_other_databases_are_not_asked() -> None:
    assert server.look("postgresql") is None
    assert server.look("sqlite") is None


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
    query = server.look("mysql")
    assert query is not None
    with closing(mariadb.connect(mariadb_url)) as connection, connection.cursor() as cursor:
        cursor.execute(f"SET SESSION {settings}")
        cursor.execute(*query)
        assert (server.read(cursor.fetchall()).advice is not None) == warns


def test_a_text_that_a_packet_cannot_hold_is_known_before_it_is_sent(mariadb_url: str) -> None:
    query = server.look("mysql")
    assert query is not None
    with closing(mariadb.connect(mariadb_url)) as connection, connection.cursor() as cursor:
        cursor.execute(*query)
        found = server.read(cursor.fetchall())
        cursor.execute("SELECT @@max_allowed_packet")
        assert cursor.fetchone() == (found.packet_bytes,)
        assert found.packet_bytes is not None
        for mark in ("x", '"', "\\", "\n", "\0", "\N{SNOWMAN}"):
            text = mark * ((found.packet_bytes - 65_536) // server.sent_bytes(mark))
            assert found.takes(text)
            assert not found.takes(text + mark)
            cursor.execute("SELECT length(%s), '" + "x" * 65_000 + "'", (text,))  # the server takes it


def test_without_a_limit_all_is_taken() -> None:
    assert Server().takes("x" * 1000)
    assert server.read([]) == Server(None, None)
