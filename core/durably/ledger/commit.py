"""Group commit: whoever finds nobody writing writes everybody's commands, in one transaction and one commit.

Leader and follower: a thread that waits for its command and finds no leader becomes one, writes all that has arrived,
and hands the lead to a thread whose command came too late for that batch. A lone caller pays no hand-over at all.
Callers on an event loop never lead, and nobody waits for an echo: a writer thread, started when first needed, leads
for those. Commands are idempotent, so a batch whose fate is unknown is written again.
"""

from __future__ import annotations

import threading
import time
from collections import deque
from collections.abc import Callable, Generator, Sequence
from typing import Any

from durably.drive import Delivery, Promise, deliver, running_loop
from durably.errors import NotLaunchedError
from durably.ledger.commands import Answer, Command

#: An echo that nobody waits for is written at the latest after this many seconds.
ECHO_SECONDS = 0.05
#: More commands than this go to the next batch, so that one commit never locks for long.
BATCH_LIMIT = 1000

Write = Callable[[Sequence[Command]], "list[Answer | BaseException]"]


class Entry(Promise[Any]):
    """One submitted command, and the promise of its answer."""

    __slots__ = ("_committer", "command", "turn")

    def __init__(self, committer: GroupCommit, command: Command) -> None:
        super().__init__()
        self._committer = committer
        self.command = command
        #: Set while a thread is blocked on this entry: released when its answer is there or its turn to lead.
        self.turn: threading.Lock | None = None

    def wait(self, seconds: float | None = None) -> bool:
        if seconds is not None:
            self._committer.write_soon()
            return super().wait(seconds)
        self._committer.wait_for(self)
        return True

    def __await__(self) -> Generator[Any, Any, Any]:
        if not self.done() and running_loop() is not None:
            self._committer.write_soon()
        return (yield from super().__await__())


