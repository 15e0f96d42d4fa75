"""Dataclasses, Enums, pydantic models and NamedTuples keep their class and their whole state."""

from __future__ import annotations

import collections
import dataclasses
import enum
import functools
import json
from typing import Any, Generic, NamedTuple, TypeVar

import pydantic
import pytest

from durably.errors import SerializationError
from durably.serialization import Payload, Serialization, TypeTable
from tests.serialization.same import WHAT, load, round_trip

T = TypeVar("T")
Plain = collections.namedtuple("Plain", ["a", "b"])


class Status(str, enum.Enum):
    NEW = "new"
    PAID = "paid"
    ALSO_PAID = "paid"


class Rights(enum.IntFlag):
    READ = 1
    WRITE = 2


@dataclasses.dataclass
class Line:
    sku: str
    quantity: int = 1


@dataclasses.dataclass
class Order:
    lines: list[Line]
    status: Status = Status.NEW
    total: int = dataclasses.field(init=False)
    factor: dataclasses.InitVar[int] = 2

    def __post_init__(self, factor: int) -> None:
        self.total = factor * sum(line.quantity for line in self.lines)
        self.note = "not a field"

    @functools.cached_property
    def lock(self) -> object:
        return object()


@dataclasses.dataclass(frozen=True)
class Frozen:
    x: int
    __slots__ = ("x",)


@dataclasses.dataclass(frozen=True, slots=True)
class Slotted:
    x: int
    y: Any = None


@dataclasses.dataclass
class Pair(Generic[T]):
    left: T
    right: T


class Loud:
    """Where user code would run if it were called."""

    calls: list[str] = []  # noqa: RUF012 - shared by purpose

    def __init__(self) -> None:
        self.calls.append("init")


@dataclasses.dataclass
class Counted(Loud):
    x: int

    def __post_init__(self) -> None:
        self.calls.append("post_init")

    def __setattr__(self, name: str, value: object) -> None:
        self.calls.append("setattr")
        object.__setattr__(self, name, value)


@dataclasses.dataclass
class Listed(list):  # type: ignore[type-arg]
    x: int = 0


class Point(NamedTuple):
    x: int
    y: float = 0.0


class Address(pydantic.BaseModel):
    city: str
    zip_code: str = pydantic.Field(default="", alias="zip")
    hidden: str = pydantic.Field(default="s", exclude=True)


class Customer(pydantic.BaseModel):
    model_config = pydantic.ConfigDict(extra="allow")
    name: str
    address: Address
    tags: set[str] = set()
    _visits: int = pydantic.PrivateAttr(default=0)

    @pydantic.field_validator("name")
    @classmethod
    def shout(cls, name: str) -> str:
        return name + "!"

    @functools.cached_property
    def lock(self) -> object:
        return object()


class Ids(pydantic.RootModel[list[int]]):
    pass


class Page(pydantic.BaseModel, Generic[T]):
    items: list[T]


def exact(value: Any, annotation: Any = None) -> Any:
    back = round_trip(value, TypeTable.for_type(annotation or type(value)))
    assert type(back) is type(value)
    assert back == value
    return back


def test_enums() -> None:
    types = TypeTable.for_type(Status | Rights)
    assert round_trip(Status.ALSO_PAID, types) is Status.PAID
    assert round_trip([Rights.READ], types) == [Rights.READ]
    both = round_trip(Rights.READ | Rights.WRITE, types)
    assert both == Rights.READ | Rights.WRITE
    assert type(both) is Rights
    assert round_trip({Status.NEW: 1}, types) == {Status.NEW: 1}


def test_a_dataclass_with_everything() -> None:
    order = Order([Line("a"), Line("b", 2)], Status.PAID, factor=5)
    assert order.lock
    back = exact(order)
    assert back.total == 15
    assert back.note == "not a field"
    assert "lock" not in vars(back)
    assert type(back.lines[1]) is Line


def test_slots_and_frozen() -> None:
    exact(Frozen(1))
    exact(Slotted(1, [Slotted(2)]))


def test_generic_dataclasses() -> None:
    exact(Pair(Line("a"), Line("b")), Pair[Line])


def test_no_code_of_the_class_runs_on_reading() -> None:
    types = TypeTable.for_type(Counted)
    payload = Serialization().dump(Counted(1), types, what=WHAT)
    Loud.calls.clear()
    assert Serialization().load(payload, types, what=WHAT).x == 1
    assert Loud.calls == []


