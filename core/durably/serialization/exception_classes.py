"""Exceptions without user code: finding a class by its name, taking an instance apart, rebuilding one.

Names come from rows and select only among the ``Exception`` subclasses that this process has already
defined; nothing is imported, and no ``__init__``, ``__new__``, ``__setattr__`` or property of a user's class
runs. ``SystemExit``, ``KeyboardInterrupt`` and ``GeneratorExit`` are no ``Exception``; ``StopIteration`` and
``StopAsyncIteration`` are left out because raising them means something else inside a coroutine.
"""

from __future__ import annotations

import builtins
import sys
import types
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from durably.serialization.faults import Fault, qualified_name

_NAME_LIMIT = 1000
_CONTROL_FLOW = (StopIteration, StopAsyncIteration)
_BUILTIN = frozenset(cls for cls in vars(builtins).values() if isinstance(cls, type) and issubclass(cls, BaseException))
_GROUP: Any = getattr(builtins, "BaseExceptionGroup", None)

_BASE = vars(BaseException)
_ARGS, _DICT, _CAUSE = _BASE["args"], _BASE["__dict__"], _BASE["__cause__"]

# Descriptors that are no state: a group's parts travel on their own, and AttributeError.obj is the object
# that lacked the attribute, kept by Python for its "did you mean" only.
_NO_STATE = {
    ("BaseExceptionGroup", "message"),
    ("BaseExceptionGroup", "exceptions"),
    ("AttributeError", "obj"),
}


def find(name: str) -> type[Exception] | None:
    """The ``Exception`` subclass called ``module.Qualname`` here; the latest if it was defined again."""
    if len(name) > _NAME_LIMIT:
        return None
    cls = _in_modules(name) or _among_subclasses(name)
    return None if cls is None or any(stop in cls.__mro__ for stop in _CONTROL_FLOW) else cls


def _in_modules(name: str) -> type[Exception] | None:
    """Looked up in the modules that are loaded, by their dicts: a module's ``__getattr__`` may import."""
    parts = name.split(".")
    for split in range(len(parts) - 1, 0, -1):
        module = sys.modules.get(".".join(parts[:split]))
        if type(module) is not types.ModuleType:  # a lazy module would load itself
            continue
        found: Any = module
        for part in parts[split:]:
            if not isinstance(found, (types.ModuleType, type)):
                break
            found = vars(found).get(part)
        if isinstance(found, type) and Exception in found.__mro__ and qualified_name(found) == name:
            return found
    return None


def _among_subclasses(name: str) -> type[Exception] | None:
    """Looked up among all subclasses, for classes that no module holds (defined in a function)."""
    last = None
    for cls in _subclasses(Exception):
        if qualified_name(cls) == name:
            last = cls
    return last


def _subclasses(root: type[Exception]) -> Iterator[type[Exception]]:
    passed = {root}
    level = [root]
    while level:
        cls = level.pop()
        for sub in type.__subclasses__(cls):
            if sub not in passed:
                passed.add(sub)
                level.append(sub)
                yield sub


def args_of(error: BaseException) -> tuple[Any, ...]:
    """``error.args``, past any property of that name."""
    args: tuple[Any, ...] = _ARGS.__get__(error)
    return args


def attributes_of(error: BaseException) -> dict[Any, Any]:
    """``error.__dict__`` itself."""
    attributes: dict[Any, Any] = _DICT.__get__(error)
    return attributes


def cause_of(error: BaseException) -> BaseException | None:
    """``error.__cause__``, past any property of that name."""
    cause: BaseException | None = _CAUSE.__get__(error)
    return cause


def set_cause(error: BaseException, cause: BaseException) -> None:
    """As ``raise error from cause`` does."""
    _CAUSE.__set__(error, cause)


def notes_of(error: BaseException) -> list[str]:
    """The notes that were added to ``error`` (``add_note``)."""
    notes = attributes_of(error).get("__notes__")
    return [note for note in notes if type(note) is str] if type(notes) is list else []


def members_of(error: BaseException) -> tuple[BaseException, ...] | None:
    """The exceptions of an exception group; None for any other."""
    if _GROUP is None or _GROUP not in type(error).__mro__:
        return None
    members: tuple[BaseException, ...] = vars(_GROUP)["exceptions"].__get__(error)
    return members


def rebuild(cls: type, args: Sequence[Any], members: Sequence[BaseException] | None) -> BaseException:
    """A new instance, made by the nearest builtin class's own code; ``Fault`` if it refuses."""
    base: Any = next(base for base in cls.__mro__ if base in _BUILTIN)
    if members is not None:
        args = [*args, list(members)]
    try:
        error: Any = base.__new__(cls, *args)
        if type(error) is cls:
            base.__init__(error, *args)  # some take their attributes from args here, and some above
    except Exception as problem:
        raise Fault(f"cannot be rebuilt from its args ({type(problem).__name__})") from None
    if not isinstance(error, BaseException) or type(error) is not cls or len(args_of(error)) != len(args):
        raise Fault("cannot be rebuilt from its args")
    return error


def state_beyond(error: BaseException, blank: BaseException) -> dict[Any, Any]:
    """What ``error`` holds beyond ``blank``, rebuilt from its args: ``__dict__``, slots, C attributes."""
    state = {name: value for name, value in attributes_of(error).items() if name != "__notes__"}
    for name, descriptor in _descriptors(type(error)).items():
        value = _read(descriptor, error)
        if value is not _UNSET and not _same(value, _read(descriptor, blank)):
            state[name] = value
    return state


def set_state(error: BaseException, state: Mapping[Any, Any]) -> None:
    """Give ``error`` the attributes that ``state_beyond`` took from another."""
    descriptors = _descriptors(type(error))
    attributes = attributes_of(error)
    for name, value in state.items():
        if name in descriptors:
            descriptors[name].__set__(error, value)
        else:
            attributes[name] = value


_UNSET = object()


def _descriptors(cls: type) -> dict[str, Any]:
    """The attributes that live outside ``__dict__``: slots, and the C fields of builtin exceptions."""
    return {
        name: member
        for base in reversed(cls.__mro__)
        if base is not BaseException
        for name, member in vars(base).items()
        if type(member) in (types.MemberDescriptorType, types.GetSetDescriptorType)
        and not name.startswith("__")
        and (base.__name__, name) not in _NO_STATE
    }


def _read(descriptor: Any, error: BaseException) -> Any:
    try:
        return descriptor.__get__(error)
    except Exception:
        return _UNSET


def _same(one: Any, other: Any) -> bool:
    if one is other:
        return True
    return type(one) is type(other) and type(one) in (int, str, bytes) and bool(one == other)
