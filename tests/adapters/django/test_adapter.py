"""The adapter by itself: what counts as the caller's transaction, how one begins, and what ends it too early."""

from __future__ import annotations

import asyncio
import contextlib
import logging
import unittest
from collections.abc import Callable, Iterator
from typing import Any

import psycopg
import pytest
from django.db import DatabaseError, IntegrityError, connections, transaction
from django.test import TestCase

import durably
from durably import (
    AmbientTransactionError,
    DeclarationError,
    Durably,
    NoAdapterError,
    TransactionEndedError,
    aio,
    workflow,
)
from durably_django import DjangoAdapter
from tests.adapters.django.notes import add, make_table, notes, transaction_of, workflow_of
from tests.adapters.django.site import Site


@pytest.fixture
def app(site: Site, url: str) -> Iterator[Durably]:
    """An engine on an adapter for ``default``, where both databases are one."""
    site.add("default", url)
    make_table()
    with Durably("site", system_database_url=url, adapters={"default": DjangoAdapter()}, lease_seconds=5) as engine:
        yield engine


# -- whose transaction is it -----------------------------------------------------------------------------------------


def test_the_callers_transaction_is_an_atomic_block_or_autocommit_turned_off(site: Site, url: str) -> None:
    site.add("default", url)
    adapter, connection = DjangoAdapter(), connections["default"]
    assert adapter.ambient() is None
    assert connection.connection is None, "asking opens nothing"
    with transaction.atomic():
        assert adapter.ambient() is connection
    assert adapter.ambient() is None
    transaction.set_autocommit(False)
    assert adapter.ambient() is connection
    transaction.rollback()
    transaction.set_autocommit(True)
    assert adapter.ambient() is None


def test_the_block_of_a_testcase_is_not_the_callers(site: Site, url: str) -> None:
    site.add("default", url)
    make_table()
    seen: list[object] = []
    written = transaction_of(lambda: add("in the test"), "written")
    serializable = transaction_of(lambda: notes(), "serializable", isolation_level="serializable", read_only=True)

    class Case(TestCase):
        def test(self) -> None:
            seen.append(DjangoAdapter().ambient())
            with transaction.atomic():
                seen.append(DjangoAdapter().ambient())
            written()
            with pytest.raises(IntegrityError):
                written()
            # Isolation is the test's, and the savepoint of what failed was its own.
            seen.append(serializable())

    result = unittest.TestResult()
    with Durably("site", system_database_url=url, adapters={"default": DjangoAdapter()}).current():
        unittest.TestSuite([Case("test")]).run(result)
    assert result.errors + result.failures == []
    assert seen == [None, connections["default"], ["in the test"]]
    assert notes() == []


# -- beginning -------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("url", ["sqlite"], indirect=True)
def test_a_writer_on_sqlite_takes_the_lock_at_once_and_a_reader_none(app: Durably) -> None:
    sent: list[str] = []

    def note(execute: Any, sql: str, params: Any, many: bool, context: Any) -> Any:
        sent.append(sql)
        return execute(sql, params, many, context)

    reading = transaction_of(lambda: notes(), "reading", read_only=True)
    with connections["default"].execute_wrapper(note):
        workflow_of(lambda: add("one"))()
        assert [sql for sql in sent if sql.startswith("BEGIN")] == ["BEGIN IMMEDIATE"]
        sent.clear()
        assert reading() == ["one"]
        assert [sql for sql in sent if sql.startswith("BEGIN")] == ["BEGIN DEFERRED"]
        sent.clear()
        with transaction.atomic():
            pass
        assert sent == ["BEGIN"], "the user's own blocks begin as ever"


@pytest.mark.parametrize("url", ["postgresql"], indirect=True)
def test_an_isolation_level_holds_for_its_transaction_only(app: Durably) -> None:
    def level() -> str:
        with connections["default"].cursor() as cursor:
            cursor.execute("SHOW transaction_isolation")
            return str(cursor.fetchone()[0])

    assert workflow_of(level, isolation_level="repeatable read")() == "repeatable read"
    assert level() == "read committed"


def test_the_connection_writes_again_after_a_read_only_transaction_that_failed(app: Durably) -> None:
    with pytest.raises(DatabaseError):
        workflow_of(lambda: add("refused"), read_only=True)()
    add("by the caller")
    assert notes() == ["by the caller"]


@pytest.mark.parametrize("url", ["postgresql"], indirect=True)
def test_a_connection_that_died_idle_is_replaced(app: Durably, url: str) -> None:
    with connections["default"].cursor() as cursor:
        cursor.execute("SELECT pg_backend_pid()")
        (pid,) = cursor.fetchone()
    with psycopg.connect(url, autocommit=True) as other:
        other.execute("SELECT pg_terminate_backend(%s)", [pid])
    assert workflow_of(lambda: add("alive"))() is None
    assert notes() == ["alive"]


# -- callbacks after the commit --------------------------------------------------------------------------------------


