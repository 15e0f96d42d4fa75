"""What an adapter is made from: the user's session class, options and listeners are kept; the rest is refused."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Any

import pytest
from sqlalchemy import create_engine, event, select
from sqlalchemy.exc import OperationalError
from sqlalchemy.ext.asyncio import (
    AsyncSession,
    async_scoped_session,
    async_sessionmaker,
    create_async_engine,
)
from sqlalchemy.orm import Session, scoped_session, sessionmaker
from sqlalchemy.orm.exc import DetachedInstanceError

import durably
from durably_sqlalchemy import SQLAlchemy, async_session, session
from tests.adapters.sqlalchemy.conftest import EVERY_DRIVER, MakeLab, kinds
from tests.adapters.sqlalchemy.lab import Base, Item, Kind, Lab, Unique, add

TWO = kinds([Kind("pysqlite", False), Kind("aiosqlite", False)])


class AuditedSession(Session):
    """A session class of the user's."""

    def audit(self) -> str:
        return f"audited by {self.info['who']}"


class AuditedAsyncSession(AsyncSession):
    sync_session_class = AuditedSession


def _maker(lab: Lab, **options: Any) -> Any:
    if lab.asynchronous:
        return async_sessionmaker(lab.engine, class_=AuditedAsyncSession, **options)
    return sessionmaker(lab.engine, class_=AuditedSession, **options)


@kinds(EVERY_DRIVER)
def test_a_sessionmakers_class_and_options_are_kept(make_lab: MakeLab) -> None:
    lab = make_lab()
    lab.launch(SQLAlchemy(_maker(lab, expire_on_commit=False, info={"who": "me"})))
    kept: list[Item] = []

    def body(s: Session) -> str:
        assert isinstance(s, AuditedSession)
        item = Item(n=1)
        s.add(item)
        kept.append(item)
        return s.audit()

    assert lab.run(body) == "audited by me"
    assert kept[0].n == 1  # not expired


@TWO
def test_by_default_objects_expire_as_ever(lab: Lab) -> None:
    kept: list[Item] = []

    def body(s: Session) -> None:
        kept.append(Item(n=1))
        s.add(kept[0])

    lab.run(body)
    with pytest.raises(DetachedInstanceError):
        _ = kept[0].n


@TWO
def test_options_about_beginning_are_durablys(make_lab: MakeLab) -> None:
    lab = make_lab()
    lab.launch(SQLAlchemy(_maker(lab, autobegin=False, twophase=True, join_transaction_mode="create_savepoint")))
    lab.run(add(1))
    assert lab.items() == [1]


@TWO
def test_a_class_that_spreads_its_work_over_engines_is_held_together(make_lab: MakeLab, tmp_path: Any) -> None:
    other = create_engine(f"sqlite:///{tmp_path}/other.db")
    Base.metadata.create_all(other)

    class Routing(Session):
        def get_bind(self, *args: Any, **kwargs: Any) -> Any:
            return other

    lab = make_lab()
    maker: Any = (
        async_sessionmaker(lab.engine, sync_session_class=Routing)
        if lab.asynchronous
        else sessionmaker(lab.engine, class_=Routing)
    )
    lab.launch(SQLAlchemy(maker))
    lab.run(add(1))
    assert lab.items() == [1]
    with Session(other) as seen:
        assert seen.scalars(select(Item)).all() == []
    other.dispose()


@TWO
def test_session_listeners_run_and_after_commit_only_after_the_commit(make_lab: MakeLab) -> None:
    lab = make_lab()
    maker = _maker(lab)
    inner = AuditedSession if lab.asynchronous else maker
    heard: list[str] = []
    failures = [True]

    @event.listens_for(inner, "before_flush")
    def before_flush(*_: Any) -> None:
        heard.append("before_flush")

    @event.listens_for(inner, "after_commit")
    def after_commit(_: Session) -> None:
        heard.append(f"after_commit {lab.items()}")

    @event.listens_for(lab.sync_engine, "commit")
    def fail_once(_: Any) -> None:
        if failures and heard:
            failures.clear()
            import sqlite3

            raise OperationalError("COMMIT", None, sqlite3.OperationalError("database is locked"))

    lab.launch(SQLAlchemy(maker))
    lab.run(add(1))
    for target, name, function in (
        (inner, "before_flush", before_flush),
        (inner, "after_commit", after_commit),
    ):
        event.remove(target, name, function)
    assert heard == ["before_flush", "before_flush", "after_commit [1]"]


