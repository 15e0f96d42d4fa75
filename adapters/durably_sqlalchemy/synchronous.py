"""The synchronous half: transactions through ``Session``."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Any

from sqlalchemy import Engine
from sqlalchemy.orm import Session

from durably.adapter import BeginPlan, DialectName, Parameter, ParamStyle
from durably_sqlalchemy import transaction
from durably_sqlalchemy.registries import installed, joined
from durably_sqlalchemy.sessions import transaction_class
from durably_sqlalchemy.targets import Target
from durably_sqlalchemy.urls import plain_url


class SQLAlchemyAdapter:
    """Runs ``def`` transactions; make it with ``SQLAlchemy(engine)``. Implements ``durably.adapter.Adapter``."""

    def __init__(self, target: Target[Engine, Session]) -> None:
        self.dialect: DialectName = target.dialect
        self.paramstyle: ParamStyle = target.paramstyle
        self._target = target
        self._session_class = transaction_class(target.session_class)

    def __repr__(self) -> str:
        return f"SQLAlchemyAdapter({self._target.engine.url!r})"

    def ambient(self) -> Session | None:
        """The scoped session, if the adapter was made from one and it has a transaction open here."""
        return joined(self._target.registry)

    @contextmanager
    def begin(self, plan: BeginPlan) -> Iterator[Session]:
        """A session on a connection whose transaction ends with the block."""
        with self._target.engine.connect() as connection:
            try:
                transaction.open_transaction(connection, plan)
                session = self._session_class(bind=connection, **self._target.options)
                transaction.attach(session)
                try:
                    with installed(self._target.registry, session):
                        yield session
                except BaseException:
                    transaction.roll_back(session)
                    raise
                transaction.commit(session)
            finally:
                if plan.query_only:
                    transaction.reset_query_only(connection)

    def execute(self, handle: Session, sql: str, params: Sequence[Parameter] = ()) -> list[tuple[Any, ...]]:
        """Run one statement on the session's connection."""
        return transaction.execute(handle, sql, params)

    def flush(self, handle: Session) -> None:
        """Write what is pending."""
        transaction.flush(handle)

    def url(self) -> str | None:
        """The engine's address, without its driver."""
        return plain_url(self._target.engine.url)

    def close(self) -> None:
        """Close the pool, if the adapter made it."""
        if self._target.made:
            self._target.engine.dispose()
