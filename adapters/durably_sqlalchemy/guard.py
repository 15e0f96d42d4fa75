"""A watch on one transaction: that its own thread or task uses it, and that nobody else ends it.

The session and its connection ask here before every use (see ``sessions`` and ``connections``). Listeners on the engine
would see as much, at ten times the price. What goes to the driver directly is not seen; the core's own guard, in the
database, finds that at the record.
"""

from __future__ import annotations

from sqlalchemy import Transaction
from sqlalchemy.exc import DBAPIError

from durably import DurablyError, TransactionEndedError, WrongThreadError
from durably.adapter import DialectName, ends_transaction, transaction_owner

# PostgreSQL's state for statements after one that failed.
_ABORTED = "25P02"
# MySQL's and MariaDB's errors that have rolled back the whole transaction, and what ending a savepoint says after them.
_ROLLED_BACK = frozenset({1020, 1213})
_NO_SAVEPOINT = 1305


class Guard:
    """The watch on one transaction, from its BEGIN until Durably ends it."""

    __slots__ = ("_check", "_dialect", "_failure", "_fault", "_transaction")

    def __init__(self, transaction: Transaction, *, mysql: bool = False) -> None:
        self._transaction = transaction
        self._dialect: DialectName | None = "mysql" if mysql else None
        self._check = transaction_owner()
        # The first database error outside a savepoint; whoever caught it may have gone on.
        self._failure: BaseException | None = None
        # Why this transaction can no longer be recorded.
        self._fault: DurablyError | None = None

    def use(self) -> None:
        """Before every use: WrongThreadError elsewhere than in the transaction's own thread or task."""
        try:
            self._check("the session")
        except WrongThreadError as error:
            self._fault = self._fault or error
            raise

    def statement(self, sql: str | None = None) -> None:
        """Before every statement: nothing runs once the transaction has ended, and no statement ends it."""
        self.use()
        self.verify()
        if sql is not None and ends_transaction(sql, self._dialect):
            raise self.refuse(f"the statement {sql.strip()[:40]!r}")

    def verify(self) -> None:
        """Raise unless the transaction that began is open still."""
        if self._fault is None and not self._transaction.is_active:
            self.rolled_back()
        if self._fault is not None:
            raise self._fault

    def refuse(self, what: str) -> DurablyError:
        """The error for an attempt to end the transaction, which then cannot be recorded any more."""
        self.use()
        self._fault = self._fault or TransactionEndedError(
            f"{what} would end the transaction inside its own function; leave it out: Durably commits when the "
            "function returns, and rolls back when it raises. For a part that may fail, use session.begin_nested()"
        )
        return self._fault

    def rolled_back(self) -> None:
        """It is being rolled back, and not by Durably: the function may raise what it likes, but not return."""
        self.use()
        if self._fault is None:
            self._fault = TransactionEndedError(
                "the transaction was ended inside its own function, by a rollback or by a flush whose error was "
                "caught; raise an error to roll back. For a part that may fail, use session.begin_nested()"
            )
            self._fault.__cause__ = self._failure

    def failed(self, error: DBAPIError, in_savepoint: bool) -> None:
        """A statement failed. If others fail for that alone, it is the first one that tells why."""
        native: BaseException | None = error.orig
        if native is None:
            return
        if self._dialect == "mysql" and _errno(native) in _ROLLED_BACK:
            self._failure = native  # savepoints and all
        elif in_savepoint and self._dialect != "mysql":
            return
        elif self._failure is None:
            self._failure = None if in_savepoint else native
        elif self._follows(native):
            # What failed first decides whether the transaction is run again.
            while native.__cause__ is not None:
                native = native.__cause__
            if native is not self._failure:
                native.__cause__ = self._failure

    def _follows(self, native: BaseException) -> bool:
        """Whether a statement failed only because one before it did."""
        if self._dialect != "mysql":
            return _sqlstate(native) == _ABORTED
        return _errno(native) == _NO_SAVEPOINT and self._failure is not None and _errno(self._failure) in _ROLLED_BACK


def aborted(error: DBAPIError) -> TransactionEndedError | None:
    """The error for a record that PostgreSQL refuses since a statement before it failed; None if it is another."""
    if _sqlstate(error.orig) != _ABORTED:
        return None
    return TransactionEndedError(
        "a statement of this transaction failed and its error was caught, so that PostgreSQL keeps nothing of it; "
        "let the error out, or put what may fail into `with session.begin_nested():`"
    )


def _errno(error: BaseException) -> object:
    return getattr(error, "errno", None) or next(iter(error.args), None)


def _sqlstate(error: BaseException | None) -> object:
    return getattr(error, "sqlstate", None) or getattr(error, "pgcode", None)
