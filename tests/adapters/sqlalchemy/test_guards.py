"""Nobody but Durably ends a transaction: an attempt is a clear error, and all is rolled back."""

from __future__ import annotations

import contextlib
from collections.abc import Callable
from typing import Any

import pytest
from sqlalchemy import DDL, Column, Integer, MetaData, Table, text
from sqlalchemy.exc import IntegrityError
from sqlalchemy.orm import Session

import durably
from tests.adapters.sqlalchemy.conftest import EVERY_DRIVER, MARIADB, kinds
from tests.adapters.sqlalchemy.lab import Item, Lab, Unique, add

#: Statements that end a transaction where they are not refused: MySQL and MariaDB commit before them.
IMPLICIT: dict[str, Callable[[Session], Any]] = {
    "BEGIN": lambda s: s.execute(text("BEGIN")),
    "START TRANSACTION": lambda s: s.connection().exec_driver_sql("START TRANSACTION"),
    "CREATE TABLE": lambda s: s.execute(text("CREATE TABLE extra (n int)")),
    "Table.create": lambda s: Table("extra", MetaData(), Column("n", Integer)).create(s.connection()),
    "DDL": lambda s: s.execute(DDL("ALTER TABLE item ADD COLUMN m int")),  # type: ignore[no-untyped-call]
    "TRUNCATE": lambda s: s.execute(text("truncate table unique_name")),
    "autocommit": lambda s: s.execute(text("SET autocommit = 1")),
}


ENDINGS: dict[str, Callable[[Session], Any]] = {
    "session.commit": lambda s: s.commit(),
    "session.rollback": lambda s: s.rollback(),
    "session.begin": lambda s: s.begin(),
    "session transaction's rollback": lambda s: s.get_transaction().rollback(),  # type: ignore[union-attr]
    "connection.commit": lambda s: s.connection().commit(),
    "connection.rollback": lambda s: s.connection().rollback(),
    "COMMIT": lambda s: s.execute(text("COMMIT")),
    "commented COMMIT": lambda s: s.execute(text("/* now */ -- really\n commit;")),
    "END": lambda s: s.connection().exec_driver_sql("END"),
    "ROLLBACK": lambda s: s.execute(text("  rollback")),
}


# SQLAlchemy's own warning about a session that goes on after its connection was rolled back.
@pytest.mark.filterwarnings("ignore:transaction already deassociated")
@pytest.mark.parametrize("end", ENDINGS.values(), ids=ENDINGS)
@kinds(EVERY_DRIVER)
def test_ending_it_is_an_error_and_keeps_nothing(lab: Lab, end: Callable[[Session], Any]) -> None:
    _ending_keeps_nothing(lab, end)


@pytest.mark.parametrize("end", IMPLICIT.values(), ids=IMPLICIT)
@kinds(MARIADB)
def test_on_mariadb_neither_do_statements_that_commit_by_themselves(lab: Lab, end: Callable[[Session], Any]) -> None:
    _ending_keeps_nothing(lab, end)


@kinds(MARIADB)
def test_on_mariadb_a_temporary_table_commits_nothing(lab: Lab) -> None:
    def body(s: Session) -> int:
        s.execute(text("CREATE TEMPORARY TABLE extra (n int)"))
        s.add(Item(n=1))
        s.execute(text("DROP TEMPORARY TABLE extra"))
        Table("more", MetaData(), Column("n", Integer), prefixes=["TEMPORARY"]).create(s.connection())
        return 1

    assert lab.run(body) == 1
    assert lab.items() == [1]


@kinds(MARIADB)
def test_on_mariadb_a_table_that_is_made_past_the_session_is_found_at_the_record(lab: Lab) -> None:
    def body(s: Session) -> str:
        s.add(Item(n=1))
        s.flush()
        cursor = s.connection().connection.cursor()
        cursor.execute("CREATE TABLE extra (n int)")
        cursor.close()
        return "done"

    with pytest.raises(durably.TransactionEndedError, match="statements such as CREATE TABLE commit by themselves"):
        lab.run(body)
    assert lab.items() == [1]  # committed by then
    (recorded,) = lab.recorded()
    assert recorded.output is None


def _ending_keeps_nothing(lab: Lab, end: Callable[[Session], Any]) -> None:
    def body(s: Session) -> str:
        s.add(Item(n=1))
        s.flush()
        end(s)
        return "done"

    def go_on(s: Session) -> str:
        with contextlib.suppress(durably.TransactionEndedError):
            body(s)
            s.add(Item(n=2))
            s.flush()
        return "done"

    for function in (body, go_on):
        with pytest.raises(durably.TransactionEndedError, match=r"begin_nested\(\)"):
            lab.run(function)
    assert lab.items() == []
    assert [one.output for one in lab.recorded()] == [None, None]


@kinds(EVERY_DRIVER)
def test_a_commit_through_the_driver_is_found_at_the_record(lab: Lab) -> None:
    def body(s: Session) -> str:
        s.add(Item(n=1))
        s.flush()
        s.connection().connection.commit()
        return "done"

    with pytest.raises(durably.TransactionEndedError):
        lab.run(body)
    (recorded,) = lab.recorded()
    assert recorded.output is None


@kinds(EVERY_DRIVER)
def test_a_rollback_before_an_error_leaves_that_error(lab: Lab) -> None:
    def body(s: Session) -> None:
        try:
            s.add(Item(n=1))
            s.flush()
            raise ValueError("no")
        except ValueError:
            s.rollback()
            raise

    with pytest.raises(ValueError, match="no"):
        lab.run(body)
    assert lab.items() == []


@kinds(EVERY_DRIVER)
def test_nothing_runs_after_a_rollback(lab: Lab) -> None:
    def body(s: Session) -> None:
        s.rollback()
        s.add(Item(n=1))
        s.flush()
        pytest.fail("it ran")

    with pytest.raises(durably.TransactionEndedError):
        lab.run(body)
    assert lab.items() == []


@kinds(EVERY_DRIVER)
def test_a_flush_that_failed_and_was_caught_keeps_nothing(lab: Lab) -> None:
    lab.run(lambda s: s.add(Unique(name="taken")))

    def body(s: Session) -> str:
        s.add(Item(n=1))
        s.flush()
        s.add(Unique(name="taken"))
        with pytest.raises(IntegrityError):
            s.flush()
        return "done"

    with pytest.raises(durably.TransactionEndedError):
        lab.run(body)
    assert lab.items() == []


@kinds(EVERY_DRIVER)
def test_a_with_block_does_not_close_the_session(lab: Lab) -> None:
    def body(s: Session) -> None:
        with s:
            s.add(Item(n=1))
        s.add(Item(n=2))
        s.close()

    lab.run(body)
    assert lab.items() == [1, 2]


@kinds(EVERY_DRIVER)
def test_the_session_is_closed_after_the_transaction(lab: Lab) -> None:
    kept: list[Session] = []
    lab.run(kept.append)
    assert not kept[0].in_transaction()


@kinds(EVERY_DRIVER)
def test_the_next_transaction_on_that_connection_is_not_refused(lab: Lab) -> None:
    with pytest.raises(durably.TransactionEndedError):
        lab.run(lambda s: s.commit())
    assert lab.run(add(1)) == 1
    assert lab.items() == [1]
