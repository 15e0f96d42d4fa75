"""Peewee keeps what every adapter promises: the conformance suite."""

from __future__ import annotations

from typing import ClassVar

from durably.testing.conformance import AdapterConformance, Subject
from tests.adapters.peewee.conftest import ASYNC
from tests.adapters.peewee.subject import AsyncPeeweeSubject, PeeweeSubject


class TestPeewee(AdapterConformance):
    subject: ClassVar[type[Subject]] = PeeweeSubject


if ASYNC:  # Peewee's older releases have no asyncio

    class TestPeeweeAsyncio(AdapterConformance):
        subject: ClassVar[type[Subject]] = AsyncPeeweeSubject
