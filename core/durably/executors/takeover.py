"""Finding work: what waits for any executor, what a dead one left, and what this one holds but does not run."""

from __future__ import annotations

import logging
import threading
from collections.abc import Callable, Mapping

from durably.clock import Clock
from durably.crashpoints import reach
from durably.drive import drive
from durably.errors import NotLaunchedError
from durably.execution.run import Run
from durably.execution.runner import Ready, Runner
from durably.executors.process import proved_dead
from durably.ledger import manage, queries
from durably.ledger.listening import ANYTHING
from durably.ledger.news import Kind
from durably.ledger.queries import Claimant, Claimed
from durably.ledger.wakeups import CANCELLED, announce_ends
from durably.model import Life
from durably.registry import registry

log = logging.getLogger("durably.executor")

#: How many workflows one claim takes, and how many may run here before no more are claimed; those that wait (for time,
#: a message, a child) don't count, since what they wait for may be what is to be claimed.
CLAIM, FULL = 100, 1000
#: How soon to try again what could not be claimed, since somebody had its row locked, or there was no room (seconds).
AGAIN_FIRST, AGAIN_LAST = 0.05, 1.0
#: Where nobody tells what was written: how soon after it to look whether it was work, and how often at most (seconds).
WRITTEN, WRITTEN_AGAIN = 0.05, 0.2


