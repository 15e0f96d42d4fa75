"""Both forms of workflows, and a workflow's two lives."""

from __future__ import annotations

import pytest

from tests.messaging.forms import FORMS, Form
from tests.messaging.lives import Lives


@pytest.fixture(params=FORMS, ids=lambda form: form.name)
def form(request: pytest.FixtureRequest) -> Form:
    """Plain functions, and coroutines."""
    found: Form = request.param
    return found


@pytest.fixture
def lives(system_url: str) -> Lives:
    return Lives(system_url)
