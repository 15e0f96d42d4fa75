"""``session()`` and its kin: what a transaction's function gets, and what it is told in the wrong place."""

from __future__ import annotations

import contextlib
import inspect
from collections.abc import Iterator, Sequence
from typing import Any

import pytest
from sqlalchemy.ext.asyncio import AsyncSession
from sqlalchemy.orm import Session

import durably
from durably.adapter import BeginPlan
from durably_sqlalchemy import SQLAlchemy, SQLAlchemyAdapter, async_session, session, with_async_session, with_session
from tests.adapters.sqlalchemy.conftest import EVERY_DRIVER, MakeLab, kinds
from tests.adapters.sqlalchemy.lab import Item, Kind, Lab

ONE = kinds([Kind("pysqlite", False)])
ONE_ASYNC = kinds([Kind("aiosqlite", False)])


def reserve(s: Session, sku: str, quantity: int = 1) -> str:
    """A helper as it might stand in a repository."""
    s.add(Item(n=quantity))
    return sku * quantity


async def reserve_async(s: AsyncSession, sku: str, *, quantity: int) -> str:
    s.add(Item(n=quantity))
    await s.flush()
    return sku * quantity


def test_outside_a_transaction_there_is_none() -> None:
    for ask in (session, async_session, lambda: with_session(reserve)("a")):
        with pytest.raises(durably.NoTransactionError, match=r"session\(\) needs an open transaction"):
            ask()


@kinds(EVERY_DRIVER)
def test_the_accessor_of_the_other_half(lab: Lab) -> None:
    with pytest.raises(durably.SessionKindError, match="accessor of the other kind"):
        lab.run(lambda _: session() if lab.asynchronous else async_session())


class _AnotherOrm:
    """An adapter whose handle is no session."""

    dialect, paramstyle = "sqlite", "qmark"

    def __init__(self, lab: Lab) -> None:
        self._inner: SQLAlchemyAdapter = SQLAlchemy(lab.engine)

    def ambient(self) -> None:
        return None

    @contextlib.contextmanager
    def begin(self, plan: BeginPlan) -> Iterator[list[Session]]:
        with self._inner.begin(plan) as handle:
            yield [handle]

    def execute(self, handle: list[Session], sql: str, params: Sequence[Any] = ()) -> list[tuple[Any, ...]]:
        return self._inner.execute(handle[0], sql, params)


@ONE
def test_a_transaction_of_another_orm(make_lab: MakeLab) -> None:
    lab = make_lab()
    lab.launch([_AnotherOrm(lab)])
    with pytest.raises(durably.SessionKindError, match="works with builtins"):
        lab.run_calls(lab.transaction(lambda _: None))


@ONE
def test_outside_a_workflow_it_is_the_same_session(lab: Lab) -> None:
    transaction = durably.transaction(with_session(reserve))
    assert transaction("ab", quantity=2) == "abab"
    assert lab.items() == [2]
    assert lab.recorded() == []


@ONE
def test_helpers_stay_as_they_are(lab: Lab) -> None:
    transaction = durably.transaction(with_session(reserve))
    assert lab.run_calls(lambda: transaction("ab", quantity=2)) == "abab"
    assert lab.items() == [2]
    (recorded,) = lab.recorded()
    assert recorded.function_name == f"{__name__}.reserve"
    assert transaction.__doc__ == reserve.__doc__
    assert list(inspect.signature(transaction).parameters) == ["sku", "quantity"]


@ONE_ASYNC
def test_asynchronous_helpers_stay_as_they_are(lab: Lab) -> None:
    transaction = durably.transaction(with_async_session(reserve_async))
    assert inspect.iscoroutinefunction(with_async_session(reserve_async))
    assert lab.run_calls(lambda: transaction("ab", quantity=2)) == "abab"
    assert lab.items() == [2]
    assert list(inspect.signature(transaction).parameters) == ["sku", "quantity"]


def test_the_wrong_decorator_is_refused() -> None:
    with pytest.raises(durably.DeclarationError, match="use @with_async_session"):
        with_session(reserve_async)  # type: ignore[type-var]
    with pytest.raises(durably.DeclarationError, match="use @with_session"):
        with_async_session(reserve)  # type: ignore[type-var,arg-type]
    with pytest.raises(durably.DeclarationError, match="no first parameter"):
        with_session(lambda: None)  # type: ignore[misc,arg-type]


@ONE
def test_two_helpers_of_one_name_are_told_apart(lab: Lab) -> None:
    def first(s: Session) -> int:
        return 1

    def second(s: Session) -> int:
        return 2

    durably.transaction(name="helper")(with_session(first))
    with pytest.raises(durably.DeclarationError, match="declared twice"):
        durably.transaction(name="helper")(with_session(second))
