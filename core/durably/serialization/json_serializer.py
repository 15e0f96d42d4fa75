"""The default serializer: readable JSON with tags. See the package's docstring for the format."""

from __future__ import annotations

import json
from typing import Any

from durably.errors import SerializationError
from durably.serialization.decode import Decoder
from durably.serialization.encode import ATOMS, Encoder, is_plain
from durably.serialization.faults import READ_LEVELS, RESERVED, Fault, too_deep
from durably.serialization.scalars import BIG_INT
from durably.serialization.typetable import TypeTable


def _refuse_constant(name: str) -> Any:
    raise ValueError(f"{name} is no JSON")


# check_circular is off because both walks bound the depth themselves.
_to_text = json.JSONEncoder(ensure_ascii=True, check_circular=False, allow_nan=False, separators=(",", ":")).encode
_from_text = json.JSONDecoder(parse_constant=_refuse_constant).decode
_ATOM_TEXT = {None: "null", True: "true", False: "false"}
_HIGH_ESCAPE = "\\ud"  # how every surrogate and every character beyond the BMP begins in ASCII JSON


class JsonSerializer:
    """Values as JSON. Exact, or a ``SerializationError`` whose ``path`` says which part is at fault."""

    name: str = "json"

    def dumps(self, value: object, types: TypeTable) -> str:
        """The JSON text of ``value``: ASCII, without blanks."""
        kind = type(value)
        if kind in ATOMS and kind is not str:
            return _ATOM_TEXT[value]  # type: ignore[index]
        if kind is int and -BIG_INT < value < BIG_INT:  # type: ignore[operator]
            return repr(value)
        if is_plain(value):
            text = _to_text(value)
            if _HIGH_ESCAPE not in text:
                return text
        try:
            return _to_text(Encoder(types).encode(value))
        except Fault as fault:
            raise SerializationError(fault.describe(), path=fault.path()) from None

    def loads(self, text: str, types: TypeTable) -> Any:
        """The value of a JSON text that ``dumps`` wrote, or of any plain JSON."""
        try:
            tree = parse(text)
            return Decoder(types).decode(tree) if may_have_tags(text) else tree
        except Fault as fault:
            raise SerializationError(fault.describe(), path=fault.path()) from None


def to_text(tree: Any) -> str:
    """The text of a tree that an ``Encoder`` made."""
    return _to_text(tree)


def parse(text: str) -> Any:
    """The tree of a JSON text; ``Fault`` if it is none, or nests too deeply."""
    try:
        tree = _from_text(text)
    except RecursionError:
        raise too_deep() from None
    except (ValueError, TypeError) as error:
        # JSONDecodeError says what is wrong and where; other messages (an int with too many digits) stay out.
        detail = f": {error}" if type(error) is json.JSONDecodeError else ""
        raise Fault(f"is no valid JSON{detail}") from None
    if text.count("[") + text.count("{") > READ_LEVELS and _is_deep(tree):
        raise too_deep()
    return tree


def may_have_tags(text: str) -> bool:
    """Whether the tree of ``text`` can hold the reserved key, also when that is spelled with escapes."""
    return RESERVED in text or "\\u00" in text


def _is_deep(tree: Any) -> bool:
    """Whether containers nest beyond the limit; level by level, without recursion."""
    level = [tree]
    for _ in range(READ_LEVELS + 1):
        level = [
            item
            for node in level
            if type(node) is dict or type(node) is list
            for item in (node.values() if type(node) is dict else node)
        ]
        if not level:
            return False
    return True
