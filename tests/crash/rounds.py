"""One round of a crash test: processes that are killed, one that recovers, and the oracle's verdict."""

from __future__ import annotations

import time
from collections.abc import Callable
from pathlib import Path
from queue import SimpleQueue
from random import Random
from uuid import uuid4

from tests.crash import journal, oracle
from tests.crash.configurations import Configuration
from tests.crash.figures import SEED, Tally
from tests.crash.oracle import Verdict
from tests.crash.sites import Builder, Site
from tests.crash.spec import DONE, STUCK, Pass, Spec
from tests.crash.zygote import Ended, Zygote

#: Workflows in one round; each has two steps and two transactions.
WORKFLOWS = 3

#: How often one process comes by each point, at least, when it runs WORKFLOWS workflows from their start.
PASSES = {
    "workflow_row.before": WORKFLOWS,
    "workflow_row.after": WORKFLOWS,
    "step.body.before": 2 * WORKFLOWS,
    "step.body.after": 2 * WORKFLOWS,
    "checkpoint.before": 2 * WORKFLOWS,
    "checkpoint.after": 2 * WORKFLOWS,
    "transaction.body.before": 2 * WORKFLOWS,
    "transaction.commit.before": 2 * WORKFLOWS,
    "transaction.commit.after": 2 * WORKFLOWS,
    "echo.before": 2 * WORKFLOWS,
    "echo.after": 2 * WORKFLOWS,
    "outcome.before": WORKFLOWS,
    "outcome.after": WORKFLOWS,
}
#: Points that are about the adapter.
COMMIT = ("transaction.commit.before", "transaction.commit.after")
#: Points that only a process comes by that takes over what another one left.
CLAIMS = ("claim.before", "claim.after")
#: Points that a co-located transaction never comes by: its checkpoint is in the system database already.
ONLY_APART = ("echo.before", "echo.after")


def points(configuration: Configuration) -> list[str]:
    """The points that this configuration comes by."""
    return [point for point in (*PASSES, *CLAIMS) if not (configuration.colocated and point in ONLY_APART)]


def asked(configuration: Configuration, kills: int) -> dict[str, int]:
    """Those at which the matrix kills it, and how often."""
    some, share = (*COMMIT, *ONLY_APART), configuration.share_of(kills)
    return {
        point: kills if point in COMMIT else share
        for point in points(configuration)
        if configuration.extent != "commit" or point in some
    }


class FaultDidNotFire(AssertionError):
    """A process was to die and did not: the round proves nothing."""


class Lane:
    """Zygotes, and databases that no other lane uses; rounds in one lane come one after another."""

    def __init__(self, builder: Builder) -> None:
        self.builder = builder
        self._zygotes: dict[str, Zygote] = {}
        self._sites: dict[Configuration, Site] = {}
        self._peer: Zygote | None = None

    def zygote(self, orm: str) -> Zygote:
        """The zygote that has this ORM: one of its own for each, which the others' imports do not weigh down."""
        if orm not in self._zygotes:
            self._zygotes[orm] = Zygote(orm)
        return self._zygotes[orm]

    @property
    def peer(self) -> Zygote:
        """A second zygote, with SQLAlchemy, for rounds in which two processes run at once."""
        if self._peer is None:
            self._peer = Zygote("sqlalchemy")
        return self._peer

    def site(self, configuration: Configuration) -> Site:
        """The lane's databases for a configuration: used again and again, as an application's are."""
        if configuration not in self._sites:
            self._sites[configuration] = self.builder.site(configuration)
        return self._sites[configuration]

    def close(self) -> None:
        """End the zygotes."""
        for zygote in self._zygotes.values():
            zygote.close()
        if self._peer is not None:
            self._peer.close()


