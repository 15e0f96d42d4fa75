"""Durably's part of a round, with its default settings. ``python -m benchmarks.workers.durably_worker URL PLAN``"""

from __future__ import annotations

import sys

import durably
from benchmarks.measure import Plan, Subject, measure, tell


@durably.step
def one() -> int:
    """A trivial step."""
    return 1


@durably.workflow
def one_step() -> int:
    """A workflow of one step."""
    return one()


@durably.workflow
def two_steps() -> int:
    """A workflow of two steps."""
    return one() + one()


@durably.workflow
def ten_steps() -> int:
    """A workflow of ten steps."""
    return sum(one() for _ in range(10))


def main(url: str, plan: str) -> None:
    """Measure, and report."""
    with durably.Durably("benchmark", system_database_url=url):
        figures = measure(Subject(one_step, two_steps, ten_steps), Plan.from_json(plan))
    tell(durably.__version__, figures)


if __name__ == "__main__":
    main(*sys.argv[1:])
