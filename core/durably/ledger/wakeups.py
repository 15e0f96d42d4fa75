"""Promises of outcomes, whoever executes the workflow.

Outcomes that this process writes itself are announced here, and wake their waiters at once; those of others are read by
the watcher (see ``watching``), for all who wait in one statement.
"""

from __future__ import annotations

import threading
import weakref
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
    """A promise, and the moment at which it was made; nobody waits for it any more when it is collected."""

    since: int
    promise: weakref.ref[Promise[Outcome | None]]


class Outcomes:
    """Promises of outcomes, by workflow id."""

    def __init__(self) -> None:
        self._mutex = threading.Lock()
        #: In the order in which they were made.
        self._awaited: dict[str, list[_Waiting]] = {}
        #: Counts the questions: a promise is answered by those alone that were asked after it was made.
        self._moment = 0
        #: Those of which nobody has asked the database yet.
        self._new: set[str] = set()
        self._closed = False
        #: Called when somebody begins to wait.
        self.begun: Callable[[], None] = lambda: None

    def promise(self, workflow_id: str) -> Promise[Outcome | None]:
        """The outcome of a workflow, once it has one; None if there is no such workflow."""
        with self._mutex:
            waiting = self._alive(workflow_id)
            if waiting and waiting[-1].since == self._moment:
                shared = waiting[-1].promise()
                if shared is not None:
                    return shared
            promise: Promise[Outcome | None] = Promise()
            if self._closed:
                promise.set_error(_closed(workflow_id))
                return promise
            waiting.append(_Waiting(self._moment, weakref.ref(promise)))
            self._awaited[workflow_id] = waiting
            self._new.add(workflow_id)
        self.begun()
        return promise

    def _alive(self, workflow_id: str) -> list[_Waiting]:
        """Who still waits for that workflow. The mutex is held."""
        waiting = [one for one in self._awaited.get(workflow_id, ()) if one.promise() is not None]
        if not waiting:
            self._awaited.pop(workflow_id, None)
            self._new.discard(workflow_id)
        return waiting

    @property
    def moment(self) -> int:
        """Now, for ``announce``; to be taken before what it announces is done."""
        with self._mutex:
            return self._next()

    def _next(self) -> int:
        self._moment += 1
        return self._moment

    def announce(self, workflow_id: str, outcome: Outcome | None, moment: int | None = None) -> None:
        """An outcome is known: wake whoever waits for it; if it can be undone, those who did at that ``moment``."""
        if not self._awaited:
            return
        with self._mutex:
            answered = self._taken(workflow_id, moment)
            later = workflow_id in self._awaited
            if later:
                self._new.add(workflow_id)  # it may be their answer, too, if the database says so now
        deliver([(promise, outcome, None) for promise in answered])
        if later:
            self.begun()

    def _taken(self, workflow_id: str, moment: int | None) -> list[Promise[Outcome | None]]:
        """Whom an outcome that was there at ``moment`` answers. The mutex is held."""
        waiting = self._awaited.get(workflow_id)
        if waiting is None:
            return []
        answered = [one for one in waiting if moment is None or one.since < moment]
        left = waiting[len(answered) :]
        if left:
            self._awaited[workflow_id] = left
        else:
            del self._awaited[workflow_id]
            self._new.discard(workflow_id)
        return [promise for one in answered if (promise := one.promise()) is not None]

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
            return self._ask(self._awaited if names is None else self._new.union(names))

    def asked(self, workflow_ids: Sequence[str]) -> Asked:
        """What somebody asks the database for who waits, instead of the watcher."""
        with self._mutex:
            return self._ask(workflow_ids)

    def _ask(self, workflow_ids: Iterable[str]) -> Asked:
        """Those of them that somebody still waits for, and now. The mutex is held."""
        alive = [workflow_id for workflow_id in list(workflow_ids) if self._alive(workflow_id)]
        self._new.difference_update(alive)
        return Asked(alive, self._next())

    def unanswered(self, asked: Asked) -> None:
        """That failed; the watcher is to ask."""
        with self._mutex:
            self._new.update(workflow_id for workflow_id in asked.workflow_ids if self._alive(workflow_id))
        self.begun()

    def found(self, asked: Asked, outcomes: Mapping[str, Outcome | None]) -> None:
        """What the database said: missing there is a workflow that does not exist, None one that goes on."""
        ended: list[tuple[Promise[Outcome | None], Outcome | None, None]] = []
        with self._mutex:
            for workflow_id in asked.workflow_ids:
                if workflow_id not in outcomes or outcomes[workflow_id] is not None:
                    answered = self._taken(workflow_id, asked.moment)
                    ended += [(promise, outcomes.get(workflow_id), None) for promise in answered]
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
        deliver(
            [
                (promise, None, _closed(workflow_id))
                for workflow_id, waiting in awaited.items()
                for one in waiting
                if (promise := one.promise()) is not None
            ]
        )


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