class GroupCommit:
    """The queue of submitted commands, and the rule of who writes them.

    ``write`` gets a batch and gives an answer or an error for each command; it retries what is transient by itself.
    """

    def __init__(self, write: Write, name: str = "durably") -> None:
        self._write = write
        self._name = name
        self._mutex = threading.Lock()
        self._queue: deque[Entry] = deque()
        self._in_flight: list[Entry] = []
        self._leading = False
        self._writer: threading.Thread | None = None
        self._wake_writer = threading.Condition(self._mutex)
        self._write_at: float | None = None
        self._closed = False

    def submit(self, command: Command) -> Entry:
        """Queue a command whose answer will be waited for."""
        entry = Entry(self, command)
        with self._mutex:
            if not self._closed:
                self._queue.append(entry)
                return entry
        entry.set_error(NotLaunchedError("the engine was shut down; nothing more is recorded here"))
        return entry

    def submit_unwaited(self, command: Command) -> Entry:
        """Queue a command that rides with the next batch, or is written by itself within ECHO_SECONDS."""
        entry = self.submit(command)
        with self._mutex:
            if not self._closed:
                self._call_writer(time.monotonic() + ECHO_SECONDS)
        return entry

    def write_soon(self) -> None:
        """Have the writer thread write what is queued, as soon as nobody else does."""
        with self._mutex:
            self._call_writer(0.0)

    def wait_for(self, entry: Entry) -> None:
        """Block until ``entry`` has its answer, leading if nobody else does."""
        with self._mutex:
            if entry.done():
                return
            if self._leading:
                turn = threading.Lock()
                turn.acquire()
                entry.turn = turn
            else:
                self._leading = True
                turn = None
        if turn is not None:
            try:
                turn.acquire()
            except BaseException:
                self._decline(entry, turn)
                raise
            if entry.done():
                return
        self._lead(entry)

    def flush(self) -> None:
        """Block until all that was submitted before is written."""
        with self._mutex:
            entries = list(self._queue)
            busy = self._leading
        for entry in entries:
            entry.wait()
        while busy:
            with self._mutex:
                busy = self._leading
            time.sleep(0.001 if busy else 0)

    def close(self) -> None:
        """Write what is left, and end the writer thread."""
        with self._mutex:
            self._closed = True
        self.flush()
        with self._mutex:
            self._wake_writer.notify()
            writer = self._writer
        if writer is not None and writer is not threading.current_thread():
            writer.join()

    # -- leading -------------------------------------------------------------------------------------------------

    def _lead(self, entry: Entry | None) -> None:
        """Write batches until ``entry`` is answered (None: until the queue is empty), then pass the lead on."""
        last: list[Delivery] = []
        interrupted = True
        try:
            while entry is None or not entry.done():
                batch = self._take()
                if not batch:
                    break
                deliveries = self._answered(batch)
                if entry is not None and any(promise is entry for promise, _, _ in deliveries):
                    last = deliveries
                    break
                self._deliver(deliveries)
            interrupted = False
        finally:
            # The lead goes on before the followers wake, so that the next batch is on its way meanwhile.
            self._pass_on(interrupted)
            try:
                self._deliver(last)
            except BaseException:  # a signal in the middle; delivering twice is harmless, not delivering is not
                self._deliver(last)
                raise

    def _take(self) -> list[Entry]:
        with self._mutex:
            self._write_at = None
            count = min(len(self._queue), BATCH_LIMIT)
            self._in_flight = [self._queue.popleft() for _ in range(count)]
            return self._in_flight

    def _answered(self, batch: list[Entry]) -> list[Delivery]:
        answers = self._write([entry.command for entry in batch])
        return [
            (entry, None, answer) if isinstance(answer, BaseException) else (entry, answer, None)
            for entry, answer in zip(batch, answers, strict=True)
        ]

    def _deliver(self, deliveries: list[Delivery]) -> None:
        deliver(deliveries)
        with self._mutex:
            for promise, _, _ in deliveries:
                if isinstance(promise, Entry) and promise.turn is not None:
                    promise.turn.release()
                    promise.turn = None

    def _pass_on(self, interrupted: bool = False) -> None:
        """Give the lead to a thread that waits, else to the writer thread if it is due, else to the next who comes."""
        with self._mutex:
            if interrupted:
                # What the leader had in hand, its own command included, is for somebody else to write (again).
                self._queue.extendleft(entry for entry in reversed(self._in_flight) if not entry.done())
            self._in_flight = []
            for entry in self._queue:
                if entry.turn is not None:
                    entry.turn.release()
                    entry.turn = None
                    return
            self._leading = False
            if interrupted and self._queue:
                self._call_writer(0.0)
            elif self._write_at is not None:
                self._wake_writer.notify()

    def _decline(self, entry: Entry, turn: threading.Lock) -> None:
        """A follower was interrupted while it waited; if it had just been given the lead, pass it on."""
        with self._mutex:
            appointed = entry.turn is not turn and not entry.done()
            entry.turn = None
        if appointed:
            self._pass_on()
        else:
            self.write_soon()

    # -- the writer thread ---------------------------------------------------------------------------------------

    def _call_writer(self, at: float) -> None:
        """Have the writer thread write at that monotonic time at the latest. The mutex is held."""
        if self._write_at is None or at < self._write_at:
            self._write_at = at
        if self._writer is None:
            self._writer = threading.Thread(target=self._write_for_others, name=f"{self._name}-writer", daemon=True)
            self._writer.start()
        elif not self._leading:
            self._wake_writer.notify()

    def _write_for_others(self) -> None:
        while True:
            with self._mutex:
                while not self._due():
                    if self._closed:
                        return
                    self._wake_writer.wait(self._seconds_to_wait())
                self._leading = True
            self._lead(None)

    def _due(self) -> bool:
        return (
            self._write_at is not None
            and bool(self._queue)
            and not self._leading
            and time.monotonic() >= self._write_at
        )

    def _seconds_to_wait(self) -> float | None:
        """Until the next due time; None while there is nothing to write, or while somebody else writes it."""
        if self._write_at is None or not self._queue or self._leading:
            return None
        return max(self._write_at - time.monotonic(), 0.0)
