"""A watch on each transaction: that its own thread or task uses it, and that nobody else ends it.

Listening on the connection sees every use, through the session and around it: statements, savepoints, commits. What
goes directly to the driver is not seen here; the core's own guard, in the database, finds that at the record.
"""

from __future__ import annotations

import re
from typing import Any

from sqlalchemy import Connection, Engine, event
from sqlalchemy.engine import ExceptionContext

from durably import DurablyError, TransactionEndedError, WrongThreadError
from durably.adapter import transaction_owner

# PostgreSQL's state for statements after one that failed.
ABORTED = "25P02"
_ENDS = re.compile(
    r"(?:\s|--[^\n]*\n|/\*.*?\*/)*"
    r"(?:COMMIT|END|ABORT|PREPARE\s+TRANSACTION|ROLLBACK(?!(?:\s+(?:WORK|TRANSACTION))?\s+TO\b))\b",
    re.IGNORECASE | re.DOTALL,
)


class Guard:
    """The watch on one transaction, from its BEGIN until Durably ends it."""

    __slots__ = ("_check", "failure", "fault")

    def __init__(self) -> None:
        self._check = transaction_owner()
        #: The first database error outside a savepoint; whoever caught it may have gone on.
        self.failure: BaseException | None = None
        #: Why this transaction can no longer be recorded.
        self.fault: DurablyError | None = None

    def use(self) -> None:
        """Before every use: WrongThreadError elsewhere than in the transaction's own thread or task."""
        try:
            self._check("the session")
        except WrongThreadError as error:
            self.fault = self.fault or error
            raise

    def statement(self, sql: str) -> None:
        """Before every statement: nothing runs once the transaction has ended, and no statement ends it."""
        self.use()
        if self.fault is not None:
            raise self.fault
        if _ENDS.match(sql):
            raise self.refuse(f"the statement {sql.strip()[:40]!r}")

    def refuse(self, what: str) -> DurablyError:
        """The error for an attempt to end the transaction, which then cannot be recorded any more."""
        self.fault = self.fault or TransactionEndedError(
            f"{what} would end the transaction inside its own function; leave it out: Durably commits when the "
            "function returns, and rolls back when it raises. For a part that may fail, use session.begin_nested()"
        )
        return self.fault

    def rolled_back(self) -> None:
        """It is being rolled back, and not by Durably: the function may raise what it likes, but not return."""
        if self.fault is None:
            self.fault = TransactionEndedError(
                "the transaction was rolled back inside its own function, by session.rollback() or by a flush whose "
                "error was caught; raise an error to roll back. For a part that may fail, use session.begin_nested()"
            )
            self.fault.__cause__ = self.failure

    def aborted(self, error: BaseException) -> DurablyError:
        """The error for a record that PostgreSQL refuses since a statement before it failed."""
        fault = TransactionEndedError(
            "a statement of this transaction failed and its error was caught, so that PostgreSQL keeps nothing of it; "
            "let the error out, or put what may fail into `with session.begin_nested():`"
        )
        fault.__cause__ = error
        return fault


class Watch:
    """The guards of an engine's transactions. The engine is one of the adapter's own (see ``Target``)."""

    def __init__(self, engine: Engine) -> None:
        self._guards: dict[Connection, Guard] = {}
        event.listen(engine, "before_cursor_execute", self._before_statement, retval=True)
        event.listen(engine, "commit", self._before_commit)
        event.listen(engine, "rollback", self._before_rollback)
        event.listen(engine, "handle_error", self._after_error)

    def begin(self, connection: Connection) -> Guard:
        """Watch the transaction that this thread or task has begun."""
        guard = self._guards[connection] = Guard()
        return guard

    def end(self, connection: Connection) -> None:
        """Durably ends the transaction itself now."""
        self._guards.pop(connection, None)

    def _before_statement(
        self, connection: Connection, _cursor: Any, statement: str, parameters: Any, _context: Any, _many: bool
    ) -> tuple[str, Any]:
        guard = self._guards.get(connection)
        if guard is not None:
            guard.statement(statement)
        return statement, parameters

    def _before_commit(self, connection: Connection) -> None:
        guard = self._guards.get(connection)
        if guard is not None:
            guard.use()
            raise guard.refuse("a commit on the session's connection")

    def _before_rollback(self, connection: Connection) -> None:
        guard = self._guards.get(connection)
        if guard is not None:
            guard.use()
            guard.rolled_back()

    def _after_error(self, context: ExceptionContext) -> None:
        connection = context.connection
        guard = self._guards.get(connection) if connection is not None else None
        if guard is None or connection is None:
            return
        error = context.original_exception
        if guard.failure is None:
            if not connection.in_nested_transaction():
                guard.failure = error
        elif sqlstate(error) == ABORTED:
            # What it was that failed first decides whether the transaction is run again.
            while error.__cause__ is not None:
                error = error.__cause__
            error.__cause__ = guard.failure


def sqlstate(error: BaseException | None) -> str | None:
    """The driver's SQLSTATE, where it has one."""
    state = getattr(error, "sqlstate", None) or getattr(error, "pgcode", None)
    return state if isinstance(state, str) else None
