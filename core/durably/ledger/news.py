"""News about workflows, and who waits for it. In memory only: whoever is woken looks into the database itself.

A watch is registered before its owner looks, so that nothing falls between the look and the wait.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterable, Sequence
from enum import Enum
from types import TracebackType
from typing import Any, NamedTuple

from durably.drive import Promise
from durably.errors import NotLaunchedError
from durably.ledger.commands import (
    Command,
    RecordOutcome,
    SendMessage,
    Sent,
    SetEvent,
    Started,
    StartWorkflow,
    WriteStream,
)
from durably.model import Life


class Kind(str, Enum):
    """What the news is of. The values stand in notifications between processes, before a colon and a name."""

    OUTCOME = "o"
    MESSAGE = "m"
    EVENT = "e"
    STREAM = "s"
    #: Named by the ``Life`` that is over: cancelled, deleted, or another executor's now.
    CANCELLED = "c"
    #: Named by the application, for whose executors there is something to claim.
    WORK = "w"


class Wanted(NamedTuple):
    """What a look into the database is to find: the workflow, and topic, key, key and offset, or run and attempt."""

    kind: Kind
    workflow_id: str
    detail: str = ""
    offset: int = 0


class Watch:
    """One waiter's interest, from ``with`` to its end."""

    def __init__(self, news: News, *wanted: Wanted) -> None:
        self._news = news
        #: Any of these wakes it.
        self.wanted = wanted
        self._promise: Promise[None] = Promise()
        self._closed = False

    def __enter__(self) -> Watch:
        self._news.add(self)
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self._news.remove(self)

    def fresh(self) -> Promise[None]:
        """A promise that is kept by the next news. To be taken before each look."""
        if self._promise.done():
            self._promise = Promise()
        if self._closed:  # asked last, and set first by ``close``
            raise self._shut_down()
        return self._promise

    def wake(self) -> None:
        """There is news."""
        self._promise.set_result(None)

    def close(self) -> None:
        """There will be none: NotLaunchedError for whoever waits."""
        self._closed = True
        self._promise.set_error(self._shut_down())

    def _shut_down(self) -> NotLaunchedError:
        workflow_id = self.wanted[0].workflow_id
        return NotLaunchedError(
            f"the engine was shut down while somebody waited for news of workflow {workflow_id!r}; the workflow is not "
            "lost, and goes on wherever an executor of its application runs",
            workflow_id=workflow_id,
        )


class News:
    """Who waits for what."""

    def __init__(self) -> None:
        self._mutex = threading.Lock()
        self._watches: dict[tuple[Kind, str], set[Watch]] = {}
        self._subscribers: dict[Kind, Callable[[str], None]] = {}
        self._closed = False
        #: Called when somebody begins to wait: the database has to be watched from now on.
        self.begun: Callable[[], None] = lambda: None

    def watch(self, kind: Kind, workflow_id: str, detail: str = "", offset: int = 0, *, end: bool = False) -> Watch:
        """An interest in news, with ``end`` also in the workflow's end; enter it before looking."""
        wanted = Wanted(kind, workflow_id, detail, offset)
        return Watch(self, wanted, Wanted(Kind.OUTCOME, workflow_id)) if end else Watch(self, wanted)

    def subscribe(self, kind: Kind, heard: Callable[[str], None]) -> None:
        """Have ``heard`` called with the name in all news of a kind."""
        self._subscribers[kind] = heard

    def add(self, watch: Watch) -> None:
        """Register; for ``Watch``."""
        with self._mutex:
            for one in watch.wanted:
                self._watches.setdefault((one.kind, one.workflow_id), set()).add(watch)
            if self._closed:
                watch.close()
        self.begun()

    def remove(self, watch: Watch) -> None:
        """The reverse."""
        with self._mutex:
            for one in watch.wanted:
                others = self._watches.get((one.kind, one.workflow_id), set())
                others.discard(watch)
                if not others:
                    self._watches.pop((one.kind, one.workflow_id), None)

    def close(self) -> None:
        """There will be no more: NotLaunchedError for whoever waits, now or later."""
        with self._mutex:
            self._closed = True
            watches = {watch for waiting in self._watches.values() for watch in waiting}
        for watch in watches:
            watch.close()

    def __bool__(self) -> bool:
        return bool(self._watches)

    @property
    def subscribed(self) -> bool:
        """Whether somebody wants to hear of everything of some kind."""
        return bool(self._subscribers)

    def wanted(self) -> list[Wanted]:
        """What is waited for, each once."""
        with self._mutex:
            return list({one for watches in self._watches.values() for watch in watches for one in watch.wanted})

    # -- news ----------------------------------------------------------------------------------------------------

    def happened(self, kind: Kind, name: str) -> None:
        """Wake all who wait for that workflow, whatever their topic or key, and tell the subscriber."""
        if self._watches:
            for watch in list(self._watches.get((kind, name), ())):
                watch.wake()
        heard = self._subscribers.get(kind)
        if heard is not None:
            heard(name)

    def found(self, wanted: Iterable[Wanted]) -> None:
        """Wake those who wait for exactly this."""
        for one in wanted:
            if one.kind is Kind.CANCELLED:
                self.happened(one.kind, str(Life(one.detail, one.offset, one.workflow_id)))
                continue
            for watch in list(self._watches.get((one.kind, one.workflow_id), ())):
                if one in watch.wanted:
                    watch.wake()

    def written(self, commands: Sequence[Command], answers: Sequence[Any]) -> None:
        """Tell this process what it has just written itself."""
        for command, answer in zip(commands, answers, strict=True):
            if isinstance(command, StartWorkflow):
                if command.executor_id is None and answer == Started(True):
                    self.happened(Kind.WORK, command.application_name)
                continue
            kind = _NEWS_OF.get(type(command))  # most commands are no news
            if kind is not None and (kind is not Kind.MESSAGE or answer in (Sent.SENT, Sent.CANCELLED)):
                self.happened(kind, command.workflow_id)


_NEWS_OF: dict[type, Kind] = {
    SendMessage: Kind.MESSAGE,
    SetEvent: Kind.EVENT,
    WriteStream: Kind.STREAM,
    RecordOutcome: Kind.OUTCOME,
}
