"""Zombies: an executor stalls past its lease and wakes up. Its late writes are refused, its calls get the outcome."""

from __future__ import annotations

import contextlib
from collections.abc import Callable
from random import Random

import pytest

from tests.crash.configurations import BLOCKING, Configuration
from tests.crash.figures import KILLS, report
from tests.crash.oracle import Verdict
from tests.crash.rounds import Crew, Lane
from tests.crash.zombies import ZombieRound

#: A zombie takes seconds, which its lease needs to run out.
ROUNDS = max(KILLS // 6, 2)


def after_the_end(zombie: ZombieRound, random: Random) -> Verdict:
    return zombie.wakes_after_the_end()


def before_the_first_step(zombie: ZombieRound, random: Random) -> Verdict:
    return zombie.wakes_before_the_first_step()


def during_the_step(zombie: ZombieRound, random: Random) -> Verdict:
    return zombie.wakes_during_the_step()


def before_its_commit(zombie: ZombieRound, random: Random) -> Verdict:
    return zombie.stops_before_its_commit(random.randint(1, 2))


@pytest.mark.parametrize("way", [after_the_end, before_the_first_step, during_the_step, before_its_commit])
@pytest.mark.parametrize("configuration", BLOCKING, ids=str)
def test_a_zombie_changes_nothing(
    crew: Crew, configuration: Configuration, way: Callable[[ZombieRound, Random], Verdict]
) -> None:
    def one(lane: Lane, random: Random) -> tuple[int, Verdict]:
        with contextlib.closing(ZombieRound(lane, lane.site(configuration))) as zombie:
            return 0, way(zombie, random)

    tally = report(crew.run(f"{configuration}, zombie {way.__name__}", ROUNDS, one))
    assert not tally.verdict.violations, "\n".join(tally.verdict.findings)
