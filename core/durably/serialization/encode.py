"""From a value to a tree that JSON can hold, with a tagged object for each part that it cannot.

Most values are plain JSON already: ``is_plain`` finds that out without building anything, and only the
others are walked by an ``Encoder``.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Mapping
from typing import Any

from durably.serialization import instances
from durably.serialization.faults import MAX_LEVELS, RESERVED, Fault, key_step, too_deep
from durably.serialization.scalars import BIG_INT, SCALARS, SPLIT_PAIR, Node, write_split_text
from durably.serialization.typetable import TypeTable

ATOMS = frozenset({str, bool, type(None)})

_isfinite = math.isfinite


def is_plain(value: object, levels: int = MAX_LEVELS) -> bool:  # noqa: C901 - the hottest path, one frame a level
    """Whether JSON gives ``value`` back exactly. Does not look for surrogates: see ``SPLIT_PAIR``."""
    kind = type(value)
    if kind in ATOMS:
        return True
    if kind is int:
        return -BIG_INT < value < BIG_INT  # type: ignore[operator]
    if kind is float:
        return _isfinite(value)  # type: ignore[arg-type]
    if kind is dict:
        if levels <= 0 or RESERVED in value:  # type: ignore[operator]
            return False
        for key, item in value.items():  # type: ignore[attr-defined]
            if type(key) is not str:
                return False
            if type(item) not in ATOMS and not is_plain(item, levels - 1):
                return False
        return True
    if kind is list:
        if levels <= 0:
            return False
        for item in value:  # type: ignore[attr-defined]  # noqa: SIM110
            if type(item) not in ATOMS and not is_plain(item, levels - 1):
                return False
        return True
    return False


class Encoder:
    """One walk over one value. ``depth`` is the number of JSON brackets that are open around a part."""

    __slots__ = ("in_error", "types")

    def __init__(self, types: TypeTable) -> None:
        self.types = types
        self.in_error = False
        """Set while the parts of an exception are walked: see ``durably.serialization.exceptions``."""

    def encode(self, value: Any, depth: int = 0) -> Any:
        """The JSON tree of ``value``; ``Fault`` if it would not come back exactly."""
        kind = type(value)
        if kind is str:
            return value if not has_split_pair(value) else write_split_text(value)
        if kind is bool or value is None:
            return value
        if kind is int and -BIG_INT < value < BIG_INT:
            return value
        if kind is float and _isfinite(value):
            return value
        if depth >= MAX_LEVELS:
            raise too_deep()
        if kind is list:
            return self.encode_all(value, value, depth + 1)
        container = _CONTAINERS.get(kind)
        if container is not None:
            return container(self, value, depth)
        scalar = _SCALARS.get(kind)
        if scalar is not None:
            return scalar(value)
        return instances.write(value, self, depth)

    def encode_all(self, items: Iterable[Any], holder: object, depth: int) -> list[Any]:
        """The trees of some items at ``depth``; a fault names the item by its index."""
        out: list[Any] = []
        try:
            for item in items:
                out.append(self.encode(item, depth))
        except Fault as fault:
            fault.within(f"[{len(out)}]", holder)
            raise
        return out

    def encode_named(self, items: Mapping[str, Any], holder: object, depth: int) -> dict[str, Any]:
        """The trees of attributes by name; a name that JSON cannot keep is a fault."""
        out: dict[str, Any] = {}
        name: Any = None
        try:
            for name, item in items.items():
                if type(name) is not str or has_split_pair(name):
                    raise Fault("has a name that cannot be stored")
                out[name] = self.encode(item, depth)
        except Fault as fault:
            fault.within(key_step(name, len(out)), holder)
            raise
        return out


def has_split_pair(text: str) -> bool:
    """Whether JSON would join two surrogates of ``text`` into one character."""
    return not text.isascii() and SPLIT_PAIR.search(text) is not None


def _write_dict(encoder: Encoder, value: dict[Any, Any], depth: int) -> Node:
    if RESERVED in value or not all(type(key) is str and not has_split_pair(key) for key in value):
        return _write_pairs(encoder, value, depth)
    out: dict[str, Any] = {}
    key = ""
    try:
        for key, item in value.items():
            out[key] = encoder.encode(item, depth + 1)
    except Fault as fault:
        fault.within(key_step(key, len(out)), value)
        raise
    return out


def _write_pairs(encoder: Encoder, value: dict[Any, Any], depth: int) -> Node:
    """A dict with keys that are no str, or with the reserved key: a list of pairs."""
    pairs: list[list[Any]] = []
    step = ""
    try:
        for key, item in value.items():
            step = f"[key {len(pairs)}]"
            node = encoder.encode(key, depth + 3)
            step = key_step(key, len(pairs))
            pairs.append([node, encoder.encode(item, depth + 3)])
    except Fault as fault:
        fault.within(step, value)
        raise
    return {RESERVED: "dict", "value": pairs}


def _write_sequence(tag: str) -> Callable[[Encoder, Any, int], Node]:
    def write(encoder: Encoder, value: Any, depth: int) -> Node:
        return {RESERVED: tag, "value": encoder.encode_all(value, value, depth + 2)}

    return write


_SCALARS: dict[type, Callable[[Any], Node]] = {scalar.kind: scalar.write for scalar in SCALARS}

_CONTAINERS: dict[type, Callable[[Encoder, Any, int], Any]] = {
    dict: _write_dict,
    tuple: _write_sequence("tuple"),
    set: _write_sequence("set"),
    frozenset: _write_sequence("frozenset"),
}
