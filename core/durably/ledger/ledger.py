"""The ledger: commands in, promises out; group commit, patience with a database that is away, bisected failures."""

from __future__ import annotations

import logging
import random
import threading
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any, TypeVar, cast

from durably.clock import Clock
from durably.crashpoints import reach
from durably.drive import Offload, Promise
from durably.errors import DatabaseUnavailableError, DurablyError, NotLaunchedError
from durably.ledger import migrations
from durably.ledger.backend import Backend, Session
from durably.ledger.commands import (
    Answer,
    Command,
    Received,
    ReceiveMessage,
    RecordCheckpoint,
    Recorded,
    RecordOutcome,
    SendMessage,
    Sent,
    Started,
    StartWorkflow,
    Submitted,
    Together,
)
from durably.ledger.commit import GroupCommit
from durably.ledger.migrations import Migration
from durably.ledger.news import News
from durably.sql.drivers import Failure
from durably.sql.failures import classify, is_transient

if TYPE_CHECKING:
    from concurrent.futures import ThreadPoolExecutor

T = TypeVar("T")
log = logging.getLogger("durably.ledger")

#: How long the ledger waits before it tries again, growing from the first to the last (seconds).
RETRY_FIRST, RETRY_LAST = 0.02, 5.0
#: Threads that read for event loops; blocking callers read on their own.
READERS = 4


