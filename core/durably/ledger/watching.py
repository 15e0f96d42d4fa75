"""One thread that watches the system database for whoever waits in this process.

It hears from the database that there is news (see ``listening``), and asks for all that is waited for in one statement
of each kind: after a change that does not say what it was, after a lost connection, and, as the net underneath, every
now and then. It starts when somebody first waits.
"""

from __future__ import annotations

import logging
import threading

from durably.clock import Clock
from durably.drive import drive
from durably.ledger import awaited, queries
from durably.ledger.ledger import Ledger
from durably.ledger.listening import ANYTHING, NEWS
from durably.ledger.news import Kind
from durably.ledger.wakeups import Asked, Outcomes

log = logging.getLogger("durably.ledger")

#: The net: how often to look where nothing tells of news (growing), and where something does (seconds).
POLL_FIRST, POLL_LAST, NET = 0.01, 1.0, 10.0
#: The least between two looks, however often somebody begins to wait (seconds).
POLL_LEAST = 0.05
#: How long to wait before listening again after a lost connection, growing (seconds).
RETRY_FIRST, RETRY_LAST = 0.1, 5.0


class Watcher:
    """Wakes those who wait for news or outcomes. ``listens``: the database can tell of news, and may be asked to."""

    def __init__(self, ledger: Ledger, outcomes: Outcomes, clock: Clock, *, listens: bool) -> None:
        self._ledger = ledger
        self._news = ledger.news
        self._outcomes = outcomes
        self._clock = clock
        self._listener = ledger.backend.listener() if listens else None
        self._wanted = threading.Event()
        self._closing = threading.Event()
        self._thread: threading.Thread | None = None
        self._mutex = threading.Lock()
        self._news.begun = self._outcomes.begun = self.begin

    def begin(self) -> None:
        """Somebody waits."""
        if not self._wanted.is_set():
            self._wanted.set()
            if self._listener is not None:
                self._listener.wake()
        if self._thread is None:
            self._start()

    def _start(self) -> None:
        with self._mutex:
            if self._thread is None and not self._closing.is_set():
                self._thread = threading.Thread(target=self._watch, name="durably-watch", daemon=True)
                self._thread.start()

    def close(self) -> None:
        """End the thread."""
        with self._mutex:
            self._closing.set()
        self._wanted.set()
        if self._listener is not None:
            self._listener.wake()
        if self._thread is not None:
            self._thread.join()
        if self._listener is not None:
            self._listener.close()

    # -- the thread ----------------------------------------------------------------------------------------------

    @property
    def _awaited(self) -> bool:
        return bool(self._news) or bool(self._outcomes)

    def _news_is_wanted(self) -> bool:
        return self._awaited or self._news.subscribed

    def _ended(self) -> bool:
        return self._closing.is_set()

    def _watch(self) -> None:
        while not self._ended():
            self._wanted.clear()
            if self._listener is not None and self._news_is_wanted():
                self._listen()
            elif self._listener is None and self._awaited:
                self._poll()
            else:
                self._clock.wait(self._wanted, 3600.0)

    def _poll(self) -> None:
        """Nothing tells of news: look soon after somebody begins to wait, and then ever more slowly."""
        delay = POLL_FIRST
        looked, due = float("-inf"), self._clock.monotonic() + delay
        while not self._ended() and self._awaited:
            if self._clock.wait(self._wanted, due - self._clock.monotonic()):
                self._wanted.clear()
                # Sooner than it was to be, however often somebody begins to; but not much sooner after the last look.
                delay = POLL_LEAST
                due = min(due, max(self._clock.monotonic() + POLL_FIRST, looked + POLL_LEAST))
                continue
            self.look()
            delay = min(delay * 1.5, POLL_LAST)
            looked = self._clock.monotonic()
            due = looked + delay

    def _listen(self) -> None:
        assert self._listener is not None  # noqa: S101
        delay = RETRY_FIRST
        looked = self._clock.monotonic()
        while not self._ended() and self._news_is_wanted():
            try:
                soon = POLL_FIRST if self._outcomes.has_new else NET
                heard = self._listener.wait(soon, attentive=self._awaited)
                delay = RETRY_FIRST
            except Exception as error:
                if self._ended():
                    return
                log.warning("cannot listen for news (%s); trying again in %.2g s", error, delay)
                self.look()
                self._clock.wait(self._closing, delay)
                delay = min(delay * 2, RETRY_LAST)
                continue
            self._wanted.clear()
            if ANYTHING in heard or NEWS in heard or self._clock.monotonic() - looked > NET:
                looked = self._clock.monotonic()
                self.look()
            self._tell(heard)

    def _tell(self, heard: list[str]) -> None:
        names: dict[Kind, dict[str, None]] = {}
        for one in heard:
            kind, _, name = one.partition(":")
            if one == ANYTHING:
                names.setdefault(Kind.WORK, {})[ANYTHING] = None
            elif kind in _KINDS:
                names.setdefault(_KINDS[kind], {})[name] = None
        for kind, those in names.items():
            for name in those:
                self._news.happened(kind, name)
        ended = names.get(Kind.OUTCOME, {})
        if ended or self._outcomes.has_new:
            self._look_for_outcomes(self._outcomes.awaited(ended))

    def look(self) -> None:
        """Ask for all that is waited for."""
        wanted = self._news.wanted()
        self._look_for_outcomes(self._outcomes.awaited())
        try:
            if wanted:
                self._news.found(drive(self._ledger.read(lambda session: awaited.found(session, wanted))))
        except Exception:
            if not self._ended():
                log.exception("could not look for news; trying again")

    def _look_for_outcomes(self, asked: Asked) -> None:
        if not asked.workflow_ids:
            return
        try:
            found = drive(self._ledger.read(lambda session: queries.outcomes(session, asked.workflow_ids)))
        except Exception:
            if not self._ended():
                log.exception("could not look for outcomes; trying again")
            return
        self._outcomes.found(asked, found)


_KINDS = {kind.value: kind for kind in Kind}
