"""Which classes a value may have: those that annotations name, and those registered for the whole process."""

from __future__ import annotations

import functools
import threading
from collections.abc import Callable
from typing import Any

from durably.errors import DeclarationError
from durably.serialization import hints
from durably.serialization.faults import type_name
from durably.serialization.hints import Found, class_name


class TypeTable:
    """Classes by name, for one function or one ``expect=``. Immutable; the process's registry is behind it.

    The annotations are looked at when a class is first asked for, not at the declaration: by then the
    classes that a module defines further down exist, and a function that uses plain values costs nothing.
    """

    __slots__ = ("_collect", "_found")

    def __init__(self, collect: Callable[[], Found] | None = None) -> None:
        self._collect = collect
        self._found: Found | None = None

    @staticmethod
    def for_function(fn: Callable[..., Any]) -> TypeTable:
        """The classes that the parameters and the result of ``fn`` are annotated with, and their fields'."""
        return TypeTable(lambda: hints.of_function(fn))

    @staticmethod
    def for_type(tp: Any) -> TypeTable:
        """The classes that one type (``Order``, ``list[Order] | None``) is made of."""
        try:
            return _table_for_type(tp)
        except TypeError:  # not hashable, as Annotated[int, []] is
            return TypeTable(lambda: hints.collect([tp]))

    def knows(self, cls: type) -> bool:
        """Whether a row that names ``cls`` would come back as this very class."""
        return self._exact(class_name(cls)) is cls

    def find(self, name: str) -> type | None:
        """The class that a row calls ``name`` (``module:Qualname``); None if there is none, or no telling.

        A class that moved to another module (or from a script to an import) is found by its qualified name
        alone, if only one has it.
        """
        return self._exact(name) or self._moved(name)

    def _exact(self, name: str) -> type | None:
        tables = (self, _registry.table)
        for table in tables:
            cls = (table._found or table._look()).classes.get(name)
            if cls is not None:
                return cls
        for table in tables:  # an annotation that had no meaning at the first look may have one now
            if table._found is not None and not table._found.complete:
                cls = table._look().classes.get(name)
                if cls is not None:
                    return cls
        return None

    def _look(self) -> Found:
        self._found = found = self._collect() if self._collect is not None else Found({}, True)
        return found

    def _moved(self, name: str) -> type | None:
        qualname = name.partition(":")[2]
        for table in (self, _registry.table):
            classes = table._found.classes.values() if table._found else ()
            same = [cls for cls in classes if cls.__qualname__ == qualname]
            if same:
                return same[0] if len(same) == 1 else None
        return None

    def __repr__(self) -> str:
        names = sorted(self._found.classes) if self._found else "not looked at yet"
        return f"<TypeTable {names}>"


@functools.lru_cache(maxsize=256)
def _table_for_type(tp: Any) -> TypeTable:
    return TypeTable(lambda: hints.collect([tp]))


class _Registry:
    """The process-wide classes. The table is replaced as a whole, so that readers need no lock."""

    def __init__(self) -> None:
        self.table = NO_TYPES
        self._classes: dict[str, type] = {}  # by qualified name
        self._lock = threading.Lock()

    def add(self, classes: tuple[type, ...]) -> None:
        with self._lock:
            registered = dict(self._classes)
            for cls in classes:
                _check(cls, registered.get(cls.__qualname__))
                registered[cls.__qualname__] = cls
            self._classes = registered
            self.table = TypeTable(functools.partial(hints.collect, tuple(registered.values())))


def _check(cls: type, before: type | None) -> None:
    if before is not None and before.__module__ != cls.__module__:
        raise DeclarationError(
            f"register_types: {type_name(before)} and {type_name(cls)} have the same name; "
            "rename one of them, or annotate the functions that use it instead",
            name=cls.__qualname__,
        )


def register_types(*classes: type) -> None:
    """Let values of these classes, and of the classes of their fields, be stored by every function.

    Takes dataclasses, Enums, pydantic models and NamedTuples. Needed only for classes that no annotation of
    the function names, such as the subclasses of an annotated class. Registering again is harmless, and
    after a reload the new class takes the old one's place. ``DeclarationError`` if another module's class
    has the same name, or if a class is of none of these kinds; then nothing is registered.
    """
    for cls in classes:
        if not hints.is_taggable(cls):
            given: object = cls
            kind = type_name(given) if isinstance(given, type) else f"a {type_name(type(given))} object"
            raise DeclarationError(
                f"register_types takes dataclasses, Enums, pydantic models and NamedTuples, not {kind}"
            )
    _registry.add(classes)


NO_TYPES = TypeTable()
"""Plain values and registered classes only."""

_registry = _Registry()
