"""Pickle, for those who opt in: nearly every Python value, at the price of trusting the database.

Whoever can write a row that this process unpickles can run code in it. A process that was not given this
serializer never unpickles anything, whatever its rows say.
"""

from __future__ import annotations

import base64
import pickle
from typing import Any

from durably.errors import SerializationError
from durably.serialization.faults import type_name
from durably.serialization.typetable import TypeTable

_PROTOCOL = 5  # known to every Python that Durably runs on; fixed, so that a newer one writes what an older one reads


class PickleSerializer:
    """Values as base64 of a pickle. The type table is not used: a pickle names its classes itself."""

    name: str = "pickle"

    def dumps(self, value: object, types: TypeTable) -> str:  # noqa: ARG002
        """The pickle of ``value``; it is also read once, because much that can be written cannot be read."""
        try:
            data = pickle.dumps(value, _PROTOCOL)
            pickle.loads(data)  # noqa: S301 - made one line above
        except Exception as error:
            # The message is left out: it often shows the value.
            raise SerializationError(
                f"$ is a {type_name(type(value))!r} that pickle cannot write and read back ({type(error).__name__})",
                path="$",
            ) from None
        return base64.b64encode(data).decode("ascii")

    def loads(self, text: str, types: TypeTable) -> Any:  # noqa: ARG002
        """The value of a pickle."""
        try:
            data = base64.b64decode(text.encode("ascii"), validate=True)
            return pickle.loads(data)  # noqa: S301 - this process was configured to trust its database
        except Exception as error:
            raise SerializationError(f"$ is no pickle that this process can read ({type(error).__name__})") from None
