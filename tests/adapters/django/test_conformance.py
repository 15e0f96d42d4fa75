"""Django keeps what every adapter promises: the conformance suite."""

from __future__ import annotations

from typing import ClassVar

from durably.testing.conformance import AdapterConformance, Subject
from tests.adapters.django.subject import DjangoSubject


class TestDjango(AdapterConformance):
    subject: ClassVar[type[Subject]] = DjangoSubject
