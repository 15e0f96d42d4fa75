"""All scenarios together, as the class that a test file derives from."""

from __future__ import annotations

from typing import ClassVar

import pytest

from durably.testing.conformance.subject import Subject

# So that a failed assertion of theirs shows its values. Before they are imported.
pytest.register_assert_rewrite("durably.testing.conformance.scenarios")

from durably.testing.conformance.scenarios.acknowledgements import Acknowledgements  # noqa: E402
from durably.testing.conformance.scenarios.ambient import Ambient  # noqa: E402
from durably.testing.conformance.scenarios.connections import Connections  # noqa: E402
from durably.testing.conformance.scenarios.crashes import Crashes  # noqa: E402
from durably.testing.conformance.scenarios.elsewhere import Cancellation, Elsewhere  # noqa: E402
from durably.testing.conformance.scenarios.ending import Ending  # noqa: E402
from durably.testing.conformance.scenarios.errors import Errors  # noqa: E402
from durably.testing.conformance.scenarios.joining import Joining  # noqa: E402
from durably.testing.conformance.scenarios.options import Options  # noqa: E402
from durably.testing.conformance.scenarios.races import Races  # noqa: E402
from durably.testing.conformance.scenarios.recording import Recording  # noqa: E402
from durably.testing.conformance.scenarios.retries import Retries  # noqa: E402
from durably.testing.conformance.scenarios.values import Values  # noqa: E402


class AdapterConformance(
    Recording,
    Crashes,
    Errors,
    Retries,
    Connections,
    Acknowledgements,
    Races,
    Options,
    Ending,
    Ambient,
    Joining,
    Elsewhere,
    Cancellation,
    Values,
):
    """Derive a test class from it, and give it the subject."""

    subject: ClassVar[type[Subject]]
