"""Instances of classes that the process named: Enums, dataclasses, pydantic models, NamedTuples, exceptions.

What is stored is an instance's state, and reading restores that state without running ``__init__``,
``__post_init__`` or a validator: those ran when the value was made, and running them again may change it
(a validator that hashes, a ``__post_init__`` that counts) or have effects.
"""

from __future__ import annotations

import dataclasses
import enum
import functools
import types
from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Any

from durably.serialization import exceptions
from durably.serialization.faults import RESERVED, Fault, shown, type_name
from durably.serialization.hints import class_name, is_namedtuple, is_pydantic
from durably.serialization.scalars import Node, text_of

if TYPE_CHECKING:
    from durably.serialization.decode import Decoder
    from durably.serialization.encode import Encoder

_BUILTINS = (str, int, float, complex, bytes, bytearray, list, dict, tuple, set, frozenset)


def write(value: Any, encoder: Encoder, depth: int) -> Node:
    """The tagged object of an instance whose exact type is no builtin of the table."""
    cls = type(value)
    if BaseException in cls.__mro__:
        return {RESERVED: "exception", "value": exceptions.describe(value, encoder, depth + 1, strict=True)}
    for applies, writer in _WRITERS:
        if applies(cls):
            if not encoder.types.knows(cls):
                raise Fault(
                    f"is a {type_name(cls)!r}, a class that a replay could not look up; annotate the function"
                    f" with it, or call durably.register_types({cls.__name__})"
                )
            return writer(value, encoder, depth)
    raise Fault(f"is a {type_name(cls)!r}, {_advice(cls)}")


def _advice(cls: type) -> str:
    for base in cls.__mro__[1:]:
        if base in _BUILTINS:
            return f"a subclass of {base.__name__} whose type would be lost; convert it to {base.__name__}"
    if cls.__module__ == "builtins" or cls.__module__ == "types":
        return "which cannot be stored"
    for base in cls.__mro__[1:-1]:
        if base.__module__ in ("datetime", "decimal", "uuid"):
            return f"a subclass of {type_name(base)} whose type would be lost; convert it to {type_name(base)}"
    return "which cannot be stored; pass an id or plain values, or make it a dataclass"


def find_class(node: Node, decoder: Decoder, kind: str, applies: Callable[[type], bool]) -> type:
    """The class that a row names, from the table; it must be of the kind that the tag says."""
    name = node.get("class")
    cls = decoder.types.find(name) if type(name) is str else None
    if cls is None:
        raise Fault(
            f"is of the class {shown(name)}, which this process does not know here; annotate the function "
            "with it, or register it with durably.register_types"
        )
    if not applies(cls):
        raise Fault(f"was recorded as {kind}, and {type_name(cls)} is none (any more)")
    return cls


# Enums, by name: a member's value may be anything, and may change.


def _is_enum(cls: type) -> bool:
    return enum.Enum in cls.__mro__


def _write_enum(member: enum.Enum, encoder: Encoder, depth: int) -> Node:
    cls = type(member)
    name: Any = member._name_  # None for a combination of flags on 3.10
    if name is not None and cls.__members__.get(name) is member:
        return {RESERVED: "enum", "class": class_name(cls), "value": name}
    if enum.Flag in cls.__mro__ and type(member._value_) is int and cls(member._value_) == member:
        return {
            RESERVED: "flag",
            "class": class_name(cls),
            "value": encoder.encode(member._value_, depth + 1),
        }
    raise Fault(f"is no member of {type_name(cls)}")


def _read_enum(decoder: Decoder, node: Node, _depth: int) -> Any:
    cls: Any = find_class(node, decoder, "an Enum", _is_enum)
    try:
        return cls.__members__[text_of(node)]
    except KeyError:
        raise Fault(f"is {shown(node['value'])}, which is no member of {type_name(cls)} (any more)") from None


def _read_flag(decoder: Decoder, node: Node, depth: int) -> Any:
    cls = find_class(node, decoder, "a Flag", lambda cls: enum.Flag in cls.__mro__)
    bits = decoder.decode(node.get("value"), depth + 1)
    if type(bits) is not int:
        raise Fault("is a damaged flag")
    return cls(bits)


# Dataclasses: everything in ``__dict__`` and in slots, so that what ``__post_init__`` added is kept too.


def _slots(cls: type) -> dict[str, Any]:
    return {
        name: member
        for base in reversed(cls.__mro__)
        for name, member in vars(base).items()
        if type(member) is types.MemberDescriptorType
    }


def _write_dataclass(value: Any, encoder: Encoder, depth: int) -> Node:
    cls = type(value)
    _bare(cls)
    state = {name: item for name, item in _dict_of(value).items() if not _is_cached(cls, name)}
    for name, slot in _slots(cls).items():
        try:
            state[name] = slot.__get__(value, cls)
        except AttributeError:
            continue
    for field in dataclasses.fields(cls):
        if field.name not in state and not isinstance(getattr(cls, field.name, None), property):
            raise Fault(f"is a {type_name(cls)!r} whose field {field.name!r} is not set")
    fields = encoder.encode_named(state, value, depth + 2)
    return {RESERVED: "dataclass", "class": class_name(cls), "value": fields}


