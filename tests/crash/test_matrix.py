"""The crash matrix: SIGKILL at every crash point, on every configuration; then recovery, then the oracle."""

from __future__ import annotations

import pytest

from durably.crashpoints import POINTS
from tests.crash.conftest import KILLS, SEED, report
from tests.crash.rounds import CLAIMS, ONLY_APART, PASSES, Crew, crash_at, points
from tests.crash.sites import CONFIGURATIONS, Configuration

MATRIX = [
    pytest.param(configuration, point, id=f"{configuration}-{point}")
    for configuration in CONFIGURATIONS
    for point in points(configuration)
]


@pytest.mark.parametrize(("configuration", "point"), MATRIX)
def test_nothing_is_lost_or_doubled(crew: Crew, configuration: Configuration, point: str) -> None:
    what = f"{configuration}, {point}"
    count = configuration.share_of(KILLS)
    tally = report(crew.run(what, SEED, count, lambda lane, random: crash_at(lane, configuration, point, random)))
    print(f"\n{tally.line()}", end="")
    assert not tally.verdict.violations, "\n".join(tally.verdict.findings)


def test_every_point_is_in_the_matrix() -> None:
    elsewhere = {"migration.statement"}  # test_migrations
    assert {*PASSES, *CLAIMS} | elsewhere == set(POINTS)
    assert {*ONLY_APART} < {*PASSES}
