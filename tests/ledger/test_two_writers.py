"""Two processes on one system database: no deadlock, one winner for each workflow, and no zombie slips past a claim.

In one process here, with a backend for each: what matters are the connections. One test has real processes.
"""

from __future__ import annotations

import random
import subprocess
import sys
import threading
import time
from collections.abc import Callable
from functools import partial

import pytest

from durably.ledger import queries
from durably.ledger.backend import Backend
from durably.ledger.commands import Answer, Command, Recorded, Started
from durably.ledger.queries import Claimed
from durably.model import Checkpoint, CheckpointKey
from tests.ledger.commands import ALICE, BOB, checkpoint, claimant, outcome, start
from tests.ledger.conftest import Connect
from tests.ledger.writing import in_threads


@pytest.fixture
def other(ledger_url: str, connect: Connect) -> Backend:
    return connect(ledger_url)


def both(first: Callable[[], None], second: Callable[[], None]) -> None:
    """Run both at the same moment."""
    ready = threading.Barrier(2)

    def run(work: Callable[[], None]) -> None:
        ready.wait(10)
        work()

    in_threads([partial(run, first), partial(run, second)])


def test_both_start_the_same_workflows_and_one_wins_each(backend: Backend, other: Backend) -> None:
    """500 workflows, in batches whose orders differ."""
    answers: dict[str, list[Answer]] = {}
    commands: dict[str, list[Command]] = {}

    def begin(side: str, one: Backend) -> None:
        chance = random.Random(side)  # noqa: S311
        numbers = list(range(500))
        commands[side] = [start(f"w{number}", executor=side) for number in numbers]
        answers[side] = [Started(False)] * 500
        for first in range(0, 500, 20):
            places = numbers[first : first + 20]
            chance.shuffle(places)
            for place, answer in zip(places, one.write([commands[side][place] for place in places]), strict=True):
                answers[side][place] = answer

    both(partial(begin, ALICE, backend), partial(begin, BOB, other))
    rows = backend.read(lambda session: queries.statuses(session, [f"w{number}" for number in range(500)]))
    for number in range(500):
        alice, bob = answers[ALICE][number], answers[BOB][number]
        assert isinstance(alice, Started)
        assert isinstance(bob, Started)
        assert alice.created != bob.created
        assert rows[f"w{number}"].executor_id == (ALICE if alice.created else BOB)


def test_mixed_batches_on_the_same_workflows_never_deadlock(backend: Backend, other: Backend) -> None:
    """Each side ends its own workflows, and tries to record and to end the other's."""
    backend.write([start(f"w{number}", executor=(ALICE, BOB)[number % 2]) for number in range(200)])
    ended: dict[str, list[str]] = {ALICE: [], BOB: []}

    def work(side: str, one: Backend) -> None:
        chance = random.Random(side)  # noqa: S311
        for first in range(0, 200, 10):
            ids = [f"w{number}" for number in range(first, first + 10)]
            batch: list[Command] = []
            for workflow_id in ids:
                batch += [checkpoint(workflow_id, executor=side), outcome(workflow_id, executor=side)]
                batch += [start(f"{side}-{workflow_id}", executor=side), start(f"new-{workflow_id}", executor=side)]
            chance.shuffle(batch)
            for command, answer in zip(batch, one.write(batch), strict=True):
                if answer is True:
                    ended[side].append(command.workflow_id)

    both(partial(work, ALICE, backend), partial(work, BOB, other))
    assert sorted(ended[ALICE]) == sorted(f"w{number}" for number in range(0, 200, 2))
    assert sorted(ended[BOB]) == sorted(f"w{number}" for number in range(1, 200, 2))


def test_the_same_batch_sent_twice_at_once_is_written_once(
    postgres_backend: Backend, connect: Connect, emptied_url: str
) -> None:
    """A batch whose first try is still on its way in the server while the second try comes."""
    again = connect(emptied_url)
    answers: list[Answer] = []

    def sends(backend: Backend, batch: list[Command]) -> None:
        answers.extend(backend.write(batch))

    for turn in range(40):
        batch: list[Command] = [start(f"w{turn}-{number}") for number in range(10)]
        both(partial(sends, postgres_backend, batch), partial(sends, again, batch))
    assert len(answers) == 40 * 10 * 2
    assert all(isinstance(answer, Started) and answer.created for answer in answers)


