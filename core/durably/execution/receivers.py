"""Methods as workflows: what a row must say so that another process can find the instance or class again.

A plain function needs nothing. A method's instance is named by ``durably.configured(name, instance)``; a class is found
from the method's own module. Neither is ever serialized, and nothing is imported for it.
"""

from __future__ import annotations

from typing import Any

from durably.declared import Declaration
from durably.errors import NotRegisteredError, SerializationError
from durably.model import WorkflowStatus
from durably.registry import class_name, registry


def split(declaration: Declaration, args: tuple[Any, ...]) -> tuple[tuple[Any, ...], tuple[Any, ...]]:
    """(receiver, the other positional arguments); the receiver is () for a plain function."""
    return (args[:1], args[1:]) if declaration.receiver is not None else ((), args)


def receiver_names(declaration: Declaration, args: tuple[Any, ...]) -> tuple[str | None, str | None]:
    """(class name, instance name) for the row of a workflow that is a method; (None, None) for a plain function."""
    if declaration.receiver is None:
        return None, None
    if not args:
        raise SerializationError(f"{declaration} is a method and was called without its {declaration.receiver}")
    receiver = args[0]
    if declaration.receiver == "cls":
        return class_name(receiver), None
    name = registry.instance_name(receiver)
    if name is None:
        raise SerializationError(
            f"{declaration} is a method of a {type(receiver).__qualname__} that has no name to be recovered by; "
            f"make the instance with durably.configured('a-name', {type(receiver).__qualname__}(...))"
        )
    return class_name(type(receiver)), name


def bind(declaration: Declaration, status: WorkflowStatus) -> tuple[Any, ...]:
    """The receiver that a recovered workflow is called on, as a tuple of none or one."""
    if status.config_name is not None:
        return (registry.instance(status.config_name),)
    if status.class_name is None:
        return ()
    owner = _owner(declaration)
    for candidate in _with_subclasses(owner) if owner is not None else ():
        if class_name(candidate) == status.class_name:
            return (candidate,)
    raise NotRegisteredError(
        f"workflow {status.workflow_id!r} runs on class {status.class_name!r}, which this process has not defined",
        workflow_id=status.workflow_id,
    )


def _owner(declaration: Declaration) -> type | None:
    """The class in whose body the method was defined, from the method's own module."""
    found: Any = declaration.function.__globals__
    for part in declaration.function.__qualname__.split(".")[:-1]:
        found = found.get(part) if isinstance(found, dict) else getattr(found, part, None)
    return found if isinstance(found, type) else None


def _with_subclasses(cls: type[Any]) -> list[type[Any]]:
    found: list[type[Any]] = [cls]
    for subclass in found:
        found += cls.__subclasses__() if subclass is cls else subclass.__subclasses__()
    return found