def _read_dataclass(decoder: Decoder, node: Node, depth: int) -> Any:
    cls = find_class(node, decoder, "a dataclass", dataclasses.is_dataclass)
    state = decoder.decode_named(node.get("value"), depth + 2)
    instance = _bare(cls)
    for field in dataclasses.fields(cls):  # a field that was added to the class since gets its default
        if field.name not in state and not isinstance(getattr(cls, field.name, None), property):
            state[field.name] = _default(cls, field.name, field.default, field.default_factory)
    slots = _slots(cls)
    attributes = _dict_of(instance)
    for name, item in state.items():
        if name in slots:
            slots[name].__set__(instance, item)
        elif hasattr(instance, "__dict__"):
            attributes[name] = item
        else:
            raise Fault(f"was recorded with a field {shown(name)} that {type_name(cls)} no longer has")
    return instance


def _bare(cls: type) -> Any:
    """An instance without state. Refused for a class with state in C (a dataclass that is also a list)."""
    try:
        return object.__new__(cls)
    except TypeError:
        raise Fault(f"is a {type_name(cls)!r}, which is more than a dataclass; make it a field instead") from None


def _dict_of(value: Any) -> dict[str, Any]:
    return getattr(value, "__dict__", {})


def _is_cached(cls: type, name: str) -> bool:
    """A ``cached_property`` is computed again when asked for; it may hold what cannot be stored."""
    return isinstance(getattr(cls, name, None), functools.cached_property)


def _default(cls: type, name: str, default: Any, factory: Any) -> Any:
    if default is not dataclasses.MISSING:
        return default
    if factory is not dataclasses.MISSING:
        return factory()
    raise Fault(f"was recorded without the field {name!r} of {type_name(cls)}, which has no default")


# pydantic models: what pydantic's own ``__getstate__`` keeps. (model_dump would turn nested models into
# dicts, leave out excluded fields and run serializers; model_validate would run validators again.)


def _write_pydantic(value: Any, encoder: Encoder, depth: int) -> Node:
    cls: Any = type(value)
    names: Mapping[str, Any] = cls.model_fields
    state = _dict_of(value)
    missing = [name for name in names if name not in state]
    if missing:
        raise Fault(f"is a {type_name(cls)!r} whose field {missing[0]!r} is not set")
    fields = {name: state[name] for name in names}
    node: Node = {RESERVED: "pydantic", "class": class_name(cls)}
    node["value"] = encoder.encode_named(fields, value, depth + 2)
    if value.__pydantic_fields_set__ != set(names):
        node["set"] = sorted(value.__pydantic_fields_set__)
    for key in ("extra", "private"):
        part = getattr(value, f"__pydantic_{key}__")
        if part is not None:
            node[key] = encoder.encode_named(part, value, depth + 2)
    return node


def _read_pydantic(decoder: Decoder, node: Node, depth: int) -> Any:
    cls: Any = find_class(node, decoder, "a pydantic model", is_pydantic)
    state = decoder.decode_named(node.get("value"), depth + 2)
    known: Mapping[str, Any] = cls.model_fields
    for name in state:
        if name not in known:
            raise Fault(f"was recorded with a field {shown(name)} that {type_name(cls)} no longer has")
    given = node.get("set", list(state))
    if type(given) is not list or not all(type(name) is str for name in given):
        raise Fault("is a damaged pydantic model")
    for name, field in known.items():
        if name not in state:
            if field.is_required():
                raise Fault(f"was recorded without the field {name!r} of {type_name(cls)}, which has no default")
            state[name] = field.get_default(call_default_factory=True)
    instance = object.__new__(cls)
    object.__setattr__(instance, "__dict__", {name: state[name] for name in known})
    object.__setattr__(instance, "__pydantic_fields_set__", set(given))
    for key in ("extra", "private"):
        part = decoder.decode_named(node[key], depth + 2) if key in node else None
        object.__setattr__(instance, f"__pydantic_{key}__", part)
    return instance


# NamedTuples, by position.


def _write_namedtuple(value: Any, encoder: Encoder, depth: int) -> Node:
    cls: Any = type(value)
    if _dict_of(value) or len(value) != len(cls._fields):
        raise Fault(f"is a {type_name(cls)!r} with more to it than its fields")
    items = encoder.encode_all(tuple.__iter__(value), value, depth + 2)
    return {RESERVED: "namedtuple", "class": class_name(cls), "value": items}


def _read_namedtuple(decoder: Decoder, node: Node, depth: int) -> Any:
    cls: Any = find_class(node, decoder, "a NamedTuple", is_namedtuple)
    items = decoder.decode_all(node.get("value"), depth + 2)
    for name in cls._fields[len(items) :]:
        items.append(_default(cls, name, cls._field_defaults.get(name, dataclasses.MISSING), dataclasses.MISSING))
    if len(items) != len(cls._fields):
        raise Fault(f"was recorded with more fields than {type_name(cls)} has")
    return tuple.__new__(cls, items)


def _read_exception(decoder: Decoder, node: Node, depth: int) -> Any:
    return exceptions.restore(node.get("value"), decoder, depth + 1, strict=True)


_WRITERS: tuple[tuple[Callable[[type], bool], Callable[[Any, Encoder, int], Node]], ...] = (
    (_is_enum, _write_enum),
    (is_pydantic, _write_pydantic),
    (dataclasses.is_dataclass, _write_dataclass),
    (is_namedtuple, _write_namedtuple),
)

READERS: dict[str, Callable[[Decoder, Node, int], Any]] = {
    "enum": _read_enum,
    "flag": _read_flag,
    "dataclass": _read_dataclass,
    "pydantic": _read_pydantic,
    "namedtuple": _read_namedtuple,
    "exception": _read_exception,
}
