"""The crash matrix: SIGKILL at every crash point, on every configuration; then recovery, then the oracle."""

from __future__ import annotations

from importlib.metadata import entry_points

import pytest

from durably.crashpoints import POINTS
from tests.crash import talk_rounds
from tests.crash.configurations import CONFIGURATIONS, Configuration
from tests.crash.figures import KILLS, report
from tests.crash.rounds import CLAIMS, COMMIT, ONLY_APART, PASSES, Crew, FaultDidNotFire, Round, asked, crash_at
from tests.crash.spec import Pass

MATRIX = [
    pytest.param(configuration, point, kills, id=f"{configuration}-{point}")
    for configuration in CONFIGURATIONS
    for point, kills in asked(configuration, KILLS).items()
]


@pytest.mark.parametrize(("configuration", "point", "kills"), MATRIX)
def test_nothing_is_lost_or_doubled(crew: Crew, configuration: Configuration, point: str, kills: int) -> None:
    what = f"{configuration}, {point}"
    tally = report(crew.run(what, kills, lambda lane, random: crash_at(lane, configuration, point, random)))
    assert tally.kills >= kills
    assert not tally.verdict.violations, "\n".join(tally.verdict.findings)


@pytest.mark.parametrize("point", ONLY_APART)
@pytest.mark.parametrize("configuration", [one for one in CONFIGURATIONS if one.colocated], ids=str)
def test_a_colocated_transaction_has_no_echo(crew: Crew, configuration: Configuration, point: str) -> None:
    round_ = Round(crew.lanes[0], crew.lanes[0].site(configuration))
    with pytest.raises(FaultDidNotFire):
        round_.killed(round_.spec.but(kill=Pass(point)))


def test_every_point_is_in_the_matrix() -> None:
    elsewhere = {"migration.statement", *talk_rounds.POINTS}  # test_migrations, test_talk
    assert {*PASSES, *CLAIMS} | elsewhere == set(POINTS)
    assert {*ONLY_APART} < {*PASSES}


def test_every_adapter_is_in_the_matrix() -> None:
    adapters = {entry.name for entry in entry_points(group="durably.adapters")}
    assert {configuration.orm for configuration in CONFIGURATIONS} == adapters


def test_every_configuration_is_killed_around_the_commit() -> None:
    for configuration in CONFIGURATIONS:
        kills = asked(configuration, 20)
        assert [kills[point] for point in COMMIT] == [20, 20], configuration
        assert all(point in kills for point in ONLY_APART) is not configuration.colocated, configuration
