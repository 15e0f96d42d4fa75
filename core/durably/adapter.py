"""The seam between Durably and an ORM: all that an adapter author must read.

An adapter supplies only what differs between ORMs: how to begin a transaction, and how to run a statement on
the same connection. SQL text, retries, serialization and the classification of failures stay in the core.
Both halves have the same shape; the asynchronous one is awaited. ``docs/writing-an-adapter.md`` writes one step by
step, and runs it under the conformance suite (``durably.testing.conformance``), which every adapter must pass.

A transaction comes as: ``ambient()``, which must be None; ``begin(plan)`` entered; ``execute``; the user's function;
``flush``; ``execute`` of the checkpoint; ``begin``'s exit. An error that the driver raises may pass through wrapped, as
long as the driver's own exception is its ``orig``, its cause or its first argument: by that the core knows what may be
tried again. Do not retry in the adapter, and do not run the user's function in a task of its own.

An adapter package registers a factory under the entry-point group ``durably.adapters``; the factory takes the
application database's URL and returns its halves::

    def from_url(url: str) -> Sequence[Adapter[Any] | AsyncAdapter[Any]]: ...
"""

from __future__ import annotations

import functools
import inspect
import re
from collections.abc import Callable, Sequence
from contextlib import AbstractAsyncContextManager, AbstractContextManager
from dataclasses import dataclass
from typing import Any, Literal, Protocol, TypeAlias, TypeVar, cast, runtime_checkable

from durably import context
from durably.errors import DeclarationError, SessionKindError

H = TypeVar("H")
H_contra = TypeVar("H_contra", contravariant=True)

#: The database; ``mysql`` is MariaDB too.
DialectName = Literal["postgresql", "sqlite", "mysql"]
#: What the driver below the ORM wants: ``?``; ``%s``, where a literal ``%`` is written ``%%``; or ``$1``, ``$2``….
ParamStyle = Literal["qmark", "format", "dollar"]
#: What a statement's parameters may be, on every driver.
Parameter: TypeAlias = "str | int | None"


@dataclass(frozen=True)
class BeginPlan:
    """How to begin one transaction; computed once by the core from dialect, isolation level and read-only.

    Run each statement as it is, in this order, on the one connection that the transaction will have.

    ``before``: statements to run on the connection before BEGIN (MySQL and MariaDB need this).
    ``begin``: the BEGIN statement to issue where the driver lets one choose (SQLite: ``BEGIN IMMEDIATE``).
    ``after``: the first statements inside the transaction (PostgreSQL's SET TRANSACTION).
    ``query_only``: SQLite, read-only: set ``PRAGMA query_only`` on the raw connection, and reset it afterwards, also
    after an error, unless the connection is closed then: a pooled one would refuse the next transaction's writes.
    """

    before: tuple[str, ...] = ()
    begin: str = "BEGIN"
    after: tuple[str, ...] = ()
    query_only: bool = False


@runtime_checkable
class Adapter(Protocol[H]):
    """Runs transactions through a synchronous ORM. ``H`` is what the user's function works with."""

    @property
    def dialect(self) -> DialectName:
        """The kind of database: a plain attribute, or computed where the ORM knows it only once it is set up."""
        ...

    @property
    def paramstyle(self) -> ParamStyle:
        """How the driver's statements mark their parameters; asked for as the dialect is."""
        ...

    def ambient(self) -> H | None:
        """A transaction that the caller has open already on this thread, if the ORM can tell; None if not.

        A transaction of a workflow is refused in there. One that is called outside a workflow runs in it (see
        ``Joins``). Inside the block of ``begin`` it gives that transaction, where the ORM knows it.
        """
        ...

    def begin(self, plan: BeginPlan) -> AbstractContextManager[H]:
        """Begin on a healthy connection; commit on a clean exit, roll back on any exception, hand it back.

        On any BaseException, that is, and the same goes for a COMMIT that fails: nothing may stay open, neither in the
        database nor as the ORM's current transaction. An error while rolling back must not hide the one before it.
        Inside the block the user's queries through the ORM go to this transaction.
        """
        ...

    def execute(self, handle: H, sql: str, params: Sequence[Parameter] = ()) -> list[tuple[Any, ...]]:
        """Run one statement on the transaction's own connection; all its rows as tuples, [] if it returns none.

        The text is rendered already; pass it to the driver unchanged. ``handle`` may be ``ambient``'s.
        """
        ...


