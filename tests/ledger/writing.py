"""A write function for group commit that keeps what it was given, and does as it is told."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Sequence

from durably.drive import drive
from durably.ledger.commands import Answer, Command, RecordCheckpoint, Recorded, Submitted, Together
from durably.ledger.commit import GroupCommit
from tests.ledger.commands import checkpoint


class Recorder:
    """Answers every command, and remembers each batch with the thread that wrote it."""

    def __init__(self, seconds: float = 0.0) -> None:
        self.seconds = seconds
        self.batches: list[list[Command]] = []
        self.writers: list[threading.Thread] = []
        #: Called at the beginning of each write; may block or raise.
        self.first: Callable[[Sequence[Command]], None] = lambda batch: None

    def __call__(self, submitted: Sequence[Submitted]) -> list[Answer | tuple[Answer, ...] | BaseException]:
        batch = [command for one in submitted for command in (one.commands if isinstance(one, Together) else (one,))]
        self.batches.append(batch)
        self.writers.append(threading.current_thread())
        self.first(batch)
        if self.seconds:
            time.sleep(self.seconds)
        return [Recorded.RECORDED] * len(batch)

    @property
    def commands(self) -> list[Command]:
        return [command for batch in self.batches for command in batch]


class Blocked(Recorder):
    """Its first write waits until it is released; the others don't."""

    def __init__(self) -> None:
        super().__init__()
        self.entered = threading.Event()
        self.release = threading.Event()
        self.first = self._first

    def _first(self, batch: Sequence[Command]) -> None:
        if len(self.batches) == 1:
            self.entered.set()
            assert self.release.wait(20)


def record(commit: GroupCommit, command: RecordCheckpoint) -> Answer:
    """Submit and wait on this thread."""

    async def submitted() -> Answer:
        answer: Answer = await commit.submit(command)
        return answer

    return drive(submitted())


def some(count: int, workflow_id: str = "w") -> list[RecordCheckpoint]:
    return [checkpoint(workflow_id, number) for number in range(1, count + 1)]


def in_threads(work: Sequence[Callable[[], object]], seconds: float = 30.0) -> None:
    """Run all at once, and fail if one hangs or raises."""
    errors: list[BaseException] = []

    def run(one: Callable[[], object]) -> None:
        try:
            one()
        except BaseException as error:
            errors.append(error)

    threads = [threading.Thread(target=run, args=(one,), daemon=True) for one in work]
    for thread in threads:
        thread.start()
    deadline = time.monotonic() + seconds
    for thread in threads:
        thread.join(max(deadline - time.monotonic(), 0))
    assert not any(thread.is_alive() for thread in threads), "a thread hangs"
    if errors:
        raise errors[0]
