"""The statements around a completion row, on all three databases: one row for a place, whoever is first."""

from __future__ import annotations

import sqlite3
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import closing
from typing import Any

import psycopg
import pytest

from durably.adapter import DialectName, ParamStyle
from durably.model import Checkpoint, CheckpointKey, Fence
from durably.sql import completion
from durably.sql.completion import Guard, Place, Recording
from durably.sql.dialect import DIALECTS, render
from durably.sql.drivers import Failure
from durably.sql.failures import classify
from durably.testing import mariadb

PLACE = Place("order-1", "0" * 32, CheckpointKey("", 1), Fence("executor", 1))
DONE = Checkpoint("charge", "42", None, "json")
GUARD = Guard("a-token", 10_000)


class Database:
    """An application database; ``connect`` gives a connection in autocommit, for the core's statements."""

    def __init__(self, dialect: DialectName, paramstyle: ParamStyle, connect: Callable[[], Any]) -> None:
        self.dialect: DialectName = dialect
        self._paramstyle: ParamStyle = paramstyle
        self._connect = connect

    def connect(self) -> Connection:
        return Connection(self._connect(), self.dialect, self._paramstyle)


class Connection:
    """One connection of a driver's."""

    def __init__(self, raw: Any, dialect: DialectName, paramstyle: ParamStyle) -> None:
        self.raw = raw
        self.dialect: DialectName = dialect
        self._paramstyle: ParamStyle = paramstyle

    def execute(self, sql: str, params: Sequence[Any] = ()) -> list[tuple[Any, ...]]:
        cursor = self.raw.cursor()
        cursor.execute(render(sql, DIALECTS[self.dialect], self._paramstyle), params)
        rows = list(cursor.fetchall()) if cursor.description else []
        cursor.close()
        return rows

    def record(self, place: Place = PLACE, checkpoint: Checkpoint = DONE) -> Recording:
        """Guard, release and record, as the exactly-once protocol does them; the caller begins and ends."""
        self.guard()
        return self.finish(place, checkpoint)

    def guard(self) -> None:
        self.execute(*completion.guard_begin(self.dialect, GUARD))

    def finish(self, place: Place = PLACE, checkpoint: Checkpoint = DONE) -> Recording:
        released = completion.guard_release(self.dialect)
        if released is not None:
            try:
                self.execute(*released)
            except Exception:
                return Recording.ENDED
        try:
            rows = self.execute(*completion.record_completion(self.dialect, place, checkpoint, GUARD))
        except Exception as error:
            if self.dialect not in completion.REFUSES_BY_ERROR:
                raise
            judged = classify(error)
            if judged is None or judged.failure is not Failure.UNIQUE:
                raise
            return Recording.REFUSED
        return completion.recording(self.dialect, rows, GUARD)

    def find(self, place: Place = PLACE) -> list[tuple[Any, ...]]:
        return self.execute(*completion.find_completion(place))

    def close(self) -> None:
        self.raw.close()


@pytest.fixture(params=["postgresql", "sqlite", "mysql"])
def database(request: pytest.FixtureRequest) -> Database:
    if request.param == "postgresql":
        url: str = request.getfixturevalue("postgres_url")
        made = Database("postgresql", "format", lambda: psycopg.connect(url, autocommit=True))
    elif request.param == "mysql":
        url = request.getfixturevalue("mariadb_url")
        made = Database("mysql", "format", lambda: mariadb.connect(url))
    else:
        path = request.getfixturevalue("sqlite_path")

        def connect() -> sqlite3.Connection:
            return sqlite3.connect(path, isolation_level=None, check_same_thread=False)

        made = Database("sqlite", "qmark", connect)
    with closing(made.connect()) as connection:
        assert connection.execute(*completion.has_table(made.dialect)) == []
        for _ in range(2):  # whoever comes second finds it there
            create(connection)
        assert len(connection.execute(*completion.has_table(made.dialect))) == 1
    return made


def create(connection: Connection) -> None:
    for statement in completion.create_table(connection.dialect):
        connection.execute(*statement)


@pytest.fixture
def one(database: Database) -> Iterator[Connection]:
    with closing(database.connect()) as connection:
        yield connection