class Round:
    """Alice, who is late, records a step of each of her workflows, while Bob takes them over."""

    def __init__(self, turn: int, alice: Backend, bob: Backend) -> None:
        self.ids = [f"w{turn}-{number}" for number in range(12)]
        self.answers: dict[str, Answer] = {}
        #: For each workflow, whether its new holder saw the late step.
        self.seen: dict[str, bool] = {}
        self._alice, self._bob = alice, bob

    def zombie(self, delay: float = 0.0) -> None:
        time.sleep(delay)
        late = [checkpoint(workflow_id) for workflow_id in self.ids]
        self.answers.update(zip(self.ids, self._alice.write(late), strict=True))

    def claims(self, delay: float) -> None:
        time.sleep(delay)
        while len(self.seen) < len(self.ids):
            claimed = self._bob.change(queries.claim_lost_by(claimant(BOB), ALICE, 5))
            history = self.history([one.status.workflow_id for one in claimed])
            self.seen.update((workflow_id, bool(steps)) for workflow_id, steps in history.items())

    def history(self, workflow_ids: list[str]) -> dict[str, dict[CheckpointKey, Checkpoint]]:
        return self._bob.read(lambda session: queries.history(session, workflow_ids))

    def recorded(self) -> set[str]:
        return {workflow_id for workflow_id, answer in self.answers.items() if answer is Recorded.RECORDED}


def slipped(rounds: int, alice: Backend, bob: Backend) -> tuple[int, int]:
    """How often a late checkpoint was recorded and yet not seen by the claimer; and how often the late one lost."""
    chance = random.Random(1)  # noqa: S311
    count = fenced = 0
    for turn in range(rounds):
        race = Round(turn, alice, bob)
        alice.write([start(workflow_id) for workflow_id in race.ids])
        # In every other round the zombie is the one that comes later; which of the two wins is decided by the database.
        delays = (0.0, chance.uniform(0, 0.001)) if turn % 2 else (chance.uniform(0, 0.02), 0.0)
        both(partial(race.zombie, delays[0]), partial(race.claims, delays[1]))
        assert {one for one, steps in race.history(race.ids).items() if steps} == race.recorded()
        count += sum(not race.seen[workflow_id] for workflow_id in race.recorded())
        fenced += len(race.ids) - len(race.recorded())
        bob.write([outcome(workflow_id, executor=BOB, attempt=2) for workflow_id in race.ids])
    return count, fenced


def test_a_zombies_checkpoint_that_races_a_claim_never_slips_past(backend: Backend, other: Backend) -> None:
    """400 rounds of 12 workflows: recorded before the claim and seen by it, or refused; nothing in between."""
    count, fenced = slipped(400 if backend.dialect.has_schema else 100, backend, other)
    assert count == 0
    assert fenced > 0, "the claim never came first: this proved nothing"


def test_a_zombies_outcome_that_races_a_claim_has_one_winner(backend: Backend, other: Backend) -> None:
    written: list[Answer] = []
    claimed: list[list[Claimed]] = []

    def ends(workflow_id: str) -> None:
        written.extend(backend.write([outcome(workflow_id)]))

    def claims() -> None:
        claimed.append(other.change(queries.claim_lost_by(claimant(BOB), ALICE, 5)))

    for turn in range(60):
        workflow_id = f"w{turn}"
        backend.write([start(workflow_id)])
        both(partial(ends, workflow_id), claims)
        # A claim skips a row that is being written: then the outcome has won.
        assert written[-1] is not bool(claimed[-1])
        assert backend.write([outcome(workflow_id, executor=BOB, attempt=2)]) == [bool(claimed[-1])]


PROCESS = """
import sys, random
from durably.client import make_backend
from durably.config import Settings
from tests.ledger.commands import checkpoint, outcome, start
url, side = sys.argv[1:]
backend = make_backend(Settings("test", url))
backend.open()
chance = random.Random(side)
won = 0
for first in range(0, 500, 5):
    ids = [f"w{n}" for n in range(first, first + 5)]
    chance.shuffle(ids)
    begun = backend.write([start(one, executor=side, run_id=side + one) for one in ids])
    started = [answer.created for answer in begun]
    batch = [one for each in ids for one in (checkpoint(each, executor=side), outcome(each, executor=side))]
    answers = backend.write(batch)
    assert answers[1::2] == started, (answers, started)
    won += sum(started)
print(won)
"""


def test_two_processes_race_for_500_workflows_and_each_has_one_winner(ledger_url: str, backend: Backend) -> None:
    processes = [
        subprocess.Popen(
            [sys.executable, "-c", PROCESS, ledger_url, side], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
        )
        for side in (ALICE, BOB)
    ]
    ended = [(process, *process.communicate(timeout=60)) for process in processes]
    assert [process.returncode for process, _, _ in ended] == [0, 0], ended
    assert sum(int(out) for _, out, _ in ended) == 500
    ids = [f"w{number}" for number in range(500)]
    histories = backend.read(lambda session: queries.history(session, ids))
    assert all(set(one) == {CheckpointKey("", 1)} for one in histories.values())
