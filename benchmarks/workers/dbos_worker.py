"""DBOS's part of a round, with its default settings. ``python -m benchmarks.workers.dbos_worker URL PLAN``"""

from __future__ import annotations

import sys
from importlib.metadata import version

from dbos import DBOS

from benchmarks.measure import Plan, Subject, measure, tell


@DBOS.step()  # type: ignore[untyped-decorator]
def one() -> int:
    """A trivial step."""
    return 1


@DBOS.workflow()  # type: ignore[untyped-decorator]
def one_step() -> int:
    """A workflow of one step."""
    return int(one())


@DBOS.workflow()  # type: ignore[untyped-decorator]
def two_steps() -> int:
    """A workflow of two steps."""
    return int(one() + one())


@DBOS.workflow()  # type: ignore[untyped-decorator]
def ten_steps() -> int:
    """A workflow of ten steps."""
    return sum(one() for _ in range(10))


def main(url: str, plan: str) -> None:
    """Measure, and report."""
    # Logging apart, these are the defaults.
    DBOS(config={"name": "benchmark", "system_database_url": url, "log_level": "WARNING"})
    DBOS.launch()
    figures = measure(Subject(one_step, two_steps, ten_steps), Plan.from_json(plan))
    DBOS.destroy()
    tell(version("dbos"), figures)


if __name__ == "__main__":
    main(*sys.argv[1:])
