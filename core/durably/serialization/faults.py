"""Why a part of a value cannot be encoded or decoded, and the path to that part.

Messages name paths and types, never values: they end up in logs and in the database.
"""

from __future__ import annotations

import re
from typing import Final

RESERVED: Final = "$durably"
"""The one key that marks a tagged object. A user's dict that has it is written as pairs."""

MAX_LEVELS: Final = 200
"""How deep the brackets of a JSON text may nest. Far below Python's recursion limit, so that a value that
could be written from a shallow stack can also be read from a deep one."""

READ_LEVELS: Final = MAX_LEVELS + 8
"""The same on reading: a tagged leaf at the last level adds a few brackets of its own."""

_PATH_PARTS_SHOWN = 12
_SANE_NAME = re.compile(r"[\w.:<>\[\], +|$-]{1,200}")


class Fault(Exception):
    """Raised at the part at fault; each container adds its step of the path on the way up."""

    def __init__(self, reason: str, *, too_deep: bool = False) -> None:
        super().__init__(reason)
        self.reason = reason
        self.too_deep = too_deep
        self._steps: list[tuple[str, int]] = []

    def within(self, step: str, holder: object) -> None:
        """Note that the part at fault is (in) the ``step`` of ``holder``; called from the inside out."""
        self._steps.append((step, id(holder)))

    def path(self) -> str:
        """The path from the whole value, ``$``, to the part, such as ``$.items[3].when``."""
        steps = [step for step, _ in reversed(self._steps)]
        cycle = self._cycle()
        if cycle is not None:
            return "$" + "".join(steps[:cycle])
        if len(steps) > _PATH_PARTS_SHOWN:
            steps = [*steps[:_PATH_PARTS_SHOWN], "…"]
        return "$" + "".join(steps)

    def describe(self) -> str:
        """The path and the reason, as one clause of a message."""
        if self._cycle() is not None:
            return f"{self.path()} is the object that contains it (a cycle); store an id in its place"
        return f"{self.path()} {self.reason}"

    def _cycle(self) -> int | None:
        """After how many steps an object comes back that was passed before, if nesting was the fault."""
        if not self.too_deep:
            return None
        seen: set[int] = set()
        for index, (_, holder) in enumerate(reversed(self._steps)):
            if holder in seen:
                return index
            seen.add(holder)
        return None


def too_deep() -> Fault:
    """The fault of a value nested beyond the limit."""
    return Fault(f"is nested deeper than {MAX_LEVELS} levels; make it flatter", too_deep=True)


def key_step(key: object, index: int) -> str:
    """The path step into a dict. Only a name-like key is shown: others may be data (a card number)."""
    if type(key) is str and key.isidentifier() and len(key) <= 40:
        return f".{key}"
    return f"[value {index}]"


def type_name(cls: type) -> str:
    """``module.Qualname``, without the module for builtins."""
    name = qualified_name(cls)
    return name[9:] if name.startswith("builtins.") else name


def qualified_name(cls: type, separator: str = ".") -> str:
    """``module.Qualname``, whatever a metaclass does."""
    try:
        return f"{cls.__module__}{separator}{cls.__qualname__}"
    except Exception:
        return f"unknown{separator}unknown"


def shown(name: object) -> str:
    """A name that a row gives, quoted for a message; a damaged one, which may be anything, is not shown."""
    if type(name) is str and _SANE_NAME.fullmatch(name):
        return repr(name)
    return "an unreadable name"
