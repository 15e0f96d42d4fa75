"""What it means when Django or the database refuses to go on with a transaction."""

from __future__ import annotations

from django.db.backends.base.base import BaseDatabaseWrapper
from django.db.transaction import TransactionManagementError

from durably import TransactionEndedError

# PostgreSQL's state for statements after one that failed.
_ABORTED = "25P02"


def aborted(connection: BaseDatabaseWrapper, error: Exception) -> TransactionEndedError | None:
    """The error for a statement of Durably's own that is refused because of what the function did before it.

    Raised from ``error``, whose chain leads to what failed first and decides whether the transaction is run again. None
    if the statement itself failed.
    """
    if connection.in_atomic_block and isinstance(error, TransactionManagementError):
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
