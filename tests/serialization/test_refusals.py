"""What cannot come back is refused at the call; the message says where and why, and shows no value."""

from __future__ import annotations

import collections
import dataclasses
import datetime as dt
import enum
import threading
from decimal import Decimal
from typing import Any, NamedTuple

import pytest

from durably.errors import SerializationError
from durably.serialization import Payload, Serialization, TypeTable
from tests.serialization.same import PLAIN, WHAT, load, round_trip

CARD = "4111-1111-1111-1111"


class Text(str):
    pass


class Color(enum.Enum):
    RED = 1


@dataclasses.dataclass
class Order:
    when: Any = None


class Pair(NamedTuple):
    left: Any


class Local(dt.datetime):
    pass


class OddZone(dt.tzinfo):
    def utcoffset(self, moment: dt.datetime | None) -> dt.timedelta:
        return dt.timedelta(0)

    dst = utcoffset

    def tzname(self, moment: dt.datetime | None) -> str:
        return "odd"


class Plain:
    def __repr__(self) -> str:
        raise AssertionError("a refusal must not look at the value")

    __str__ = __repr__


def refusal(value: Any, types: TypeTable = PLAIN) -> SerializationError:
    with pytest.raises(SerializationError) as caught:
        Serialization().dump(value, types, what=WHAT)
    return caught.value


@pytest.mark.parametrize(
    "value",
    [
        Text("x"),
        type("Int", (int,), {})(1),
        collections.OrderedDict(a=1),
        collections.defaultdict(int),
        collections.Counter("a"),
        collections.deque(),
        type("Dict", (dict,), {})(),
        type("List", (list,), {})(),
        type("Dec", (Decimal,), {})("1"),
        Local(2026, 1, 1),
        object(),
        Plain(),
        print,
        lambda: None,
        int,
        Ellipsis,
        range(3),
        memoryview(b""),
        threading.Lock(),
        iter(()),
        OddZone(),
        Order(),
        Color.RED,
        Pair(1),
    ],
    ids=lambda value: type(value).__name__,
)
def test_refused_wherever_it_stands(value: Any) -> None:
    for whole in (value, [value], {"a": value}, (1, value), {1: value}):
        error = refusal(whole)
        assert type(value).__name__ in str(error)
        assert WHAT in str(error)
    with pytest.raises(SerializationError):
        Serialization().dump_arguments((value,), {}, PLAIN, what=WHAT)


@pytest.mark.parametrize(
    ("value", "path"),
    [
        (print, "$"),
        ({"items": [1, 2, 3, {"when": print}]}, "$.items[3].when"),
        ({"a": ({"b": {print}},)}, "$.a[0].b[0]"),
        ({1: {"x": print}}, "$[value 0].x"),
        ({"ok": 1, CARD: print}, "$[value 1]"),
        ({(1, print): 1}, "$[key 0][1]"),
        (Order(when=Order(when=[print])), "$.when.when[0]"),
        (Pair(print), "$[0]"),
        (ValueError([print]), "$[0][0]"),
    ],
)
def test_the_path_leads_to_the_part(value: Any, path: str) -> None:
    error = refusal(value, TypeTable.for_type(Order | Pair))
    assert vars(error)["path"] == path
    assert vars(error)["what"] == WHAT
    assert str(error).startswith(f"cannot record {WHAT}: {path} is a ")


def test_the_message_says_what_to_do() -> None:
    name = f"{__name__}.Order"
    assert str(refusal([Order()])) == (
        f"cannot record {WHAT}: $[0] is a '{name}', a class that a replay could not look up; "
        "annotate the function with it, or call durably.register_types(Order)"
    )
    assert "a subclass of str whose type would be lost; convert it to str" in str(refusal(Text("x")))
    assert "use zoneinfo.ZoneInfo(key)" in str(refusal(dt.datetime(2026, 1, 1, tzinfo=OddZone())))


