"""A watch on one transaction: that its own thread or task uses it, and that nobody else ends it.

Peewee's state belongs to a thread or a task, so that the ORM is used as always; there is no session to watch. Hence the
database itself asks here first, by a few of its methods that ``guarded`` replaces on the object. What goes to the
driver directly is not seen; the core's own guard, in the database, finds that at the record.
"""

from __future__ import annotations

import re
from contextvars import ContextVar
from typing import Any

from durably import DurablyError, TransactionEndedError, WrongThreadError
from durably.adapter import transaction_owner
from durably_peewee.drivers import has_ended, is_aborted, native

_ENDS = re.compile(
    r"(?:\s|--[^\n]*\n|/\*.*?\*/)*"
    r"(?:COMMIT|END|ABORT|PREPARE\s+TRANSACTION|ROLLBACK(?!(?:\s+(?:WORK|TRANSACTION))?\s+TO\b))\b",
    re.IGNORECASE | re.DOTALL,
)
_INSTEAD = "For a part that may fail, use `with database.atomic():`"
#: The watch on the transaction that was begun in this context. A task that is started in there inherits it.
_innermost: ContextVar[Watch | None] = ContextVar("durably_peewee_watch", default=None)


class Watch:
    """The watch on one transaction, from its BEGIN until Durably ends it."""

    __slots__ = ("_check", "_failure", "_fault", "_open", "_outer", "connection", "database", "raw")

    def __init__(self, database: Any, connection: Any, raw: Any) -> None:
        self.database = database
        #: What the ORM takes for the transaction's connection, and the driver's own that is behind it.
        self.connection = connection
        self.raw = raw
        self._check = transaction_owner()
        # The last database error that is not the mere consequence of one before it.
        self._failure: BaseException | None = None
        # Why this transaction can no longer be recorded.
        self._fault: DurablyError | None = None
        self._open = True
        self._outer = _innermost.get()
        _innermost.set(self)

    def close(self) -> None:
        """From here on it is Durably's, which ends it; tasks that outlive it go their own ways."""
        self._open = False
        if _innermost.get() is self:
            _innermost.set(self._outer)

    # -- what is asked before every use ----------------------------------------------------------------------------

    def use(self) -> None:
        """WrongThreadError elsewhere than in the transaction's own thread or task."""
        try:
            self._check("the database")
        except WrongThreadError as error:
            self._fault = self._fault or error
            raise

    def statement(self, sql: object = None) -> None:
        """Before every statement: nothing runs once the transaction has ended, and no statement ends it."""
        self.use()
        self.verify()
        if isinstance(sql, str) and _ENDS.match(sql):
            raise self.refuse(f"the statement {sql.strip()[:40]!r}")

    def verify(self) -> None:
        """Raise if the transaction can no longer be recorded."""
        if self._fault is not None:
            raise self._fault

    def failure(self) -> BaseException | None:
        """The last statement's failure that somebody has caught, be it in a savepoint."""
        return self._failure

    def is_over(self) -> bool:
        """Whether it can no longer be recorded."""
        self.use()
        return self._fault is not None

    def refuse(self, what: str) -> DurablyError:
        """The error for an attempt to end the transaction, which then cannot be recorded any more."""
        self.use()
        self._fault = self._fault or TransactionEndedError(
            f"{what} would end the transaction inside its own function; leave it out: Durably commits when the "
            f"function returns, and rolls back when it raises. {_INSTEAD}"
        )
        return self._fault

    def rolled_back(self) -> None:
        """Somebody would roll it back: the function may still raise what it likes, but neither go on nor return."""
        self.use()
        self._fault = self._fault or TransactionEndedError(
            f"the transaction was rolled back inside its own function; raise an error instead. {_INSTEAD}"
        )

    def failed(self, error: BaseException) -> None:
        """A statement failed. What failed first decides whether the transaction is run again."""
        cause = native(error)
        if is_aborted(cause):
            if self._failure is not None and cause.__cause__ is None and cause is not self._failure:
                cause.__cause__ = self._failure
            return
        self._failure = cause
        if self._fault is None and has_ended(cause, self.raw):
            self._fault = TransactionEndedError(
                f"a statement failed, its error was caught, and the transaction is over ({cause}); let the error out, "
                "so that the transaction can be run again"
            )
            self._fault.__cause__ = cause


def current(database: Any) -> Watch | None:
    """The watch on the transaction of ``database`` that is open in this context, be it another task's."""
    watch = _innermost.get()
    while watch is not None and not (watch._open and watch.database is database):
        watch = watch._outer
    return watch


def aborted(error: BaseException) -> TransactionEndedError | None:
    """The error for a record that PostgreSQL refuses since a statement before it failed; None if it is another."""
    return caught_failure() if is_aborted(native(error)) else None


def caught_failure() -> TransactionEndedError:
    """The error for a transaction that went on after a failed statement."""
    return TransactionEndedError(
        "a statement of this transaction failed and its error was caught, so that PostgreSQL keeps nothing of it; "
        "let the error out, or put what may fail into `with database.atomic():`"
    )
