"""From a parsed JSON tree back to the value: tagged objects are looked up in a closed table."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from durably.serialization import instances
from durably.serialization.faults import READ_LEVELS, RESERVED, Fault, key_step, shown, too_deep
from durably.serialization.scalars import SCALARS, Node
from durably.serialization.typetable import TypeTable


class Decoder:
    """One walk over one parsed text, whose lists and dicts it changes in place."""

    __slots__ = ("types",)

    def __init__(self, types: TypeTable) -> None:
        self.types = types

    def decode(self, node: Any, depth: int = 0) -> Any:
        """The value of a tree; ``Fault`` if the tree is damaged or names what this process does not know."""
        kind = type(node)
        if kind is not dict and kind is not list:
            return node
        if depth > READ_LEVELS:
            raise too_deep()
        if kind is list:
            return self.decode_all(node, depth + 1)
        if RESERVED in node:
            return self._tagged(node, depth)
        return self.decode_named(node, depth + 1)

    def decode_all(self, nodes: Any, depth: int) -> list[Any]:
        """The values of a list of trees at ``depth``."""
        if type(nodes) is not list:
            raise Fault("is damaged: a list is missing")
        index = 0
        try:
            for index, item in enumerate(nodes):
                if type(item) is dict or type(item) is list:
                    nodes[index] = self.decode(item, depth)
        except Fault as fault:
            fault.within(f"[{index}]", nodes)
            raise
        return nodes

    def decode_named(self, nodes: Any, depth: int) -> dict[str, Any]:
        """The values of an object's members at ``depth``; its keys are names, the reserved one too."""
        if type(nodes) is not dict:
            raise Fault("is damaged: an object is missing")
        key = ""
        try:
            for key, item in nodes.items():
                if type(item) is dict or type(item) is list:
                    nodes[key] = self.decode(item, depth)
        except Fault as fault:
            fault.within(key_step(key, list(nodes).index(key)), nodes)
            raise
        return nodes

    def _tagged(self, node: Node, depth: int) -> Any:
        tag = node[RESERVED]
        read = _READERS.get(tag) if type(tag) is str else None
        if read is None:
            raise Fault(f"has the unknown tag {shown(tag)}: it is damaged, or a newer version wrote it")
        try:
            return read(self, node, depth)
        except (Fault, RecursionError):
            raise
        except Exception as error:  # whatever damaged input makes of a reader, or of a class's own code
            raise Fault(f"is a damaged {tag} ({type(error).__name__})") from None


def _read_pairs(decoder: Decoder, node: Node, depth: int) -> dict[Any, Any]:
    pairs = decoder.decode_all(node.get("value"), depth + 2)
    out = {key: value for key, value in pairs}
    if len(out) != len(pairs):
        raise Fault("is a damaged dict: a key comes twice")
    return out


def _read_collection(kind: Callable[[list[Any]], Any]) -> Callable[[Decoder, Node, int], Any]:
    def read(decoder: Decoder, node: Node, depth: int) -> Any:
        items = decoder.decode_all(node.get("value"), depth + 2)
        out = kind(items)
        if len(out) != len(items):
            raise Fault("is a damaged set: an element comes twice")
        return out

    return read


def _scalar(read: Callable[[Node], Any]) -> Callable[[Decoder, Node, int], Any]:
    return lambda _decoder, node, _depth: read(node)


_READERS: dict[str, Callable[[Decoder, Node, int], Any]] = {
    **{scalar.tag: _scalar(scalar.read) for scalar in SCALARS},
    "dict": _read_pairs,
    "tuple": _read_collection(tuple),
    "set": _read_collection(set),
    "frozenset": _read_collection(frozenset),
    **instances.READERS,
}
