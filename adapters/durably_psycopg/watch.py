"""A watch on one transaction: that its own thread or task uses it, that nobody else ends it, and what failed in it.

psycopg makes every cursor through the connection's ``cursor_factory``. For the time of a transaction that is a
subclass of the user's own, which asks here before each statement; and ``commit``, ``rollback`` and ``close`` are the
watch's. What gets around that is found by the core's own guard, in the database, at the record.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import psycopg

from durably import DurablyError, NoTransactionError, TransactionEndedError
from durably.adapter import ends_transaction, transaction_owner
from durably_psycopg.cursors import unwatched_class, watched_class

# PostgreSQL's state for statements after one that failed.
_ABORTED = "25P02"
_NAME = "durably_watch"
_SHADOWED = ("commit", "rollback", "close")


class Watch:
    """The watch on one transaction, from its BEGIN until Durably ends it."""

    __slots__ = ("_check", "_failure", "_fault", "asynchronous", "over")

    def __init__(self, *, asynchronous: bool) -> None:
        self.asynchronous = asynchronous
        #: Durably has ended the transaction, or is about to.
        self.over = False
        self._check: Callable[[str], None] = transaction_owner()
        # What PostgreSQL aborted the transaction for; whoever caught it may have gone on.
        self._failure: psycopg.Error | None = None
        # Why this transaction can no longer be recorded.
        self._fault: DurablyError | None = None

    def statement(self, query: object = None) -> None:
        """Before every statement of the function's; WrongThreadError, NoTransactionError, TransactionEndedError."""
        if self.over:
            raise NoTransactionError(
                "a cursor was used after the transaction that it belongs to; take what you need out of it before the "
                "transaction's function returns"
            )
        self._check("the connection")
        if isinstance(query, str) and ends_transaction(query):
            raise self._refused(f"the statement {query.strip()[:40]!r}")

    def failed(self, error: psycopg.Error) -> None:
        """A statement failed. All that follow fail too, and it is the first one that tells whether to run it again."""
        if error.sqlstate == _ABORTED:
            if error.__cause__ is None:
                error.__cause__ = self._failure
        elif error.sqlstate is not None:
            # Even if there was another before: a rollback to a savepoint must have undone that.
            self._failure = error

    def aborted(self, error: psycopg.Error) -> TransactionEndedError | None:
        """The error for a record that PostgreSQL refuses since a statement before it failed; None if it is another."""
        if error.sqlstate != _ABORTED:
            return None
        self.failed(error)
        return TransactionEndedError(
            "a statement of this transaction failed and its error was caught, so that PostgreSQL keeps nothing of it; "
            f"let the error out, or put what may fail into `{self._savepoint()}`"
        )

    def verify(self) -> None:
        """Raise if the function has tried to end the transaction, even if it has caught the error."""
        if self._fault is not None:
            raise self._fault

    # -- what stands in for the connection's own -----------------------------------------------------------------

    def commit(self) -> Any:
        """Instead of the connection's, which would end the transaction; ``with connection:`` calls it, too."""
        raise self._refused("the connection's commit(), which its `with` block calls, too,")

    def rollback(self) -> Any:
        """Likewise."""
        raise self._refused("the connection's rollback()")

    def close(self) -> Any:
        """Nothing, so that ``with connection:`` does not hide the error that leaves its block."""
        return _nothing() if self.asynchronous else None

    def _refused(self, what: str) -> DurablyError:
        self._check("the connection")
        self._fault = self._fault or TransactionEndedError(
            f"{what} would end the transaction inside its own function; leave it out: Durably commits when the "
            f"function returns, and rolls back when it raises. For a part that may fail, use `{self._savepoint()}`"
        )
        return self._fault

    def _savepoint(self) -> str:
        if self.asynchronous:
            return "async with async_connection().transaction():"
        return "with connection().transaction():"


async def _nothing() -> None:
    pass


def attach(connection: Any, *, asynchronous: bool) -> Watch:
    """From here on the connection is its transaction's function's, and watched."""
    watch = Watch(asynchronous=asynchronous)
    own = vars(connection)
    own[_NAME] = watch
    for name in _SHADOWED:
        own[name] = getattr(watch, name)
    connection.cursor_factory = watched_class(connection.cursor_factory)
    return watch


def detach(connection: Any) -> None:
    """Let Durably end the transaction."""
    own = vars(connection)
    watch: Watch | None = own.pop(_NAME, None)
    if watch is None:
        return
    watch.over = True
    for name in _SHADOWED:
        own.pop(name, None)
    connection.cursor_factory = unwatched_class(connection.cursor_factory)


def watch_of(connection: Any) -> Watch | None:
    """The watch on the connection's transaction; None while the core is at work around it."""
    found: Watch | None = vars(connection).get(_NAME)
    return found
