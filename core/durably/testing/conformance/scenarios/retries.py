"""Transient failures run the whole transaction again, are never an outcome, and leave one row and one checkpoint."""

from __future__ import annotations

import contextlib
import threading
from collections.abc import Iterator

import pytest

from durably.adapter import BeginPlan
from durably.ambient import attempt
from durably.testing.conformance.altered import alter
from durably.testing.conformance.control import Control
from durably.testing.conformance.lab import Body, Lab, NotApplicable
from durably.testing.conformance.scenario import scenario

READ = "SELECT n FROM conformance_counter WHERE id = 1"
#: How long somebody else holds a lock that the adapter waits a hundredth of a second for.
HELD_SECONDS = 0.15


class Retries:
    """Serialization failures, deadlocks, locked files."""

    @pytest.mark.parametrize("level", ["repeatable read", "serializable"])
    @scenario(databases=["postgresql"])
    async def test_a_serialization_failure_is_run_again(self, lab: Lab, level: str) -> None:
        tries: list[int] = []

        async def body() -> int:
            tries.append(attempt())
            await lab.orm.statement(READ)
            if len(tries) == 1:
                lab.control.execute("UPDATE conformance_counter SET n = n + 10")
            return await lab.orm.increment()

        assert await lab.run(body, isolation_level=level) == 11
        assert tries == [1, 2]
        assert lab.control.counter() == 11
        assert lab.recorded() == [("body", "11", None)]

    @scenario(databases=["postgresql"])
    async def test_a_serialization_failure_that_was_swallowed_is_no_success(self, lab: Lab) -> None:
        """It is run again, or ends in an error; what the function returned is not recorded without its writes."""
        tries: list[int] = []

        async def body() -> int:
            tries.append(attempt())
            await lab.orm.add(1)
            await lab.orm.statement(READ)
            if len(tries) == 1:
                lab.control.execute("UPDATE conformance_counter SET n = n + 10")
            with contextlib.suppress(Exception):
                await lab.orm.increment()
            return 1

        try:
            await lab.run(body, isolation_level="repeatable read")
        except Exception:
            assert lab.items() == []
            assert lab.control.counter() == 10
        else:
            assert tries == [1, 2]
            assert lab.items() == [1]
            assert lab.control.counter() == 11

    @scenario(databases=["postgresql", "mysql"])
    async def test_two_that_read_the_same_row_at_serializable_both_count(self, lab: Lab) -> None:
        """One of them fails, with a serialization failure or in a deadlock, and is run again."""
        tries: list[int] = []

        async def body() -> int:
            tries.append(attempt())
            await lab.orm.statement(READ)
            await lab.until(lambda: len(tries) >= 2, "both have read")
            return await lab.orm.increment()

        flow = lab.workflow(lab.transaction(body, isolation_level="serializable"))
        assert sorted(await lab.together(*[lambda: lab.execute(flow)] * 2)) == [1, 2]
        assert sorted(tries) == [1, 1, 2]
        assert lab.control.counter() == 2
        assert [one.error for one in lab.recorded()] == [None, None]

    @scenario(databases=["postgresql", "mysql"])
    async def test_a_deadlock_is_run_again(self, lab: Lab) -> None:
        await lab.run(lab.adding(1), lab.adding(2))
        locked: list[int] = []

        def crossing(first: int, second: int) -> Body:
            async def body() -> int:
                await lab.orm.statement(_note(first))
                locked.append(first)
                await lab.until(lambda: {1, 2} <= set(locked), "both rows are locked")
                await lab.orm.statement(_note(second))
                return attempt()

            body.__name__ = f"from_{first}"
            return body

        flows = [
            lab.workflow(lab.transaction(crossing(*rows)), name=f"conformance-{rows[0]}") for rows in ((1, 2), (2, 1))
        ]
        tries = await lab.together(lambda: lab.execute(flows[0]), lambda: lab.execute(flows[1]))
        assert sorted(tries) == [1, 2]
        assert [one.error for one in lab.recorded()] == [None] * 4

    @scenario(databases=["sqlite"], lock_seconds=0.01)
    async def test_a_file_that_another_process_writes_is_waited_for(self, lab: Lab) -> None:
        locks = contextlib.ExitStack()
        begun: list[str] = []

        async def lock(plan: BeginPlan) -> None:
            if not plan.query_only and not begun:
                locks.enter_context(_held(lab.control, "BEGIN IMMEDIATE"))
            begun.append(plan.begin)

        # Not before: in the same file, Durably's own writes would wait for it.
        alter(lab.adapter, lab.asynchronous, before=lock)

        async def body() -> int:
            await lab.orm.add(1)
            return attempt()

        with locks:
            assert await lab.run(body) > 1
        assert lab.items() == [1]
        assert [one.error for one in lab.recorded()] == [None]

    @scenario(databases=["sqlite"], colocated=False, lock_seconds=0.01)
    async def test_a_commit_that_meets_a_reader_is_run_again(self, lab: Lab) -> None:
        if lab.control.execute("PRAGMA journal_mode") == [("wal",)]:
            raise NotApplicable(f"{lab.subject.name}: the ORM has SQLite write ahead, where no reader is in the way")
        locks = contextlib.ExitStack()
        tries: list[int] = []

        async def body() -> int:
            tries.append(attempt())
            if len(tries) == 1:
                locks.enter_context(_held(lab.control, "BEGIN", READ))
            await lab.orm.add(attempt())
            return attempt()

        with locks:
            last = await lab.run(body)
        assert last > 1
        assert tries == list(range(1, last + 1))
        assert lab.items() == [last]
        assert [one.error for one in lab.recorded()] == [None]


def _note(n: int) -> str:
    return f"UPDATE conformance_item SET note = 'locked' WHERE n = {n}"


@contextlib.contextmanager
def _held(control: Control, *statements: str) -> Iterator[None]:
    """Have another connection hold a lock for a while; the block may end before."""
    other = control.connect()
    for sql in statements:
        other.execute(sql).fetchall()
    timer = threading.Timer(HELD_SECONDS, other.rollback)
    timer.start()
    try:
        yield
    finally:
        timer.join()
        other.close()
