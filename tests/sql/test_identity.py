"""Asking two connections whether they are to one database, inside a transaction that somebody else has open."""

from __future__ import annotations

import contextlib
import sqlite3
from pathlib import Path

from durably.sql.dialect import SQLITE


def _opened(path: Path) -> contextlib.closing[sqlite3.Connection]:
    return contextlib.closing(sqlite3.connect(path, isolation_level=None))


def test_on_sqlite_the_question_begins_no_read_that_would_keep_the_transaction_from_writing(tmp_path: Path) -> None:
    assert SQLITE.identity is not None
    with _opened(tmp_path / "one.db") as ours, _opened(tmp_path / "one.db") as other:
        ours.execute("PRAGMA journal_mode = WAL")
        ours.execute("CREATE TABLE t (n integer)")
        ours.execute("BEGIN DEFERRED")
        ours.execute(SQLITE.identity).fetchall()
        other.execute("INSERT INTO t VALUES (1)")
        ours.execute("INSERT INTO t VALUES (2)")
        ours.execute("COMMIT")
        assert other.execute("SELECT n FROM t ORDER BY n").fetchall() == [(1,), (2,)]


def test_on_sqlite_the_first_row_tells_files_apart(tmp_path: Path) -> None:
    assert SQLITE.identity is not None
    with (
        _opened(tmp_path / "one.db") as one,
        _opened(tmp_path / "one.db") as same,
        _opened(tmp_path / "two.db") as two,
    ):
        same.execute("ATTACH DATABASE ':memory:' AS beside")
        first = [raw.execute(SQLITE.identity).fetchall()[0] for raw in (one, same, two)]
        assert first[0] == first[1]
        assert first[0] != first[2]
