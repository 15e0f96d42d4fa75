"""From an annotation to the classes it names, through generics, unions and the fields of those classes.

Nothing here raises: an annotation that cannot be resolved (a name under ``TYPE_CHECKING``, a class that is
local to another function) is skipped, and the result says that it is incomplete.
"""

from __future__ import annotations

import dataclasses
import enum
import functools
import inspect
import sys
import types
import typing
from collections.abc import Callable, Iterable, Mapping
from typing import Any, NamedTuple

from durably.serialization.faults import qualified_name

_WRAPPERS = 100  # more layers of decorators than this are a loop


class Found(NamedTuple):
    """The classes that annotations name."""

    classes: Mapping[str, type]
    """By ``module:Qualname``; of two with one name the later definition in the walk wins."""
    complete: bool
    """False if some annotation could not be resolved (yet)."""


def class_name(cls: type) -> str:
    """The name by which rows call a class: ``module:Qualname``."""
    return qualified_name(cls, ":")


def pydantic_base() -> type | None:
    """``pydantic.BaseModel`` if anybody has loaded it; no model can exist otherwise."""
    return getattr(sys.modules.get("pydantic.main"), "BaseModel", None)


def is_pydantic(cls: type) -> bool:
    """Whether ``cls`` is a pydantic model."""
    base = pydantic_base()
    return base is not None and base in cls.__mro__ and cls is not base


def is_namedtuple(cls: type) -> bool:
    """Whether ``cls`` is, or derives from, a ``NamedTuple`` (``typing`` or ``collections``)."""
    return tuple in cls.__mro__ and type(getattr(cls, "_fields", None)) is tuple


def is_taggable(cls: object) -> bool:
    """Whether instances of ``cls`` can be stored under its name."""
    if not isinstance(cls, type) or typing.get_origin(cls) is not None:  # on 3.10 list[int] passes for a type
        return False
    return (
        (enum.Enum in cls.__mro__ and bool(getattr(cls, "__members__", None)))
        or dataclasses.is_dataclass(cls)
        or is_pydantic(cls)
        or is_namedtuple(cls)
    )


def collect(roots: Iterable[Any], complete: bool = True) -> Found:
    """All taggable classes that ``roots`` (types and annotations) name, directly or through fields."""
    classes: dict[str, type] = {}
    passed: dict[int, Any] = {}  # by id, and kept alive so that an id stays that object's
    waiting = list(roots)
    while waiting:
        hint = waiting.pop()
        if id(hint) in passed:
            continue
        passed[id(hint)] = hint
        try:
            inner, known = _look_into(hint)
        except Exception:  # an odd __getattr__, a lazy alias: whatever an annotation can be
            inner, known = [], False
        complete = complete and known
        waiting.extend(inner)
        if is_taggable(hint):
            classes[class_name(hint)] = hint
    return Found(classes, complete)


def of_function(fn: Callable[..., Any]) -> Found:
    """The classes that the annotations of ``fn`` name; ``fn`` may be wrapped, bound or partial."""
    function: Any = fn
    for _ in range(_WRAPPERS):
        if isinstance(function, (types.MethodType, staticmethod, classmethod)):
            function = function.__func__
        elif isinstance(function, functools.partial):
            function = function.func
        elif hasattr(function, "__wrapped__"):
            function = function.__wrapped__
        else:
            break
    if not isinstance(function, types.FunctionType):
        function = getattr(type(function), "__call__", function)  # noqa: B004 - an object with __call__
    local: dict[str, Any] = _type_parameters(function)
    code, cells = getattr(function, "__code__", None), getattr(function, "__closure__", None)
    for name, cell in zip(code.co_freevars if code else (), cells or (), strict=False):
        try:
            local[name] = cell.cell_contents  # a local class that the body uses: a string may name it
        except ValueError:  # not assigned yet
            continue
    return collect(*_resolve(function, getattr(function, "__globals__", {}), local))


def _look_into(hint: Any) -> tuple[list[Any], bool]:
    """What ``hint`` is made of, and whether that is all of it."""
    if isinstance(hint, (str, typing.ForwardRef)):
        return [], False
    if isinstance(hint, (list, tuple)):  # the parameters of a Callable
        return list(hint), True
    origin = typing.get_origin(hint)
    if origin is typing.Annotated:
        return [typing.get_args(hint)[0]], True
    if origin is typing.Literal:
        return [type(value) for value in typing.get_args(hint)], True
    if origin is not None:
        return [origin, *typing.get_args(hint)], True
    if isinstance(hint, type):
        return _fields_of(hint)
    if hasattr(hint, "__supertype__"):  # NewType
        return [hint.__supertype__], True
    if type(hint).__name__ == "TypeAliasType":
        return [hint.__value__], True
    if isinstance(hint, typing.TypeVar):
        bound = [] if hint.__bound__ is None else [hint.__bound__]
        return [*bound, *hint.__constraints__], True
    return [], True


def _fields_of(cls: type) -> tuple[list[Any], bool]:
    """The annotations of a class's fields, if it is of a kind that has fields."""
    if is_pydantic(cls):
        fields = getattr(cls, "model_fields", {})
        return [field.annotation for field in fields.values()], bool(getattr(cls, "__pydantic_complete__", True))
    typed_dict = hasattr(cls, "__required_keys__") and hasattr(cls, "__total__")
    if not (typed_dict or dataclasses.is_dataclass(cls) or is_namedtuple(cls)):
        return [], True
    hints: list[Any] = []
    complete = True
    for base in cls.__mro__:
        module = sys.modules.get(base.__module__)
        # The module's names come before the class's: in ``date: date | None = None`` the type is meant.
        local = {**(vars(module) if module else {}), **_type_parameters(base), base.__name__: base}
        found, known = _resolve(base, dict(vars(base)), local)
        hints.extend(found)
        complete = complete and known
    return hints, complete


def _resolve(owner: Any, names: dict[str, Any], local: dict[str, Any]) -> tuple[list[Any], bool]:
    """The evaluated annotations of a function or of one class; one by one, so that none spoils another."""
    hints: list[Any] = []
    complete = True
    try:
        annotations = inspect.get_annotations(owner)
    except Exception:
        return [], False
    for annotation in annotations.values():
        one: Any = types.SimpleNamespace(__annotations__={"hint": annotation})
        try:
            hints.append(typing.get_type_hints(one, names, local, include_extras=True)["hint"])
        except Exception:
            complete = False
    return hints, complete


def _type_parameters(owner: Any) -> dict[str, Any]:
    """The type parameters that ``def f[T](…)`` and ``class C[T]`` bring with them (Python 3.12)."""
    return {parameter.__name__: parameter for parameter in getattr(owner, "__type_params__", ())}
