"""What may happen in a transaction of the caller's, for adapters that join it (``durably.adapter.Joins``)."""

from __future__ import annotations

import contextlib
import sqlite3

import pytest

from durably.adapter import Joins
from durably.ambient import outside_transaction
from durably.errors import AmbientTransactionError, WaitInsideTransactionError
from durably.testing.conformance.lab import Lab, NotApplicable
from durably.testing.conformance.scenario import scenario

#: Joined starts are found at an executor's next look, three times in a lease.
LEASE_SECONDS = 0.3


class Undone(Exception):
    """Why something is given up."""


class Joining:
    """Savepoints for calls, and starts that exist exactly if the caller commits."""

    @scenario()
    async def test_a_transaction_that_fails_in_the_callers_is_undone_by_itself(self, lab: Lab) -> None:
        self._joins(lab)

        async def failing() -> None:
            await lab.orm.add(2)
            raise Undone

        call = lab.transaction(failing)
        async with lab.orm.transaction():
            await lab.orm.add(1)
            with pytest.raises(Undone):
                await lab.do(call)
            assert await lab.orm.items() == [1]
            await lab.orm.add(3)
        assert lab.items() == [1, 3]

    @scenario()
    async def test_a_transaction_in_the_callers_is_not_tried_again(self, lab: Lab) -> None:
        """The caller has seen what it saw; it is the caller's whole transaction that would have to run again."""
        self._joins(lab)
        runs: list[int] = []

        async def transient() -> None:
            runs.append(1)
            raise sqlite3.OperationalError("database is locked")

        call = lab.transaction(transient)
        async with lab.orm.transaction():
            with pytest.raises(sqlite3.OperationalError):
                await lab.do(call)
        assert runs == [1]

    @scenario(colocated=True, launched=False)
    async def test_a_start_exists_exactly_if_the_caller_commits(self, lab: Lab) -> None:
        self._joins(lab)
        await lab.launch(lease_seconds=LEASE_SECONDS)
        flow = lab.workflow(lab.transaction(lab.adding(2)))
        with contextlib.suppress(Undone):
            async with lab.orm.transaction():
                await lab.start(flow, "undone")
                raise Undone
        async with lab.orm.transaction():
            await lab.orm.add(1)
            await lab.start(flow, "kept")
        assert await lab.result("kept") == 2
        assert lab.items() == [1, 2]
        assert lab.control.execute(f"SELECT workflow_uuid FROM {lab.control.prefix}workflow_status") == [("kept",)]

    @scenario(colocated=False)
    async def test_a_start_that_cannot_join_is_refused(self, lab: Lab) -> None:
        self._joins(lab)
        flow = lab.workflow(lab.transaction(lab.adding(2)))
        async with lab.orm.transaction():
            await lab.orm.add(1)
            with pytest.raises(AmbientTransactionError):
                await lab.start(flow, "refused")
        assert lab.items() == [1]

    @scenario(colocated=True)
    async def test_waiting_for_what_is_not_committed_is_refused(self, lab: Lab) -> None:
        self._joins(lab)
        flow = lab.workflow(lab.transaction(lab.adding(2)))
        async with lab.orm.transaction():
            await lab.start(flow, "joined")
            with pytest.raises(WaitInsideTransactionError):
                await lab.result("joined")

    @scenario(databases=["postgresql", "mysql"])
    async def test_the_callers_transaction_can_be_left_out_of_account(self, lab: Lab) -> None:
        """On another connection, as if it were not there."""
        self._joins(lab)
        with contextlib.suppress(Undone):
            async with lab.orm.transaction():
                await lab.orm.add(1)
                with outside_transaction():
                    await lab.start(lab.workflow(lab.transaction(lab.adding(2))), "beside")
                assert await self._beside(lab) == 2
                raise Undone
        assert lab.items() == [2]

    @staticmethod
    async def _beside(lab: Lab) -> object:
        with outside_transaction():
            return await lab.result("beside")

    @staticmethod
    def _joins(lab: Lab) -> None:
        if not lab.capabilities.ambient:
            raise lab.unsupported("the ORM cannot tell whether the caller has a transaction open")
        if not isinstance(lab.adapter, Joins):
            raise NotApplicable(f"{lab.subject.name}: its adapter does not join the caller's transactions")