@runtime_checkable
class AsyncAdapter(Protocol[H]):
    """Runs transactions through an asynchronous ORM; the same, awaited."""

    @property
    def dialect(self) -> DialectName:
        """The kind of database: a plain attribute, or computed where the ORM knows it only once it is set up."""
        ...

    @property
    def paramstyle(self) -> ParamStyle:
        """How the driver's statements mark their parameters; asked for as the dialect is."""
        ...

    def ambient(self) -> H | None:
        """A transaction that the caller has open already in this task, if the ORM can tell; None if not.

        Asked without ``await``. One that is over and was merely inherited from the task's parent does not count.
        """
        ...

    def begin(self, plan: BeginPlan) -> AbstractAsyncContextManager[H]:
        """Begin on a healthy connection; commit on a clean exit, roll back on any exception, hand it back.

        On any BaseException, that is, and the same goes for a COMMIT that fails: nothing may stay open, neither in the
        database nor as the ORM's current transaction. An error while rolling back must not hide the one before it.
        Inside the block the user's queries through the ORM go to this transaction.
        """
        ...

    async def execute(self, handle: H, sql: str, params: Sequence[Parameter] = ()) -> list[tuple[Any, ...]]:
        """Run one statement on the transaction's own connection; all its rows as tuples, [] if it returns none.

        The text is rendered already; pass it to the driver unchanged. ``handle`` may be ``ambient``'s.
        """
        ...


@runtime_checkable
class Flushes(Protocol[H_contra]):
    """Optional: an adapter of a unit of work writes what is pending before the checkpoint is recorded."""

    def flush(self, handle: H_contra) -> Any:
        """Send pending writes (awaited on an asynchronous adapter). What it raises is the user's function's error."""
        ...


@runtime_checkable
class Joins(Protocol[H_contra]):
    """Optional: an adapter whose ``ambient`` gives transactions that the caller began on purpose.

    Starts of workflows join them, and transactions that are called in there, outside a workflow, run in a savepoint.
    Not for an ORM that begins a transaction by itself at the first read.
    """

    def savepoint(self, handle: H_contra) -> Any:
        """A context manager (asynchronous on an asynchronous adapter): undone if it raises, and then only it."""
        ...


@runtime_checkable
class Releases(Protocol):
    """Optional: an adapter whose ORM ties connections to threads.

    Called on the threads that Durably owns, and never on a caller's, whose connections are the caller's business.
    """

    def release(self, *, ends: bool) -> None:
        """A piece of work has ended on this thread: hand back what the ORM holds for it. ``ends``: so does the thread.

        It may be called twice, where several adapters go through one ORM.
        """
        ...


@runtime_checkable
class HasOneHalf(Protocol):
    """Optional: an adapter of an ORM that cannot have the other half."""

    #: Why, and what to do instead; the end of the error for a transaction that needs the other half.
    no_other_half: str


@runtime_checkable
class Closes(Protocol):
    """Optional: an adapter that made its own engine or pool closes it at shutdown."""

    def close(self) -> Any:
        """Close what the adapter itself opened (awaited on an asynchronous adapter)."""
        ...


@runtime_checkable
class Locates(Protocol):
    """Optional: an adapter that knows its database's address, from which the system database's default follows."""

    def url(self) -> str | None:
        """The address with its password, or None."""
        ...


def transaction_handle(*, asynchronous: bool, accessor: str) -> Any:
    """The handle of the transaction that Durably has open here, for an adapter's accessor such as ``session()``.

    Raises NoTransactionError where none is open, SessionKindError where it is of the other kind, and WrongThreadError
    on another thread or task than the transaction's own.
    """
    return context.transaction_handle(asynchronous=asynchronous, accessor=accessor)


def transaction_owner() -> Callable[[str], None]:
    """For adapters that watch every use of their handle: a check that this thread and task are still the caller's own.

    Called with the name to give in the error, it raises WrongThreadError elsewhere.
    """
    return context.owner_check()


def transaction_committed() -> None:
    """For adapters whose ORM runs the user's callbacks right after the commit: to be called between the two.

    What other transactions wait for is let go, so that such a callback may start a workflow or a transaction.
    """
    context.transaction_committed()


