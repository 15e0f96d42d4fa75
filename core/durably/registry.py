"""The registry: which names this process can run, and the configured instances of classes with durable methods."""

from __future__ import annotations

import os
import sys
import threading
from collections.abc import Callable
from typing import TYPE_CHECKING, Any, NamedTuple, TypeVar

from durably.errors import DeclarationError, NotRegisteredError

if TYPE_CHECKING:
    from durably.declared import Declaration

T = TypeVar("T")


class Snapshot(NamedTuple):
    """What a registry held at one time; for tests."""

    declarations: dict[str, Declaration]
    instances: dict[str, object]


class Registry:
    """Declared functions by registered name and alias, and configured instances by name."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._declarations: dict[str, Declaration] = {}
        self._instances: dict[str, object] = {}

    def add(self, declaration: Declaration) -> None:
        """Register; the same file and line replaces (a reload), another place for the same name is an error."""
        with self._lock:
            for name in (declaration.name, *declaration.aliases):
                other = self._declarations.get(name)
                if other is not None and other.source != declaration.source:
                    raise DeclarationError(
                        f"the name {name!r} is declared twice: {other.kind} at {_place(other)} and "
                        f"{declaration.kind} at {_place(declaration)}; give one of them name='...'",
                        name=name,
                    )
            for name in (declaration.name, *declaration.aliases):
                self._declarations[name] = declaration

    def find(self, name: str) -> Declaration | None:
        """What is registered under ``name`` or alias, or None."""
        return self._declarations.get(name)

    def all(self) -> list[Declaration]:
        """Every declaration once, in the order of declaration."""
        return list({id(one): one for one in list(self._declarations.values())}.values())

    def names(self) -> list[str]:
        """Every registered name and alias."""
        return list(self._declarations)

    def configure(self, name: str, instance: T) -> T:
        """Name an instance, so that a row can say on which one a workflow method runs."""
        with self._lock:
            other = self._instances.setdefault(name, instance)
            # The class may be another object of the same name: its module was reloaded.
            reloaded = type(other) is not type(instance) and class_name(type(other)) == class_name(type(instance))
            if other is not instance and not reloaded and other != instance:
                raise DeclarationError(
                    f"two instances are configured under the name {name!r}: a {class_name(type(other))} and "
                    f"a {class_name(type(instance))}; give one of them another name",
                    name=name,
                )
            self._instances[name] = instance
        return instance

    def instance(self, name: str) -> object:
        """The configured instance of that name."""
        try:
            return self._instances[name]
        except KeyError:
            raise NotRegisteredError(
                f"no instance is configured under {name!r} in this process; "
                f"call durably.configured({name!r}, ...) at import time",
                name=name,
            ) from None

    def instance_name(self, instance: object) -> str | None:
        """The name that ``instance`` was configured under, or None."""
        return next((name for name, one in list(self._instances.items()) if one is instance), None)

    def snapshot(self) -> Snapshot:
        """A copy of what is registered."""
        return Snapshot(dict(self._declarations), dict(self._instances))

    def restore(self, snapshot: Snapshot) -> None:
        """Go back to a snapshot."""
        with self._lock:
            self._declarations = dict(snapshot.declarations)
            self._instances = dict(snapshot.instances)


def registered_name(function: Callable[..., Any]) -> str:
    """``module.qualname``; a program's ``__main__`` goes by the module's own name, so that workers can import it."""
    return f"{module_name(function)}.{function.__qualname__}"


def module_name(defined: Any) -> str:
    """The module of a function or class, by the name that other processes would import it under."""
    module = str(defined.__module__)
    return _main_module_name() if module == "__main__" else module


def class_name(cls: type) -> str:
    """``module.qualname`` of a class, as rows carry it."""
    return f"{module_name(cls)}.{cls.__qualname__}"


def _main_module_name() -> str:
    main = sys.modules["__main__"]
    spec = getattr(main, "__spec__", None)
    if spec is not None and spec.name:
        return str(spec.name).removesuffix(".__main__")
    path = getattr(main, "__file__", None)
    return os.path.splitext(os.path.basename(path))[0] if path else "__main__"


def _place(declaration: Declaration) -> str:
    return f"{declaration.source[0]}:{declaration.source[1]}"


registry = Registry()
