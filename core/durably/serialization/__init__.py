"""Values to text and back: exactly, or with one clear error at the call.

A value is written as readable JSON, with a tagged object for what JSON lacks:
``{"$durably": "date", "value": "2026-01-31"}``. A part that would not come back equal and of the same
type makes the dump fail with a ``SerializationError`` that names the part by its path. Classes
(dataclasses, Enums, pydantic models, NamedTuples) are those that an annotation of the function names or
that ``register_types`` was given; what a row says is looked up there and never imported.

The one serializer that can run code, pickle, is opted into by importing ``durably.serialization.pickled``.
"""

from __future__ import annotations

from durably.serialization.json_serializer import JsonSerializer
from durably.serialization.payload import Payload, Serializer
from durably.serialization.serialization import Serialization, is_faithful
from durably.serialization.typetable import TypeTable, register_types

__all__ = [
    "JsonSerializer",
    "Payload",
    "Serialization",
    "Serializer",
    "TypeTable",
    "is_faithful",
    "register_types",
]