def test_callbacks_of_failed_tries_are_discarded_and_those_of_the_last_run_once(app: Durably) -> None:
    tries: list[int] = []
    called: list[int] = []

    def body() -> None:
        tries.append(durably.attempt())
        transaction.on_commit(lambda attempt=tries[-1]: called.append(attempt))  # type: ignore[misc]
        add("once")
        if len(tries) < 3:
            raise _serialization_failure()

    with durably.workflow_options(workflow_id="again"):
        workflow_of(body)()
    assert (tries, called) == ([1, 2, 3], [3])
    with durably.workflow_options(workflow_id="again"):
        workflow_of(body)()
    assert called == [3]


def _serialization_failure() -> Exception:
    import sqlite3

    return sqlite3.OperationalError("database is locked")


@pytest.mark.parametrize("inside", [True, False], ids=["in a workflow", "by itself"])
def test_a_callback_may_start_a_workflow_and_call_a_transaction(app: Durably, inside: bool) -> None:
    child = workflow(name="child")(lambda: "child")
    other = transaction_of(lambda: add("other"), "other")

    def after() -> None:
        other()
        with durably.workflow_options(workflow_id="child-1"):
            durably.start_workflow(child)

    def body() -> None:
        add("first")
        transaction.on_commit(after)

    (workflow_of(body) if inside else transaction_of(body, "alone"))()
    assert notes() == ["first", "other"]
    assert durably.get_result("child-1", timeout_seconds=20) == "child"


def test_an_error_of_a_callback_is_logged_and_the_transaction_stands(
    app: Durably, caplog: pytest.LogCaptureFixture
) -> None:
    child = workflow(name="child")(lambda: None)

    def body() -> str:
        add("kept")
        transaction.on_commit(lambda: durably.start_workflow(child))  # without an id, as a replay would repeat it
        return "done"

    with caplog.at_level(logging.ERROR, "durably"):
        assert workflow_of(body)() == "done"
    (record,) = [one for one in caplog.records if one.name == "durably.transactions"]
    assert record.exc_info is not None
    assert isinstance(record.exc_info[1], DeclarationError)
    assert notes() == ["kept"]


# -- what ends a transaction too early ---------------------------------------------------------------------------------


def swallow() -> None:
    add("twice")
    with contextlib.suppress(IntegrityError):
        add("twice")


def set_rollback() -> None:
    add("undone")
    transaction.set_rollback(True)


def commit() -> None:
    add("undone")
    with contextlib.suppress(Exception):
        transaction.commit()


@pytest.mark.parametrize("body", [swallow, set_rollback, commit])
def test_no_success_is_recorded_where_only_a_rollback_is_left(app: Durably, body: Callable[[], None]) -> None:
    with pytest.raises(TransactionEndedError, match="atomic"):
        workflow_of(body)()
    assert notes() == []
    add("and then")
    assert notes() == ["and then"]


def test_what_fails_in_a_savepoint_leaves_the_rest(app: Durably) -> None:
    def body() -> None:
        add("twice")
        with pytest.raises(IntegrityError), transaction.atomic():
            add("twice")

    workflow_of(body)()
    assert notes() == ["twice"]


# -- halves and callers -----------------------------------------------------------------------------------------------


def test_an_asynchronous_transaction_is_refused_at_launch(site: Site, url: str) -> None:
    site.add("default", url)

    @durably.transaction(name="awaited")
    async def awaited() -> None: ...

    with pytest.raises(NoAdapterError, match=r"'awaited' is an async def.*Django has no asynchronous.*run_step"):
        Durably("site", system_database_url=url, adapters={"default": DjangoAdapter()}).launch()


def test_an_asynchronous_workflow_runs_transactions_on_a_thread(app: Durably) -> None:
    call = transaction_of(lambda: add("from a thread"), "threaded")

    @workflow(name="awaited")
    async def awaited() -> None:
        await aio.run_step(call)

    asyncio.run(awaited())
    assert notes() == ["from a thread"]


def test_a_workflow_called_inside_the_callers_block_says_the_ways_out(app: Durably) -> None:
    run = workflow_of(lambda: add("no"))
    with transaction.atomic(), pytest.raises(AmbientTransactionError, match=r"on_commit.*non_atomic_requests"):
        run()
    assert notes() == []


@pytest.mark.parametrize("commits", [True, False])
def test_a_start_inside_the_callers_block_exists_exactly_if_it_commits(app: Durably, commits: bool) -> None:
    run = workflow_of(lambda: add("by the workflow"))
    try:
        with transaction.atomic(), durably.workflow_options(workflow_id="joined"):
            add("by the caller")
            durably.start_workflow(run)
            if not commits:
                raise KeyError
    except KeyError:
        with pytest.raises(durably.WorkflowNotFoundError):
            durably.get_workflow_status("joined")
        assert notes() == []
    else:
        durably.get_result("joined", timeout_seconds=20)
        assert notes() == ["by the caller", "by the workflow"]


def test_a_transaction_called_inside_the_callers_block_is_a_savepoint_of_it(app: Durably) -> None:
    def failing() -> None:
        add("undone")
        raise KeyError("no")

    good, bad = transaction_of(lambda: add("kept"), "good"), transaction_of(failing, "bad")
    with transaction.atomic():
        good()
        with pytest.raises(KeyError):
            bad()
    assert notes() == ["kept"]