class Takeover:
    """One thread that looks for work: often for waiting workflows, once a renewal of the lease for dead executors."""

    def __init__(
        self,
        runner: Runner,
        claimant: Claimant,
        dispatch: Callable[[Ready], None],
        *,
        clock: Clock,
        look_seconds: float,
        claims: bool,
    ) -> None:
        self._runner = runner
        self._services = runner.services
        self._claimant = claimant
        self._dispatch = dispatch
        self._clock = clock
        self._look_seconds = look_seconds
        self._claims = claims
        self._stop = threading.Event()
        self._mutex = threading.Lock()
        #: Set when there may be something to do before the next look.
        self._wake = threading.Event()
        #: When the next deadline is due, and when work was last looked for (monotonic).
        self._late_at = float("inf")
        self._claimed_at = float("-inf")
        #: When to claim next, if that is before the next look; and whether there is reason to think that there is work.
        self._claim_at = float("inf")
        self._told = False
        #: When to look again, if that is before the next look, and the next delay.
        self._again_at = float("inf")
        self._again_in = AGAIN_FIRST
        self._thread: threading.Thread | None = None
        self._orphans: set[str] = set()
        self._unclaimable: set[str] = set()

    def open(self) -> None:
        """Begin, with a first look at once."""
        news = self._services.ledger.news
        news.subscribe(Kind.CANCELLED, self._cancelled)
        if self._claims:
            news.subscribe(Kind.WORK, self._work)
        news.begun()
        self._thread = threading.Thread(target=self._loop, name="durably-takeover", daemon=True)
        self._thread.start()

    def stop(self, seconds: float) -> None:
        """Claim nothing more. Waits a while for the claim that is on its way; the database may be away."""
        self._stop.set()
        self._wake.set()
        if self._thread is not None:
            self._thread.join(seconds)

    def close(self) -> None:
        """Stop, and wait for the thread; the ledger must have stopped waiting."""
        self._stop.set()
        self._wake.set()
        if self._thread is not None:
            self._thread.join()

    # -- news ----------------------------------------------------------------------------------------------------

    def _cancelled(self, name: str) -> None:
        self._services.active.lose(Life.named(name))

    def _work(self, name: str) -> None:
        if name not in (self._claimant.application_name, ANYTHING, ""):
            return
        at = self._clock.monotonic()
        if name == ANYTHING:
            # Something was written, most often by this very process.
            at = max(at + WRITTEN, self._claimed_at + WRITTEN_AGAIN)
        with self._mutex:
            self._told |= name != ANYTHING
        if self._claim_by(at):
            self._wake.set()

    def _claim_by(self, at: float) -> bool:
        """Claim at that monotonic time; whether that is sooner than before."""
        with self._mutex:
            sooner = at < self._claim_at
            self._claim_at = min(at, self._claim_at)
        return sooner

    def due_in(self, seconds: float) -> None:
        """A workflow that begins here has to have ended in so many seconds."""
        if self._expect_late(self._clock.monotonic() + seconds):
            self._wake.set()

    def _expect_late(self, due: float) -> bool:
        """Look for what is late at that monotonic time; whether that is sooner than before."""
        with self._mutex:
            sooner = due < self._late_at
            self._late_at = min(due, self._late_at)
        return sooner

    # -- the thread ----------------------------------------------------------------------------------------------

    def _loop(self) -> None:
        # With the renewals of the lease that is three statements a turn, so that an idle process sends less than one a
        # second; what must be found sooner is announced, not polled for.
        next_look = self._clock.monotonic()
        while not self._stop.is_set():
            self._wake.clear()
            try:
                now = self._clock.monotonic()
                if now >= min(next_look, self._again_at):
                    next_look = now + self._look_seconds
                    self._look_and_claim()
                if self._clock.monotonic() >= self._late_at:
                    self._cancel_late()
                if self._claims and now >= self._claim_at:
                    self._claim_waiting()
            except NotLaunchedError:
                return
            except Exception:
                log.exception("could not look for work; trying again")
            due = min(next_look, self._again_at, self._late_at, self._claim_at)
            self._clock.wait(self._wake, due - self._clock.monotonic())

    def _look_and_claim(self) -> None:
        again, self._again_at = self._again_at < float("inf"), float("inf")
        with self._mutex:
            self._told |= again  # something was passed over the last time
        self.look(reconcile=not again)
        if self._claims and (self._told or self._claimed_at == float("-inf")):
            self._claim_waiting()
        elif self._claims:
            # Together with what is to be looked for after the renewal of the lease, which is a write, too.
            self._claim_by(self._clock.monotonic() + 2 * WRITTEN_AGAIN)
        if self._again_at == float("inf"):
            self._again_in = AGAIN_FIRST

    def _again(self) -> None:
        """Look again soon: what could be claimed was passed over, since somebody had its row locked."""
        if self._again_at == float("inf"):
            self._again_at = self._clock.monotonic() + self._again_in
            self._again_in = min(self._again_in * 2, AGAIN_LAST)

    def _claim_waiting(self) -> None:
        with self._mutex:
            told, self._told, self._claim_at = self._told, False, float("inf")
        self._claimed_at = self._clock.monotonic()
        if not told and not self._claimable(None):
            return  # a read, and no lock for nothing
        taken, more = 0, True
        while more and not self._stop.is_set():
            took, more = self._take(lambda limit: queries.claim_waiting_by(self._known(), limit))
            taken += took
        if self._claimable(None) if told else not taken:
            self._again()

    def _claimable(self, lost_executor_id: str | None) -> bool:
        claimant = self._known()
        return drive(self._services.ledger.read(lambda session: queries.claimable(session, claimant, lost_executor_id)))

    def _cancel_late(self) -> None:
        """Cancel what is past its deadline, whoever holds it."""
        with self._mutex:
            self._late_at = float("inf")
        began, moment = self._clock.monotonic(), self._services.outcomes.moment
        reach("deadline.before")
        name = self._claimant.application_name
        late, next_in = drive(self._services.ledger.change(lambda session: manage.cancel_late(session, name)))
        reach("deadline.after")
        if late:
            log.warning("cancelled %d workflows that were past their deadline", len(late))
        announce_ends(self._services.ledger.news, self._services.outcomes, late, CANCELLED, moment)
        self._expect_next(began, next_in)

    def _expect_next(self, began: float, next_in: int | None) -> None:
        if next_in is not None:
            # A little late rather than early, when nothing is due yet.
            self._expect_late(began + max(next_in, 0) / 1000 + 0.005)

    def look(self, *, reconcile: bool = True) -> None:
        """Take over from the dead, and see to what is held here but does not run."""
        began = self._clock.monotonic()
        running = {run.workflow_id: run for run in self._services.active.runs()}
        around = drive(self._services.ledger.read(lambda session: queries.around(session, self._claimant)))
        self._expect_next(began, around.deadline_in)
        if reconcile:  # not sooner after the last time: what is so at two looks is to be so for a while
            self._reconcile(running, around.held, began)
        for other in around.others if self._claims else ():
            if other.expired or proved_dead(other.process):
                self._take_over(other.executor_id, "its lease ran out" if other.expired else "its process is gone")

    def _take_over(self, executor_id: str, why: str) -> None:
        more = True
        while more and not self._stop.is_set():
            taken, more = self._take(lambda limit: queries.claim_lost_by(self._known(), executor_id, limit))
            if taken:
                self._told = True  # what waits is perhaps locked by what now runs
                log.warning("took over %d workflows of executor %s: %s", taken, executor_id, why)
        left = drive(self._services.ledger.read(lambda session: queries.held(session, executor_id)))
        for workflow_id, name in left:
            if registry.find(name) is None and name not in self._unclaimable:
                self._unclaimable.add(name)
                log.error(
                    "workflow %r of lost executor %s cannot be taken over here: %r is not registered in this process; "
                    "import its module, or give its new name aliases=(%r,)",
                    workflow_id,
                    executor_id,
                    name,
                    name,
                )
        if left and self._claimable(executor_id):
            self._again()
        if not left:
            name = self._claimant.application_name
            drive(self._services.ledger.change(lambda session: queries.forget_executor(session, name, executor_id)))

    def _take(self, claim: Callable[[int], queries.Claim]) -> tuple[int, bool]:
        """Claim and dispatch, as far as there is room; how many, and whether there may be more to claim now."""
        room = min(CLAIM, FULL - sum(not run.waiting for run in self._services.active.runs()))
        if room <= 0:
            self._claim_by(self._clock.monotonic() + AGAIN_FIRST)
            return 0, False
        asked_at = self._clock.monotonic()
        reach("claim.before")
        claimed = drive(self._services.ledger.each(claim(room)))
        if claimed:
            reach("claim.after")
        return self._run(claimed, asked_at), len(claimed) == room

    def _run(self, claimed: list[Claimed], asked_at: float, *, again: bool = False) -> int:
        for ready in drive(self._runner.adopt(claimed, asked_at, again=again)):
            self._dispatch(ready)
        return len(claimed)

    def _known(self) -> Claimant:
        """Who claims, with the names that are registered by now."""
        names = {name for name in registry.names() if (found := registry.find(name)) and found.kind == "workflow"}
        return self._claimant._replace(names=tuple(sorted(names)))

    def stop_lost(self, held: set[str], began: float) -> None:
        """After a lapse of the lease: stop what is not among ``held``, read from the database after ``began``.

        One whose row was on its way at that moment is stopped in vain; it is found as an orphan, and runs again.
        """
        for run in self._services.active.runs():
            if run.workflow_id not in held and run.asked_at < began:
                run.stop("another executor took it over, or it was cancelled")

    def _reconcile(self, running: Mapping[str, Run], held: set[str], began: float) -> None:
        """Compare what this executor holds by the database, read after ``began``, with what ran here just before."""
        executor_id = self._claimant.executor_id
        for workflow_id, run in running.items():
            if workflow_id not in held and run.held_since is not None and run.held_since < began:
                run.stop("another executor took it over, or it was cancelled")
        # A row may be written and not yet counted as running, or the reverse; what is so at two looks is an orphan:
        # a claim whose answer was lost, or an execution that was interrupted.
        idle = {workflow_id for workflow_id in held if self._services.active.get(workflow_id) is None}
        orphans, self._orphans = sorted(idle & self._orphans), idle
        if orphans:
            log.warning("re-running %d workflows that are held here but do not run", len(orphans))
            again = drive(
                self._services.ledger.read(lambda session: queries.claimed_inputs(session, orphans, executor_id))
            )
            self._run(again, began, again=True)
