"""A COMMIT whose answer is lost has taken place or not; the transaction runs again only if it has not."""

from __future__ import annotations

import sqlite3
from typing import get_args

import pytest

from durably.adapter import BeginPlan
from durably.testing.conformance.altered import alter
from durably.testing.conformance.lab import Lab
from durably.testing.conformance.scenario import scenario
from durably.testing.conformance.wire import Loss


class Acknowledgements:
    """Lost answers."""

    @pytest.mark.parametrize("loss", get_args(Loss))
    @scenario(databases=["postgresql", "mysql"], wire=True)
    async def test_a_commit_that_is_cut_off_takes_effect_once(self, lab: Lab, loss: Loss) -> None:
        """The connection breaks before the server gets the COMMIT, or before the client gets the answer."""
        runs: list[int] = []
        wire = lab.wire
        assert wire is not None

        async def body() -> int:
            runs.append(1)
            await lab.orm.add(len(runs))
            if len(runs) == 1:
                wire.loses = loss
            return len(runs)

        expected = 1 if loss == "answer" else 2
        assert await lab.run(body) == expected
        assert wire.lost == [loss]
        assert lab.items() == [expected]
        assert lab.recorded() == [("body", str(expected), None)]
        # And the pool has got over it.
        assert await lab.run(lab.adding(7)) == 7

    @scenario()
    async def test_a_commit_that_is_reported_as_failed_is_found(self, lab: Lab) -> None:
        """The commit takes place, and the adapter raises a transient error in spite of it."""
        runs: list[int] = []
        lies: list[bool] = []

        async def lie(_: BeginPlan) -> None:
            if lies and lies.pop():
                raise sqlite3.OperationalError("database is locked")

        alter(lab.adapter, lab.asynchronous, after=lie)

        async def body() -> int:
            runs.append(1)
            lies.append(True)
            await lab.orm.add(1)
            return 7

        assert await lab.run(body) == 7
        assert runs == [1]
        assert lab.items() == [1]
        assert len(lab.recorded()) == 1
