"""A transaction's writes and its checkpoint are one commit, and a recorded transaction never runs again."""

from __future__ import annotations

import pytest

from durably.testing.conformance.lab import Interrupted, Lab
from durably.testing.conformance.scenario import scenario


class Recording:
    """Recording and replay."""

    @scenario()
    async def test_writes_and_checkpoint_are_committed_together(self, lab: Lab) -> None:
        """From outside there is neither before the function returns, and both afterwards."""
        seen: list[tuple[list[int], int]] = []

        async def body() -> int:
            await lab.orm.add(7)
            # An SQLite file in rollback-journal mode lets readers in until the commit, too.
            seen.append((lab.items(), len(lab.recorded())))
            return 7

        assert await lab.run(body) == 7
        assert seen == [([], 0)]
        assert lab.items() == [7]
        assert lab.recorded() == [("body", "7", None)]

    @scenario()
    async def test_a_transaction_sees_its_own_writes(self, lab: Lab) -> None:
        async def body() -> list[int]:
            await lab.orm.add(1)
            await lab.orm.add(2, "two")
            assert await lab.orm.note(2) == "two"
            assert await lab.orm.note(1) is None
            return await lab.orm.items()

        assert await lab.run(body) == [1, 2]
        assert lab.control.notes() == [None, "two"]

    @scenario()
    async def test_several_transactions_of_a_workflow_are_a_commit_each(self, lab: Lab) -> None:
        assert await lab.run(*[lab.adding(n) for n in (3, 1, 2)]) == 2
        assert lab.items() == [3, 1, 2]
        assert [one.output for one in lab.recorded()] == ["3", "1", "2"]

    @scenario(launched=False)
    async def test_a_recorded_transaction_is_not_run_again(self, lab: Lab) -> None:
        """A workflow that is interrupted after its first transaction goes on with the second one."""
        await lab.launch(lease_seconds=0.3)
        runs: list[int] = []
        interruptions = [True]

        async def first() -> int:
            runs.append(1)
            await lab.orm.add(1)
            return 1

        async def interrupted_once() -> None:
            if interruptions and interruptions.pop():
                raise Interrupted

        calls = lab.transaction(first), interrupted_once, lab.transaction(lab.adding(2))
        with pytest.raises(Interrupted):
            await lab.call(*calls, workflow_id="replayed")
        assert lab.items() == [1]
        assert await lab.result("replayed") == 2
        assert runs == [1]
        assert lab.items() == [1, 2]
        assert len(lab.recorded()) == 2

    @scenario()
    async def test_a_second_start_of_an_id_gets_the_first_ones_outcome(self, lab: Lab) -> None:
        runs: list[int] = []

        async def body() -> int:
            runs.append(1)
            await lab.orm.add(len(runs))
            return len(runs)

        assert await lab.run(body, workflow_id="once") == 1
        assert await lab.run(body, workflow_id="once") == 1
        assert runs == [1]
        assert lab.items() == [1]
        assert len(lab.recorded()) == 1

    @scenario()
    async def test_a_transaction_without_statements_is_recorded(self, lab: Lab) -> None:
        async def body() -> str:
            return "nothing to do"

        assert await lab.run(body) == "nothing to do"
        assert len(lab.recorded()) == 1

    @scenario()
    async def test_an_interruption_leaves_nothing(self, lab: Lab) -> None:
        """Neither writes nor checkpoint nor outcome, so that the workflow can go on."""

        async def body() -> None:
            await lab.orm.add(1)
            raise Interrupted

        with pytest.raises(Interrupted):
            await lab.run(body)
        assert lab.items() == []
        assert lab.recorded() == []

    @scenario()
    async def test_outside_a_workflow_it_is_a_transaction_of_its_own(self, lab: Lab) -> None:
        fails = [False]

        async def body() -> int:
            await lab.orm.add(len(fails))
            if fails[-1]:
                raise ValueError("no")
            return 1

        call = lab.transaction(body)
        assert await lab.do(call) == 1
        fails.append(True)
        with pytest.raises(ValueError, match="no"):
            await lab.do(call)
        assert lab.items() == [1]
        assert lab.recorded() == []
