"""Each test has the process's registry of types for itself."""

from __future__ import annotations

import pytest

from durably.serialization import typetable


@pytest.fixture(autouse=True)
def registered_types(monkeypatch: pytest.MonkeyPatch) -> None:
    """Registered classes are forgotten when the test ends."""
    monkeypatch.setattr(typetable, "_registry", typetable._Registry())
