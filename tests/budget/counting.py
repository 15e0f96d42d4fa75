"""Two counts of one system database's work: what the ledger says of itself, and what an outsider sees."""

from __future__ import annotations

import sqlite3
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import psycopg
import pytest

from durably import client
from durably.config import Settings
from durably.ledger import sqlite as sqlite_backend
from durably.ledger.backend import Backend
from tests.budget.wire import Traffic, Wire


@dataclass(frozen=True)
class Cost:
    """What some piece of work cost the system database, as an outsider saw it."""

    commits: int
    #: Those that somebody waited for; a file has none.
    round_trips: int
    #: By the ledger's own account.
    statements: list[str] = field(default_factory=list)
    own_commits: int = 0
    own_round_trips: int = 0

    @property
    def reads(self) -> list[str]:
        return [sql for sql in self.statements if sql.startswith("SELECT")]


class Counter:
    """Counts on one system database, from one moment to another."""

    #: The address that the engine is to be given.
    url: str
    waits_for_round_trips: bool

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self._mutex = threading.Lock()
        self._observed: list[tuple[str, int]] = []
        make_backend = client.make_backend

        def observed(settings: Settings) -> Backend:
            backend = make_backend(settings)
            backend.observe = self._observe
            return backend

        monkeypatch.setattr(client, "make_backend", observed)

    def _observe(self, sql: str, round_trips: int) -> None:
        with self._mutex:
            self._observed.append((sql, round_trips))

    @contextmanager
    def counting(self) -> Iterator[list[Cost]]:
        """The cost of the block, in the list that it gives, once the block has ended."""
        cost: list[Cost] = []
        with self._mutex:
            first = len(self._observed)
        commits, trips = self.commits(), self.round_trips()
        yield cost
        trips = self.round_trips() - trips
        commits = self.commits() - commits
        with self._mutex:
            observed = self._observed[first:]
        statements = [sql for sql, _ in observed if sql not in ("BEGIN", "BEGIN IMMEDIATE", "COMMIT")]
        own = sum(sql == "COMMIT" for sql, _ in observed)
        cost.append(Cost(commits, trips, statements, own, sum(count for _, count in observed)))

    def commits(self) -> int:
        """How many transactions have written so far, on the whole server or file."""
        raise NotImplementedError

    def round_trips(self) -> int:
        raise NotImplementedError

    def statements(self) -> int:
        """How many statements have reached the database so far."""
        raise NotImplementedError

    def close(self) -> None:
        raise NotImplementedError


class PostgresCounter(Counter):
    """Transactions by the server's transaction ids, round trips by a proxy on the wire."""

    waits_for_round_trips = True

    def __init__(self, url: str, monkeypatch: pytest.MonkeyPatch) -> None:
        super().__init__(monkeypatch)
        self._wire = Wire(url)
        self.url = self._wire.url
        self._direct = psycopg.connect(url, autocommit=True)
        self._asked = 0

    def commits(self) -> int:
        row = self._direct.execute("SELECT pg_current_xact_id()::text::bigint").fetchone()
        assert row is not None
        self._asked += 1  # asking takes an id of its own
        return int(row[0]) - self._asked

    @property
    def traffic(self) -> Traffic:
        return self._wire.traffic

    def round_trips(self) -> int:
        return self._wire.traffic.round_trips

    def statements(self) -> int:
        return self._wire.traffic.executions

    def close(self) -> None:
        self._direct.close()
        self._wire.close()


class SqliteCounter(Counter):
    """Transactions and statements by SQLite's own trace of each connection."""

    waits_for_round_trips = False

    def __init__(self, path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        super().__init__(monkeypatch)
        self.url = f"sqlite:///{path}"
        self._traced: list[str] = []
        connect: Callable[[str], sqlite3.Connection] = sqlite_backend.connect

        def traced(file: str) -> sqlite3.Connection:
            connection = connect(file)
            connection.set_trace_callback(self._traced.append)
            return connection

        monkeypatch.setattr(sqlite_backend, "connect", traced)

    def trace(self, connection: sqlite3.Connection) -> None:
        """Count a connection of the user's, too."""
        connection.set_trace_callback(self._traced.append)

    def commits(self) -> int:
        return sum(sql == "COMMIT" for sql in list(self._traced))

    def round_trips(self) -> int:
        return 0

    def statements(self) -> int:
        return len([sql for sql in list(self._traced) if not sql.startswith("--")])

    def close(self) -> None:
        pass


def settled(counter: Counter, seconds: float = 0.3) -> None:
    """Wait until nothing has been sent for a while: what a launch begins with is over."""
    deadline = time.monotonic() + 20
    seen: Any = None
    while (now := counter.statements()) != seen:
        assert time.monotonic() < deadline
        seen = now
        time.sleep(seconds)
