"""All scenarios together, as the class that a test file derives from."""

from __future__ import annotations

from typing import ClassVar

import pytest

from durably.testing.conformance.subject import Subject

# So that a failed assertion of theirs shows its values. Before they are imported.
pytest.register_assert_rewrite("durably.testing.conformance.scenarios")

from durably.testing.conformance.scenarios.errors import Errors  # noqa: E402
from durably.testing.conformance.scenarios.recording import Recording  # noqa: E402


class AdapterConformance(Recording, Errors):
    """Derive a test class from it, and give it the subject."""

    subject: ClassVar[type[Subject]]
