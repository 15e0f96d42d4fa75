"""Savepoints inside a transaction are the user's own."""

from __future__ import annotations

import contextlib

import pytest
from sqlalchemy import select, text
from sqlalchemy.exc import IntegrityError
from sqlalchemy.orm import Session

from tests.adapters.sqlalchemy.conftest import EVERY_DRIVER, kinds
from tests.adapters.sqlalchemy.lab import Item, Lab, Unique

pytestmark = kinds(EVERY_DRIVER)


def test_rolling_one_back_keeps_the_rest(lab: Lab) -> None:
    lab.run(lambda s: s.add(Unique(name="taken")))

    def body(s: Session) -> str:
        s.add(Item(n=1))
        with pytest.raises(IntegrityError), s.begin_nested():
            s.add_all([Item(n=2), Unique(name="taken")])
        s.add(Item(n=3))
        return "done"

    assert lab.run(body) == "done"
    assert lab.items() == [1, 3]


def test_releasing_one_commits_nothing(lab: Lab) -> None:
    def body(s: Session) -> None:
        s.execute(select(Item)).all()
        with s.begin_nested():
            s.add(Item(n=1))
        raise ValueError("roll back")

    with pytest.raises(ValueError, match="roll back"):
        lab.run(body)
    assert lab.items() == []


def test_they_nest(lab: Lab) -> None:
    def body(s: Session) -> None:
        with s.begin_nested():
            s.add(Item(n=1))
            with contextlib.suppress(KeyError), s.begin_nested():
                s.add(Item(n=2))
                s.flush()
                raise KeyError
            s.add(Item(n=3))

    lab.run(body)
    assert lab.items() == [1, 3]


def test_one_that_is_left_open_is_released(lab: Lab) -> None:
    def body(s: Session) -> None:
        s.add(Item(n=1))
        s.begin_nested()
        s.begin_nested()
        s.add(Item(n=2))

    lab.run(body)
    assert lab.items() == [1, 2]


def test_those_of_the_connection_and_in_plain_sql(lab: Lab) -> None:
    def body(s: Session) -> None:
        s.add(Item(n=1))
        s.flush()
        nested = s.connection().begin_nested()
        s.add(Item(n=2))
        s.flush()
        nested.rollback()
        s.execute(text("SAVEPOINT mine"))
        s.add(Item(n=3))
        s.flush()
        s.execute(text("ROLLBACK TO SAVEPOINT mine"))
        s.execute(text("RELEASE SAVEPOINT mine"))

    lab.run(body)
    assert lab.items() == [1]
