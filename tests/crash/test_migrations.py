"""SIGKILL at each statement of each migration: the next launch finds all of a migration, or nothing of it."""

from __future__ import annotations

import pytest

from tests.crash.configurations import EVERYWHERE, Configuration
from tests.crash.figures import Tally, report
from tests.crash.oracle import Verdict
from tests.crash.rounds import Crew, Round
from tests.crash.spec import DONE, Pass


@pytest.mark.parametrize("configuration", EVERYWHERE[::3], ids=str)
def test_a_migration_is_whole_or_not_there(crew: Crew, configuration: Configuration) -> None:
    lane, nth = crew.lanes[0], 0
    tally = Tally(f"{configuration}, migration.statement")
    while True:
        nth += 1
        round_ = Round(lane, lane.builder.site(configuration))
        ended = round_.zygote.run(round_.spec.but(kill=Pass("migration.statement", nth)))
        round_.note(round_.spec, ended)
        if not ended.killed:
            assert ended.code == DONE, round_.errors()
            break
        round_.recover(round_.spec)
        verdict: Verdict = round_.verdict()
        tally.add(1, verdict, ended.seconds)
        assert not verdict.violations, "\n".join(verdict.findings)
    report(tally)
    assert tally.kills >= 5
