"""What it means when Django or the database refuses to go on with a transaction."""

from __future__ import annotations

from typing import Any

from django.db.backends.base.base import BaseDatabaseWrapper
from django.db.transaction import TransactionManagementError

from durably import TransactionEndedError

# PostgreSQL's state for statements after one that failed.
_ABORTED = "25P02"


class Watched:
    """For as long as a transaction of Durably's is open: nobody else commits it or rolls it back.

    Django refuses that inside ``atomic()`` itself, and always by the one method that is replaced here. But whoever
    catches its error would go on as if it had worked.
    """

    __slots__ = ("_connection",)

    def __init__(self, connection: BaseDatabaseWrapper) -> None:
        self._connection: Any = connection

    def __enter__(self) -> None:
        self._connection.validate_no_atomic_block = self._refuse

    def __exit__(self, *_: object) -> None:
        del self._connection.validate_no_atomic_block

    def _refuse(self) -> None:
        if self._connection.in_atomic_block:
            error = TransactionEndedError(
                "`transaction.commit()`, `rollback()` or `set_autocommit()` would end the transaction inside its own "
                "function; leave it out: Durably commits when the function returns, and rolls back when it raises. For "
                "a part that may fail, use `with transaction.atomic():`"
            )
            self._connection.needs_rollback = True
            self._connection.rollback_exc = error
            raise error


def aborted(connection: BaseDatabaseWrapper, error: Exception) -> TransactionEndedError | None:
    """The error for a statement of Durably's own that is refused because of what the function did before it.

    Raised from ``error``, whose chain leads to what failed first and decides whether the transaction is run again. None
    if the statement itself failed.
    """
    if connection.in_atomic_block and isinstance(error, TransactionManagementError):
        refused = getattr(connection, "rollback_exc", None)
        if isinstance(refused, TransactionEndedError):
            return TransactionEndedError(str(refused))
        return TransactionEndedError(
            "the transaction can only be rolled back: an error of the database was caught in its function, or "
            "`transaction.set_rollback(True)` was called. Let the error out; for a part that may fail, use "
            "`with transaction.atomic():`"
        )
    native = error.__cause__
    if (getattr(native, "sqlstate", None) or getattr(native, "pgcode", None)) == _ABORTED:
        return TransactionEndedError(
            "a statement of this transaction failed and its error was caught, so that PostgreSQL keeps nothing of it; "
            "let the error out, or put what may fail into `with transaction.atomic():`"
        )
    return None