def launch_lazily(provider: context.EngineProvider | None) -> None:
    """For integrations with a framework: a provider that has the engine of each process, launched at its first verb.

    It is asked, from any thread and again after a fork, where a verb meets no launched engine and would raise
    NotLaunchedError. On an event loop it is asked too, so that its launch must work there. None: nobody is asked.
    """
    context.engine_provided(provider)


# -- for accessors such as session() and connection(), and their decorators --------------------------------------


def handle_of(kind: type[H], *, orm: str, asynchronous: bool, accessor: str) -> H:
    """``transaction_handle`` for an adapter whose handles are of one class, of the ORM that is called ``orm``.

    SessionKindError, too, if the transaction goes through another ORM's adapter.
    """
    handle = transaction_handle(asynchronous=asynchronous, accessor=accessor)
    if isinstance(handle, kind):
        return handle
    found = f"{type(handle).__module__}.{type(handle).__qualname__}"
    raise SessionKindError(
        f"{accessor}() is {orm}'s, and this transaction goes through an adapter that works with {found}; "
        f"use that adapter's accessor, or declare @transaction(adapter=...) with the name of an adapter for {orm}"
    )


def handing(
    function: Callable[..., Any], accessor: Callable[[], Any], *, asynchronous: bool, used: str, other: str
) -> Callable[..., Any]:
    """``function`` without its first parameter, for which ``accessor()`` is passed at each call.

    What an adapter's decorator ``used`` returns; ``other`` is the one for functions of the other kind. DeclarationError
    if the function is of that kind, or has no such parameter. The function itself is the ``__wrapped__`` of the result.
    """
    name = getattr(function, "__qualname__", repr(function))
    if inspect.iscoroutinefunction(function) != asynchronous:
        kind = "a plain function" if asynchronous else "a coroutine function"
        raise DeclarationError(f"{name} is {kind}, which @{used} cannot serve; use @{other}")
    signature = inspect.signature(function)
    parameters = list(signature.parameters.values())
    positional = (inspect.Parameter.POSITIONAL_ONLY, inspect.Parameter.POSITIONAL_OR_KEYWORD)
    if not parameters or parameters[0].kind not in positional:
        raise DeclarationError(f"{name} has no first parameter that @{used} could pass; give it one")

    def call(*args: Any, **kwargs: Any) -> Any:
        return function(accessor(), *args, **kwargs)

    async def awaited(*args: Any, **kwargs: Any) -> Any:
        return await function(accessor(), *args, **kwargs)

    made: Any = functools.wraps(function)(awaited if asynchronous else call)
    made.__signature__ = signature.replace(parameters=parameters[1:])
    return cast("Callable[..., Any]", made)


_COMMENTS = r"(?:\s|--[^\n]*\n|/\*.*?\*/)*"
_ENDS = re.compile(
    _COMMENTS + r"(?:COMMIT|END|ABORT|PREPARE\s+TRANSACTION|ROLLBACK(?!(?:\s+(?:WORK|TRANSACTION))?\s+TO\b))\b",
    re.IGNORECASE | re.DOTALL,
)
_COMMITS_ON_MYSQL = re.compile(
    _COMMENTS + r"(?:BEGIN|START\s+TRANSACTION|(?:CREATE|DROP)(?!\s+(?:OR\s+REPLACE\s+)?TEMPORARY\b)|ALTER|RENAME"
    r"|TRUNCATE|GRANT|REVOKE|LOCK\s+TABLES?|UNLOCK\s+TABLES|ANALYZE\s+(?:\w+\s+)?TABLES?|OPTIMIZE|REPAIR"
    r"|SET\s+(?:SESSION\s+|@@(?:SESSION\s*\.\s*)?)?AUTOCOMMIT)\b",
    re.IGNORECASE | re.DOTALL,
)


def ends_transaction(sql: str, dialect: DialectName | None = None) -> bool:
    """Whether a statement begins as one that ends a transaction; ``ROLLBACK TO`` a savepoint does not.

    On MySQL and MariaDB (``dialect="mysql"``) those are meant too that commit by themselves, such as CREATE TABLE.
    """
    if dialect == "mysql" and _COMMITS_ON_MYSQL.match(sql) is not None:
        return True
    return _ENDS.match(sql) is not None
