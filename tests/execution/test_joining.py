"""Inside a transaction that the caller has open: a start joins it, a direct call and a wait are refused."""

from __future__ import annotations

import contextlib
import sqlite3
from collections.abc import Iterator
from pathlib import Path

import pytest

import durably
from durably import Durably, Status, step, transaction, workflow
from tests.execution.adapters import SqliteAdapter, connection


class Telling(SqliteAdapter):
    """An adapter whose ORM can tell of an open transaction: one per adapter, as ``Telling.open`` began it."""

    current: sqlite3.Connection | None = None

    def ambient(self) -> sqlite3.Connection | None:
        return self.current

    @contextlib.contextmanager
    def savepoint(self, handle: sqlite3.Connection) -> Iterator[None]:
        handle.execute("SAVEPOINT part")
        try:
            yield
        except BaseException:
            handle.execute("ROLLBACK TO part")
            raise
        finally:
            handle.execute("RELEASE part")

    @contextlib.contextmanager
    def open(self) -> Iterator[sqlite3.Connection]:
        """The caller's own transaction."""
        self.current = raw = sqlite3.connect(self._path, isolation_level=None)
        try:
            raw.execute("BEGIN IMMEDIATE")
            yield raw
            raw.execute("COMMIT")
        finally:
            self.current = None
            raw.close()


class Undone(Exception):
    """Has the caller's transaction rolled back."""


@step
def note(text: str) -> str:
    return text


@workflow
def greet(name: str) -> str:
    return note(f"hello {name}")


@workflow
def other() -> None: ...


@transaction
def write(n: int) -> int:
    connection().execute("INSERT INTO item VALUES (?)", (n,))
    return n


@transaction
def write_and_fail(n: int) -> None:
    write.__wrapped__(n)  # type: ignore[attr-defined]
    raise Undone


@pytest.fixture
def adapter(sqlite_path: Path) -> Telling:
    with contextlib.closing(sqlite3.connect(sqlite_path)) as raw:
        raw.execute("PRAGMA journal_mode = WAL")
        raw.execute("CREATE TABLE item (n integer)")
    return Telling(sqlite_path)


@pytest.fixture
def colocated(adapter: Telling, sqlite_path: Path) -> Iterator[Durably]:
    """The system database is the application's file."""
    app = Durably("joining", system_database_url=f"sqlite:///{sqlite_path}", adapters={"default": adapter})
    with app:
        yield app


@pytest.fixture
def apart(adapter: Telling, tmp_path: Path) -> Iterator[Durably]:
    app = Durably("joining", system_database_url=f"sqlite:///{tmp_path / 'system.db'}", adapters={"default": adapter})
    with app:
        yield app


def _items(path: Path) -> list[int]:
    with contextlib.closing(sqlite3.connect(path)) as raw:
        return [row[0] for row in raw.execute("SELECT n FROM item ORDER BY n")]


def test_a_start_exists_once_the_callers_transaction_has_committed(colocated: Durably, adapter: Telling) -> None:
    with adapter.open():
        handle = durably.start_workflow(greet, "Ada")
        # Other connections do not see it yet.
        with pytest.raises(durably.WorkflowNotFoundError):
            handle.get_status()
    assert handle.get_status().status in (Status.ENQUEUED, Status.PENDING, Status.SUCCESS)
    assert handle.get_result(timeout_seconds=30) == "hello Ada"


def test_a_start_is_undone_with_the_callers_transaction(colocated: Durably, adapter: Telling) -> None:
    with contextlib.suppress(Undone), adapter.open(), durably.workflow_options(workflow_id="greeting"):
        durably.start_workflow(greet, "Ada")
        raise Undone
    with pytest.raises(durably.WorkflowNotFoundError):
        durably.get_workflow_status("greeting")


def test_a_start_outside_the_transaction_takes_no_notice_of_it(
    adapter: Telling, tmp_path: Path, sqlite_path: Path
) -> None:
    app = Durably("joining", system_database_url=f"sqlite:///{tmp_path / 'system.db'}", adapters={"default": adapter})
    with app, contextlib.suppress(Undone), adapter.open():
        with durably.outside_transaction():
            handle = durably.start_workflow(greet, "Ada")
            assert handle.get_result(timeout_seconds=30) == "hello Ada"
        raise Undone


def test_a_second_start_of_the_id_gets_the_first(colocated: Durably, adapter: Telling) -> None:
    with durably.workflow_options(workflow_id="greeting"):
        durably.start_workflow(greet, "Ada").get_result()
    with adapter.open():
        with durably.workflow_options(workflow_id="greeting"):
            handle = durably.start_workflow(greet, "Grace")
        with (
            durably.workflow_options(workflow_id="greeting"),
            pytest.raises(durably.WorkflowIdConflictError, match="other"),
        ):
            durably.start_workflow(other)
    assert handle.get_result() == "hello Ada"


def test_an_argument_that_cannot_be_stored_leaves_the_transaction_as_it_is(
    colocated: Durably, adapter: Telling, sqlite_path: Path
) -> None:
    with adapter.open() as raw:
        raw.execute("INSERT INTO item VALUES (1)")
        with pytest.raises(durably.SerializationError):
            durably.start_workflow(greet, object())  # type: ignore[call-overload]
    assert _items(sqlite_path) == [1]


def test_where_the_databases_are_two_a_start_is_refused_and_says_the_ways_out(apart: Durably, adapter: Telling) -> None:
    with adapter.open(), pytest.raises(durably.AmbientTransactionError, match="not the system database") as caught:
        durably.start_workflow(greet, "Ada")
    assert "on_commit" in str(caught.value)
    assert "outside_transaction" in str(caught.value)


def test_a_direct_call_is_refused_and_starts_nothing(colocated: Durably, adapter: Telling) -> None:
    with (
        adapter.open(),
        durably.workflow_options(workflow_id="greeting"),
        pytest.raises(durably.AmbientTransactionError, match="non_atomic_requests"),
    ):
        greet("Ada")
    with pytest.raises(durably.WorkflowNotFoundError):
        durably.get_workflow_status("greeting")


def test_waiting_in_there_for_what_was_started_in_there_is_refused(colocated: Durably, adapter: Telling) -> None:
    with adapter.open():
        handle = durably.start_workflow(greet, "Ada")
        with pytest.raises(durably.WaitInsideTransactionError, match=handle.workflow_id):
            handle.get_result()


def test_a_transaction_outside_a_workflow_joins_and_is_undone_alone(
    colocated: Durably, adapter: Telling, sqlite_path: Path
) -> None:
    with adapter.open():
        assert write(1) == 1
        with pytest.raises(Undone):
            write_and_fail(2)
        assert write(3) == 3
        assert _items(sqlite_path) == []
    assert _items(sqlite_path) == [1, 3]


def test_an_engine_that_does_not_execute_joins_too(adapter: Telling, sqlite_path: Path) -> None:
    url = f"sqlite:///{sqlite_path}"
    with Durably("joining", system_database_url=url, adapters={"default": adapter}, executes="none"), adapter.open():
        workflow_id = durably.start_workflow(greet, "Ada").workflow_id
    with Durably("joining", system_database_url=url, adapters={"default": adapter}):
        assert durably.get_result(workflow_id, timeout_seconds=30) == "hello Ada"
