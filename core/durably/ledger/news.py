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


class Kind(str, Enum):
    """What the news is of. The values stand in notifications between processes, before a colon and a name."""

    OUTCOME = "o"
    MESSAGE = "m"
    EVENT = "e"
    STREAM = "s"
    CANCELLED = "c"
    #: Named by the application, for whose executors there is something to claim.
    WORK = "w"


class Wanted(NamedTuple):
    """What a look into the database is to find: the workflow, and the topic, key, or key and offset."""

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
        return self._promise

    def wake(self) -> None:
        """There is news."""
        self._promise.set_result(None)


class News:
    """Who waits for what."""

    def __init__(self) -> None:
        self._mutex = threading.Lock()
        self._watches: dict[tuple[Kind, str], set[Watch]] = {}
        self._subscribers: dict[Kind, Callable[[str], None]] = {}
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
        self.begun()

    def remove(self, watch: Watch) -> None:
        """The reverse."""
        with self._mutex:
            for one in watch.wanted:
                others = self._watches.get((one.kind, one.workflow_id), set())
                others.discard(watch)
                if not others:
                    self._watches.pop((one.kind, one.workflow_id), None)

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
        for watch in list(self._watches.get((kind, name), ())):
            watch.wake()
        heard = self._subscribers.get(kind)
        if heard is not None:
            heard(name)

    def found(self, wanted: Iterable[Wanted]) -> None:
        """Wake those who wait for exactly this."""
        for one in wanted:
            if one.kind is Kind.CANCELLED:
                self.happened(one.kind, one.workflow_id)
                continue
            for watch in list(self._watches.get((one.kind, one.workflow_id), ())):
                if one in watch.wanted:
                    watch.wake()

    def written(self, commands: Sequence[Command], answers: Sequence[Any]) -> None:
        """Tell this process what it has just written itself."""
        for command, answer in zip(commands, answers, strict=True):
            if isinstance(command, SendMessage):
                if answer in (Sent.SENT, Sent.CANCELLED):
                    self.happened(Kind.MESSAGE, command.workflow_id)
            elif isinstance(command, SetEvent):
                self.happened(Kind.EVENT, command.workflow_id)
            elif isinstance(command, WriteStream):
                self.happened(Kind.STREAM, command.workflow_id)
            elif isinstance(command, RecordOutcome):
                self.happened(Kind.OUTCOME, command.workflow_id)
            elif isinstance(command, StartWorkflow) and command.executor_id is None and answer == Started(True):
                self.happened(Kind.WORK, command.application_name)
