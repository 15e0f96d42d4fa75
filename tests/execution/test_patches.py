"""Patches: new workflows take the new path, those that are on the old one stay there."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

import durably
from durably import ConfigurationError, Durably, step
from durably.registry import Snapshot, registry
from tests.execution.rows import checkpoints
from tests.messaging.forms import FORMS, Form, Verbs
from tests.messaging.lives import SECONDS, Lives
from tests.messaging.test_messages import started

MARK = "durably.patch-p"


class Code:
    """One workflow's code, as it was at different times. All call the step ``first`` and end with ``last``."""

    def __init__(self, lives: Lives, form: Form) -> None:
        self.lives = lives
        self.form = form

    def _declare(self, middle: Callable[[Verbs], Any], early: bool = False) -> Any:
        registry.restore(Snapshot({}, {}))

        async def flow(verbs: Verbs) -> list[Any]:
            if early:
                await self.lives.stuck_once(verbs)
            done = [await verbs.run_step(durably.StepOptions(name="first"), lambda: "first")]
            done += await middle(verbs)
            if not early:
                await self.lives.stuck_once(verbs)
            return done

        return self.form.workflow(flow)

    def old(self, early: bool = False) -> Any:
        async def middle(verbs: Verbs) -> list[Any]:
            return [await verbs.run_step(durably.StepOptions(name="old"), lambda: "old")]

        return self._declare(middle, early)

    def patched(self, early: bool = False) -> Any:
        async def middle(verbs: Verbs) -> list[Any]:
            if await verbs.patch("p"):
                return [await verbs.run_step(durably.StepOptions(name="new"), lambda: "new")]
            return [await verbs.run_step(durably.StepOptions(name="old"), lambda: "old")]

        return self._declare(middle, early)

    def deprecated(self, early: bool = False) -> Any:
        async def middle(verbs: Verbs) -> list[Any]:
            assert await verbs.deprecate_patch("p") is True
            return [await verbs.run_step(durably.StepOptions(name="new"), lambda: "new")]

        return self._declare(middle, early)

    def clean(self) -> Any:
        async def middle(verbs: Verbs) -> list[Any]:
            return [await verbs.run_step(durably.StepOptions(name="new"), lambda: "new")]

        return self._declare(middle)


@pytest.fixture
def code(lives: Lives, form: Form) -> Code:
    return Code(lives, form)


def named(lives: Lives) -> list[str]:
    """What is recorded, without the step that gets stuck."""
    return [name for name in checkpoints(lives.url, "w") if not name.endswith(".stick")]


def test_a_new_workflow_takes_the_new_path_also_when_it_is_replayed(lives: Lives, code: Code) -> None:
    flow = code.patched()
    assert lives.interrupted(lambda: durably.start_workflow(flow)) == ["first", "new"]
    assert named(lives) == ["first", MARK, "new"]


def test_a_workflow_that_took_the_old_path_stays_on_it(lives: Lives, code: Code) -> None:
    flow = code.old()
    assert lives.interrupted(lambda: durably.start_workflow(flow), code.patched) == ["first", "old"]
    assert named(lives) == ["first", "old"]


def test_a_workflow_that_had_not_come_by_takes_the_new_path(lives: Lives, code: Code) -> None:
    flow = code.old(early=True)
    result = lives.interrupted(lambda: durably.start_workflow(flow), lambda: code.patched(early=True))
    assert result == ["first", "new"]
    assert named(lives) == ["first", MARK, "new"]


def test_a_deprecated_patch_passes_over_its_mark(lives: Lives, code: Code) -> None:
    flow = code.patched()
    assert lives.interrupted(lambda: durably.start_workflow(flow), code.deprecated) == ["first", "new"]
    assert named(lives) == ["first", MARK, "new"]


def test_a_deprecated_patch_leaves_no_mark(lives: Lives, code: Code) -> None:
    flow = code.deprecated()
    assert lives.interrupted(lambda: durably.start_workflow(flow), code.clean) == ["first", "new"]
    assert named(lives) == ["first", "new"]


def test_a_patch_taken_away_too_early_is_another_path(lives: Lives, code: Code) -> None:
    flow = code.patched()
    with pytest.raises(durably.NonDeterminismError, match=MARK):
        lives.interrupted(lambda: durably.start_workflow(flow), code.clean)


def test_patches_in_a_row_and_in_arms_have_places_of_their_own(system_url: str) -> None:
    @step(name="s")
    async def s() -> None: ...

    async def flow(verbs: Verbs) -> list[Any]:
        async def arm(name: str) -> list[bool]:
            first = await durably.aio.patch(name)
            await s()
            return [first, await durably.aio.patch("shared")]

        return [
            await verbs.patch("one"),
            await verbs.patch("two"),
            await durably.aio.gather(arm("a"), arm("b")),
            await verbs.patch("three"),
        ]

    with Durably("patches", system_database_url=system_url):
        handle = started(FORMS[1].workflow(flow), workflow_id="w")
        assert handle.get_result(timeout_seconds=SECONDS) == [True, True, [[True, True], [True, True]], True]
    assert checkpoints(system_url, "w") == [
        *[f"durably.patch-{name}" for name in ("one", "two", "three")],
        *["durably.patch-a", "s", "durably.patch-shared", "durably.patch-b", "s", "durably.patch-shared"],
    ]


def test_patches_are_for_the_code_of_workflows(system_url: str, form: Form) -> None:
    @step(name="in a step")
    def in_a_step() -> None:
        for verb in (durably.patch, durably.deprecate_patch):
            with pytest.raises(ConfigurationError, match="is for the code of a workflow, outside its steps"):
                verb("p")

    async def flow(verbs: Verbs) -> None:
        await verbs.run_step(in_a_step)

    with Durably("patches", system_database_url=system_url):
        started(form.workflow(flow)).get_result(timeout_seconds=SECONDS)
        with pytest.raises(ConfigurationError, match=r"durably\.patch is for"):
            durably.patch("p")