def test_no_value_is_shown() -> None:
    class Vault:
        def __init__(self) -> None:
            self.secret = CARD

        def __repr__(self) -> str:
            return CARD

    for value in (
        [CARD, Vault()],
        {CARD: Vault()},
        {(CARD, 1): Vault()},
        Text(CARD),
        ValueError(CARD, Vault()),
        Order(when=[CARD, Vault()]),
    ):
        error = refusal(value, TypeTable.for_type(Order))
        assert CARD not in str(error)
        assert error.__cause__ is None
        assert error.__suppress_context__


def test_no_text_of_a_row_is_shown() -> None:
    for text in (
        CARD,
        f'["{CARD}',
        f'{{"$durably":"{CARD}!*"}}',
        f'{{"$durably":"uuid","value":"{CARD}"}}',
    ):
        with pytest.raises(SerializationError) as caught:
            load(text)
        assert CARD not in str(caught.value)
        assert caught.value.__cause__ is None


def test_cycles() -> None:
    loop: list[Any] = [1]
    loop.append(loop)
    assert "$[1] is the object that contains it (a cycle)" in str(refusal(loop))
    parent: dict[str, Any] = {"name": "p"}
    parent["children"] = [{"parent": parent}]
    error = refusal({"tree": parent})
    assert vars(error)["path"] == "$.tree.children[0].parent"
    order = Order()
    order.when = (order,)
    assert "cycle" in str(refusal(order, TypeTable.for_type(Order)))
    wide: list[Any] = []
    wide.extend([wide, wide, wide])
    assert "cycle" in str(refusal(wide))
    problem = ValueError()
    problem.args = (problem,)
    assert "cycle" in str(refusal(problem))


def nested(levels: int, wrap: Any = lambda inner: [inner]) -> Any:
    value: Any = 1
    for _ in range(levels):
        value = wrap(value)
    return value


def test_depth() -> None:
    assert round_trip(nested(200)) == nested(200)
    as_dicts = nested(200, lambda inner: {"a": inner})
    assert round_trip(as_dicts) == as_dicts
    tuples = nested(100, lambda inner: (inner,))
    assert round_trip(tuples) == tuples
    leaf = nested(199, lambda inner: [dt.date(2026, 1, 1), inner])
    assert round_trip(leaf) == leaf
    for levels in (201, 1000, 100_000):
        error = refusal(nested(levels))
        assert "nested deeper than 200 levels" in str(error)
        assert len(str(error)) < 400
    with pytest.raises(SerializationError, match="nested"):
        Serialization().dump_arguments((nested(199),), {}, PLAIN, what=WHAT)


def test_depth_on_reading() -> None:
    for levels in (300, 5_000, 1_000_000):
        for text in (
            "[" * levels + "]" * levels,
            '{"a":' * levels + "1" + "}" * levels,
            '{"$durably":"tuple","value":[' * levels + "]}" * levels,
            "[" * levels,
        ):
            with pytest.raises(SerializationError):
                load(text)


def test_a_full_stack_is_a_refusal_too() -> None:
    def at_the_edge() -> list[BaseException]:
        caught: list[BaseException] = []
        value = nested(150, lambda inner: [inner, ()])

        def climb() -> None:
            try:
                Serialization().dump(value, PLAIN, what=WHAT)
            except SerializationError as error:
                caught.append(error)
                return
            climb()

        climb()
        return caught

    assert len(at_the_edge()) == 1


def test_whatever_a_serializer_raises_is_a_refusal() -> None:
    engine = Serialization(serializer=Broken())
    with pytest.raises(SerializationError, match="KeyError") as caught:
        engine.dump(1, PLAIN, what=WHAT)
    assert CARD not in str(caught.value)
    with pytest.raises(SerializationError, match="KeyError"):
        engine.load(Payload("x", "broken"), PLAIN, what=WHAT)


class Broken:
    """A user's own serializer that raises what it should not."""

    name = "broken"

    def dumps(self, value: object, types: TypeTable) -> str:
        raise KeyError(CARD)

    def loads(self, text: str, types: TypeTable) -> Any:
        raise KeyError(CARD)
