"""The session of a transaction: of the user's own class, but on one connection, and ended by Durably alone."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from sqlalchemy import Connection, Engine
from sqlalchemy.orm import Session, SessionTransaction

from durably_sqlalchemy.guard import Guard


class TransactionSession(Session):
    """Comes before the user's session class in the order of methods; see ``transaction_class``."""

    #: The watch on the transaction, as long as it is open.
    durably_guard: Guard | None = None

    def get_bind(self, *args: Any, bind: Engine | Connection | None = None, **kwargs: Any) -> Engine | Connection:
        """The transaction's connection, even if the class would spread its tables over several databases."""
        if self.durably_guard is not None:
            self.durably_guard.use()
        if bind is not None or self.bind is None:
            return super().get_bind(*args, bind=bind, **kwargs)
        return self.bind

    def begin(self, nested: bool = False) -> SessionTransaction:
        """TransactionEndedError in the transaction's function, since its block would commit; savepoints are fine."""
        if self.durably_guard is not None and not nested:
            raise self.durably_guard.refuse("`with session.begin():`")
        return super().begin(nested)

    def flush(self, objects: Sequence[Any] | None = None) -> None:
        """In the transaction's own thread or task only."""
        if self.durably_guard is not None:
            self.durably_guard.use()
        super().flush(objects)

    def commit(self) -> None:
        """TransactionEndedError in the transaction's function."""
        if self.durably_guard is not None:
            raise self.durably_guard.refuse("session.commit()")
        super().commit()

    def rollback(self) -> None:
        """Rolls back; after that the transaction's function can only raise, as it usually does in such a place."""
        if self.durably_guard is not None:
            self.durably_guard.rolled_back()
        super().rollback()

    def close(self) -> None:
        """Nothing while the transaction is open, so that what ``with session() as s:`` adds is not lost."""
        if self.durably_guard is None:
            super().close()


def transaction_class(session_class: type[Session]) -> type[TransactionSession]:
    """The user's session class, with ``TransactionSession`` before it."""
    bases = (TransactionSession,) if session_class is Session else (TransactionSession, session_class)
    return type(session_class.__name__, bases, {"__module__": session_class.__module__})


def guard_of(session: Session) -> Guard | None:
    """The watch on the transaction of ``session``; None for a session that is not Durably's."""
    return session.durably_guard if isinstance(session, TransactionSession) else None


def connection_of(session: Session) -> Connection:
    """The connection of the session's transaction."""
    bind = session.bind if isinstance(session, TransactionSession) else None
    return bind if isinstance(bind, Connection) else session.connection()
