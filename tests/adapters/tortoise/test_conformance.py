"""Tortoise keeps what every adapter promises: the conformance suite, on its drivers."""

from __future__ import annotations

from typing import ClassVar

from durably.testing.conformance import AdapterConformance, Subject
from tests.adapters.tortoise.subject import PsycopgTortoiseSubject, TortoiseSubject


class TestTortoise(AdapterConformance):
    subject: ClassVar[type[Subject]] = TortoiseSubject


class TestTortoiseOnPsycopg(AdapterConformance):
    subject: ClassVar[type[Subject]] = PsycopgTortoiseSubject
