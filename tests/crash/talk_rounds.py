"""Rounds of the talking program: killed several times at one point, recovered, judged."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from random import Random
from typing import Literal
from uuid import uuid4
from weakref import WeakKeyDictionary

from durably.testing.postgres import PostgresServer
from tests.crash import journal, talk_oracle
from tests.crash.oracle import Verdict
from tests.crash.rounds import FaultDidNotFire, Lane
from tests.crash.spec import DONE, STUCK, Pass, Spec
from tests.crash.talk_plan import ONLY_AWAITED, PARTS, TURNS, started
from tests.crash.zygote import Ended, Zygote

#: Kills in one round, one process after another; a round of fewer would mostly be recovery.
KILLS_PER_ROUND = 4


@dataclass(frozen=True)
class Form:
    """The form of the program, and the database that it talks through."""

    database: Literal["postgresql", "sqlite"]
    asynchronous: bool

    def share_of(self, kills: int) -> int:
        """How many kills each point gets: all four forms share the engine's code, and with it the kills."""
        return max(kills // (5 if self.asynchronous else 2), KILLS_PER_ROUND)

    def __str__(self) -> str:
        return f"{self.database} talk{' async' if self.asynchronous else ''}"


FORMS = tuple(Form(database, asynchronous) for asynchronous in (False, True) for database in ("postgresql", "sqlite"))


@dataclass(frozen=True)
class Place:
    """Where a process is killed. ``passes``: how often one comes by, at least, that runs the part from its start.

    ``workflows``: how many may have come by, and not say so any more, when one of them is killed.
    """

    part: str
    passes: int
    workflows: int = 1


_OF_THEIR_OWN = {
    "send": Place("talk", 2 * TURNS, 3),
    "send_bulk": Place("talk", 2 * TURNS, 2),
    "receive": Place("talk", 6 * TURNS, 2),
    "event": Place("talk", 4 * TURNS, 2),
    "stream": Place("talk", 6 * TURNS, 2),
    "child": Place("family", 2 * TURNS),
    "cancel": Place("control", TURNS),
    "resume": Place("control", TURNS),
    "fork": Place("copies", TURNS),
    "delete": Place("copies", TURNS),
    "attributes": Place("copies", TURNS),
    "deadline": Place("late", TURNS),
}
#: Verbs that have no point of their own, but are recorded by ``checkpoint``.
NOTED = {
    "now": Place("notes", TURNS),
    "uuid": Place("notes", TURNS),
    "sleep": Place("notes", TURNS),
    "patch": Place("notes", TURNS),
    "get_event": Place("notes", TURNS),
    "get_all_events": Place("notes", TURNS),
    "read_stream": Place("notes", TURNS),
    "recv": Place("notes", TURNS),
    "send": Place("notes", TURNS),
    "get_workflow_status": Place("notes", TURNS),
    "get_result": Place("notes", TURNS),
    "wait_first": Place("family", TURNS),
    "wait_all": Place("family", TURNS),
    "child": Place("family", TURNS),
}


def parts_of(form: Form) -> list[str]:
    """The parts that this form has."""
    return [part for part in PARTS if form.asynchronous or part not in ONLY_AWAITED]


#: In the arms of a gather, of the awaited form.
GATHERED = {"note": Place("arms", 6 * TURNS, 6), "sleep": Place("arms", 3 * TURNS, 3)}

#: The points that only talking and managing come by.
POINTS = {f"{verb}.{side}": place for verb, place in _OF_THEIR_OWN.items() for side in ("before", "after")}


class Rounds:
    """Runs rounds, each on databases of its lane."""

    def __init__(self, folder: Path, server: PostgresServer) -> None:
        self._folder = folder
        self._server = server
        self._specs: WeakKeyDictionary[Lane, dict[Form, Spec]] = WeakKeyDictionary()
        self._lengths: WeakKeyDictionary[Lane, dict[Form, float]] = WeakKeyDictionary()
        self._databases: list[str] = []

    def killed_at(self, lane: Lane, form: Form, point: str, place: Place, random: Random) -> tuple[int, Verdict]:
        """Kill processes at ``point``, one after another; then let one run to the end, and judge."""
        beside = [one for one in parts_of(form) if one != place.part and random.random() < 0.1]
        round_ = TalkRound(lane, self.spec(lane, form), [place.part, *beside])
        last = place.passes - (KILLS_PER_ROUND - 1) * place.workflows
        for number in range(KILLS_PER_ROUND):
            round_.killed(Pass(point, random.randint(1, last) if number == 0 else 1))
        round_.finish()
        return KILLS_PER_ROUND, round_.verdict()

    def killed_sometime(self, lane: Lane, form: Form, random: Random) -> tuple[int, Verdict]:
        """Kill processes at moments that nobody chose, while all parts run; then let one run to the end, and judge."""
        length = self._length(lane, form)
        round_ = TalkRound(lane, self.spec(lane, form), parts_of(form))
        while not (kills := int(round_.killed_after(random.uniform(0, length)))):
            round_ = TalkRound(lane, self.spec(lane, form), parts_of(form))
        kills += sum(round_.killed_after(random.uniform(0, length / 2)) for _ in range(KILLS_PER_ROUND - 1))
        round_.finish()
        return kills, round_.verdict()

    def _length(self, lane: Lane, form: Form) -> float:
        """How long a process takes in that lane if nobody kills it (seconds)."""
        lengths = self._lengths.setdefault(lane, {})
        if form not in lengths:
            lengths[form] = TalkRound(lane, self.spec(lane, form), parts_of(form)).finish().seconds
        return lengths[form]

    def spec(self, lane: Lane, form: Form) -> Spec:
        """A process on the lane's own database."""
        specs = self._specs.setdefault(lane, {})
        if form not in specs:
            specs[form] = self.fresh(form)
        return specs[form].but(log=str(self._folder / uuid4().hex))

    def fresh(self, form: Form) -> Spec:
        """A process on a new database."""
        name = f"durably_talk_{uuid4().hex[:12]}"
        url = f"sqlite:///{self._folder / name}.db"
        if form.database == "postgresql":
            url = self._server.create_database(name)
            self._databases.append(name)
        return Spec(
            system_url=url,
            application_url="",
            workflow_ids=(),
            log=str(self._folder / name),
            asynchronous=form.asynchronous,
            program="tests.crash.talk_program",
        )

    def close(self) -> None:
        """Drop the databases that were made on the server."""
        while self._databases:
            self._server.drop_database(self._databases.pop())


def _zygote(lane: Lane) -> Zygote:
    return lane.zygote("sqlalchemy")  # any: no transaction is run


class TalkRound:
    """The processes of one round."""

    def __init__(self, lane: Lane, spec: Spec, parts: Sequence[str]) -> None:
        self._zygote = _zygote(lane)
        self._name = uuid4().hex[:8]
        self._spec = spec.but(workflow_ids=tuple(started(parts, self._name)))
        self._history: list[str] = []

    def killed(self, kill: Pass) -> None:
        """Run a process that must die at that pass."""
        ended = self._run(self._spec.but(kill=kill))
        if not ended.killed:
            raise FaultDidNotFire(f"{self}: the last one was to be killed\n{self._errors()}")

    def killed_after(self, seconds: float) -> bool:
        """Run a process and kill it after a while, unless it has ended; whether it was killed."""
        return self._run(self._spec, kill_after=seconds).killed

    def finish(self) -> Ended:
        """Run the process that must bring everything to its end."""
        ended = self._run(self._spec)
        if ended.code not in (DONE, STUCK):
            raise AssertionError(f"{self}: the last one should have ended well\n{self._errors()}")
        return ended

    def _run(self, spec: Spec, *, kill_after: float | None = None) -> Ended:
        ended = self._zygote.run(spec, kill_after=kill_after)
        self._history.append(f"{spec.kill or kill_after or 'recovery'} -> {ended.code} in {ended.seconds:.2f} s")
        return ended

    def verdict(self) -> Verdict:
        """What the oracle says; its findings say what happened before."""
        entries = journal.read(Path(self._spec.log))
        verdict = talk_oracle.judge(self._spec.system_url, self._name, self._spec.workflow_ids, entries)
        verdict.findings = [f"{finding} [{self}]" for finding in verdict.findings]
        return verdict

    def _errors(self) -> str:
        path = Path(f"{self._spec.log}.errors")
        return path.read_text()[-4000:] if path.exists() else ""

    def __str__(self) -> str:
        return f"{', '.join(self._spec.workflow_ids)}: {'; '.join(self._history)}"
