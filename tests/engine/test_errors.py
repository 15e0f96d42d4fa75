"""The tree in the docstring of ``errors`` is the tree of its classes, and users can import each of them."""

from __future__ import annotations

import inspect
import re

import pytest

import durably
from durably import DurablyError, errors
from durably.serialization import Serialization

CLASSES: dict[str, type[DurablyError]] = {
    name: one for name, one in vars(errors).items() if inspect.isclass(one) and issubclass(one, DurablyError)
}


def drawn() -> dict[str, str | None]:
    """Each class in the drawing, with the one it hangs from."""
    found: dict[str, str | None] = {}
    above: list[str] = []
    for line in (errors.__doc__ or "").splitlines():
        match = re.match(r"^ {4}((?:[│ ] {3})*)(├── |└── )?([A-Z]\w+Error)\b", line)
        if match:
            depth = len(match[1]) // 4 + (1 if match[2] else 0)
            del above[depth:]
            found[match[3]] = above[-1] if above else None
            above.append(match[3])
    return found


def test_the_drawing_has_every_class_under_its_parent() -> None:
    parents = {name: one.__bases__[0].__name__ for name, one in CLASSES.items()}
    assert drawn() == {**parents, "DurablyError": None}


def test_every_error_is_public() -> None:
    assert set(CLASSES) <= set(durably.__all__)
    assert all(getattr(durably, name) is one for name, one in CLASSES.items())


@pytest.mark.parametrize("name", sorted(CLASSES))
def test_every_error_says_what_it_is_for(name: str) -> None:
    assert CLASSES[name].__doc__
    assert CLASSES[name].__doc__ != DurablyError.__doc__ or name == "DurablyError"


@pytest.mark.parametrize("name", sorted(CLASSES))
def test_every_error_makes_the_round_trip_with_its_fields(name: str) -> None:
    error = CLASSES[name]("what to do", workflow_id="w", count=3)
    serialization = Serialization()
    back = serialization.load_error(serialization.dump_error(error, what="it"), what="it")
    assert type(back) is CLASSES[name] or name == "RemoteError"
    assert str(back) == "what to do"
    assert vars(back).items() >= ({"workflow_id": "w", "count": 3} if name != "RemoteError" else {}).items()


def test_a_timeout_is_also_pythons() -> None:
    assert issubclass(errors.WaitTimeoutError, TimeoutError)


def test_signals_cannot_be_swallowed_by_except_exception() -> None:
    from durably.execution import signals

    found = [one for one in vars(signals).values() if inspect.isclass(one) and one.__module__ == signals.__name__]
    assert len(found) >= 3
    assert not any(issubclass(one, Exception) for one in found)
