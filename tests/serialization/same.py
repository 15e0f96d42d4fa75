"""What "comes back exactly" means: equal, of the same type all the way down, NaN and -0.0 included."""

from __future__ import annotations

import dataclasses
import datetime as dt
import math
from decimal import Decimal
from typing import Any

from durably.serialization import Payload, Serialization, TypeTable

PLAIN = TypeTable()
WHAT = "the output of step 'charge' of workflow 'o-1'"


def round_trip(value: Any, types: TypeTable = PLAIN) -> Any:
    """``value``, written and read by two engines with the default settings."""
    payload = Serialization().dump(value, types, what=WHAT)
    assert payload.serialization == "json"
    assert payload.text.isascii()
    return Serialization().load(payload, types, what=WHAT)


def load(text: str, types: TypeTable = PLAIN) -> Any:
    """The value of a row's text."""
    return Serialization().load(Payload(text, "json"), types, what=WHAT)


def same(one: Any, other: Any) -> bool:  # noqa: C901 - one kind of value after the other
    """Whether a round trip may give ``other`` for ``one``."""
    if type(one) is not type(other):
        return False
    if isinstance(one, float):
        both_nan = math.isnan(one) and math.isnan(other)
        return both_nan or (one == other and math.copysign(1, one) == math.copysign(1, other))
    if isinstance(one, complex):
        return same(one.real, other.real) and same(one.imag, other.imag)
    if isinstance(one, Decimal):
        return bool(one.as_tuple() == other.as_tuple())
    if isinstance(one, dict):
        return len(one) == len(other) and all(
            same(left, right) for left, right in zip(one.items(), other.items(), strict=True)
        )
    if isinstance(one, (list, tuple)):
        return len(one) == len(other) and all(map(same, one, other))
    if isinstance(one, (set, frozenset)):
        rest = list(other)
        for item in one:
            match = next((index for index, it in enumerate(rest) if same(item, it)), None)
            if match is None:
                return False
            rest.pop(match)
        return not rest
    if isinstance(one, (dt.datetime, dt.time)):
        zones = one.tzinfo == other.tzinfo and str(one.tzinfo) == str(other.tzinfo)
        naive = one.replace(tzinfo=None), other.replace(tzinfo=None)
        return zones and naive[0] == naive[1] and one.fold == other.fold
    if dataclasses.is_dataclass(one) and not isinstance(one, type):
        return all(same(getattr(one, field.name), getattr(other, field.name)) for field in dataclasses.fields(one))
    return bool(one == other)
