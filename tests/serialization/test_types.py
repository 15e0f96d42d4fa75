"""Which classes an annotation names, and which the process knows."""

from __future__ import annotations

import collections.abc
import dataclasses
import enum
import functools
import sys
import threading
import types
import typing
from collections.abc import Callable
from typing import (
    TYPE_CHECKING,
    Annotated,
    Any,
    Generic,
    Literal,
    NamedTuple,
    NewType,
    Optional,
    TypeVar,
    Union,
)

import pydantic
import pytest
from typing_extensions import TypeAliasType, TypedDict

from durably.errors import DeclarationError, SerializationError
from durably.serialization import Serialization, TypeTable, register_types
from tests.serialization.same import PLAIN, WHAT, round_trip

if TYPE_CHECKING:
    from somewhere import Missing  # type: ignore[import-not-found]

T = TypeVar("T")


class Color(enum.Enum):
    RED = 1


@dataclasses.dataclass
class A:
    color: Color = Color.RED


@dataclasses.dataclass
class B:
    a: A | None = None
    me: B | None = None
    date: int | None = None


class M(pydantic.BaseModel):
    b: dict[str, list[B]] = {}
    me: M | None = None


class N(NamedTuple):
    m: M | None = None


class D(TypedDict):
    n: N


@dataclasses.dataclass
class Holder(Generic[T]):
    item: T


AId = NewType("AId", A)
Alias = TypeAliasType("Alias", list[A])
Bound = TypeVar("Bound", bound=A)


@pytest.mark.parametrize(
    ("annotation", "instances"),
    [
        (A, [A(), Color.RED]),
        (Optional[A], [A()]),  # noqa: UP045
        (Union[int, A, None], [A()]),  # noqa: UP007
        (B | int, [A(), B(), Color.RED]),
        (list[dict[str, tuple[A, ...]]], [A()]),
        (typing.List[A], [A()]),  # noqa: UP006
        (Annotated[A, "doc", B], [A()]),
        (Literal[Color.RED], [Color.RED]),
        (AId, [A()]),
        (Bound, [A()]),
        (Alias, [A()]),
        (Holder[A], [Holder(A()), A()]),
        (M, [M(), B(), A()]),
        (D, [N(), M(), B()]),
        (collections.abc.Awaitable[A], [A()]),
        (Callable[[A], B], [A(), B()]),
        (type[A], [A()]),
        (Annotated[int, []], []),
    ],
    ids=str,
)
def test_an_annotation_names_classes(annotation: Any, instances: list[Any]) -> None:
    def fn(argument: Any) -> Any: ...

    fn.__annotations__ = {"argument": annotation}
    for table in (TypeTable.for_type(annotation), TypeTable.for_function(fn)):
        assert round_trip(instances, table) == instances
    if annotation is A:
        with pytest.raises(SerializationError):
            round_trip(B(), TypeTable.for_type(A))


def test_what_follows_an_annotation_is_no_class() -> None:
    with pytest.raises(SerializationError):
        round_trip(B(), TypeTable.for_type(Annotated[A, B]))


def test_a_function_in_any_wrapping() -> None:
    def plain(a: A, *rest: Color, **more: N) -> B:
        raise NotImplementedError

    async def awaited() -> list[B]:
        raise NotImplementedError

    @functools.wraps(plain)
    def wrapped(*args: Any, **kwargs: Any) -> Any: ...

    class Service:
        def method(self, a: A) -> B:
            raise NotImplementedError

        @staticmethod
        def static(a: A) -> B:
            raise NotImplementedError

        @classmethod
        def of_class(cls, a: A) -> B:
            raise NotImplementedError

        def __call__(self, a: A) -> B:
            raise NotImplementedError

    functions: list[Any] = [
        plain,
        awaited,
        wrapped,
        functools.partial(plain, A()),
        Service().method,
        Service.static,
        Service.of_class,
        vars(Service)["static"],
        Service(),
    ]
    for fn in functions:
        assert round_trip([B(), A()], TypeTable.for_function(fn)) == [B(), A()], fn


