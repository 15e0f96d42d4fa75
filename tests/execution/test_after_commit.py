"""What an ORM calls between its commit and the end of the transaction's scope: the user's code, after the fact."""

from __future__ import annotations

import logging
import sqlite3
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

import durably
from durably import DeclarationError, Durably, transaction, workflow
from durably.adapter import BeginPlan, transaction_committed
from tests.execution.adapters import SqliteAdapter


class CallingAdapter(SqliteAdapter):
    """An ORM with callbacks."""

    after: Callable[[], None] | None = None

    @contextmanager
    def begin(self, plan: BeginPlan) -> Iterator[sqlite3.Connection]:
        with super().begin(plan) as raw:
            yield raw
            if self.after is not None:
                raw.execute("COMMIT")
                after, self.after = self.after, None
                transaction_committed()
                after()
                raw.execute("BEGIN")  # for the one who commits


@workflow
def child() -> str:
    return "child"


@transaction
def nothing() -> int:
    return 1


@workflow
def parent() -> int:
    return nothing()


@pytest.fixture
def adapter(tmp_path: Path) -> Iterator[CallingAdapter]:
    """Both databases in one file, whose writers exclude each other."""
    adapter = CallingAdapter(tmp_path / "one.db")
    with Durably("shop", system_database_url=f"sqlite:///{tmp_path}/one.db", adapters={"default": adapter}):
        yield adapter


@pytest.mark.parametrize("outside", [True, False])
def test_it_may_start_workflows_and_call_transactions(adapter: CallingAdapter, outside: bool) -> None:
    given: list[object] = []

    def after() -> None:
        with durably.workflow_options(workflow_id="child"):
            given.append(durably.start_workflow(child).get_result(timeout_seconds=20))
        given.append(nothing())

    adapter.after = after
    assert (nothing if outside else parent)() == 1
    assert given == ["child", 1]


def test_it_takes_no_place_among_the_workflows_calls(adapter: CallingAdapter, caplog: pytest.LogCaptureFixture) -> None:
    """A replay does not call it, so that what it started would be missed there."""

    def after() -> None:
        durably.start_workflow(child)

    adapter.after = after
    with caplog.at_level(logging.ERROR, "durably"):
        assert parent() == 1
    (record,) = (one for one in caplog.records if one.name == "durably.transactions")
    assert record.exc_info is not None
    assert isinstance(record.exc_info[1], DeclarationError)


def test_what_it_raises_outside_a_workflow_does_not_run_the_transaction_again(adapter: CallingAdapter) -> None:
    def after() -> None:
        raise sqlite3.OperationalError("database is locked")

    adapter.after = after
    with pytest.raises(sqlite3.OperationalError):
        nothing()