class Ledger:
    """One system database, open. Every method may be called from any thread and any event loop."""

    def __init__(self, backend: Backend, clock: Clock, *, where: str) -> None:
        self.backend = backend
        self.where = where
        self._clock = clock
        #: What has happened to workflows, here and, as far as the database tells, elsewhere.
        self.news = News()
        self._closing = threading.Event()
        self._is_closed = False
        self._given_up: Promise[None] = Promise()
        self._commit = GroupCommit(self._write)
        self._readers: ThreadPoolExecutor | None = None
        self._mutex = threading.Lock()

    # -- opening and closing -------------------------------------------------------------------------------------

    def open(self, *, run_migrations: bool) -> None:
        """Connect, and bring the schema up to date or verify it. One clear error if that cannot be done."""
        try:
            self.backend.open()
            if run_migrations:
                self.migrate()
            migrations.verify(self.backend)
        except DurablyError:
            self.backend.disconnect()
            raise
        except Exception as error:
            self.backend.disconnect()
            raise self._unavailable(error) from error

    def migrate(self) -> list[Migration]:
        """Apply the migrations that are missing."""
        done = migrations.migrate(self.backend)
        for one in done:
            log.info("applied migration %04d_%s to %s", one.version, one.name, self.where)
        return done

    def _unavailable(self, error: Exception) -> DatabaseUnavailableError:
        classified = classify(error, connecting=True)
        advice = "check the address, and that the server runs and accepts this user"
        if classified is not None and classified.failure is Failure.READ_ONLY:
            advice = "it is read-only; the system database must be writable (file, folder and role)"
        elif self.backend.dialect.name == "sqlite":
            advice = "check that the folder exists and is writable, and that the file is an SQLite database"
        return DatabaseUnavailableError(
            f"cannot open the system database {self.where}: {error}; {advice}", where=self.where
        )

    def stop_waiting(self) -> None:
        """From now on, what a database that is away refuses is given up with an error rather than tried again."""
        self._closing.set()
        self._given_up.set_result(None)

    def close(self) -> None:
        """Write what is queued, then close. What a dead database refuses now is given up with an error."""
        self.stop_waiting()
        self._commit.close()
        with self._mutex:
            readers, self._readers = self._readers, None
        if readers is not None:
            readers.shutdown(wait=True)
        # What still runs and asks would connect anew, and nobody would close that.
        self._is_closed = True
        self.backend.disconnect()

    # -- commands ------------------------------------------------------------------------------------------------

    async def start(self, command: StartWorkflow) -> Started:
        """Write a workflow's row, or learn whose it is."""
        reach("workflow_row.before")
        answer: Started = await self._commit.submit(command)
        reach("workflow_row.after")
        return answer

    async def record(self, command: RecordCheckpoint) -> Recorded:
        """Write a checkpoint."""
        reach("checkpoint.before")
        answer: Recorded = await self._commit.submit(command)
        reach("checkpoint.after")
        return answer

    def echo(self, command: RecordCheckpoint) -> Promise[Recorded]:
        """Write a checkpoint that an application database holds already; rides with the next batch, unwaited."""
        reach("echo.before")
        return cast("Promise[Recorded]", self._commit.submit_unwaited(command))

    def note(self, command: RecordCheckpoint) -> None:
        """Write something that nobody waits for, within the time of an echo."""
        self._commit.submit_unwaited(command)

    def record_unwaited(self, command: RecordCheckpoint) -> Promise[Recorded]:
        """Write a checkpoint that is found out again, and the same, if it is lost; rides with the next batch."""
        reach("checkpoint.before")
        entry = self._commit.submit_unwaited(command)
        reach("checkpoint.after")
        return cast("Promise[Recorded]", entry)

    async def finish(self, command: RecordOutcome) -> bool:
        """Write an outcome; False if the workflow is no longer this executor's to end."""
        reach("outcome.before")
        answer: bool = await self._commit.submit(command)
        reach("outcome.after")
        return answer

    async def send(self, command: SendMessage) -> Sent:
        """Write a message, and the sender's checkpoint if it has one."""
        reach("send.before")
        answer: Sent = await self._commit.submit(command)
        reach("send.after")
        return answer

    async def receive(self, command: ReceiveMessage) -> Received:
        """Consume a message as a checkpoint, if there is one."""
        reach("receive.before")
        answer: Received = await self._commit.submit(command)
        if answer.message is not None:
            reach("receive.after")
        return answer

    async def write(self, what: str, *commands: Command) -> tuple[Any, ...]:
        """Write commands in one transaction; their answers. Its crash points are ``{what}.before`` and ``.after``."""
        reach(f"{what}.before")
        answer: tuple[Any, ...] = await self._commit.submit(Together(commands))
        reach(f"{what}.after")
        return answer

    # -- reads and single changes --------------------------------------------------------------------------------

    async def read(self, work: Callable[[Session], T]) -> T:
        """Run reads; patient with a database that is away."""
        return await self._patiently(lambda: self.backend.read(work))

    async def change(self, work: Callable[[Session], T]) -> T:
        """Run a change in a transaction of its own. ``work`` must be safe to repeat."""
        return await self._patiently(lambda: self.backend.change(work))

    async def each(self, work: Callable[[Session], T]) -> T:
        """Run a change, each statement in a transaction of its own. ``work`` must be safe to repeat."""
        return await self._patiently(lambda: self.backend.each(work))

    async def _patiently(self, call: Callable[[], T]) -> T:
        delays = _Delays(self.where)
        while True:
            if self._is_closed:
                raise NotLaunchedError("this engine is shut down; what still runs goes on with another executor")
            try:
                return await Offload(call, self._offload)
            except Exception as error:
                if self._closing.is_set() or not is_transient(error, connecting=True):
                    raise
                delay = delays.after(error)
            await self._clock.within(self._given_up, delay)

    def _offload(self, call: Callable[[], None]) -> None:
        from concurrent.futures import ThreadPoolExecutor

        with self._mutex:
            if self._readers is None:
                self._readers = ThreadPoolExecutor(READERS, thread_name_prefix="durably-reader")
            readers = self._readers
        readers.submit(call)

    # -- writing a batch, on whichever thread leads --------------------------------------------------------------

    def _write(self, batch: Sequence[Submitted]) -> list[Answer | tuple[Answer, ...] | BaseException]:
        delays = _Delays(self.where)
        commands = [command for one in batch for command in _commands(one)]
        while True:
            try:
                answers = self.backend.write(commands)
                self.news.written(commands, answers)
                return _regrouped(batch, answers)
            except Exception as error:
                if not is_transient(error, connecting=True):
                    return self._bisected(batch, error)
                if self._closing.is_set():
                    return [self._closed(error)] * len(batch)
                delay = delays.after(error)
            self._clock.wait(self._closing, delay)

    def _bisected(
        self, batch: Sequence[Submitted], error: Exception
    ) -> list[Answer | tuple[Answer, ...] | BaseException]:
        """Halve a batch that the database refuses, until the poisonous command stands alone with its error."""
        if len(batch) == 1:
            return [error]
        middle = len(batch) // 2
        return [*self._write(batch[:middle]), *self._write(batch[middle:])]

    def _closed(self, error: Exception) -> NotLaunchedError:
        closed = NotLaunchedError(
            f"the engine was shut down while its system database {self.where} was away; "
            "what was not yet recorded will be recovered at the next launch"
        )
        closed.__cause__ = error
        return closed


def _commands(one: Submitted) -> tuple[Command, ...]:
    return one.commands if isinstance(one, Together) else (one,)


def _regrouped(batch: Sequence[Submitted], answers: list[Answer]) -> list[Any]:
    """One answer for each that was submitted; a tuple for those that were submitted together."""
    left = iter(answers)
    return [tuple(next(left) for _ in one.commands) if isinstance(one, Together) else next(left) for one in batch]


class _Delays:
    """Growing, jittered waits between tries, and a log line for the first and each long one."""

    def __init__(self, where: str) -> None:
        self._where = where
        self._next = RETRY_FIRST

    def after(self, error: Any) -> float:
        """How long to wait after ``error``."""
        delay = self._next * random.uniform(0.5, 1.0)  # noqa: S311  spread, not secrecy
        if self._next == RETRY_FIRST or self._next >= 1.0:
            log.warning("the system database %s is away (%s); trying again in %.2g s", self._where, error, delay)
        self._next = min(self._next * 2, RETRY_LAST)
        return delay
