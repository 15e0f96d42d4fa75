"""An error of the function rolls back, is recorded, and is raised as itself; what cannot be recorded keeps nothing."""

from __future__ import annotations

import contextlib

import pytest

from durably.errors import SerializationError, TransactionEndedError
from durably.sql.drivers import Failure
from durably.sql.failures import classify
from durably.testing.conformance.lab import Lab
from durably.testing.conformance.scenario import scenario


class OutOfStock(Exception):
    """An error of the application's own."""


class Errors:
    """The user's own errors."""

    @scenario()
    async def test_an_error_rolls_back_and_is_recorded_and_raised_as_itself(self, lab: Lab) -> None:
        raised: list[Exception] = []

        async def body() -> None:
            await lab.orm.add(1)
            raised.append(OutOfStock("no widgets"))
            raise raised[-1]

        with pytest.raises(OutOfStock, match="no widgets"):
            await lab.run(body)
        assert len(raised) == 1
        assert lab.items() == []
        (recorded,) = lab.recorded()
        assert recorded.output is None
        assert "no widgets" in str(recorded.error)

    @scenario()
    async def test_a_recorded_error_is_raised_again_and_the_function_not_run(self, lab: Lab) -> None:
        runs: list[int] = []

        async def body() -> None:
            runs.append(1)
            raise OutOfStock("no widgets")

        for _ in range(2):
            with pytest.raises(OutOfStock, match="no widgets"):
                await lab.run(body, workflow_id="failed")
        assert runs == [1]

    @scenario()
    async def test_a_workflow_may_catch_the_error_and_go_on(self, lab: Lab) -> None:
        async def failing() -> None:
            await lab.orm.add(1)
            raise OutOfStock("no widgets")

        call, other = lab.transaction(failing), lab.transaction(lab.adding(2))

        async def guarded() -> None:
            with pytest.raises(OutOfStock):
                await lab.do(call)

        assert await lab.call(guarded, other) == 2
        assert lab.items() == [2]
        assert [bool(one.error) for one in lab.recorded()] == [True, False]

    @scenario()
    async def test_a_constraint_that_refuses_a_row_is_the_functions_error(self, lab: Lab) -> None:
        """It is the ORM's own error, whether the ORM writes at once or at the end."""
        await lab.run(lab.adding(1))

        async def body() -> None:
            await lab.orm.add(2)
            await lab.orm.add(1)

        error = await lab.failure(body)
        classified = classify(error)
        assert classified is not None, f"{error!r} is no database error"
        assert classified.failure is Failure.UNIQUE
        assert lab.items() == [1]
        assert [bool(one.error) for one in lab.recorded() if one.function_name == "body"] == [True]

    @scenario(databases=["postgresql"])
    async def test_an_error_that_the_function_swallowed_keeps_nothing(self, lab: Lab) -> None:
        """PostgreSQL refuses all that follows in the transaction, and so the checkpoint too; the error tells so."""
        await lab.run(lab.adding(1))

        async def body() -> str:
            await lab.orm.add(2)
            with contextlib.suppress(Exception):
                await lab.orm.statement("INSERT INTO conformance_item (n) VALUES (1)")
            return "done"

        error = await lab.failure(body)
        classified = classify(error)
        assert isinstance(error, TransactionEndedError) or (classified and classified.failure is Failure.ABORTED)
        assert lab.items() == [1]
        (recorded,) = (one for one in lab.recorded() if one.function_name == "body")
        assert recorded.output is None
        assert recorded.error is not None

    @scenario()
    async def test_a_lasting_error_of_the_database_is_recorded_and_not_tried_again(self, lab: Lab) -> None:
        runs: list[int] = []

        async def body() -> None:
            runs.append(1)
            await lab.orm.statement("SELECT * FROM conformance_nowhere")

        with pytest.raises(Exception, match="conformance_nowhere"):
            await lab.run(body)
        assert runs == [1]
        (recorded,) = lab.recorded()
        assert "conformance_nowhere" in str(recorded.error)

    @scenario()
    async def test_a_value_that_cannot_be_recorded_rolls_back(self, lab: Lab) -> None:
        async def body() -> object:
            await lab.orm.add(1)
            return object()

        with pytest.raises(SerializationError, match="body"):
            await lab.run(body)
        assert lab.items() == []
        (recorded,) = lab.recorded()
        assert recorded.error is not None

    @scenario()
    async def test_after_an_error_the_next_transaction_is_as_ever(self, lab: Lab) -> None:
        async def failing() -> None:
            await lab.orm.add(1)
            await lab.orm.statement("SELECT * FROM conformance_nowhere")

        for n in range(2, 6):
            with pytest.raises(Exception, match="conformance_nowhere"):
                await lab.run(failing)
            assert await lab.run(lab.adding(n)) == n
        assert lab.items() == [2, 3, 4, 5]
