"""SQLAlchemy keeps what every adapter promises: the conformance suite, on both halves."""

from __future__ import annotations

from typing import ClassVar

from durably.testing.conformance import AdapterConformance, Subject
from tests.adapters.sqlalchemy.subject import AsyncSQLAlchemySubject, SQLAlchemySubject


class TestSession(AdapterConformance):
    subject: ClassVar[type[Subject]] = SQLAlchemySubject


class TestAsyncSession(AdapterConformance):
    subject: ClassVar[type[Subject]] = AsyncSQLAlchemySubject
