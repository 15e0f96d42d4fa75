"""A row whose sender died while it was on its way: it arrives when its executor has been forgotten already."""

from __future__ import annotations

import time

from tests.crash import oracle
from tests.crash.configurations import CONFIGURATIONS
from tests.crash.rounds import Crew, Round


def test_a_start_that_commits_after_its_executor_was_forgotten(crew: Crew) -> None:
    lane = crew.lanes[0]
    site = lane.builder.site(CONFIGURATIONS[0])
    round_ = Round(lane, site, 1)
    warm = Round(lane, site, 1)
    round_.recover(warm.spec)  # makes the tables
    with oracle.opened(site.system_url) as other:
        # The server has the start's INSERT, and waits to learn whether this one stays; the client dies meanwhile.
        other.query("BEGIN")
        other.query("INSERT INTO {t}workflow_inputs VALUES (?, '', '')", round_.workflow_ids)
        ended = round_.zygote.run(round_.spec.but(threads=1), kill_after=2.0)
        assert ended.killed, round_.errors()
        round_.recover(round_.spec.but(role="recover"))  # proves the death, finds nothing, and forgets the executor
        other.query("ROLLBACK")
    deadline = time.monotonic() + 5
    while not _is_there(round_) and time.monotonic() < deadline:
        time.sleep(0.05)
    assert _is_there(round_), "the row did not arrive"
    round_.recover(round_.spec.but(role="recover", wait_seconds=8.0))
    verdict = round_.verdict()
    assert verdict.workflows == 1
    assert not verdict.violations, verdict.findings


def _is_there(round_: Round) -> bool:
    with oracle.opened(round_.site.system_url) as system:
        return bool(system.query("SELECT 1 FROM {t}workflow_status WHERE workflow_uuid = ?", (round_.workflow_ids[0],)))