@pytest.fixture
def other(database: Database) -> Iterator[Connection]:
    with closing(database.connect()) as connection:
        yield connection


def test_a_row_is_there_after_the_commit_and_not_after_a_rollback(one: Connection, other: Connection) -> None:
    one.execute("BEGIN")
    assert one.record() is Recording.DONE
    one.execute("ROLLBACK")
    assert other.find() == []
    one.execute("BEGIN")
    assert one.record() is Recording.DONE
    assert other.find() == []
    one.execute("COMMIT")
    assert other.find() == [tuple(DONE)]


def test_the_second_is_refused_and_finds_the_first_ones(one: Connection, other: Connection) -> None:
    one.execute("BEGIN")
    one.record()
    one.execute("COMMIT")
    other.execute("BEGIN")
    assert other.record(checkpoint=Checkpoint("charge", "43", None, "json")) is Recording.REFUSED
    other.execute("ROLLBACK")
    assert other.find() == [tuple(DONE)]


@pytest.mark.parametrize("ends", ["COMMIT", "ROLLBACK"])
def test_who_comes_second_waits_for_the_first_ones_end(
    database: Database, one: Connection, other: Connection, ends: str
) -> None:
    one.execute("BEGIN" if database.dialect != "sqlite" else "BEGIN IMMEDIATE")
    one.record()
    answers: list[Recording] = []

    def second() -> None:
        other.execute("BEGIN" if database.dialect != "sqlite" else "BEGIN IMMEDIATE")
        answers.append(other.record(checkpoint=Checkpoint("charge", "43", None, "json")))
        other.execute("COMMIT" if answers == [Recording.DONE] else "ROLLBACK")

    thread = threading.Thread(target=second)
    thread.start()
    time.sleep(0.1)
    assert answers == []
    one.execute(ends)
    thread.join()
    assert answers == [Recording.REFUSED if ends == "COMMIT" else Recording.DONE]
    assert one.find()[0][1] == ("42" if ends == "COMMIT" else "43")


@pytest.mark.parametrize(
    "key", [CheckpointKey("", 2), CheckpointKey("1.a", 1), CheckpointKey("1.A", 1), CheckpointKey("1", 1)]
)
def test_another_place_is_another_row(one: Connection, key: CheckpointKey) -> None:
    for place in (PLACE, PLACE._replace(key=CheckpointKey("1.b", 1)), PLACE._replace(key=key)):
        one.execute("BEGIN")
        assert one.record(place) is Recording.DONE
        one.execute("COMMIT")
    for run_id in ("f" * 32, "F" * 32):
        one.execute("BEGIN")
        assert one.record(PLACE._replace(run_id=run_id)) is Recording.DONE
        one.execute("COMMIT")


def test_what_is_recorded_comes_back_as_it_was(one: Connection) -> None:
    text = "\N{SNOWMAN}\N{PILE OF POO}'\"\\%s ? {t}\n"
    checkpoint = Checkpoint(f"{text}n\N{LATIN SMALL LETTER A WITH DIAERESIS}me", text * 40_000, None, "json")
    one.execute("BEGIN")
    assert one.record(PLACE._replace(workflow_id="i" * 3000 + text), checkpoint) is Recording.DONE
    one.execute("COMMIT")
    assert one.find() == [tuple(checkpoint)]


def test_an_error_is_recorded_in_the_same_place(one: Connection) -> None:
    failed = Checkpoint("charge", None, '{"error": 1}', "json")
    one.execute("BEGIN")
    assert one.record(checkpoint=failed) is Recording.DONE
    one.execute("COMMIT")
    one.execute("BEGIN")
    assert one.record() is Recording.REFUSED
    one.execute("ROLLBACK")
    assert one.find() == [tuple(failed)]


