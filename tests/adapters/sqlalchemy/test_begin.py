"""How transactions begin: isolation level, read only, and engines with settings of their own about transactions."""

from __future__ import annotations

import sqlite3
import sys
from typing import Any

import pytest
from sqlalchemy import event, select, text
from sqlalchemy.exc import DBAPIError
from sqlalchemy.orm import Session

import durably
from durably.adapter import BeginPlan
from durably_sqlalchemy import SQLAlchemy
from tests.adapters.sqlalchemy.conftest import EVERY_DRIVER, MARIADB, POSTGRESQL, SQLITE, MakeLab, kinds
from tests.adapters.sqlalchemy.lab import Item, Kind, Lab, Unique, add


def _level(s: Session) -> str:
    return str(s.scalar(text("SHOW transaction_isolation")))


@kinds(POSTGRESQL)
@pytest.mark.parametrize("level", ["read committed", "repeatable read", "serializable"])
def test_the_isolation_level_is_the_transactions_own(lab: Lab, level: str) -> None:
    assert lab.run(_level, isolation_level=level) == level
    assert lab.run(_level) == "read committed"


@kinds(POSTGRESQL)
def test_an_engines_own_level_is_kept(make_lab: MakeLab) -> None:
    lab = make_lab(isolation_level="REPEATABLE READ").launch()
    assert lab.run(_level) == "repeatable read"
    assert lab.run(_level, isolation_level="serializable") == "serializable"


def _level_of_innodb(s: Session) -> tuple[str, int]:
    s.execute(select(Item)).all()
    # The server answers from a copy of that table, up to a tenth of a second old.
    s.execute(text("SELECT sleep(0.12)"))
    row = s.execute(
        text(
            "SELECT lower(trx_isolation_level), trx_is_read_only FROM information_schema.innodb_trx"
            " WHERE trx_mysql_thread_id = connection_id()"
        )
    ).one()
    return str(row[0]), int(row[1])


@kinds(MARIADB)
@pytest.mark.parametrize("options", [{}, {"isolation_level": "AUTOCOMMIT"}], ids=["default", "autocommit"])
def test_on_mariadb_the_options_are_set_before_the_begin_and_last_for_one_transaction(
    make_lab: MakeLab, options: dict[str, Any]
) -> None:
    lab = make_lab(**options).launch()
    assert lab.run(_level_of_innodb, isolation_level="serializable") == ("serializable", 0)
    assert lab.run(_level_of_innodb, read_only=True) == ("repeatable read", 1)
    assert lab.run(_level_of_innodb, isolation_level="read committed", read_only=True) == ("read committed", 1)
    assert lab.run(_level_of_innodb) == ("repeatable read", 0)


@kinds(MARIADB)
@pytest.mark.parametrize("pool_pre_ping", [False, True])
def test_on_mariadb_an_engines_own_level_is_kept(make_lab: MakeLab, pool_pre_ping: bool) -> None:
    lab = make_lab(isolation_level="READ COMMITTED", pool_pre_ping=pool_pre_ping).launch()
    assert lab.run(_level_of_innodb) == ("read committed", 0)
    assert lab.run(_level_of_innodb, isolation_level="serializable") == ("serializable", 0)
    assert lab.run(_level_of_innodb) == ("read committed", 0)


@kinds(EVERY_DRIVER)
def test_a_read_only_transaction_reads_and_is_recorded_by_the_ledger(lab: Lab) -> None:
    lab.run(add(1))
    assert lab.run(lambda s: s.scalar(select(Item.n)), read_only=True, workflow_id="read") == 1
    assert lab.run(lambda s: 2, read_only=True, workflow_id="read") == 1


@kinds(EVERY_DRIVER)
def test_a_read_only_transaction_cannot_write_and_leaves_no_trace_in_the_pool(make_lab: MakeLab) -> None:
    lab = make_lab().launch()  # one transaction at a time, and so one connection
    with pytest.raises(DBAPIError, match=r"(?i)read[- ]?only"):
        lab.run(add(1), read_only=True)
    assert lab.run(add(2)) == 2
    assert lab.items() == [2]


