"""A stand for each test."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from tests.managing.flows import Stand, renew


@pytest.fixture
def stand() -> Iterator[Stand]:
    """Where this test's workflows stand still; all go on at its end."""
    fresh = renew()
    yield fresh
    fresh.go.set()
