"""A step's retries: how often, how long apart, until when, and what its error says when they are used up."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Any

import pytest

import durably
from durably import Durably, SerializationError, StepAttemptsExceededError, StepOptions, step, workflow
from tests.execution.clocks import SteppingClock
from tests.execution.rows import checkpoints


class Flaky:
    """Fails a number of times, then returns which attempt it was."""

    def __init__(self, failures: int, error: Callable[[int], BaseException] = lambda n: ConnectionError(f"no {n}")):
        self.failures = failures
        self.error = error
        self.attempts: list[int] = []

    def __call__(self) -> int:
        self.attempts.append(durably.attempt())
        if len(self.attempts) <= self.failures:
            raise self.error(len(self.attempts))
        return durably.attempt()


@pytest.fixture
def clock() -> SteppingClock:
    return SteppingClock()


def engine(system_url: str, clock: SteppingClock) -> Durably:
    return Durably("retries", system_database_url=system_url, clock=clock, lease_seconds=1e6)


def run(
    system_url: str, clock: SteppingClock, body: Callable[[], Any], asynchronous: bool = False, **options: Any
) -> Any:
    """What a workflow of one step returns."""

    @step(name="flaky", **options)
    def flaky() -> Any:
        return body()

    @step(name="flaky later", **options)
    async def flaky_later() -> Any:
        await asyncio.sleep(0)
        return body()

    @workflow
    def flow() -> Any:
        return flaky()

    @workflow
    async def flow_later() -> Any:
        return await flaky_later()

    with engine(system_url, clock), durably.workflow_options(workflow_id="f"):
        if asynchronous:
            return durably.start_workflow(flow_later).get_result(timeout_seconds=30)
        return flow()


@pytest.mark.parametrize("asynchronous", [False, True], ids=["plain", "coroutine"])
def test_it_runs_until_it_succeeds(system_url: str, clock: SteppingClock, asynchronous: bool) -> None:
    body = Flaky(3)
    assert run(system_url, clock, body, asynchronous, max_attempts=5, interval_seconds=1.0) == 4
    assert body.attempts == [1, 2, 3, 4]
    assert len(clock.sleeps) == 3
    assert len(checkpoints(system_url, "f")) == 1


def test_waits_grow_up_to_a_bound_with_up_to_a_half_taken_off(system_url: str, clock: SteppingClock) -> None:
    options: dict[str, Any] = {
        "max_attempts": 8,
        "interval_seconds": 3.0,
        "backoff_rate": 2.0,
        "max_interval_seconds": 40.0,
    }
    run(system_url, clock, Flaky(7), **options)
    full = [3.0, 6.0, 12.0, 24.0, 40.0, 40.0, 40.0]
    assert all(most / 2 <= slept <= most for slept, most in zip(clock.sleeps, full, strict=True))
    # By chance: the same share is not taken off each time.
    assert len({slept / most for slept, most in zip(clock.sleeps, full, strict=True)}) > 1


def test_a_step_is_not_retried_unless_it_says_so(system_url: str, clock: SteppingClock) -> None:
    body = Flaky(1)
    with pytest.raises(ConnectionError, match="no 1"):
        run(system_url, clock, body)
    assert (body.attempts, clock.sleeps) == ([1], [])


@pytest.mark.parametrize("asynchronous", [False, True], ids=["plain", "coroutine"])
def test_an_error_for_attempts_that_are_used_up_tells_each(
    system_url: str, clock: SteppingClock, asynchronous: bool
) -> None:
    with pytest.raises(StepAttemptsExceededError, match=r"'flaky.*function id 1.*'f' failed 3 times") as caught:
        run(system_url, clock, Flaky(9), asynchronous, max_attempts=3)
    error: Any = caught.value
    assert error.workflow_id == "f"
    assert error.step == ("flaky later" if asynchronous else "flaky")
    assert error.errors == [f"attempt {n}: ConnectionError: no {n}" for n in (1, 2, 3)]
    assert isinstance(error.__cause__, ConnectionError)
    assert str(error.__cause__) == "no 3"


def test_the_error_is_the_same_for_everyone_who_asks(system_url: str, clock: SteppingClock) -> None:
    with pytest.raises(StepAttemptsExceededError) as first:
        run(system_url, clock, Flaky(9), max_attempts=2)
    with Durably("retries", system_database_url=system_url), pytest.raises(StepAttemptsExceededError) as second:
        durably.get_result("f")
    one, other = first.value, second.value
    assert str(other) == str(one)
    assert vars(other) == vars(one)
    assert type(other.__cause__) is ConnectionError


def test_should_retry_has_a_say(system_url: str, clock: SteppingClock) -> None:
    asked: list[str] = []

    def should_retry(error: Exception) -> bool:
        asked.append(str(error))
        return str(error) != "no 2"

    body = Flaky(9)
    with pytest.raises(ConnectionError, match="no 2"):
        run(system_url, clock, body, max_attempts=5, should_retry=should_retry)
    assert asked == ["no 1", "no 2"]
    assert body.attempts == [1, 2]


def test_no_attempt_begins_after_the_time_is_up(system_url: str, clock: SteppingClock) -> None:
    body = Flaky(99)
    options: dict[str, Any] = {
        "max_attempts": 100,
        "interval_seconds": 10.0,
        "backoff_rate": 1.0,
        "timeout_seconds": 60.0,
    }
    with pytest.raises(StepAttemptsExceededError, match=r"60\.0 s were up"):
        run(system_url, clock, body, **options)
    assert 6 <= len(body.attempts) <= 13
    assert 50.0 <= sum(clock.sleeps) <= 60.0


def test_a_value_that_cannot_be_stored_is_not_tried_again(system_url: str, clock: SteppingClock) -> None:
    calls: list[int] = []

    def body() -> object:
        calls.append(1)
        return object()

    with pytest.raises(SerializationError, match="output of 'flaky'"):
        run(system_url, clock, body, max_attempts=5)
    assert len(calls) == 1


@pytest.mark.parametrize("signal", [KeyboardInterrupt, SystemExit, GeneratorExit])
def test_an_interruption_is_no_failure(system_url: str, clock: SteppingClock, signal: type[BaseException]) -> None:
    body = Flaky(9, lambda _: signal("stop"))
    with pytest.raises(signal):
        run(system_url, clock, body, max_attempts=5)
    assert clock.sleeps == []
    assert checkpoints(system_url, "f") == []


def test_what_a_step_asks_about_itself_is_stable_over_its_attempts(system_url: str, clock: SteppingClock) -> None:
    seen: list[tuple[Any, ...]] = []

    def body() -> int:
        seen.append((durably.workflow_id(), durably.step_id(), durably.step_key(), durably.attempt()))
        if durably.attempt() < 3:
            raise ConnectionError
        return 1

    run(system_url, clock, body, max_attempts=3)
    assert [one[:2] for one in seen] == [("f", 1)] * 3
    assert len({one[2] for one in seen}) == 1
    assert [one[3] for one in seen] == [1, 2, 3]


def test_keys_differ_between_steps_and_between_lives_of_an_id(system_url: str) -> None:
    keys: list[str] = []

    @workflow
    def flow() -> None:
        for _ in range(3):
            durably.run_step(lambda: keys.append(durably.step_key()))

    with Durably("retries", system_database_url=system_url):
        flow()
        flow()
    assert len(set(keys)) == 6


def test_an_inline_steps_options_are_its_own(system_url: str, clock: SteppingClock) -> None:
    body = Flaky(1)

    @workflow
    def flow() -> int:
        with pytest.raises(ConnectionError):
            durably.run_step(body)
        body.attempts.clear()
        return durably.run_step(StepOptions(max_attempts=2), body)

    with engine(system_url, clock):
        assert flow() == 2
