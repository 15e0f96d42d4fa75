"""Rounds with a zombie: a process that stalls (SIGSTOP) past its lease, is replaced, and wakes up again."""

from __future__ import annotations

import time
from collections.abc import Callable
from pathlib import Path

from tests.crash import journal
from tests.crash.oracle import Verdict, opened
from tests.crash.rounds import WORKFLOWS, FaultDidNotFire, Lane, Round
from tests.crash.sites import Site
from tests.crash.spec import DONE, Pass, Spec
from tests.crash.zygote import Ended

LEASE_SECONDS = 0.6
#: How long a round waits for what may never come: a peer that the zombie's locks keep out, a write that is refused.
PATIENCE = 2.5


class ZombieRound:
    """One process that stops, and a peer that takes over."""

    def __init__(self, lane: Lane, site: Site, mutant: str | None = None) -> None:
        # A stopped process keeps SQLite's lock of the whole file, so nothing else may be writing when it stops.
        self.round = Round(lane, site, WORKFLOWS if site.configuration.database == "postgresql" else 1)
        self.lane = lane
        self.spec: Spec = self.round.spec.but(lease_seconds=LEASE_SECONDS, mutant=mutant)
        #: The workflow in whose first step the zombie stops.
        self.workflow_id = self.round.workflow_ids[0]

    def close(self) -> None:
        """End what still runs or is stopped: locks outlast a stop."""
        self.round.zygote.abandon()
        self.lane.peer.abandon()

    # -- the ways ------------------------------------------------------------------------------------------

    def wakes_after_the_end(self) -> Verdict:
        """It stops in a step's body; the peer takes over and ends the workflows; then it wakes."""
        self.stops(self.spec.but(stop_in_step=self.workflow_id))
        self.peer_begins()
        peer = self.peer_ends()
        self.wakes()
        recorded = self.recorded_by()
        if recorded != peer.pid:
            raise AssertionError(
                f"{self.round}: the step's checkpoint is process {recorded}'s, not the peer's {peer.pid}: "
                f"{journal.read(self.round.log)}"
            )
        return self.round.verdict(serial=False)

    def wakes_before_the_first_step(self) -> Verdict:
        """It stops when its workflow's row is written; the peer ends the workflows; the zombie must run nothing."""
        self.stops(self.spec.but(stop=Pass("workflow_row.after")))
        self.peer_begins()
        self.peer_ends()
        self.wakes()
        return self.round.verdict(serial=False)

    def wakes_during_the_step(self) -> Verdict:
        """It stops in a step's body; the peer is in the same body when it wakes, and ends that body after it."""
        release = Path(f"{self.round.log}.release")
        self.stops(self.spec.but(stop_in_step=self.workflow_id))
        self.peer_begins(hold_in_step=self.workflow_id, release=str(release))
        if not _until(lambda: len(self.bodies()) == 2, PATIENCE * 4):
            raise FaultDidNotFire(f"{self.round}: the peer did not come to the zombie's step\n{self.round.errors()}")
        self.round.zygote.resume()
        _until(lambda: self.recorded_by() is not None, PATIENCE / 5)
        release.touch()
        self.peer_ends()
        self.zombie_ends()
        return self.round.verdict(serial=False)

    def stops_before_its_commit(self, nth: int) -> Verdict:
        """It stops with its transaction recorded and open. It wakes when the peer is done, or is kept out by locks."""
        stop = Pass("transaction.commit.before", nth)
        self.stops(self.spec.but(stop=stop))
        self.peer_begins()
        time.sleep(PATIENCE)
        self.wakes()
        self.peer_ends()
        return self.round.verdict(serial=False)

    # -- their parts ---------------------------------------------------------------------------------------------

    def stops(self, spec: Spec) -> None:
        ended = self.round.zygote.run(spec)
        self.round.note(spec, ended)
        if not ended.stopped:
            raise FaultDidNotFire(f"{self.round}: the last one was to be stopped\n{self.round.errors()}")

    def peer_begins(self, *, hold_in_step: str | None = None, release: str | None = None) -> None:
        self.lane.peer.begin(self.spec.but(role="recover", hold_in_step=hold_in_step, release=release))

    def peer_ends(self) -> Ended:
        ended = self.lane.peer.ended()
        self.round.note(self.spec.but(role="recover"), ended)
        if ended.code != DONE:
            raise AssertionError(f"{self.round}: the peer should have ended well\n{self.round.errors()}")
        return ended

    def wakes(self) -> None:
        self.round.zygote.resume()
        self.zombie_ends()

    def zombie_ends(self) -> None:
        ended = self.round.zygote.ended()
        self.round.note(self.spec, ended)
        if ended.code != DONE:
            raise AssertionError(f"{self.round}: the zombie should have got its results\n{self.round.errors()}")

    def bodies(self) -> list[journal.Entry]:
        """The executions of the step in which the zombie stops."""
        entries = journal.read(self.round.log)
        return [one for one in entries if (one.kind, one.workflow_id, one.step) == ("body", self.workflow_id, 1)]

    def recorded_by(self) -> int | None:
        """The process whose execution of that step is recorded."""
        with opened(self.round.site.system_url) as system:
            rows = system.query(
                "SELECT output FROM {t}operation_outputs WHERE workflow_uuid = ? AND function_id = 1",
                (self.workflow_id,),
            )
        return int(rows[0][0].strip('"').partition(":")[0]) if rows else None


def _until(condition: Callable[[], bool], seconds: float) -> bool:
    deadline = time.monotonic() + seconds
    while not condition():
        if time.monotonic() > deadline:
            return False
        time.sleep(0.01)
    return True
