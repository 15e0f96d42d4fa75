"""SIGKILL at a moment that nobody chose: uniformly between the beginning and the end of a run."""

from __future__ import annotations

from random import Random

import pytest

from tests.crash.configurations import EVERYWHERE, Configuration
from tests.crash.figures import KILLS, report
from tests.crash.oracle import Verdict
from tests.crash.rounds import Crew, Lane, Round
from tests.crash.spec import DONE

#: Enough that a run is not mostly launch and shutdown.
WORKFLOWS = 12

_lengths: dict[tuple[int, Configuration], float] = {}


def run_length(lane: Lane, configuration: Configuration) -> float:
    """How long a run takes in that lane if nobody kills it."""
    key = id(lane), configuration
    if key not in _lengths:
        round_ = Round(lane, lane.site(configuration), WORKFLOWS)
        ended = round_.zygote.run(round_.spec)
        assert ended.code == DONE, round_.errors()
        _lengths[key] = ended.seconds
    return _lengths[key]


def kill_sometime(lane: Lane, configuration: Configuration, random: Random) -> tuple[int, Verdict]:
    """Kill a run at a random moment, recover, judge. One that ended before its moment came does not count."""
    length = run_length(lane, configuration)
    while True:
        round_ = Round(lane, lane.site(configuration), WORKFLOWS)
        spec = round_.spec.but(threads=random.randint(2, 4))
        ended = round_.zygote.run(spec, kill_after=random.uniform(0, length))
        round_.note(spec, ended)
        if ended.killed:
            break
        assert ended.code == DONE, round_.errors()
    round_.recover(spec.but(role=random.choice(("recover", "work"))))
    return 1, round_.verdict()


@pytest.mark.parametrize("configuration", EVERYWHERE, ids=str)
def test_nothing_is_lost_or_doubled(crew: Crew, configuration: Configuration) -> None:
    what, count = f"{configuration}, at a random time", configuration.share_of(KILLS)
    tally = report(crew.run(what, count, lambda lane, random: kill_sometime(lane, configuration, random)))
    assert not tally.verdict.violations, "\n".join(tally.verdict.findings)
    assert tally.kills == count
