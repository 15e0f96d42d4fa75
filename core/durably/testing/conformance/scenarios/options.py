"""What a transaction's options ask for is in force in it, and not in the next one."""

from __future__ import annotations

import time
from uuid import uuid4

import pytest

from durably.sql.drivers import Failure
from durably.sql.failures import classify
from durably.testing.conformance.lab import PATIENCE, STALE_SECONDS, Body, Lab
from durably.testing.conformance.scenario import scenario

LEVELS = ["read committed", "repeatable read", "serializable"]


class Options:
    """Isolation levels, and read-only."""

    @scenario(databases=["postgresql", "mysql"])
    async def test_an_isolation_level_is_in_force_for_its_own_transaction_only(self, lab: Lab) -> None:
        """The server says so; between them, the database's own default is back."""
        default = await lab.run(_level(lab))
        assert default in LEVELS
        for level in LEVELS:
            assert await lab.run(_level(lab), isolation_level=level) == level
            assert await lab.run(_level(lab)) == default

    @pytest.mark.parametrize("level", LEVELS)
    @scenario(databases=["sqlite"])
    async def test_on_sqlite_every_level_is_accepted(self, lab: Lab, level: str) -> None:
        """It is always serializable."""
        assert await lab.run(lab.adding(1), isolation_level=level) == 1
        assert lab.items() == [1]

    @scenario()
    async def test_a_write_in_a_read_only_transaction_is_refused(self, lab: Lab) -> None:
        """With the database's own error, which is recorded; and the next transactions write again."""

        async def body() -> None:
            await lab.orm.add(1)

        for n in (2, 3, 4):
            error = await lab.failure(body, read_only=True)
            classified = classify(error)
            assert classified is not None, f"{error!r} is no database error"
            assert classified.failure is Failure.READ_ONLY
            assert await lab.run(lab.adding(n)) == n
        assert lab.items() == [2, 3, 4]
        assert len([one for one in lab.history() if one.error is not None]) == 3

    @scenario()
    async def test_what_a_read_only_transaction_returns_is_recorded(self, lab: Lab) -> None:
        await lab.run(lab.adding(1))

        async def reading() -> list[int]:
            return await lab.orm.items()

        for _ in range(3):
            assert await lab.run(reading, read_only=True) == [1]
        assert [one.output for one in lab.history() if one.function_name == "reading"] == ["[1]"] * 3
        assert await lab.run(lab.adding(2)) == 2
        assert lab.items() == [1, 2]

    @scenario()
    async def test_both_options_together(self, lab: Lab) -> None:
        await lab.run(lab.adding(1))

        async def reading() -> list[int]:
            return await lab.orm.items()

        assert await lab.run(reading, read_only=True, isolation_level="serializable") == [1]
        assert await lab.run(lab.adding(2), isolation_level="serializable") == 2
        assert lab.items() == [1, 2]

    @scenario()
    async def test_a_read_only_transaction_outside_a_workflow_leaves_nothing_behind(self, lab: Lab) -> None:
        async def reading() -> list[int]:
            return await lab.orm.items()

        assert await lab.do(lab.transaction(reading, read_only=True)) == []
        assert await lab.do(lab.transaction(lab.adding(1))) == 1
        assert lab.items() == [1]


def _level(lab: Lab) -> Body:
    async def level() -> str:
        await lab.orm.items()
        until = time.monotonic() + PATIENCE
        while True:
            rows = await lab.orm.statement(lab.control.isolation_level(uuid4().hex))
            if rows:
                return str(rows[0][0])
            assert time.monotonic() < until, "the server does not show the transaction"
            await lab.pause(STALE_SECONDS)

    return level
