"""What the ORM writes and what the checkpoint records makes the round trip, or is refused and keeps nothing."""

from __future__ import annotations

import pytest

from durably.testing.conformance.lab import Lab
from durably.testing.conformance.scenario import scenario

TEXTS = {
    "empty": "",
    "marks of drivers": "100%s ? :name %(name)s $1 %% {t} \\ ' \" ;--",
    "line ends": "a\nb\r\nc\u2028d",
    "beyond the basic plane": "\U0001f9f5\U0001f680 e\u0301 \U00020000",
    "right to left": "\u05e9\u05dc\u05d5\u05dd \u0645\u0631\u062d\u0628\u0627",
    "a megabyte": "\u00e4x" * 350_000,
}


class Values:
    """Texts and ids."""

    @scenario()
    async def test_texts_make_the_round_trip_as_columns_and_as_checkpoints(self, lab: Lab) -> None:
        for n, (what, text) in enumerate(TEXTS.items()):

            async def body(n: int = n, text: str = text) -> str | None:
                await lab.orm.add(n, text)
                return await lab.orm.note(n)

            assert await lab.run(body, workflow_id=what) == text
            # From the record.
            assert await lab.run(body, workflow_id=what) == text
        assert lab.control.notes() == list(TEXTS.values())

    @pytest.mark.parametrize("text", ["a\0b", "a\ud800b"], ids=["nul", "lone surrogate"])
    @scenario(launched=False)
    async def test_a_text_that_no_column_can_hold_makes_the_round_trip_as_a_checkpoint(
        self, lab: Lab, text: str
    ) -> None:
        await lab.launch()

        async def body() -> str:
            await lab.orm.add(1)
            return text

        assert await lab.run(body, workflow_id="text") == text
        assert lab.items() == [1]
        assert len(lab.recorded()) == 1
        await lab.close_engines()
        await lab.launch()
        assert await lab.run(body, workflow_id="text") == text
        assert lab.items() == [1]

    @pytest.mark.parametrize("text", ["a\0b", "a\ud800b"], ids=["nul", "lone surrogate"])
    @scenario()
    async def test_a_text_that_the_column_cannot_hold_keeps_nothing(self, lab: Lab, text: str) -> None:
        """It is refused by driver or database with an error of the function's, or stored as it is."""

        async def body() -> None:
            await lab.orm.add(1)
            await lab.orm.add(2, text)

        try:
            await lab.run(body)
        except Exception:
            assert lab.items() == []
            (recorded,) = lab.recorded()
            assert recorded.error is not None
        else:
            assert lab.items() == [1, 2]
            assert lab.control.notes() == [None, text]
        assert await lab.run(lab.adding(3)) == 3

    @scenario()
    async def test_workflow_ids_of_any_script_and_length_are_kept_apart(self, lab: Lab) -> None:
        ids = ["Wf", "wF", "wf", "w\u0301f", "\u00e9" * 255, "\u00e9" * 254 + "e", "\U0001f9f5" * 255, "100%s?:n$1"]
        for n, workflow_id in enumerate(ids):
            assert await lab.run(lab.adding(n), workflow_id=workflow_id) == n
        for n, workflow_id in enumerate(ids):
            assert await lab.run(lab.adding(-1), workflow_id=workflow_id) == n
        assert lab.items() == list(range(len(ids)))
        assert len(lab.recorded()) == len(ids)

    @scenario()
    async def test_names_of_any_script_are_recorded(self, lab: Lab) -> None:
        async def body() -> None:
            await lab.orm.add(1)

        body.__name__ = "\u00fcbertrage 100%s ? :n $1 '\U0001f9f5'"
        await lab.run(body)
        assert [one.function_name for one in lab.recorded()] == [body.__name__]

    @scenario()
    async def test_nothing_at_all_makes_the_round_trip(self, lab: Lab) -> None:
        async def body() -> None:
            await lab.orm.add(1)

        for _ in range(2):
            assert await lab.run(body, workflow_id="nothing") is None
        assert lab.items() == [1]
