"""Connections that break are replaced; none is left in a transaction, and their number does not grow."""

from __future__ import annotations

import contextlib
import sqlite3
from typing import NamedTuple

import pytest

from durably.ambient import attempt
from durably.testing.conformance.lab import Body, Lab
from durably.testing.conformance.scenario import scenario

#: How many transactions at once, and how often.
AT_ONCE, ROUNDS = 8, 8


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
        for kind in _kinds(lab, rounds=3):
            with contextlib.suppress(_Failed):
                await lab.run(kind.body, read_only=kind.read_only)
            await lab.over()

    @scenario()
    async def test_connections_do_not_grow_in_number(self, lab: Lab) -> None:
        """Many at once, over and over, from threads or tasks that end; each needs one, and no more."""
        counts: list[int] = []
        kinds = _kinds(lab, rounds=ROUNDS * AT_ONCE // 4)
        for first in range(0, len(kinds), AT_ONCE):
            told = await lab.together(*[_executing(lab, kind) for kind in kinds[first : first + AT_ONCE]])
            assert [one for one in told if isinstance(one, BaseException) and not isinstance(one, _Failed)] == []
            await lab.over()
            counts.append(lab.control.connections())
        # A pool may hold some more than it needs. One leaked by each that fails would be more than that in the end.
        assert len(counts) == ROUNDS
        assert max(counts) < AT_ONCE * 2, f"open connections after each round: {counts}"


class _Failed(Exception):
    """What the failing ones raise."""


class _Kind(NamedTuple):
    """A transaction of one kind, with numbers of its own."""

    body: Body
    read_only: bool = False


def _kinds(lab: Lab, rounds: int) -> list[_Kind]:
    """Four kinds, over and over."""
    kinds: list[_Kind] = []
    for n in range(0, 10 * rounds, 10):
        kinds += [
            _Kind(lab.adding(n)),
            _Kind(_failing(lab, n + 1)),
            _Kind(_retried(lab, n + 2)),
            _Kind(_reading(lab), True),
        ]
    return kinds


def _failing(lab: Lab, n: int) -> Body:
    async def failing() -> None:
        await lab.orm.add(n)
        raise _Failed

    return failing


def _retried(lab: Lab, n: int) -> Body:
    async def retried() -> None:
        await lab.orm.add(n)
        if attempt() < 3:
            raise sqlite3.OperationalError("database is locked")

    return retried


def _reading(lab: Lab) -> Body:
    async def reading() -> list[int]:
        return await lab.orm.items()

    return reading


def _executing(lab: Lab, kind: _Kind) -> Body:
    """A workflow of its own for it, under a name of its own."""
    name = f"conformance-{kind.body.__name__}"
    flow = lab.workflow(lab.transaction(kind.body, read_only=kind.read_only), name=name)

    async def work() -> object:
        return await lab.execute(flow)

    return work
