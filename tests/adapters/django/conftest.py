"""What the tests of this folder ask for. Django is configured by the first that needs it, and not before.

pytest-django, where it is loaded, would keep every test from databases if Django were configured at its start.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from tests.adapters.django.site import Site


@pytest.fixture
def site(monkeypatch: pytest.MonkeyPatch) -> Iterator[Site]:
    """No aliases but an empty ``default`` in memory, and no setting."""
    from tests.adapters.django.site import Site

    # Whether this run counts as a test of Django's depends on which plugins are there; each test here says it itself.
    monkeypatch.delattr("django.core.mail.outbox", raising=False)
    with ExitStack() as stack:
        yield Site(stack)


@pytest.fixture(params=["sqlite", "postgresql"])
def url(request: pytest.FixtureRequest, tmp_path: Path) -> str:
    """The address of an empty database that can be a system database."""
    if request.param == "sqlite":
        return f"sqlite:///{tmp_path}/site.db"
    address: str = request.getfixturevalue("postgres_url")
    return address