ENDINGS: dict[str, Sequence[str]] = {
    "COMMIT": ["COMMIT"],
    "ROLLBACK": ["ROLLBACK"],
    "COMMIT and BEGIN": ["COMMIT", "BEGIN"],
}
#: What commits by itself on MySQL and MariaDB.
IMPLICIT = [
    "BEGIN",
    "START TRANSACTION",
    "CREATE TABLE t (n int)",
    "ALTER TABLE u ADD COLUMN m int",
    "CREATE INDEX n_of_u ON u (n)",
    "DROP TABLE IF EXISTS t",
    "TRUNCATE TABLE u",
    "RENAME TABLE u TO v",
    "LOCK TABLES u WRITE",
    "ANALYZE TABLE u",
    "SET autocommit = 1",
]


@pytest.mark.parametrize("statements", ENDINGS.values(), ids=ENDINGS)
def test_an_end_inside_is_found_before_anything_is_recorded(one: Connection, statements: Sequence[str]) -> None:
    one.execute("BEGIN")
    one.guard()
    for statement in statements:
        one.execute(statement)
    assert one.finish() is Recording.ENDED
    if one.dialect == "sqlite" and statements[-1] == "BEGIN":
        one.execute("ROLLBACK")
    assert one.find() == []


@pytest.mark.parametrize("statement", IMPLICIT)
@pytest.mark.parametrize("database", ["mysql"], indirect=True)
def test_a_commit_that_a_statement_implies_is_found(one: Connection, statement: str) -> None:
    one.execute("CREATE TABLE u (n int) ENGINE = InnoDB")
    one.execute("SET autocommit = 0")
    one.guard()
    one.execute("INSERT INTO u VALUES (1)")
    one.execute(statement)
    assert one.finish() is Recording.ENDED
    one.execute("UNLOCK TABLES")
    assert one.find() == []


@pytest.mark.parametrize("database", ["postgresql", "mysql"], indirect=True)
@pytest.mark.parametrize("statement", ["CREATE TEMPORARY TABLE t (n int)", "SELECT 1", "SAVEPOINT mine"])
def test_what_does_not_end_it_is_let_be(one: Connection, statement: str) -> None:
    one.execute("BEGIN")
    one.guard()
    one.execute(statement)
    assert one.finish() is Recording.DONE
    one.execute("COMMIT")


def test_the_databases_clock_is_in_milliseconds(one: Connection) -> None:
    before = time.time()
    ((now,),) = one.execute("SELECT {now}")
    after = time.time()
    assert isinstance(now, int)
    assert before * 1000 - 50 <= now <= after * 1000 + 50
    one.execute("BEGIN")
    one.record()
    one.execute("COMMIT")
    ((created_at,),) = one.execute("SELECT created_at FROM {t}transaction_completion")
    assert now <= created_at <= now + 60_000


@pytest.mark.parametrize("database", ["mysql"], indirect=True)
@pytest.mark.parametrize("zone", ["+00:00", "+13:00", "-11:30"])
def test_mysqls_clock_does_not_mind_the_sessions_time_zone(one: Connection, zone: str) -> None:
    one.execute(f"SET time_zone = '{zone}'")
    ((now,),) = one.execute("SELECT {now}")
    assert abs(now - time.time() * 1000) < 10_000


def test_a_list_of_strings_is_one_parameter(one: Connection) -> None:
    rows = one.execute("SELECT v.* FROM ({in_json}) v", ('["a", "B"]',))
    assert sorted(row[0] for row in rows) == ["B", "a"]


@pytest.mark.parametrize("database", ["postgresql", "mysql"], indirect=True)
def test_locked_rows_are_left_out(one: Connection, other: Connection) -> None:
    for function_id in (1, 2):
        one.execute("BEGIN")
        one.record(PLACE._replace(key=CheckpointKey("", function_id)))
        one.execute("COMMIT")
    query = (
        "SELECT function_id FROM {t}transaction_completion s WHERE run_id = ? AND branch = '' ORDER BY function_id"
        " LIMIT 1 "
    )
    for connection, found in ((one, 1), (other, 2)):
        connection.execute("BEGIN")
        assert connection.execute(query + "{skip_locked}", (PLACE.run_id,)) == [(found,)]
    assert one.execute(query + "{for_share}", (PLACE.run_id,)) == [(1,)]


def test_the_migrations_are_not_there(one: Connection) -> None:
    assert one.execute(DIALECTS[one.dialect].has_migrations) == []