@kinds(SQLITE)
def test_a_writer_on_sqlite_has_the_write_lock_from_the_start(lab: Lab) -> None:
    def body(s: Session) -> None:
        other = sqlite3.connect(lab.url.removeprefix("sqlite:///"), timeout=0)
        with pytest.raises(sqlite3.OperationalError, match="locked"):
            other.execute("BEGIN IMMEDIATE")
        other.close()

    lab.run(body)


def _rolls_back_and_has_savepoints(lab: Lab) -> None:
    def fail(s: Session) -> None:
        s.add(Item(n=1))
        s.flush()
        raise ValueError("roll back")

    def keep_half(s: Session) -> str:
        with s.begin_nested() as nested:
            s.add(Item(n=2))
            s.flush()
            nested.rollback()
        s.add(Item(n=3))
        return "done"

    with pytest.raises(ValueError, match="roll back"):
        lab.run(fail)
    assert lab.items() == []
    assert lab.run(keep_half) == "done"
    assert lab.items() == [3]


@kinds(EVERY_DRIVER)
@pytest.mark.parametrize("how", ["create_engine", "execution_options"])
def test_an_autocommit_engine_has_real_transactions(make_lab: MakeLab, how: str) -> None:
    lab = make_lab(isolation_level="AUTOCOMMIT") if how == "create_engine" else make_lab()
    if how == "execution_options":
        lab.engine = lab.engine.execution_options(isolation_level="AUTOCOMMIT")
    _rolls_back_and_has_savepoints(lab.launch())
    with lab.sync_engine.connect() if not lab.asynchronous else lab.control.connect() as connection:
        if not lab.asynchronous:
            raw: Any = connection.connection.dbapi_connection
            if lab.kind.backend == "sqlite":
                assert raw.isolation_level is None
            else:
                assert raw.get_autocommit() if lab.kind.backend == "mysql" else raw.autocommit


@kinds(EVERY_DRIVER)
def test_an_autocommit_engine_that_skips_rollbacks(make_lab: MakeLab) -> None:
    pytest.importorskip("sqlalchemy", minversion="2.0.43")
    lab = make_lab(isolation_level="AUTOCOMMIT", skip_autocommit_rollback=True)
    _rolls_back_and_has_savepoints(lab.launch())


@kinds([Kind("pysqlite", False)])
@pytest.mark.skipif(sys.version_info < (3, 12), reason="sqlite3.connect(autocommit=) came with Python 3.12")
def test_sqlite3s_own_transaction_control(make_lab: MakeLab) -> None:
    lab = make_lab(connect_args={"autocommit": False}).launch()
    _rolls_back_and_has_savepoints(lab)
    adapter = SQLAlchemy(make_lab(connect_args={"autocommit": True}).engine)
    with pytest.raises(durably.ConfigurationError, match="autocommit"), adapter.begin(BeginPlan()):
        pass


@kinds(SQLITE)
def test_listeners_that_begin_by_themselves(make_lab: MakeLab) -> None:
    """The recipe of SQLAlchemy's documentation for savepoints on SQLite."""
    lab = make_lab()

    @event.listens_for(lab.sync_engine, "connect")
    def do_connect(connection: Any, _record: Any) -> None:
        connection.isolation_level = None

    @event.listens_for(lab.sync_engine, "begin")
    def do_begin(connection: Any) -> None:
        connection.exec_driver_sql("BEGIN")

    _rolls_back_and_has_savepoints(lab.launch())


@kinds([Kind("pysqlite", True), Kind("psycopg", True)])
def test_a_plans_statements_are_run_around_the_begin(make_lab: MakeLab) -> None:
    lab = make_lab()
    adapter = SQLAlchemy(lab.engine)
    plan = BeginPlan(
        before=("SELECT 'before'",), begin="BEGIN IMMEDIATE", after=("INSERT INTO unique_name VALUES ('after')",)
    )
    with adapter.begin(plan) as handle:
        assert handle.get(Unique, "after") is not None
        assert adapter.execute(handle, "SELECT name, 1 FROM unique_name") == [("after", 1)]
        assert adapter.execute(handle, "DELETE FROM unique_name") == []
