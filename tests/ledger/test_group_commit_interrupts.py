"""Interrupting one caller (Ctrl-C, a cancelled task, a time limit) never changes what becomes of the others."""

from __future__ import annotations

import asyncio
import contextlib
import random
import subprocess
import sys
import threading
import time
from collections.abc import Sequence
from functools import partial

import pytest

from durably.ledger.commands import Answer, Command, RecordCheckpoint, Recorded
from durably.ledger.commit import GroupCommit
from tests.ledger.commands import checkpoint
from tests.ledger.writing import Recorder, in_threads, record, some


class Interrupted(Recorder):
    """Its first write waits until it is told, and is then interrupted, after or before the rows are written."""

    def __init__(self) -> None:
        super().__init__()
        self.entered = threading.Event()
        self.interrupt = threading.Event()
        self.first = self._first

    def _first(self, batch: Sequence[Command]) -> None:
        if len(self.batches) == 1:
            self.entered.set()
            assert self.interrupt.wait(10)
            raise KeyboardInterrupt


@pytest.mark.parametrize("followers", [1, 2, 30])
def test_a_leader_that_is_interrupted_leaves_its_batch_to_the_others(followers: int) -> None:
    write = Interrupted()
    commit = GroupCommit(write, "test")
    taken_along = [commit.submit(command) for command in some(3, "taken along")]

    def leader() -> None:
        with pytest.raises(KeyboardInterrupt):
            record(commit, checkpoint("leader"))

    def follower(command: RecordCheckpoint) -> None:
        assert write.entered.wait(5)
        assert record(commit, command) is Recorded.RECORDED

    def interrupts() -> None:
        assert write.entered.wait(5)
        time.sleep(0.05)
        write.interrupt.set()

    def waits_for_what_was_taken_along() -> None:
        assert write.entered.wait(5)
        for entry in taken_along:
            entry.wait()
            assert entry.result() is Recorded.RECORDED

    in_threads(
        [leader, interrupts, waits_for_what_was_taken_along, *(partial(follower, one) for one in some(followers))], 10
    )
    commit.close()
    written = [command for batch in write.batches[1:] for command in batch]
    assert written[:4] == [*some(3, "taken along"), checkpoint("leader")], "in the old order, the leader's own included"
    assert sorted(written[4:]) == sorted(some(followers))


def test_a_lone_leader_that_is_interrupted_is_written_by_the_writer_thread() -> None:
    write = Interrupted()
    write.interrupt.set()
    commit = GroupCommit(write, "test")
    entry = commit.submit(checkpoint("w"))
    with pytest.raises(KeyboardInterrupt):
        entry.wait()
    deadline = time.monotonic() + 5
    while not entry.done():
        assert time.monotonic() < deadline
        time.sleep(0.005)
    assert write.writers[1].name == "test-writer"
    commit.close()


def test_echoes_and_tasks_are_written_although_the_leader_was_interrupted() -> None:
    write = Interrupted()
    commit = GroupCommit(write, "test")
    echo = commit.submit_unwaited(checkpoint("echo"))

    def leader() -> None:
        with pytest.raises(KeyboardInterrupt):
            record(commit, checkpoint("leader"))

    def tasks() -> None:
        async def one(command: RecordCheckpoint) -> Answer:
            answer: Answer = await commit.submit(command)
            return answer

        async def main() -> None:
            submitted = [asyncio.create_task(one(command)) for command in some(10)]
            await asyncio.sleep(0.02)
            write.interrupt.set()
            assert await asyncio.gather(*submitted) == [Recorded.RECORDED] * 10

        assert write.entered.wait(5)
        asyncio.run(main())

    in_threads([leader, tasks], 10)
    commit.close()
    assert echo.done()


def test_a_task_that_is_cancelled_has_its_command_written_nevertheless() -> None:
    write = Recorder(seconds=0.05)
    commit = GroupCommit(write, "test")

    async def one(command: RecordCheckpoint) -> Answer:
        answer: Answer = await commit.submit(command)
        return answer

    async def main() -> None:
        gone, stays = asyncio.create_task(one(checkpoint("gone"))), asyncio.create_task(one(checkpoint("stays")))
        await asyncio.sleep(0.01)
        gone.cancel()
        assert await asyncio.wait_for(stays, 5) is Recorded.RECORDED
        with pytest.raises(asyncio.CancelledError):
            await gone

    asyncio.run(main())
    commit.close()
    assert {command.workflow_id for command in write.commands} == {"gone", "stays"}


class NowAndThen:
    """Interrupts a leader in three writes of ten; the writer thread gets no signals."""

    def __init__(self, seed: int) -> None:
        self._chance = random.Random(seed)  # noqa: S311
        self._mutex = threading.Lock()

    def __call__(self, batch: Sequence[Command]) -> None:
        if threading.current_thread().name == "test-writer":
            return
        with self._mutex:
            dice, pause = self._chance.random(), self._chance.random() * 0.002
        time.sleep(pause)
        if dice < 0.3:
            raise KeyboardInterrupt