def test_what_cannot_be_resolved_is_skipped() -> None:
    def fn(missing: Missing, wrong: Missing | A, odd: 1 + 1, a: A) -> B:  # type: ignore[valid-type]
        raise NotImplementedError

    assert round_trip([A(), B()], TypeTable.for_function(fn)) == [A(), B()]
    for odd in (print, len, 5, object(), Exception, type, functools.partial(int)):
        assert not TypeTable.for_function(odd).knows(A)  # type: ignore[arg-type]
    for hint in (None, 5, "A", ..., Any, [A], int, "not a type(", typing.ForwardRef("A")):
        TypeTable.for_type(hint).knows(B)

    class Hostile:
        def __getattr__(self, name: str) -> Any:
            raise RuntimeError(name)

    assert not TypeTable.for_type(Hostile()).knows(A)


def test_classes_defined_in_a_function() -> None:
    @dataclasses.dataclass
    class Inner:
        x: int

    @dataclasses.dataclass
    class Chain:
        next: Chain | None

    def fn(inner: Inner) -> list[Chain]:
        return [Chain(None)]

    chain = Chain(Chain(None))
    table = TypeTable.for_function(fn)
    assert round_trip(chain, table) == chain
    # The body does not use Inner, so that the string "Inner" means nothing outside the enclosing function.
    with pytest.raises(SerializationError, match=r"register_types\(Inner\)"):
        round_trip(Inner(1), table)
    register_types(Inner)
    assert round_trip(Inner(1), table) == Inner(1)


def test_a_class_defined_after_the_declaration(monkeypatch: pytest.MonkeyPatch) -> None:
    module = types.ModuleType("shop_of_test")
    monkeypatch.setitem(sys.modules, "shop_of_test", module)
    exec(  # noqa: S102 - a module under construction
        "from __future__ import annotations\nimport dataclasses\ndef fn(late: Late) -> None: ...",
        vars(module),
    )
    table = TypeTable.for_function(module.fn)
    assert not table.knows(A)
    exec("@dataclasses.dataclass\nclass Late:\n    x: int", vars(module))  # noqa: S102
    assert round_trip(module.Late(1), table) == module.Late(1)


def test_registered_classes_bring_those_of_their_fields() -> None:
    with pytest.raises(SerializationError):
        round_trip(M(), PLAIN)
    register_types(M)
    register_types(M, Color)
    value = M(b={"x": [B(a=A())]})
    assert round_trip(value) == value


def test_a_reloaded_class_takes_the_place() -> None:
    def define() -> type:
        @dataclasses.dataclass
        class Again:
            x: int = 1

        return Again

    old, new = define(), define()
    register_types(old)
    register_types(new)
    assert type(round_trip(new())) is new
    with pytest.raises(SerializationError):  # it would come back as another class
        round_trip(old())


def test_two_classes_of_one_name_are_refused() -> None:
    other = dataclasses.make_dataclass("A", ["x"])
    other.__module__ = "elsewhere"
    register_types(A)
    with pytest.raises(DeclarationError, match=r"elsewhere\.A have the same name"):
        register_types(N, other)
    assert not PLAIN.knows(N)

    def fn(a: Any) -> None: ...

    fn.__annotations__ = {"a": other}
    value = [other(1), A()]
    assert round_trip(value, TypeTable.for_function(fn)) == value


@pytest.mark.parametrize("wrong", [int, dict, object, A(), "A", enum.Enum, pydantic.BaseModel, list[int], None])
def test_only_classes_with_fields_are_registered(wrong: Any) -> None:
    with pytest.raises(DeclarationError, match="register_types takes"):
        register_types(A, wrong)
    assert not PLAIN.knows(A)


def test_registering_from_many_threads() -> None:
    classes = [dataclasses.make_dataclass(f"Made{n}", ["x"]) for n in range(40)]
    threads = [threading.Thread(target=register_types, args=(cls,)) for cls in classes]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert all(PLAIN.knows(cls) for cls in classes)


def test_declaring_looks_at_nothing() -> None:
    class Watched:
        @property
        def __annotations__(self) -> Any:  # type: ignore[override]
            raise AssertionError("too early")

    TypeTable.for_function(Watched())  # type: ignore[arg-type]
    assert Serialization().dump("plain", TypeTable.for_function(Watched()), what=WHAT).text == '"plain"'  # type: ignore[arg-type]
