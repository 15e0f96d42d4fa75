"""Scoped sessions: code that works with a global ``Session`` works on the transaction that runs here."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import TypeVar

from sqlalchemy.ext.asyncio import AsyncSession
from sqlalchemy.orm import Session
from sqlalchemy.util import ScopedRegistry

S = TypeVar("S", Session, AsyncSession)


def joined(registry: ScopedRegistry[S] | None) -> S | None:
    """The scope's session, if it has a transaction open. One that has merely read something has, too."""
    if registry is None or not registry.has():
        return None
    session = registry()
    return session if session.in_transaction() else None


@contextmanager
def installed(registry: ScopedRegistry[S] | None, session: S) -> Iterator[None]:
    """Make ``session`` the scope's, and put back afterwards what was there."""
    if registry is None:
        yield
        return
    before = registry() if registry.has() else None
    registry.set(session)
    try:
        yield
    finally:
        if before is None:
            registry.clear()
        else:
            registry.set(before)
