"""Group commit: whoever finds nobody writing writes everybody's commands, in one transaction and one commit.

Leader and follower: a thread that waits for its command and finds no leader becomes one, writes all that has arrived,
and hands the lead to a thread whose command came too late for that batch. A lone caller pays no hand-over at all.
Callers on an event loop never lead, and nobody waits for an echo: a writer thread, started when first needed, leads
for those. Commands are idempotent, so a batch whose fate is unknown is written again.

Woken followers would all queue for the interpreter's lock at once, which costs more than the work that they do between
two commands. So a few are woken, and each wakes another as the first thing it does; and the next leader waits, for a
moment, until all are awake, so that what they submit next shares its batch.

A leader may be interrupted (Ctrl-C) between any two instructions. Nothing that others wait for is therefore kept in its
local variables only, and each change of the shared state can be begun anew: see ``_abandon``.
"""

from __future__ import annotations

import logging
import threading
import time
from collections import deque
from collections.abc import Callable, Generator, Sequence
from itertools import islice, zip_longest
from typing import Any

from durably.drive import Delivery, Promise, deliver, running_loop
from durably.errors import NotLaunchedError
from durably.ledger.commands import Answer, Submitted

log = logging.getLogger("durably.ledger")

#: An echo that nobody waits for is written at the latest after this many seconds.
ECHO_SECONDS = 0.05
#: More commands than this go to the next batch, so that one commit never locks for long.
BATCH_LIMIT = 1000

#: So many followers are woken at once; fewer would starve beside a thread that computes.
WAKE_AT_ONCE = 4
#: The next leader waits at most this long for all of them to be awake.
GATHER_SECONDS = 0.002

Write = Callable[[Sequence[Submitted]], "list[Answer | tuple[Answer, ...] | BaseException]"]