class Round:
    """The processes of one round, and who was killed."""

    def __init__(self, lane: Lane, site: Site, workflows: int = WORKFLOWS) -> None:
        self.zygote = lane.zygote(site.configuration.orm)
        self.site = site
        name = uuid4().hex[:8]
        self.workflow_ids = tuple(f"{name}-{place}" for place in range(workflows))
        self.log = site.folder / f"{name}.log"
        self.spec: Spec = site.spec(self.workflow_ids, self.log)
        self.kills = 0
        self.history: list[str] = []

    def killed(self, spec: Spec) -> None:
        """Run a process that must die of its fault."""
        ended = self.zygote.run(spec)
        self.note(spec, ended)
        if not ended.killed:
            raise FaultDidNotFire(f"{self}: the last one was to be killed\n{self.errors()}")
        self.kills += 1

    def perhaps_killed(self, spec: Spec) -> None:
        """Run a process that may die of its fault, or end before it comes by."""
        ended = self.zygote.run(spec)
        self.note(spec, ended)
        self.kills += ended.killed

    def recover(self, spec: Spec) -> None:
        """Run the process that must bring everything to its end."""
        ended = self.zygote.run(spec)
        self.note(spec, ended)
        if ended.code not in (DONE, STUCK):
            raise AssertionError(f"{self}: the last one should have ended well\n{self.errors()}")

    def note(self, spec: Spec, ended: Ended) -> None:
        """Remember a process for the messages."""
        fault = spec.kill or spec.stop or spec.stop_in_step or ""
        end = "stopped" if ended.stopped else str(ended.code)
        self.history.append(f"{spec.role} {fault} -> {end} in {ended.seconds:.2f} s")

    def verdict(self, *, serial: bool = True) -> Verdict:
        """What the oracle says; its findings say what happened before."""
        entries = journal.read(self.log)
        verdict = oracle.judge(
            self.site.system_url, self.site.application_url, self.workflow_ids, entries, serial=serial
        )
        verdict.findings = [f"{finding} [{self}]" for finding in verdict.findings]
        return verdict

    def errors(self) -> str:
        """What the processes said before they died."""
        path = Path(f"{self.log}.errors")
        return path.read_text()[-4000:] if path.exists() else ""

    def __str__(self) -> str:
        return f"{self.site.configuration}: {'; '.join(self.history)}"


def crash_at(lane: Lane, configuration: Configuration, point: str, random: Random) -> tuple[int, Verdict]:
    """Kill a process at some pass of ``point``, recover, judge. In one round of four the recovery is killed, too."""
    round_ = Round(lane, lane.site(configuration))
    spec = round_.spec.but(threads=random.randint(1, 3))
    if point in CLAIMS:
        kill_claims(round_, spec, point, random)
    else:
        round_.killed(spec.but(kill=Pass(point, random.randint(1, PASSES[point]))))
    again = spec.but(role=random.choice(("recover", "work")))
    if random.random() < 0.25:
        second = random.choice(points(configuration))
        round_.perhaps_killed(again.but(kill=Pass(second, random.randint(1, 3))))
    round_.recover(again)
    return round_.kills, round_.verdict()


def kill_claims(round_: Round, spec: Spec, point: str, random: Random) -> None:
    """Leave work behind, by a crash or on purpose, and kill who claims it."""
    if random.random() < 0.5:
        round_.recover(spec.but(role="leave"))
    else:
        begun = ("workflow_row.after", "step.body.before", "checkpoint.before", "transaction.commit.after")
        round_.killed(spec.but(kill=Pass(random.choice(begun), random.randint(1, WORKFLOWS - 1))))
    round_.killed(spec.but(role="recover", kill=Pass(point, 1)))


class Crew:
    """Lanes that work side by side."""

    def __init__(self, builder: Builder, size: int) -> None:
        self.lanes = [Lane(builder) for _ in range(size)]

    def run(self, what: str, count: int, one: Callable[[Lane, Random], tuple[int, Verdict]]) -> Tally:
        """``count`` rounds, spread over the lanes. Each has a random generator of its own, made from the seed."""
        from concurrent.futures import ThreadPoolExecutor

        tally = Tally(what)
        free: SimpleQueue[Lane] = SimpleQueue()
        for lane in self.lanes:
            free.put(lane)

        def work(number: int) -> tuple[int, Verdict, float]:
            lane, began = free.get(), time.monotonic()
            try:
                return (*one(lane, Random(f"{SEED}/{what}/{number}")), time.monotonic() - began)  # noqa: S311
            finally:
                free.put(lane)

        began = time.monotonic()
        with ThreadPoolExecutor(len(self.lanes)) as pool:
            for result in pool.map(work, range(count)):
                tally.add(*result)
        tally.seconds = time.monotonic() - began
        return tally

    def close(self) -> None:
        """End the zygotes."""
        for lane in self.lanes:
            lane.close()
