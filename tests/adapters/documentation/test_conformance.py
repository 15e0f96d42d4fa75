"""The adapter that docs/writing-an-adapter.md shows keeps what every adapter promises: the conformance suite."""

from __future__ import annotations

from typing import ClassVar

from durably.testing.conformance import AdapterConformance, Subject
from tests.adapters.documentation.extracted import subject


class TestDocumentation(AdapterConformance):
    subject: ClassVar[type[Subject]] = subject()