def waits_again(commit: GroupCommit, command: RecordCheckpoint) -> None:
    entry = commit.submit(command)
    while not entry.done():
        with contextlib.suppress(KeyboardInterrupt):
            entry.wait()
    assert entry.result() is Recorded.RECORDED


@pytest.mark.parametrize("seed", range(6))
def test_random_interruptions_of_random_leaders_lose_nothing(seed: int) -> None:
    write = Recorder()
    write.first = NowAndThen(seed)
    commit = GroupCommit(write, "test")

    def blocking(name: str) -> None:
        for command in some(30, name):
            waits_again(commit, command)

    def gives_up(name: str) -> None:
        for command in some(30, name):
            with contextlib.suppress(KeyboardInterrupt):
                record(commit, command)

    in_threads([partial(kind, f"{kind.__name__}{n}") for n in range(5) for kind in (blocking, gives_up)], 20)
    write.first = lambda batch: None
    commit.close()
    assert set(write.commands) == {
        command for kind in ("blocking", "gives_up") for n in range(5) for command in some(30, f"{kind}{n}")
    }


# A real signal may come between any two instructions. The main thread is hit thousands of times, wherever it is; the
# other threads are not, and must never notice.
HAMMERED = """
import asyncio, random, signal, sys, threading, time
from durably.ledger.commands import Recorded
from durably.ledger.commit import GroupCommit
from tests.ledger.commands import checkpoint

class Hit(eval(sys.argv[3])): pass

chance = random.Random(int(sys.argv[1]))
armed = False
hits = 0

def handler(number, frame):
    global armed, hits
    signal.setitimer(signal.ITIMER_REAL, chance.uniform(0.0001, 0.004))
    if armed:
        armed = False  # one interruption at a time
        hits += 1
        raise Hit

def write(batch):
    time.sleep(0.0001)
    return [Recorded.RECORDED] * len(batch)

commit = GroupCommit(write, "test")
stop = threading.Event()
answered = [0] * 14

errors = []
threading.excepthook = lambda args: errors.append(args.exc_value)

def blocking(place):
    while not stop.is_set():
        entry = commit.submit(checkpoint("w"))
        entry.wait()
        assert entry.result() is Recorded.RECORDED
        answered[place] += 1

def asynchronous(place):
    async def one():
        while not stop.is_set():
            await commit.submit(checkpoint("w"))
            answered[place] += 1
    async def main():
        await asyncio.gather(*(one() for _ in range(10)))
    asyncio.run(main())

threads = [threading.Thread(target=kind, args=(place,), daemon=True)
           for place, kind in enumerate([blocking] * 12 + [asynchronous] * 2)]
for thread in threads: thread.start()
signal.signal(signal.SIGALRM, handler)
signal.setitimer(signal.ITIMER_REAL, 0.001)
end = time.monotonic() + float(sys.argv[2])
before = list(answered); looked = time.monotonic()
while time.monotonic() < end:
    try:
        armed = True
        commit.submit(checkpoint("main")).wait()
        armed = False
    except Hit:
        armed = False
    now = time.monotonic()
    if now - looked > 2:
        stuck = [place for place in range(14) if answered[place] == before[place]]
        if stuck:
            signal.setitimer(signal.ITIMER_REAL, 0)
            print("STUCK", stuck, hits, flush=True)
            sys.stdout.flush()
            import os; os._exit(1)
        before, looked = list(answered), now
signal.signal(signal.SIGALRM, signal.SIG_IGN)
stop.set()
for thread in threads:
    thread.join(5)
    assert not thread.is_alive(), "a thread hangs"
commit.close()
assert not errors, errors[0]
print(hits, sum(answered))
"""


@pytest.mark.parametrize("kind", ["KeyboardInterrupt", "TimeoutError"])
def test_signals_that_hit_the_main_thread_anywhere_never_hurt_the_others(kind: str) -> None:
    run = subprocess.run(
        [sys.executable, "-c", HAMMERED, "1", "2", kind], capture_output=True, text=True, timeout=40, check=False
    )
    assert run.returncode == 0, run.stdout + run.stderr
    hits, answered = map(int, run.stdout.split())
    assert hits > 30
    assert answered > 30


def test_an_error_that_writing_again_does_not_mend_reaches_its_callers_and_the_next_go_on() -> None:
    write = Recorder()
    commit = GroupCommit(write, "test")

    def broken(batch: Sequence[Command]) -> None:
        raise RuntimeError("a mistake of ours")

    async def one(command: RecordCheckpoint) -> Answer:
        answer: Answer = await commit.submit(command)
        return answer

    async def main() -> None:
        write.first = broken
        with pytest.raises(RuntimeError, match="a mistake"):
            await asyncio.wait_for(one(checkpoint("w", 1)), 5)
        write.first = lambda batch: None
        assert await asyncio.wait_for(one(checkpoint("w", 2)), 5) is Recorded.RECORDED

    asyncio.run(main())
    commit.close()
