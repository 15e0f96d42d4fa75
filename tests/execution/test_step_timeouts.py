"""Time limits of asynchronous steps: an attempt that takes too long is cancelled, and is a failure like others."""

from __future__ import annotations

import asyncio
import sys
import time

import pytest

import durably
from durably import Durably, StepAttemptsExceededError, StepOptions, StepTimeoutError, step, workflow
from durably.execution.timelimit import TimeIsUp, time_limit
from tests.execution.rows import checkpoints

SECONDS = 30.0
SHORT = 0.05


def result_of(flow: object, system_url: str) -> object:
    """What the workflow gives; a second time, since it is recorded."""
    found: list[object] = []
    with Durably("limits", system_database_url=system_url):
        for _ in range(2):
            with durably.workflow_options(workflow_id="w"):
                handle = durably.start_workflow(flow)  # type: ignore[call-overload]
            found.append(handle.get_result(timeout_seconds=SECONDS))
    assert found[0] == found[1]
    return found[0]


def test_an_attempt_that_hangs_is_cancelled_and_tried_again(system_url: str) -> None:
    seen: list[str] = []

    @step(max_attempts=3, interval_seconds=0.0, timeout_seconds=SHORT)
    async def fetch() -> int:
        seen.append(f"begins {durably.attempt()}")
        try:
            if durably.attempt() < 3:
                await asyncio.sleep(SECONDS)
        finally:
            seen.append(f"ends {durably.attempt()}")
        return durably.attempt()

    @workflow
    async def flow() -> int:
        return await fetch()

    began = time.monotonic()
    assert result_of(flow, system_url) == 3
    assert time.monotonic() - began < SECONDS
    assert seen == [f"{what} {attempt}" for attempt in (1, 2, 3) for what in ("begins", "ends")]


def test_the_only_attempt_fails_with_an_error_that_says_so(system_url: str) -> None:
    @step(timeout_seconds=SHORT)
    async def fetch() -> None:
        await asyncio.sleep(SECONDS)

    @workflow
    async def flow() -> str:
        try:
            await fetch()
        except TimeoutError as error:
            return f"{type(error).__name__}: {error}"
        return "in time"

    text = str(result_of(flow, system_url))
    assert text.startswith("StepTimeoutError: step ")
    assert text.endswith("(function id 1) of workflow 'w' took longer than 0.05 s in attempt 1, and was cancelled")
    assert len(checkpoints(system_url, "w")) == 1


def test_all_attempts_and_what_should_retry_is_asked(system_url: str) -> None:
    asked: list[type[Exception]] = []

    def should_retry(error: Exception) -> bool:
        asked.append(type(error))
        return True

    async def hang() -> None:
        await asyncio.sleep(SECONDS)

    options = StepOptions(max_attempts=2, interval_seconds=0.0, timeout_seconds=SHORT, should_retry=should_retry)

    @workflow
    async def flow() -> None:
        await durably.aio.run_step(options, hang)

    with pytest.raises(StepAttemptsExceededError, match=r"failed 2 times.*attempt 2: StepTimeoutError"):
        result_of(flow, system_url)
    assert asked == [StepTimeoutError] * 2


def test_arms_have_limits_of_their_own(system_url: str) -> None:
    @step(timeout_seconds=SHORT)
    async def fetch(seconds: float) -> float:
        await asyncio.sleep(seconds)
        return seconds

    @workflow
    async def flow() -> list[str]:
        found = await durably.aio.gather(*(fetch(one) for one in (0.0, SECONDS, 0.0)), return_exceptions=True)
        return [type(one).__name__ for one in found]

    assert result_of(flow, system_url) == ["float", "StepTimeoutError", "float"]


def test_a_body_that_ends_all_the_same_has_ended(system_url: str) -> None:
    @step(timeout_seconds=SHORT)
    async def fetch() -> str:
        try:
            await asyncio.sleep(SECONDS)
        except asyncio.CancelledError:
            return "saved"
        return "in time"

    @workflow
    async def flow() -> str:
        return await fetch()

    assert result_of(flow, system_url) == "saved"


# -- the limit itself --------------------------------------------------------------------------------------------


async def hanging(seconds: float) -> str:
    try:
        with time_limit(seconds):
            await asyncio.sleep(SECONDS)
    except TimeIsUp:
        await asyncio.sleep(0)  # it is cancelled no more
        return "time is up"
    return "in time"


def test_it_stays_in_its_task_and_leaves_no_cancellation_behind() -> None:
    async def main() -> list[str]:
        return [await hanging(0.01), await hanging(0.0)]

    assert asyncio.run(main()) == ["time is up", "time is up"]


def test_a_cancellation_by_others_is_theirs() -> None:
    async def main() -> bool:
        task = asyncio.ensure_future(hanging(SECONDS))
        await asyncio.sleep(0.01)
        task.cancel()
        await asyncio.wait([task])
        return task.cancelled()

    assert asyncio.run(main())


@pytest.mark.skipif(sys.version_info < (3, 11), reason="cancellations are counted since Python 3.11")
def test_a_cancellation_by_others_at_the_same_moment_goes_first() -> None:
    async def main() -> bool:
        task = asyncio.ensure_future(hanging(0.05))
        asyncio.get_running_loop().call_later(0.05, task.cancel)
        await asyncio.sleep(0)
        time.sleep(0.1)  # both are due in the same turn of the loop
        await asyncio.wait([task])
        return task.cancelled()

    assert asyncio.run(main())
