"""What a system database must offer: the small protocol that PostgreSQL and SQLite implement."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, Protocol, TypeVar

from durably.ledger.commands import Answer, Command
from durably.ledger.listening import Listener
from durably.sql.dialect import Dialect

T = TypeVar("T")

#: Told about each statement ("BEGIN" and "COMMIT" included), with the round trips that a caller waited for it.
Observer = Callable[[str, int], None]


class Session(Protocol):
    """Statements on one connection. ``sql`` has ``?`` for parameters and the marks of ``durably.sql.dialect``."""

    def execute(self, sql: str, params: Sequence[Any] = ()) -> list[tuple[Any, ...]]:
        """Run one statement; its rows, [] if it returns none."""
        ...


class Connection(Protocol):
    """A connection kept for one purpose (the heartbeat's), opened at first use and again after a loss."""

    def each(self, work: Callable[[Session], T]) -> T:
        """Run ``work``, each of its statements in a transaction of its own."""
        ...

    def change(self, work: Callable[[Session], T]) -> T:
        """Run ``work`` in one transaction."""
        ...

    def close(self) -> None:
        """Close it; it may be used again."""
        ...


class Backend(Protocol):
    """One system database. Methods raise the driver's own errors; the ledger retries what is transient."""

    dialect: Dialect
    observe: Observer | None

    def open(self) -> None:
        """Connect once, so that a wrong address is known at launch."""
        ...

    def write(self, batch: Sequence[Command]) -> list[Answer]:
        """Write a batch in one transaction and one commit; one answer for each command, in order."""
        ...

    def read(self, work: Callable[[Session], T]) -> T:
        """Run reads on a connection that no writer uses, each statement by itself."""
        ...

    def change(self, work: Callable[[Session], T]) -> T:
        """Run ``work`` in one write transaction."""
        ...

    def each(self, work: Callable[[Session], T]) -> T:
        """Run ``work``, which writes, each of its statements in a transaction of its own."""
        ...

    def connection(self) -> Connection:
        """A connection of its own, not yet open."""
        ...

    def listener(self) -> Listener | None:
        """An ear for what other processes write, for one thread; None where there is none to be had."""
        ...

    def disconnect(self) -> None:
        """Close all connections; the next use connects afresh."""
        ...