def test_a_dataclass_that_is_more_is_refused() -> None:
    with pytest.raises(SerializationError, match="more than a dataclass"):
        exact(Listed())


def test_a_field_that_is_not_set_is_refused() -> None:
    line = Line("a")
    del line.sku
    with pytest.raises(SerializationError, match="field 'sku' is not set"):
        exact(line)


def test_namedtuples() -> None:
    back = exact(Point(1, 2.5))
    assert back.y == 2.5
    exact(Plain((), {}))


def test_pydantic_models_keep_all_they_hold() -> None:
    customer = Customer(name="Ann", address=Address(city="Oslo", zip="0150", hidden="x"), tags={"a"}, **{"extra": (1,)})
    customer._visits = 3
    assert customer.lock
    back = exact(customer)
    assert back.name == "Ann!"
    assert back.address.hidden == "x"
    assert back.address.zip_code == "0150"
    assert back._visits == 3
    assert back.extra == (1,)
    assert back.model_fields_set == customer.model_fields_set
    assert "lock" not in vars(back)
    assert back.model_dump() == customer.model_dump()


def test_pydantic_root_and_generic_models() -> None:
    exact(Ids([1, 2]))
    page = Page[Order](items=[])
    page.items = [Order([Line("a")])]
    exact(page)


def test_a_subclass_needs_to_be_known_itself() -> None:
    class Special(Line):
        pass

    special = Special("x")
    types = TypeTable.for_type(Line)
    with pytest.raises(SerializationError, match=r"register_types\(Special\)"):
        Serialization().dump(special, types, what=WHAT)


# What happens when the class has changed between the writing and the reading.


def row(kind: str, cls: str, value: Any, **more: Any) -> str:
    return json.dumps({"$durably": kind, "class": f"{__name__}:{cls}", "value": value, **more})


def test_a_field_added_since_gets_its_default() -> None:
    types = TypeTable.for_type(Line | Point | Address)
    assert load(row("dataclass", "Line", {"sku": "a"}), types) == Line("a")
    assert load(row("namedtuple", "Point", [1]), types) == Point(1)
    assert load(row("pydantic", "Address", {"city": "Oslo"}), types) == Address(city="Oslo")


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        (row("dataclass", "Line", {"quantity": 1}), "without the field 'sku'"),
        (row("dataclass", "Slotted", {"x": 1, "z": 1}), "a field 'z' that .*Slotted no longer has"),
        (row("dataclass", "Line", [1]), "damaged"),
        (row("namedtuple", "Point", []), "without the field 'x'"),
        (row("namedtuple", "Point", [1, 2, 3]), "more fields"),
        (row("namedtuple", "Point", {"x": 1}), "damaged"),
        (row("pydantic", "Address", {}), "without the field 'city'"),
        (
            row("pydantic", "Address", {"city": "a", "town": "b"}),
            "a field 'town' that .*Address no longer has",
        ),
        (row("pydantic", "Address", {"city": "a"}, set=[[]]), "damaged"),
        (row("enum", "Status", "LOST"), "is 'LOST', which is no member"),
        (row("enum", "Line", "sku"), "was recorded as an Enum"),
        (row("dataclass", "Status", {}), "was recorded as a dataclass"),
        (row("pydantic", "Line", {}), "was recorded as a pydantic model"),
        (row("flag", "Status", 1), "was recorded as a Flag"),
        (row("flag", "Rights", "1"), "damaged"),
        (row("dataclass", "Customer2", {}), r"'.*:Customer2', which this process does not know here"),
        (row("dataclass", "x" * 1000, {}), "an unreadable name"),
        ('{"$durably":"dataclass","class":7,"value":{}}', "an unreadable name"),
    ],
)
def test_a_row_that_does_not_fit_the_class(text: str, reason: str) -> None:
    types = TypeTable.for_type(Line | Slotted | Point | Address | Status | Rights)
    with pytest.raises(SerializationError, match=reason):
        load(text, types)


def test_a_class_that_moved_is_found_by_its_own_name() -> None:
    text = row("dataclass", "Line", {"sku": "a"}).replace(__name__, "shop.old_place")
    assert load(text, TypeTable.for_type(Order)) == Line("a")
    moved = Payload(text.replace(":Line", ":Outer.Line"), "json")
    with pytest.raises(SerializationError, match="does not know"):
        Serialization().load(moved, TypeTable.for_type(Order), what=WHAT)
