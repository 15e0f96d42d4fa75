"""How a step is retried is checked where it is written, not when it first fails."""

from __future__ import annotations

from typing import Any

import pytest

from durably import ConfigurationError, StepOptions, step

WRONG: list[tuple[dict[str, Any], str]] = [
    ({"max_attempts": 0}, "max_attempts is 0"),
    ({"max_attempts": -3}, "max_attempts is -3"),
    ({"interval_seconds": -0.1}, "must not be negative"),
    ({"max_interval_seconds": -1.0}, "must not be negative"),
    ({"backoff_rate": 0.5}, "backoff_rate must be at least 1"),
    ({"timeout_seconds": 0.0}, "timeout_seconds is 0.0"),
    ({"timeout_seconds": -1.0}, "timeout_seconds is -1.0"),
]


@pytest.mark.parametrize(("options", "message"), WRONG, ids=[str(options) for options, _ in WRONG])
def test_wrong_options_are_refused_where_they_are_written(options: dict[str, Any], message: str) -> None:
    with pytest.raises(ConfigurationError, match=message):
        StepOptions(**options)
    with pytest.raises(ConfigurationError, match=message):
        step(**options)


def test_the_least_that_makes_sense_is_accepted() -> None:
    options = StepOptions(max_attempts=1, interval_seconds=0, backoff_rate=1, max_interval_seconds=0)
    assert (options.max_attempts, options.timeout_seconds) == (1, None)


def test_a_step_is_not_retried_unless_it_says_so() -> None:
    assert StepOptions().max_attempts == 1


def test_options_are_values() -> None:
    assert StepOptions(max_attempts=3) == StepOptions(max_attempts=3)
    assert len({StepOptions(max_attempts=3), StepOptions(max_attempts=3)}) == 1
