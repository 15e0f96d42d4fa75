"""Only Durably ends a transaction: parts may fail in savepoints, and a function that commits is found out."""

from __future__ import annotations

import contextlib

import pytest

from durably.errors import TransactionEndedError
from durably.testing.conformance.lab import Lab
from durably.testing.conformance.scenario import scenario


class Undone(Exception):
    """Why a part is given up."""


class Ending:
    """Savepoints, commits, rollbacks."""

    @scenario()
    async def test_a_part_that_fails_is_undone_and_the_rest_stays(self, lab: Lab) -> None:
        async def body() -> list[int]:
            await lab.orm.add(1)
            with contextlib.suppress(Undone):
                async with lab.orm.savepoint():
                    await lab.orm.add(2)
                    raise Undone
            async with lab.orm.savepoint():
                await lab.orm.add(3)
            await lab.orm.add(4)
            return await lab.orm.items()

        assert await lab.run(body) == [1, 3, 4]
        assert lab.items() == [1, 3, 4]
        assert [one.error for one in lab.recorded()] == [None]

    @scenario()
    async def test_savepoints_nest(self, lab: Lab) -> None:
        async def body() -> None:
            async with lab.orm.savepoint():
                await lab.orm.add(1)
                with contextlib.suppress(Undone):
                    async with lab.orm.savepoint():
                        await lab.orm.add(2)
                        raise Undone
                await lab.orm.add(3)

        await lab.run(body)
        assert lab.items() == [1, 3]

    @scenario()
    async def test_a_refused_row_in_a_savepoint_spoils_nothing(self, lab: Lab) -> None:
        """On PostgreSQL an error outside a savepoint spoils the whole transaction."""
        await lab.run(lab.adding(1))

        async def body() -> str:
            await lab.orm.add(2)
            try:
                async with lab.orm.savepoint():
                    await lab.orm.add(1)
            except Exception:
                await lab.orm.add(3)
            return "done"

        assert await lab.run(body) == "done"
        assert lab.items() == [1, 2, 3]
        assert [one.error for one in lab.recorded()] == [None, None]

    @scenario()
    async def test_released_savepoints_are_rolled_back_with_the_transaction(self, lab: Lab) -> None:
        """A savepoint's release is no commit, as it is with SQLite's driver by itself."""
        seen: list[list[int]] = []

        async def body() -> None:
            await lab.orm.items()
            async with lab.orm.savepoint():
                await lab.orm.add(1)
            seen.append(lab.items())
            raise Undone

        with pytest.raises(Undone):
            await lab.run(body)
        assert seen == [[]]
        assert lab.items() == []

    @scenario()
    async def test_a_commit_in_the_function_is_no_success(self, lab: Lab) -> None:
        """Whatever the ORM says to it, and nothing is kept if the subject declares that it is refused."""

        async def body() -> str:
            await lab.orm.add(1)
            await lab.orm.commit()
            await lab.orm.add(2)
            return "done"

        await self._ends_in_an_error(lab, await lab.failure(body))

    @scenario()
    async def test_a_commit_whose_refusal_is_swallowed_is_no_success(self, lab: Lab) -> None:
        async def body() -> str:
            await lab.orm.add(1)
            with contextlib.suppress(Exception):
                await lab.orm.commit()
            return "done"

        await self._ends_in_an_error(lab, await lab.failure(body))

    async def _ends_in_an_error(self, lab: Lab, error: Exception) -> None:
        (recorded,) = lab.recorded()
        assert recorded.output is None
        assert recorded.error is not None
        kept = lab.items()
        assert await lab.run(lab.adding(9)) == 9
        if lab.capabilities.commit_inside == "refused":
            assert kept == []
            return
        assert isinstance(error, TransactionEndedError), f"{error!r} does not tell what happened"
        assert kept[:1] == [1], "declared as found: what was committed stays"
        raise lab.unsupported("a commit in the function takes place; it is found, and ends in TransactionEndedError")

    @scenario()
    async def test_a_rollback_in_the_function_is_no_success(self, lab: Lab) -> None:
        async def body() -> str:
            await lab.orm.add(1)
            await lab.orm.rollback()
            return "done"

        await lab.failure(body)
        assert lab.items() == []
        (recorded,) = lab.recorded()
        assert (recorded.output, recorded.error is None) == (None, False)
        assert await lab.run(lab.adding(9)) == 9
        assert lab.items() == [9]

    @pytest.mark.parametrize("sql", ["COMMIT", "ROLLBACK"])
    @scenario()
    async def test_a_statement_that_ends_the_transaction_is_no_success(self, lab: Lab, sql: str) -> None:
        """Sent as plain SQL, past the ORM's own methods; whether the ORM lets it through or not."""

        async def body() -> str:
            await lab.orm.add(1)
            with contextlib.suppress(Exception):
                await lab.orm.statement(sql)
            return "done"

        await lab.failure(body)
        assert lab.items() in ([], [1]) if sql == "COMMIT" else lab.items() == []
        (recorded,) = lab.recorded()
        assert (recorded.output, recorded.error is None) == (None, False)
        assert await lab.run(lab.adding(9)) == 9

    @scenario(databases=["mysql"])
    async def test_a_statement_that_commits_by_itself_is_no_success(self, lab: Lab) -> None:
        """As every change of the schema does on MySQL and MariaDB."""

        async def body() -> str:
            await lab.orm.add(1)
            await lab.orm.statement("CREATE TABLE conformance_extra (id integer)")
            return "done"

        try:
            error = await lab.failure(body)
        finally:
            lab.control.execute("DROP TABLE IF EXISTS conformance_extra")
        assert isinstance(error, TransactionEndedError)
        assert [one.output for one in lab.recorded()] == [None]
        assert await lab.run(lab.adding(9)) == 9
