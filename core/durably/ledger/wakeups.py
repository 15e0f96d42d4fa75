"""Promises of outcomes, whoever executes the workflow.

Outcomes that this process writes itself are announced here, and wake their waiters at once; those of others are read by
the watcher (see ``watching``), for all who wait in one statement.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import NamedTuple

from durably.drive import Promise, deliver
from durably.errors import NotLaunchedError
from durably.ledger.news import Kind, News
from durably.model import Life, Outcome, Status

CANCELLED = Outcome(Status.CANCELLED, None, None, "")


class Asked(NamedTuple):
    """What the database is asked for, and the moment of asking: what it says is no answer to a later question.

    An outcome may be undone (a cancelled workflow is resumed, a deleted id used again), and who asks after that must
    not be told of it.
    """

    workflow_ids: list[str]
    moment: int


class _Waiting(NamedTuple):
    """A promise, and how many were made before it."""

    number: int
    promise: Promise[Outcome | None]


class Outcomes:
    """Promises of outcomes, by workflow id."""

    def __init__(self) -> None:
        self._mutex = threading.Lock()
        self._awaited: dict[str, _Waiting] = {}
        self._count = 0
        #: Those of which nobody has asked the database yet.
        self._new: set[str] = set()
        self._closed = False
        #: Called when somebody begins to wait.
        self.begun: Callable[[], None] = lambda: None

    def promise(self, workflow_id: str) -> Promise[Outcome | None]:
        """The outcome of a workflow, once it has one; None if there is no such workflow."""
        with self._mutex:
            waiting = self._awaited.get(workflow_id)
            if waiting is not None:
                return waiting.promise
            promise: Promise[Outcome | None] = Promise()
            if self._closed:
                promise.set_error(_closed(workflow_id))
                return promise
            self._awaited[workflow_id] = _Waiting(self._count, promise)
            self._count += 1
            self._new.add(workflow_id)
        self.begun()
        return promise

    @property
    def moment(self) -> int:
        """Now, for ``announce``; to be taken before what it announces is done."""
        return self._count

    def announce(self, workflow_id: str, outcome: Outcome | None, moment: int | None = None) -> None:
        """An outcome is known: wake whoever waits for it; if it can be undone, those who did at that ``moment``."""
        if not self._awaited:
            return
        with self._mutex:
            promise = self._taken(workflow_id, moment)
        if promise is not None:
            promise.set_result(outcome)

    def _taken(self, workflow_id: str, moment: int | None) -> Promise[Outcome | None] | None:
        """Whom an outcome that was there at ``moment`` answers. The mutex is held."""
        waiting = self._awaited.get(workflow_id)
        if waiting is None or (moment is not None and waiting.number >= moment):
            return None
        del self._awaited[workflow_id]
        self._new.discard(workflow_id)
        return waiting.promise

    # -- for the watcher -----------------------------------------------------------------------------------------

    def __bool__(self) -> bool:
        return bool(self._awaited)

    @property
    def has_new(self) -> bool:
        """Whether there is one of which nobody has asked the database yet."""
        return bool(self._new)

    def awaited(self, names: Iterable[str] | None = None) -> Asked:
        """What to ask the database for: all that is awaited, or what is among ``names`` and not yet asked for."""
        with self._mutex:
            new, self._new = self._new, set()
            if names is None:
                return Asked(list(self._awaited), self._count)
            asked = [*new, *(name for name in names if name in self._awaited and name not in new)]
            return Asked(asked, self._count)

    def found(self, asked: Asked, outcomes: Mapping[str, Outcome | None]) -> None:
        """What the database said: missing there is a workflow that does not exist, None one that goes on."""
        ended: list[tuple[Promise[Outcome | None], Outcome | None, None]] = []
        with self._mutex:
            for workflow_id in asked.workflow_ids:
                if workflow_id not in outcomes or outcomes[workflow_id] is not None:
                    promise = self._taken(workflow_id, asked.moment)
                    if promise is not None:
                        ended.append((promise, outcomes.get(workflow_id), None))
        deliver(ended)

    # -- closing -------------------------------------------------------------------------------------------------

    @property
    def closed(self) -> bool:
        """Whether nobody can wait any more."""
        return self._closed

    def close(self) -> None:
        """Who still waits gets NotLaunchedError."""
        with self._mutex:
            self._closed = True
            awaited, self._awaited = self._awaited, {}
        deliver([(waiting.promise, None, _closed(workflow_id)) for workflow_id, waiting in awaited.items()])


def announce_ends(news: News, outcomes: Outcomes, lives: Sequence[Life], outcome: Outcome | None, moment: int) -> None:
    """Stop what executes here of lives that ended after ``moment``, and wake who waits here for their ``outcome``."""
    # All are stopped before anybody is told: a parent does not take the end of its child for that child's result.
    for life in lives:
        news.happened(Kind.CANCELLED, str(life))
    for life in lives:
        news.happened(Kind.OUTCOME, life.workflow_id)
        outcomes.announce(life.workflow_id, outcome, moment)


def _closed(workflow_id: str) -> NotLaunchedError:
    return NotLaunchedError(
        f"the engine was shut down before workflow {workflow_id!r} had its outcome; the workflow is not lost, and goes "
        "on wherever an executor of its application runs",
        workflow_id=workflow_id,
    )
