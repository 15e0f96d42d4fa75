"""Connections that break are replaced; none is left in a transaction, and their number does not grow."""

from __future__ import annotations

import sqlite3
from typing import Any

import pytest

from durably.ambient import attempt
from durably.testing.conformance.lab import Body, Lab
from durably.testing.conformance.scenario import scenario

#: Transactions of each kind in a round, one after another; and how many at once.
ROUND, AT_ONCE = 4, 8


class Connections:
    """Lost connections, and left ones."""

    @pytest.mark.parametrize("who", ["itself", "another"])
    @scenario(databases=["postgresql", "mysql"])
    async def test_a_connection_killed_in_the_body_is_replaced(self, lab: Lab, who: str) -> None:
        async def body() -> int:
            await lab.orm.add(attempt())
            if attempt() == 1:
                kill = lab.control.kill(await lab.orm.value(lab.control.own_session))
                if who == "itself":
                    await lab.orm.statement(kill)
                else:
                    lab.control.execute(kill)
            return attempt()

        assert await lab.run(body) == 2
        assert lab.items() == [2]
        assert lab.recorded() == [("body", "2", None)]

    @scenario(databases=["postgresql", "mysql"])
    async def test_idle_connections_that_the_server_has_closed_are_replaced(self, lab: Lab) -> None:
        assert await lab.run(lab.adding(1)) == 1
        lab.control.disconnect_others()
        assert await lab.run(lab.adding(2)) == 2
        assert lab.items() == [1, 2]
        assert [one.error for one in lab.recorded()] == [None, None]

    @scenario(databases=["postgresql", "mysql"])
    async def test_a_read_only_transaction_outlives_a_lost_connection(self, lab: Lab) -> None:
        await lab.run(lab.adding(1))
        lab.control.disconnect_others()

        async def body() -> list[int]:
            if attempt() == 1:
                lab.control.execute(lab.control.kill(await lab.orm.value(lab.control.own_session)))
            return await lab.orm.items()

        assert await lab.run(body, read_only=True) == [1]

    @scenario()
    async def test_no_connection_is_left_in_a_transaction(self, lab: Lab) -> None:
        """After transactions that succeed, fail, are tried again, or read only."""
        for round_ in range(3):
            for body, options in self._round(lab, 100 * round_):
                try:
                    await lab.run(body, **options)
                except _Failed:
                    assert body.__name__.startswith("failing")
                await lab.over()

    @scenario()
    async def test_connections_do_not_grow_in_number(self, lab: Lab) -> None:
        """Many at once, over and over, from threads or tasks that end; each needs one, and no more."""
        counts: list[int] = []
        for round_ in range(AT_ONCE):
            flows = [
                lab.workflow(lab.transaction(body, **options), name=f"conformance-{index}")
                for index, (body, options) in enumerate(self._round(lab, 100 * round_)[:AT_ONCE])
            ]
            await lab.together(*[self._executing(lab, flow) for flow in flows])
            await lab.over()
            counts.append(lab.control.connections())
        # A pool may hold some more than it needs. One leaked by each that fails would be more than that in the end.
        assert max(counts) < AT_ONCE * 2, f"open connections after each round: {counts}"

    @staticmethod
    def _executing(lab: Lab, flow: object) -> Body:
        async def work() -> object:
            return await lab.execute(flow)  # type: ignore[arg-type]

        return work

    @staticmethod
    def _round(lab: Lab, base: int) -> list[tuple[Body, dict[str, Any]]]:
        """Bodies of every kind, with the options of their transactions."""

        def good(n: int) -> Body:
            return lab.adding(n)

        def failing(n: int) -> Body:
            async def failing_body() -> None:
                await lab.orm.add(n)
                raise _Failed

            return failing_body

        def retried(n: int) -> Body:
            async def retried_body() -> None:
                await lab.orm.add(n)
                if attempt() < 3:
                    raise sqlite3.OperationalError("database is locked")

            return retried_body

        def reading(_: int) -> Body:
            return lambda: lab.orm.items()

        bodies: list[tuple[Body, dict[str, Any]]] = []
        for index in range(ROUND):
            n = base + 10 * index
            bodies += [
                (good(n), {}),
                (failing(n + 1), {}),
                (retried(n + 2), {}),
                (_named(reading(n)), {"read_only": True}),
            ]
        return bodies


class _Failed(Exception):
    """What the failing ones raise."""


def _named(body: Body) -> Body:
    async def reading() -> list[int]:
        value: list[int] = await body()
        return value

    return reading
