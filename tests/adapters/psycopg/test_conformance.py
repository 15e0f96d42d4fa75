"""psycopg keeps what every adapter promises: the conformance suite, on both halves."""

from __future__ import annotations

from typing import ClassVar

from durably.testing.conformance import AdapterConformance, Subject
from tests.adapters.psycopg.subject import AsyncPsycopgSubject, PsycopgSubject


class TestConnection(AdapterConformance):
    subject: ClassVar[type[Subject]] = PsycopgSubject


class TestAsyncConnection(AdapterConformance):
    subject: ClassVar[type[Subject]] = AsyncPsycopgSubject
