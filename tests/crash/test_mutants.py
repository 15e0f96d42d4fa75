"""Broken engines: what the oracle says of them shows that it would say it of ours."""

from __future__ import annotations

import contextlib

import pytest

from tests.crash.configurations import BLOCKING, Configuration, configuration
from tests.crash.rounds import Crew, Lane, Round
from tests.crash.spec import Pass
from tests.crash.zombies import ZombieRound

ALL = pytest.mark.parametrize("configuration", BLOCKING, ids=str)
#: What the oracle sees must not depend on the ORM: through one with models and through none, blocking and awaited.
ALL_AND_OTHERS = pytest.mark.parametrize(
    "configuration",
    [
        *BLOCKING,
        configuration("django mariadb apart"),
        configuration("psycopg postgresql co-located"),
        configuration("tortoise async sqlite apart"),
    ],
    ids=str,
)


@pytest.fixture
def lane(crew: Crew) -> Lane:
    return crew.lanes[0]


def broken_round(lane: Lane, configuration: Configuration, mutant: str, kill: Pass) -> Round:
    # On databases of its own: what a mutant breaks stays broken.
    round_ = Round(lane, lane.builder.site(configuration))
    spec = round_.spec.but(mutant=mutant)
    round_.killed(spec.but(kill=kill))
    round_.recover(spec.but(role="recover"))
    return round_


@ALL_AND_OTHERS
def test_a_record_after_the_commit_doubles(lane: Lane, configuration: Configuration) -> None:
    round_ = broken_round(lane, configuration, "record after commit", Pass("transaction.commit.after"))
    verdict = round_.verdict()
    assert verdict.doubled >= 1, verdict


@ALL_AND_OTHERS
def test_a_record_before_the_commit_loses(lane: Lane, configuration: Configuration) -> None:
    round_ = broken_round(lane, configuration, "record before commit", Pass("transaction.commit.before"))
    verdict = round_.verdict()
    assert verdict.lost >= 1, verdict


@ALL
def test_without_its_fence_a_zombie_gets_through(lane: Lane, configuration: Configuration) -> None:
    with contextlib.closing(ZombieRound(lane, lane.builder.site(configuration), mutant="no fence")) as zombie:
        verdict = zombie.wakes_during_the_step()
    assert verdict.diverged >= 1, verdict
