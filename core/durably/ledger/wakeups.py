"""Promises of outcomes, whoever executes the workflow.

Outcomes that this process writes itself are announced here, and wake their waiters at once; those of others are read by
the watcher (see ``watching``), for all who wait in one statement.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterable, Mapping

from durably.drive import Promise, deliver
from durably.errors import NotLaunchedError
from durably.model import Outcome


class Outcomes:
    """Promises of outcomes, by workflow id."""

    def __init__(self) -> None:
        self._mutex = threading.Lock()
        self._awaited: dict[str, Promise[Outcome | None]] = {}
        #: Those of which nobody has asked the database yet.
        self._new: set[str] = set()
        self._closed = False
        #: Called when somebody begins to wait.
        self.begun: Callable[[], None] = lambda: None

    def promise(self, workflow_id: str) -> Promise[Outcome | None]:
        """The outcome of a workflow, once it has one; None if there is no such workflow."""
        with self._mutex:
            promise = self._awaited.get(workflow_id)
            if promise is not None:
                return promise
            promise = Promise()
            if self._closed:
                promise.set_error(_closed(workflow_id))
                return promise
            self._awaited[workflow_id] = promise
            self._new.add(workflow_id)
        self.begun()
        return promise

    def announce(self, workflow_id: str, outcome: Outcome | None) -> None:
        """An outcome is known: wake whoever waits for it."""
        if not self._awaited:
            return
        with self._mutex:
            promise = self._awaited.pop(workflow_id, None)
            self._new.discard(workflow_id)
        if promise is not None:
            promise.set_result(outcome)

    # -- for the watcher -----------------------------------------------------------------------------------------

    def __bool__(self) -> bool:
        return bool(self._awaited)

    @property
    def has_new(self) -> bool:
        """Whether there is one of which nobody has asked the database yet."""
        return bool(self._new)

    def awaited(self, names: Iterable[str] | None = None) -> list[str]:
        """What to ask the database for: all that is awaited, or what is among ``names`` and not yet asked for."""
        with self._mutex:
            new, self._new = self._new, set()
            if names is None:
                return list(self._awaited)
            return [*new, *(name for name in names if name in self._awaited and name not in new)]

    def found(self, asked: Iterable[str], outcomes: Mapping[str, Outcome | None]) -> None:
        """What the database said: missing there is a workflow that does not exist, None one that goes on."""
        ended: list[tuple[Promise[Outcome | None], Outcome | None, None]] = []
        with self._mutex:
            for workflow_id in asked:
                if workflow_id not in outcomes or outcomes[workflow_id] is not None:
                    promise = self._awaited.pop(workflow_id, None)
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
        deliver([(promise, None, _closed(workflow_id)) for workflow_id, promise in awaited.items()])


def _closed(workflow_id: str) -> NotLaunchedError:
    return NotLaunchedError(
        f"the engine was shut down before workflow {workflow_id!r} had its outcome; the workflow is not lost, and goes "
        "on wherever an executor of its application runs",
        workflow_id=workflow_id,
    )
