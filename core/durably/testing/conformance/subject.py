"""What the author of an adapter writes: an application on one database, and what little the suite asks of its ORM."""

from __future__ import annotations

from abc import ABC, abstractmethod
from dataclasses import dataclass
from typing import Any, ClassVar, Literal

from durably.adapter import DialectName


@dataclass(frozen=True)
class Capabilities:
    """What an ORM can do. What it cannot is declared here, counted as such, and shown to end in a clear error."""

    #: The databases that the ORM and its drivers support.
    databases: tuple[DialectName, ...] = ("postgresql", "sqlite", "mysql")
    #: The ORM can tell that the caller has a transaction open: ``adapter.ambient()`` gives it.
    ambient: bool = True
    #: What becomes of a commit by the transaction's own function. ``refused``: nothing is kept. ``found``: what it
    #: committed stays, as the database has it already; the transaction still ends in TransactionEndedError.
    commit_inside: Literal["refused", "found"] = "refused"
    #: What becomes of the ORM's use in another thread (asynchronous: another task) that the function starts.
    #: ``refused``: a clear error. ``inside``: it works in the transaction, and is rolled back with it. ``outside``: it
    #: works on another connection, in no transaction; the adapter's documentation warns of it.
    elsewhere: Literal["refused", "inside", "outside"] = "refused"


class Subject(ABC):
    """An application that uses the ORM on one database. A new instance serves each test, in that test's own process.

    These tables are there when it opens; map them as an application would::

        conformance_item     id    integer, primary key, given by the database
                             n     integer, unique
                             note  text of any length, nullable
        conformance_counter  id    integer, primary key; there is one row, with id 1
                             n     integer, 0 at first

    In a subject with ``asynchronous = True`` every method is a coroutine function, and ``savepoint`` and
    ``transaction`` give asynchronous context managers.

    Up to 32 workflows use one subject at once, from threads or tasks of their own: a pool should give eight
    connections, and have the others wait. Its file is also loaded by itself, in a process that is killed.
    """

    #: How the tables of results call it; unique.
    name: ClassVar[str]
    asynchronous: ClassVar[bool] = False
    capabilities: ClassVar[Capabilities] = Capabilities()

    def __init__(self, url: str, *, lock_seconds: float = 5.0) -> None:
        """Take the database's address: ``postgresql://…``, ``sqlite:///…`` or ``mysql://…``. Opens nothing.

        ``lock_seconds``: how long a statement may wait for an SQLite file that somebody else has locked.
        """
        self.url = url
        self.lock_seconds = lock_seconds

    @abstractmethod
    def open(self) -> Any:
        """Set the ORM up as an application does at its start; the adapter under test, one half of it.

        PostgreSQL's ``application_name`` must not be "durably", by which the suite tells Durably's own connections.
        """

    @abstractmethod
    def close(self) -> Any:
        """Close all that ``open`` opened. Called once, also after a failed test."""

    def thread_ends(self) -> Any:  # noqa: B027  an ORM may have nothing to do
        """Called on each thread that the suite itself starts, as its last act; never in an asynchronous subject.

        For an ORM that ties connections to threads, whose applications close them there.
        """

    # -- inside a transaction of Durably's -----------------------------------------------------------------------

    @abstractmethod
    def add(self, n: int, note: str | None = None) -> Any:
        """Add a row to ``conformance_item`` through the ORM."""

    @abstractmethod
    def items(self) -> Any:
        """``list[int]``: every ``n`` of ``conformance_item`` in the order of ``id``, read through the ORM."""

    @abstractmethod
    def note(self, n: int) -> Any:
        """``str | None``: the note of the item with that ``n``, read through the ORM."""

    @abstractmethod
    def increment(self) -> Any:
        """``int``: read the counter through the ORM without locking it, write back one more, and return that."""

    @abstractmethod
    def statement(self, sql: str) -> Any:
        """``list[tuple]``: run SQL without parameters by the ORM's own means for that; [] if it gives no rows."""

    @abstractmethod
    def savepoint(self) -> Any:
        """The ORM's context manager for a part of a transaction that may fail by itself."""

    @abstractmethod
    def commit(self) -> Any:
        """Commit by the ORM's own means, as a function of the user's must not; whatever that raises is raised."""

    @abstractmethod
    def rollback(self) -> Any:
        """Roll back by the ORM's own means, likewise."""

    # -- outside -------------------------------------------------------------------------------------------------

    @abstractmethod
    def transaction(self) -> Any:
        """A context manager: a transaction that the caller opens through the ORM, in which the methods above work.

        Where ``capabilities.ambient`` is false it is not called.
        """
