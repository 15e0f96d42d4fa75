"""A transaction that the caller has open already: seen, joined outside a workflow, refused inside one."""

from __future__ import annotations

import contextlib

import pytest

from durably.errors import AmbientTransactionError
from durably.testing.conformance.lab import Lab
from durably.testing.conformance.scenario import scenario

CANNOT_TELL = "the ORM cannot tell whether the caller has a transaction open"


class Undone(Exception):
    """Why the caller's transaction is given up."""


class Ambient:
    """The caller's own transactions."""

    @scenario()
    async def test_without_one_there_is_none(self, lab: Lab) -> None:
        assert lab.adapter.ambient() is None
        await lab.run(lab.adding(1))
        assert lab.adapter.ambient() is None

    @scenario()
    async def test_it_is_seen_while_it_is_open(self, lab: Lab) -> None:
        self._can_tell(lab)
        async with lab.orm.transaction():
            assert lab.adapter.ambient() is not None
            await lab.orm.add(1)
        assert lab.adapter.ambient() is None
        assert lab.items() == [1]

    @scenario()
    async def test_a_transaction_of_a_workflow_is_refused_in_it(self, lab: Lab) -> None:
        """What the checkpoint says would else depend on what the caller does afterwards."""
        self._can_tell(lab)
        async with lab.orm.transaction():
            with pytest.raises(AmbientTransactionError, match="open"):
                await lab.run(lab.adding(1))
        assert lab.items() == []
        assert lab.recorded() == []
        assert await lab.run(lab.adding(2)) == 2

    @scenario()
    async def test_outside_a_workflow_a_transaction_joins_it(self, lab: Lab) -> None:
        self._can_tell(lab)
        call = lab.transaction(lab.adding(2))
        async with lab.orm.transaction():
            await lab.orm.add(1)
            assert await lab.do(call) == 2
            assert await lab.orm.items() == [1, 2]
            assert lab.items() == []
        assert lab.items() == [1, 2]

    @scenario()
    async def test_what_joined_it_is_rolled_back_with_it(self, lab: Lab) -> None:
        self._can_tell(lab)
        call = lab.transaction(lab.adding(2))
        with contextlib.suppress(Undone):
            async with lab.orm.transaction():
                await lab.do(call)
                raise Undone
        assert lab.items() == []
        assert lab.adapter.ambient() is None
        assert await lab.run(lab.adding(3)) == 3

    @staticmethod
    def _can_tell(lab: Lab) -> None:
        if not lab.capabilities.ambient:
            assert lab.adapter.ambient() is None
            raise lab.unsupported(CANNOT_TELL)
