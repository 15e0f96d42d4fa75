"""A transaction's writes and its checkpoint commit together, once."""

from __future__ import annotations

import contextlib
from collections.abc import AsyncIterator, Iterator
from typing import Any

import psycopg
import pytest
from sqlalchemy.exc import IntegrityError, OperationalError
from sqlalchemy.orm import Session

import durably
from durably.adapter import BeginPlan
from durably_sqlalchemy import AsyncSQLAlchemyAdapter, SQLAlchemy, SQLAlchemyAdapter
from tests.adapters.sqlalchemy.conftest import MARIADB, MakeLab, kinds
from tests.adapters.sqlalchemy.lab import Interrupted, Item, Lab, Unique, add


class OutOfStock(Exception):
    """The user's own error."""


def test_writes_and_checkpoint_are_one_commit(lab: Lab) -> None:
    assert lab.run(add(1), add(2)) == 2
    assert lab.items() == [1, 2]
    assert [(one.function_name, one.output, one.error) for one in lab.recorded()] == [
        ("add_1", "1", None),
        ("add_2", "2", None),
    ]


def test_the_second_start_of_an_id_gets_the_first_ones_outcome(lab: Lab) -> None:
    assert lab.run(add(1), workflow_id="order") == 1
    assert lab.run(add(1), workflow_id="order") == 1
    assert lab.items() == [1]


def test_a_replay_does_not_run_it_again(make_lab: MakeLab) -> None:
    lab = make_lab().launch(lease_seconds=1.0)
    crashes = [True]

    def crash_once() -> None:
        if crashes:
            crashes.clear()
            raise Interrupted

    with pytest.raises(Interrupted):
        lab.run_calls(lab.transaction(add(1)), crash_once, lab.transaction(add(2)), workflow_id="order")
    assert lab.items() == [1]
    assert lab.result("order") == 2
    assert lab.items() == [1, 2]
    assert len(lab.recorded()) == 2


def test_an_error_rolls_back_and_is_recorded_and_raised_as_it_is(lab: Lab) -> None:
    def fail(s: Session) -> None:
        s.add(Item(n=1))
        s.flush()
        raise OutOfStock("no widgets")

    with pytest.raises(OutOfStock, match="no widgets"):
        lab.run(fail)
    assert lab.items() == []
    (recorded,) = lab.recorded()
    assert recorded.output is None
    assert "no widgets" in str(recorded.error)


def test_an_interruption_leaves_nothing(lab: Lab) -> None:
    def fail(s: Session) -> None:
        s.add(Item(n=1))
        s.flush()
        raise Interrupted

    with pytest.raises(Interrupted):
        lab.run(fail)
    assert lab.items() == []
    assert lab.recorded() == []


def test_a_constraint_that_fails_at_the_flush_is_the_functions_error(lab: Lab) -> None:
    def add_name(s: Session) -> None:
        s.add_all([Item(n=1), Unique(name="taken")])

    lab.run(add_name)
    with pytest.raises(IntegrityError):
        lab.run(add_name)
    assert lab.items() == [1]


def test_what_is_pending_is_written_before_the_checkpoint(make_lab: MakeLab) -> None:
    lab = make_lab()
    statements: list[str] = []
    from sqlalchemy import event

    @event.listens_for(lab.sync_engine, "before_cursor_execute")
    def note(_c: Any, _cur: Any, sql: str, *_: Any) -> None:
        statements.append(sql)

    lab.launch()
    lab.run(add(1))
    written = [sql for sql in statements if "INSERT INTO" in sql]
    assert len(written) == 2
    assert "item" in written[0]
    assert "durably" in written[1]


def test_a_value_that_cannot_be_recorded_rolls_back(lab: Lab) -> None:
    def give_object(s: Session) -> object:
        s.add(Item(n=1))
        return object()

    with pytest.raises(durably.SerializationError):
        lab.run(give_object)
    assert lab.items() == []


@kinds(MARIADB)
@pytest.mark.parametrize("megabytes", [16, 40])
def test_a_value_that_is_larger_than_mariadb_takes_is_not_even_sent(lab: Lab, megabytes: int) -> None:
    """The server would hang up, which looks like a lost connection, in each further try again."""
    runs: list[int] = []

    def give_much(s: Session) -> str:
        runs.append(1)
        s.add(Item(n=1))
        return "x" * (megabytes << 20)

    with pytest.raises(durably.SerializationError, match="max_allowed_packet"):
        lab.run(give_much)
    assert runs == [1]
    assert lab.items() == []
    (recorded,) = lab.recorded()
    assert "max_allowed_packet" in str(recorded.error)


@kinds(MARIADB)
def test_neither_is_an_error_of_that_size(lab: Lab) -> None:
    def fail(s: Session) -> None:
        s.add(Item(n=1))
        raise OutOfStock("x" * (20 << 20))

    for _ in range(2):
        with pytest.raises(durably.SerializationError, match=r"the error of transaction 'fail'.*max_allowed_packet"):
            lab.run(fail, workflow_id="failing")
    assert lab.items() == []


@kinds(MARIADB)
def test_what_fits_into_mariadbs_packet_is_recorded(lab: Lab) -> None:
    text = '"' * (1 << 20) + "x" * (8 << 20)
    assert lab.run(lambda s: text, workflow_id="large") == text
    assert lab.run(lambda s: text, workflow_id="large") == text


# -- a lost acknowledgement --------------------------------------------------------------------------------------


def _lost() -> OperationalError:
    return OperationalError("COMMIT", None, psycopg.OperationalError("server closed the connection unexpectedly"))


class _Losing(SQLAlchemyAdapter):
    armed = False

    @contextlib.contextmanager
    def begin(self, plan: BeginPlan) -> Iterator[Session]:
        with super().begin(plan) as handle:
            yield handle
        if self.armed:
            self.armed = False
            raise _lost()


class _AsyncLosing(AsyncSQLAlchemyAdapter):
    armed = False

    @contextlib.asynccontextmanager
    async def begin(self, plan: BeginPlan) -> AsyncIterator[Any]:
        async with super().begin(plan) as handle:
            yield handle
        if self.armed:
            self.armed = False
            raise _lost()


def test_a_commit_whose_acknowledgement_is_lost_is_found_and_not_run_again(make_lab: MakeLab) -> None:
    lab = make_lab()
    adapter: Any = SQLAlchemy(lab.engine)
    adapter.__class__ = _AsyncLosing if lab.asynchronous else _Losing
    lab.launch(adapter)
    runs: list[int] = []

    def body(s: Session) -> int:
        runs.append(1)
        adapter.armed = True
        s.add(Item(n=1))
        return 7

    assert lab.run(body) == 7
    assert runs == [1]
    assert lab.items() == [1]
    assert len(lab.recorded()) == 1