# -- scoped sessions ---------------------------------------------------------------------------------------------


def _scoped(lab: Lab) -> Any:
    maker = _maker(lab)
    return async_scoped_session(maker, scopefunc=asyncio.current_task) if lab.asynchronous else scoped_session(maker)


@kinds(EVERY_DRIVER)
def test_code_with_a_global_session_works_on_the_transaction(make_lab: MakeLab) -> None:
    lab = make_lab()
    scoped = _scoped(lab)
    lab.launch(SQLAlchemy(scoped))
    runs: list[int] = []

    @durably.transaction(name="plain")
    def plain() -> None:
        assert scoped() is session()
        scoped.add(Item(n=len(runs)))
        runs.append(1)

    @durably.transaction(name="awaited")
    async def awaited() -> None:
        assert scoped() is async_session()
        scoped.add(Item(n=len(runs)))
        runs.append(1)

    def fail(s: Session) -> None:
        scoped.add(Item(n=9))
        raise ValueError("roll back")

    call: Any = awaited if lab.asynchronous else plain
    lab.run_calls(call, call)
    with pytest.raises(ValueError, match="roll back"):
        lab.run(fail)
    assert lab.items() == [0, 1]
    assert not scoped.registry.registry if lab.asynchronous else not scoped.registry.has()


@kinds([Kind("pysqlite", False)])
def test_the_scopes_own_session_is_put_back(make_lab: MakeLab) -> None:
    lab = make_lab()
    scoped = _scoped(lab)
    lab.launch(SQLAlchemy(scoped))
    mine = scoped()
    lab.run(add(1))
    assert scoped() is mine
    scoped.remove()


@kinds([Kind("pysqlite", False)])
def test_a_transaction_that_the_scope_has_open_is_noticed(make_lab: MakeLab) -> None:
    lab = make_lab()
    scoped = _scoped(lab)
    lab.launch(SQLAlchemy(scoped))
    call = lab.transaction(add(2))
    scoped.scalars(select(Item)).all()
    with pytest.raises(durably.AmbientTransactionError):
        lab.run_calls(call)
    assert call() == 2  # outside a workflow it joins
    scoped.rollback()
    assert lab.items() == []
    assert lab.run_calls(call) == 2
    scoped.remove()


# -- what is refused ---------------------------------------------------------------------------------------------


def test_binds_to_one_engine_are_that_engine() -> None:
    engine = create_engine("sqlite:///one.db")
    assert SQLAlchemy(sessionmaker(binds={Item: engine, Unique: engine})).url() == "sqlite:///one.db"


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (sessionmaker, "sessionmaker.*one Engine"),
        (async_sessionmaker, "async_sessionmaker.*one AsyncEngine"),
        (lambda: sessionmaker(binds={Item: create_engine("sqlite://"), Unique: create_engine("sqlite://")}), "several"),
        (lambda: sessionmaker(create_async_engine("sqlite+aiosqlite://")), "of type AsyncEngine"),  # type: ignore[call-overload]
        (lambda: scoped_session(lambda: Session()), "not function"),  # type: ignore[arg-type]
        (lambda: Session, "not type"),
        (lambda: create_engine("sqlite://").url, "address as a string"),
        (lambda: create_engine("oracle+cx_oracle://", module=_Stub()), "PostgreSQL, SQLite, MySQL and MariaDB"),
    ],
)
def test_what_it_cannot_be_made_from(make: Callable[[], Any], message: str) -> None:
    with pytest.raises(durably.ConfigurationError, match=message):
        SQLAlchemy(make())


class _Stub:
    """A driver that is not installed."""

    paramstyle = "named"
    version = "8.0.0"
    Error = Exception

    def __getattr__(self, name: str) -> str:
        return name