class Entry(Promise[Any]):
    """One submitted command, and the promise of its answer."""

    __slots__ = ("_committer", "command", "follower", "last", "told", "turn")

    def __init__(self, committer: GroupCommit, command: Submitted) -> None:
        super().__init__()
        self._committer = committer
        self.command = command
        #: Set while a thread is blocked on this entry: released when its answer is there or its turn to lead.
        self.turn: threading.Lock | None = None
        #: Its answer is there, and so is ``follower``: whom the thread that waits for it wakes when awake itself.
        self.told = False
        self.follower: threading.Lock | None = None
        #: What the thread that waits for this entry has written and not yet delivered.
        self.last: list[Delivery] | None = None

    def wait(self, seconds: float | None = None) -> bool:
        if seconds is not None:
            self._committer.write_soon()
            return super().wait(seconds)
        self._committer.wait_for(self)
        return True

    def wait_behind(self) -> None:
        """Block until the answer is there, for one more thread than the one that may lead for it."""
        super().wait()

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
        #: Whose thread leads: an entry, the writer thread, or nobody.
        self._leader: Entry | threading.Thread | None = None
        #: What the leader is writing.
        self._in_flight: list[Entry] = []
        self._writer: threading.Thread | None = None
        self._wake_writer = threading.Condition(self._mutex)
        self._write_at: float | None = None
        self._closed = self._ended = False
        #: Released when all whose answers were delivered last are awake.
        self._awake: threading.Lock | None = None

    def submit(self, command: Submitted) -> Entry:
        """Queue a command whose answer will be waited for."""
        entry = Entry(self, command)
        with self._mutex:
            if not self._closed:
                self._queue.append(entry)
                return entry
        entry.set_error(NotLaunchedError("the engine was shut down; nothing more is recorded here"))
        return entry

    def submit_unwaited(self, command: Submitted) -> Entry:
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
        """Block until ``entry`` has its answer, leading if nobody else does. One thread for each entry."""
        try:
            while (turn := self._place(entry)) is not None:
                turn.acquire()
                if entry.told:
                    break
            self._wake_follower(entry)
            if self._leader is entry:
                self._lead(entry)
        except BaseException:
            self._abandon(entry)
            raise

    def flush(self) -> None:
        """Block until all that was submitted before is written."""
        with self._mutex:
            entries = [*self._in_flight, *self._queue]
            if entries:
                self._call_writer(0.0)
        for entry in entries:
            entry.wait_behind()

    def close(self) -> None:
        """Accept nothing more, write what is left, and end the writer thread."""
        with self._mutex:
            self._closed = True
        self.flush()
        with self._mutex:
            self._ended = True
            self._wake_writer.notify_all()
            writer = self._writer
        if writer is not None and writer is not threading.current_thread():
            writer.join()

    # -- leading -------------------------------------------------------------------------------------------------

    def _place(self, entry: Entry) -> threading.Lock | None:
        """A lock to wait for, before one asks again; None for who leads now, or needs not."""
        with self._mutex:
            if self._leader is None and not entry.done():
                self._leader = entry
            if self._leader is entry or entry.done():
                entry.turn = None  # who is awake is nobody's follower any more
                return None
            turn = threading.Lock()
            turn.acquire()
            entry.turn = turn
            return turn

    def _lead(self, entry: Entry) -> None:
        """Write batches until ``entry`` is answered, then pass the lead on."""
        while not entry.done() and (batch := self._take()):
            deliveries = self._answered(batch)
            if entry in batch:
                entry.last = deliveries
                self._in_flight = []
                break
            self._deliver(deliveries)
        if entry.last is not None:
            self._deliver(entry.last)
            entry.last = None
        self._pass_on()

    def _abandon(self, entry: Entry) -> None:
        """The thread that waits for ``entry`` was interrupted, wherever it was: undo or finish what it had begun."""
        with self._mutex:
            entry.turn = None  # first, so that it is given the lead no more once it has been asked for it below
        if entry.last is not None:
            self._deliver(entry.last)
            entry.last = None
        if self._leader is entry:
            # What it had in hand, its own command included, is for somebody else to write (again).
            self._pass_on()
        if not entry.done():
            self.write_soon()
        self._wake_follower(entry)

    def _wake_follower(self, entry: Entry) -> None:
        if entry.follower is not None:
            _release(entry.follower)

    def _take(self) -> list[Entry]:
        awake, self._awake = self._awake, None
        if awake is not None:
            awake.acquire(timeout=GATHER_SECONDS)
        with self._mutex:
            self._in_flight = list(islice(self._queue, BATCH_LIMIT))
            for _ in self._in_flight:
                self._queue.popleft()
            if not self._queue:
                self._write_at = None
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
            blocked = [one for one, _, _ in deliveries if isinstance(one, Entry) and one.turn is not None]
            if not blocked:
                return
            awake = threading.Lock()
            awake.acquire()
            turns = [*(one.turn for one in blocked if one.turn is not None), awake]
            for one, turn in zip_longest(blocked, turns[WAKE_AT_ONCE:]):
                one.follower = turn
                one.told = True
            self._awake = awake
        for turn in turns[:WAKE_AT_ONCE]:
            _release(turn)

    def _pass_on(self) -> None:
        """Give the lead to a thread that waits, else to the writer thread if it is due, else to the next who comes."""
        with self._mutex:
            if self._in_flight:
                self._put_back()
            for entry in self._queue:
                if entry.turn is not None:
                    # In this order: who wakes up asks for its place again, and who is interrupted here begins again.
                    _release(entry.turn)
                    self._leader = entry
                    entry.turn = None
                    return
            self._leader = None
            if self._write_at is not None:
                self._wake_writer.notify()

    def _put_back(self) -> None:
        """Queue again, in front and in order, what was being written when an interruption came. The mutex is held."""
        queued = set(self._queue)
        left = [entry for entry in self._in_flight if not entry.done() and entry not in queued]
        self._queue.extendleft(reversed(left))
        self._in_flight = []
        if self._queue:
            self._call_writer(0.0)

    # -- the writer thread ---------------------------------------------------------------------------------------

    def _call_writer(self, at: float) -> None:
        """Have the writer thread write at that monotonic time at the latest. The mutex is held."""
        if self._write_at is None or at < self._write_at:
            self._write_at = at
        if self._writer is None:
            writer = threading.Thread(target=self._write_for_others, name=f"{self._name}-writer", daemon=True)
            writer.start()
            self._writer = writer
        elif self._leader is None:
            self._wake_writer.notify()

    def _write_for_others(self) -> None:
        while True:
            with self._mutex:
                while not self._due():
                    if self._ended:
                        return
                    self._wake_writer.wait(self._seconds_to_wait())
                self._leader = threading.current_thread()
            while batch := self._take():
                deliveries: list[Delivery]
                try:
                    deliveries = self._answered(batch)
                except BaseException as error:  # no signal comes here: it is not for somebody else to try again
                    log.exception("could not write %d commands", len(batch))
                    deliveries = [(entry, None, error) for entry in batch]
                self._in_flight = []
                self._deliver(deliveries)
            self._pass_on()

    def _due(self) -> bool:
        return (
            self._write_at is not None
            and bool(self._queue)
            and self._leader is None
            and time.monotonic() >= self._write_at
        )

    def _seconds_to_wait(self) -> float | None:
        """Until the next due time; None while there is nothing to write, or while somebody else writes it."""
        if self._write_at is None or not self._queue or self._leader is not None:
            return None
        return max(self._write_at - time.monotonic(), 0.0)


def _release(lock: threading.Lock) -> None:
    """Let whoever waits go on; once more does no harm."""
    try:  # noqa: SIM105 - contextlib.suppress takes three times as long
        lock.release()
    except RuntimeError:
        pass
