"""Answers of the server that never arrive: what was written is found written, and nothing is written twice."""

from __future__ import annotations

import random
import threading
import time
from collections import Counter
from collections.abc import Iterator
from functools import partial

import pytest

import durably
from durably import Durably, step, workflow
from durably.client import make_backend
from durably.clock import SystemClock
from durably.config import Settings
from durably.drive import drive
from durably.ledger import queries
from durably.ledger.commands import Recorded
from durably.ledger.ledger import Ledger
from tests.budget.wire import Wire
from tests.ledger.commands import checkpoint, outcome, start
from tests.ledger.writing import in_threads


class Cuts:
    """Cuts the wire within a few of the server's answers, after any number of their bytes."""

    def __init__(self, seed: int, chance: float) -> None:
        self._random = random.Random(seed)  # noqa: S311
        self._chance = chance
        self._mutex = threading.Lock()
        self.count = 0

    def __call__(self, data: bytes) -> int:
        with self._mutex:
            if self._random.random() >= self._chance:
                return len(data)
            self.count += 1
            return self._random.randrange(len(data))


@pytest.fixture
def wire(emptied_url: str) -> Iterator[Wire]:
    with Wire(emptied_url) as wire:
        yield wire


@pytest.mark.parametrize("bytes_passed", [0, 1, 10, 40])
def test_each_command_is_answered_although_its_acknowledgement_was_lost(wire: Wire, bytes_passed: int) -> None:
    ledger = Ledger(make_backend(Settings("test", wire.url)), SystemClock(), where="test")

    def cut_the_next_answer() -> None:
        cut = threading.Event()

        def passes(data: bytes) -> int:
            if cut.is_set():
                return len(data)
            cut.set()
            return min(bytes_passed, len(data) - 1)

        wire.passes = passes

    drive(ledger.start(start("warm")))
    drive(ledger.record(checkpoint("warm")))
    drive(ledger.finish(outcome("warm")))
    cut_the_next_answer()
    assert drive(ledger.start(start("w"))).created
    cut_the_next_answer()
    assert drive(ledger.record(checkpoint("w"))) is Recorded.RECORDED
    cut_the_next_answer()
    assert drive(ledger.finish(outcome("w"))) is True
    cut_the_next_answer()
    rows = drive(ledger.read(lambda session: queries.history(session, ["w"])))
    assert len(rows["w"]) == 1
    ledger.close()


@pytest.mark.parametrize("seed", [1, 2])
def test_workflows_whose_wire_is_cut_at_random_end_well_and_run_each_step_once(wire: Wire, seed: int) -> None:
    ran: Counter[tuple[str | None, int]] = Counter()
    mutex = threading.Lock()

    @step(name="count")
    def count(number: int) -> int:
        with mutex:
            ran[durably.workflow_id(), number] += 1
        return number

    @workflow(name="order")
    def order() -> int:
        return sum(count(number) for number in range(4))

    def work(results: list[int]) -> None:
        results.extend(order() for _ in range(12))

    results: list[int] = []
    with Durably("shop", system_database_url=wire.url, lease_seconds=60, executes="own"):
        cuts = Cuts(seed, 0.06)
        wire.passes = cuts
        in_threads([partial(work, results)] * 6, 60)
        wire.passes = len
        time.sleep(0.05)
    assert results == [6] * 72
    assert set(ran.values()) == {1}
    assert len(ran) == 72 * 4
    assert cuts.count >= 5, "the fault did not fire"
