"""Two processes on one system database: no deadlock, one winner for each workflow, and no zombie slips past a claim.

In one process here, with a backend for each: what matters are the connections. One test has real processes.
"""

from __future__ import annotations

import random
import subprocess
import sys
import threading
from collections.abc import Callable
from functools import partial

import pytest

from durably.ledger import queries
from durably.ledger.backend import Backend
from durably.ledger.commands import Answer, Command, RecordCheckpoint, Recorded, Started
from durably.ledger.queries import Claimed
from durably.model import CheckpointKey, Status
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
        chance = random.Random(side)
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
        chance = random.Random(side)
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
    for turn in range(40):
        batch: list[Command] = [start(f"w{turn}-{number}") for number in range(10)]
        answers: list[list[Answer]] = []
        both(
            lambda batch=batch: answers.append(postgres_backend.write(batch)),  # type: ignore[misc]
            lambda batch=batch: answers.append(again.write(batch)),  # type: ignore[misc]
        )
        assert all(isinstance(answer, Started) and answer.created for one in answers for answer in one)


def slipped(rounds: int, alice: Backend, bob: Backend) -> tuple[int, int]:
    """How often a late checkpoint was recorded and yet not seen by the claimer; and how often the late one lost."""
    chance = random.Random(1)
    count = fenced = 0
    for turn in range(rounds):
        ids = [f"w{turn}-{number}" for number in range(12)]
        alice.write([start(workflow_id) for workflow_id in ids])
        late: list[RecordCheckpoint] = [checkpoint(workflow_id) for workflow_id in ids]
        answers: dict[str, Answer] = {}
        seen: dict[str, bool] = {}
        delay = chance.uniform(0, 0.001)

        def zombie(late: list[RecordCheckpoint] = late, answers: dict[str, Answer] = answers) -> None:
            for command, answer in zip(late, alice.write(late), strict=True):
                answers[command.workflow_id] = answer

        def claims(seen: dict[str, bool] = seen, delay: float = delay) -> None:
            threading.Event().wait(delay)
            claimed: list[Claimed] = []
            while len(claimed) < 12:
                claimed += bob.change(queries.claim_lost_by(claimant(BOB), ALICE, 5))
                taken = [one.status.workflow_id for one in claimed if one.status.workflow_id not in seen]
                history = bob.read(lambda session: queries.history(session, taken))
                seen.update((workflow_id, bool(history[workflow_id])) for workflow_id in taken)

        both(zombie, claims)
        count += sum(answer is Recorded.RECORDED and not seen[workflow_id] for workflow_id, answer in answers.items())
        fenced += sum(answer is Recorded.FENCED for answer in answers.values())
        written = bob.read(lambda session, ids=ids: queries.history(session, ids))  # type: ignore[misc]
        assert {one for one in ids if written[one]} == {
            one for one, answer in answers.items() if answer is Recorded.RECORDED
        }
        bob.write([outcome(workflow_id, executor=BOB, attempt=2) for workflow_id in ids])
    return count, fenced


def test_a_zombies_checkpoint_that_races_a_claim_never_slips_past(backend: Backend, other: Backend) -> None:
    """400 rounds of 12 workflows: recorded before the claim and seen by it, or refused; nothing in between."""
    count, fenced = slipped(400 if backend.dialect.has_schema else 100, backend, other)
    assert count == 0
    assert fenced > 0, "the claim never came first: this proved nothing"


def test_a_zombies_outcome_that_races_a_claim_has_one_winner(backend: Backend, other: Backend) -> None:
    for turn in range(60):
        workflow_id = f"w{turn}"
        backend.write([start(workflow_id)])
        written: list[Answer] = []
        claimed: list[Claimed] = []
        both(
            lambda workflow_id=workflow_id: written.extend(backend.write([outcome(workflow_id)])),  # type: ignore[misc]
            lambda: claimed.extend(other.change(queries.claim_lost_by(claimant(BOB), ALICE, 5))),
        )
        row = backend.read(lambda session, one=workflow_id: queries.statuses(session, [one]))[workflow_id]  # type: ignore[misc]
        # A claim skips a row that is being written: then the outcome has won.
        assert written == [not claimed]
        assert row.status is (Status.PENDING if claimed else Status.SUCCESS)
        if claimed:
            backend.write([outcome(workflow_id, executor=BOB, attempt=2)])


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
    started = [answer.created for answer in backend.write([start(one, executor=side, run_id=side + one) for one in ids])]
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
