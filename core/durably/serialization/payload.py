"""What a row holds of a value, and what a serializer must offer."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, NamedTuple, Protocol

if TYPE_CHECKING:
    from durably.serialization.typetable import TypeTable


class Payload(NamedTuple):
    """A value as a row holds it."""

    text: str
    """The encoded value."""
    serialization: str
    """How ``text`` was made: the serializer's name, later followed by ``+`` and each codec's."""


class Serializer(Protocol):
    """One way to write a value as text. Implementations are stateless and used from many threads at once."""

    name: str
    """Recorded with each value; a row is read only by a serializer of exactly this name."""

    def dumps(self, value: object, types: TypeTable) -> str:
        """The text of ``value``. ``SerializationError`` if reading it back would not give an equal value."""
        ...

    def loads(self, text: str, types: TypeTable) -> Any:
        """The value of ``text``. ``SerializationError`` if it is damaged or names an unknown class."""
        ...
