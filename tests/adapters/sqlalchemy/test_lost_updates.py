"""Read-modify-write by several at once on MariaDB: what its default loses, and what helps."""

from __future__ import annotations

import threading
from collections.abc import Callable
from typing import Any

import pytest
from sqlalchemy import create_engine, select
from sqlalchemy.orm import Session

import durably
from durably_sqlalchemy import SQLAlchemy
from tests.adapters.sqlalchemy.conftest import MARIADB, MakeLab, kinds
from tests.adapters.sqlalchemy.lab import Item, Kind, Lab, add

THREADS, EACH = 6, 5
#: As the user's own application would set it, for each connection of its engine.
SNAPSHOT_ISOLATION = {"init_command": "SET SESSION innodb_snapshot_isolation = ON"}
SYNC = kinds([Kind("pymysql", False)])


def _plain(s: Session) -> int:
    item = s.scalars(select(Item)).one()
    item.n += 1
    return item.n


def _locking(s: Session) -> int:
    item = s.scalars(select(Item).with_for_update()).one()
    item.n += 1
    return item.n


def _many_at_once(lab: Lab, body: Callable[[Session], int], **options: Any) -> None:
    lab.run(add(0))
    flow = lab.workflow(lab.transaction(body, **options))
    errors: list[BaseException] = []

    def work() -> None:
        try:
            for _ in range(EACH):
                flow()
        except BaseException as error:
            errors.append(error)

    threads = [threading.Thread(target=work) for _ in range(THREADS)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert errors == []


def _meeting(lab: Lab, body_of: Callable[[Session, Callable[[], None]], None], **options: Any) -> list[int]:
    """Two transactions add one each, and neither writes before both have read; how often each ran."""
    lab.run(add(0))
    both_have_read = threading.Barrier(2)
    runs = [0, 0]

    def increment(which: int) -> Callable[[Session], None]:
        def body(s: Session) -> None:
            runs[which] += 1

            def meet() -> None:
                if runs[which] == 1:
                    both_have_read.wait(10)

            body_of(s, meet)

        body.__name__ = f"increment_{which}"
        return body

    flows = []
    for which in range(2):
        call = lab.transaction(increment(which), **options)
        flows.append(durably.workflow(name=f"flow_{which}")(lambda call=call: call()))
    threads = [threading.Thread(target=flow) for flow in flows]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    return runs


def _read_meet_write(s: Session, meet: Callable[[], None]) -> None:
    item = s.scalars(select(Item)).one()
    meet()
    item.n += 1
    s.flush()


@SYNC
@pytest.mark.parametrize("level", [None, "read committed", "repeatable read"])
def test_the_default_loses_an_update_without_an_error(lab: Lab, level: str | None) -> None:
    """The reality that the warning and docs/databases.md tell of, not a wish."""
    assert _meeting(lab, _read_meet_write, isolation_level=level) == [1, 1]
    assert lab.items() == [1]


@SYNC
def test_with_snapshot_isolation_the_second_is_run_again(make_lab: MakeLab) -> None:
    lab = make_lab(connect_args=SNAPSHOT_ISOLATION).launch()
    assert sorted(_meeting(lab, _read_meet_write)) == [1, 2]
    assert lab.items() == [2]
    assert [one.error for one in lab.recorded()] == [None] * 3


@SYNC
def test_at_serializable_one_of_the_two_is_run_again(lab: Lab) -> None:
    assert sorted(_meeting(lab, _read_meet_write, isolation_level="serializable")) == [1, 2]
    assert lab.items() == [2]
    assert [one.error for one in lab.recorded()] == [None] * 3


@SYNC
def test_many_with_snapshot_isolation_lose_none(make_lab: MakeLab) -> None:
    lab = make_lab(pool_size=THREADS, connect_args=SNAPSHOT_ISOLATION).launch()
    _many_at_once(lab, _plain)
    assert lab.items() == [THREADS * EACH]


@SYNC
def test_many_at_serializable_lose_none(make_lab: MakeLab) -> None:
    lab = make_lab(pool_size=THREADS).launch()
    _many_at_once(lab, _plain, isolation_level="serializable")
    assert lab.items() == [THREADS * EACH]
    recorded = [one for one in lab.recorded() if one.function_name == "_plain"]
    assert sorted(int(str(one.output)) for one in recorded) == list(range(1, THREADS * EACH + 1))


@SYNC
@pytest.mark.parametrize("level", [None, "read committed"])
def test_many_with_locking_reads_lose_none(make_lab: MakeLab, level: str | None) -> None:
    lab = make_lab(pool_size=THREADS).launch()
    _many_at_once(lab, _locking, isolation_level=level)
    assert lab.items() == [THREADS * EACH]


# -- the warning -------------------------------------------------------------------------------------------------


def _warnings(caplog: pytest.LogCaptureFixture) -> list[str]:
    return [one.getMessage() for one in caplog.records if one.name == "durably.adapters" and one.levelname == "WARNING"]


@kinds(MARIADB)
def test_the_default_is_warned_of_once(make_lab: MakeLab, caplog: pytest.LogCaptureFixture) -> None:
    make_lab().launch().run(add(1), add(2))
    (said,) = _warnings(caplog)
    assert "adapter 'default'" in said
    assert "REPEATABLE READ" in said


@kinds(MARIADB)
@pytest.mark.parametrize("options", [{"isolation_level": "SERIALIZABLE"}, {"connect_args": SNAPSHOT_ISOLATION}])
def test_an_engine_that_loses_none_is_not_warned_of(
    make_lab: MakeLab, caplog: pytest.LogCaptureFixture, options: dict[str, Any]
) -> None:
    lab = make_lab(**options).launch()
    lab.run(add(1))
    assert _warnings(caplog) == []


@kinds([Kind("asyncmy", False)])
def test_two_halves_are_warned_of_once(make_lab: MakeLab, caplog: pytest.LogCaptureFixture) -> None:
    lab = make_lab()
    plain = create_engine(lab.sync_engine.url.set(drivername="mysql+pymysql"))
    lab.launch([SQLAlchemy(plain), SQLAlchemy(lab.engine)])
    assert lab.run(add(1)) == 1
    plain.dispose()
    assert len(_warnings(caplog)) == 1
