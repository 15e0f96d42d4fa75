"""Whether JSON contains JSON, as PostgreSQL's ``@>`` has it, for SQLite."""

from __future__ import annotations

import json
from typing import Any


def contains(text: str | None, wanted: str) -> bool:
    """Whether a JSON document contains another one: objects by their keys, arrays as sets, the rest if equal."""
    return text is not None and _contains(json.loads(text), json.loads(wanted))


def _contains(value: Any, wanted: Any) -> bool:
    if isinstance(wanted, dict):
        return isinstance(value, dict) and all(key in value and _contains(value[key], wanted[key]) for key in wanted)
    if isinstance(wanted, list):
        return isinstance(value, list) and all(any(_contains(one, each) for one in value) for each in wanted)
    # In JSON, unlike in Python, true is not 1.
    return isinstance(value, bool) is isinstance(wanted, bool) and bool(value == wanted)
