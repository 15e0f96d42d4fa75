"""The closed table of builtin types that JSON lacks: tag, writer and reader side by side.

A writer gets a value of exactly its type and gives the tagged object; a reader gets that object. Readers
may raise any ``Exception`` on damaged input: the decoder turns it into a fault with a path.
"""

from __future__ import annotations

import base64
import datetime as dt
import math
import re
import sys
import uuid
from collections.abc import Callable
from decimal import Decimal
from typing import Any, NamedTuple, TypeVar

from durably.serialization.faults import RESERVED, Fault, type_name

Node = dict[str, Any]
_Moment = TypeVar("_Moment", dt.datetime, dt.time)

BIG_INT = 1 << 2000
"""From here on an int is written in hexadecimal: decimal digits beyond 640 may be refused by the reader's
``sys.set_int_max_str_digits``, and take quadratic time."""

SPLIT_PAIR = re.compile("[\ud800-\udbff][\udc00-\udfff]")
"""Two surrogates that Python keeps apart and JSON would join into one character."""

_ZONE_KEY = re.compile(r"[A-Za-z0-9_+-]+(/[A-Za-z0-9_+-]+)*")


class Scalar(NamedTuple):
    """One row of the table."""

    kind: type
    tag: str
    write: Callable[[Any], Node]
    read: Callable[[Node], Any]


def text_of(node: Node) -> str:
    """The text in a tagged object's ``value``; a fault if it holds anything else."""
    text = node.get("value")
    if type(text) is not str:
        raise Fault("is damaged: its value is no text")
    return text


def _by_text(kind: type, tag: str, write: Callable[[Any], str], read: Callable[[str], Any]) -> Scalar:
    return Scalar(kind, tag, lambda value: {RESERVED: tag, "value": write(value)}, lambda node: read(text_of(node)))


def _to_base64(value: bytes | bytearray) -> str:
    return base64.b64encode(value).decode("ascii")


def _from_base64(text: str) -> bytes:
    return base64.b64decode(text.encode("ascii"), validate=True)


def _read_special_float(text: str) -> float:
    if text not in ("nan", "inf", "-inf"):
        raise ValueError
    return float(text)  # a new object each time: two NaN keys of one dict must stay two


def _read_decimal(text: str) -> Decimal:
    value = Decimal(text)
    if value.is_nan() and "nan" not in text.lower():  # what a context without traps makes of garbage
        raise ValueError
    return value


def write_split_text(value: str) -> Node:
    """A str in which JSON would join two surrogates."""
    return {RESERVED: "str", "value": _to_base64(value.encode("utf-8", "surrogatepass"))}


def _write_complex(value: complex) -> Node:
    parts = [part if math.isfinite(part) else _FLOAT.write(part) for part in (value.real, value.imag)]
    return {RESERVED: "complex", "value": parts}


def _read_complex(node: Node) -> complex:
    parts = [_FLOAT.read(part) if type(part) is dict else part for part in node["value"]]
    real, imag = parts
    if type(real) is not float or type(imag) is not float:
        raise ValueError
    return complex(real, imag)


def _write_timedelta(value: dt.timedelta) -> Node:
    return {RESERVED: "timedelta", "value": [value.days, value.seconds, value.microseconds]}


def _read_timedelta(node: Node) -> dt.timedelta:
    days, seconds, microseconds = node["value"]
    if not (type(days) is type(seconds) is type(microseconds) is int):
        raise ValueError
    return dt.timedelta(days, seconds, microseconds)


def _write_moment(tag: str, moment: dt.datetime | dt.time) -> Node:
    """ISO text with a fixed offset, if there is one; a named zone's key beside its local time.

    With a named zone the local time is what counts: should the zone's rules change, it still says what was
    meant.
    """
    zone = moment.tzinfo
    node: Node = {RESERVED: tag}
    if zone is None or type(zone) is dt.timezone:
        node["value"] = moment.isoformat()
        name = zone.__getinitargs__()[1:] if zone is not None else ()  # type: ignore[attr-defined]
        if name:
            node["name"] = name[0]
    else:
        node["value"] = moment.replace(tzinfo=None).isoformat()
        node["zone"] = _zone_key(zone)
    if moment.fold:
        node["fold"] = 1
    return node


def _zone_key(zone: dt.tzinfo) -> str:
    # A ZoneInfo can only exist once its module is loaded; another thread may be about to.
    zone_info = getattr(sys.modules.get("zoneinfo"), "ZoneInfo", None)
    key = zone.key if zone_info is not None and type(zone) is zone_info else None  # type: ignore[attr-defined]
    if type(key) is not str or not _ZONE_KEY.fullmatch(key):
        raise Fault(
            f"has a tzinfo of type {type_name(type(zone))!r}, which cannot be stored; "
            "use zoneinfo.ZoneInfo(key) or datetime.timezone"
        )
    return key


def _read_moment(node: Node, moment: _Moment) -> _Moment:
    key, name = node.get("zone"), node.get("name")
    if key is not None:
        from zoneinfo import ZoneInfo

        if not _ZONE_KEY.fullmatch(key):
            raise ValueError
        moment = moment.replace(tzinfo=ZoneInfo(key))
    elif name is not None:
        offset = moment.utcoffset()
        if offset is None:
            raise ValueError
        moment = moment.replace(tzinfo=dt.timezone(offset, name))
    return moment.replace(fold=1) if node.get("fold") == 1 else moment


_FLOAT = _by_text(float, "float", repr, _read_special_float)

SCALARS: tuple[Scalar, ...] = (
    _FLOAT,  # only nan, inf and -inf come here
    _by_text(int, "int", hex, lambda text: int(text, 16)),  # only those beyond BIG_INT
    Scalar(
        str,
        "str",
        write_split_text,
        lambda node: _from_base64(text_of(node)).decode("utf-8", "surrogatepass"),
    ),
    Scalar(complex, "complex", _write_complex, _read_complex),
    _by_text(bytes, "bytes", _to_base64, _from_base64),
    _by_text(bytearray, "bytearray", _to_base64, lambda text: bytearray(_from_base64(text))),
    _by_text(Decimal, "decimal", str, _read_decimal),
    _by_text(uuid.UUID, "uuid", str, uuid.UUID),
    _by_text(dt.date, "date", dt.date.isoformat, dt.date.fromisoformat),
    Scalar(
        dt.datetime,
        "datetime",
        lambda value: _write_moment("datetime", value),
        lambda node: _read_moment(node, dt.datetime.fromisoformat(text_of(node))),
    ),
    Scalar(
        dt.time,
        "time",
        lambda value: _write_moment("time", value),
        lambda node: _read_moment(node, dt.time.fromisoformat(text_of(node))),
    ),
    Scalar(dt.timedelta, "timedelta", _write_timedelta, _read_timedelta),
)
