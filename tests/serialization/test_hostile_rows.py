"""Whatever a row says: no code runs, nothing is imported, and the only error is a SerializationError."""

from __future__ import annotations

import base64
import contextlib
import json
import os
import pickle
import sys
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from durably.errors import ConfigurationError, RemoteError, SerializationError
from durably.serialization import JsonSerializer, Payload, Serialization, TypeTable
from durably.serialization.pickled import PickleSerializer
from tests.serialization.same import PLAIN, WHAT
from tests.serialization.test_round_trip import CLASSES, Box, Color, Point, Right

ENGINE = Serialization()


class Canary:
    """Unpickling it makes a file."""

    def __init__(self, path: Path) -> None:
        self.path = path

    def __reduce__(self) -> Any:
        return os.mkdir, (str(self.path),)


@pytest.fixture
def canary(tmp_path: Path) -> tuple[str, Path]:
    """A pickle as a row would hold it, and what must not be there after it was met."""
    path = tmp_path / "canary"
    return base64.b64encode(pickle.dumps(Canary(path))).decode(), path


@pytest.mark.parametrize(
    "name",
    [
        "pickle",
        "Pickle",
        "PICKLE",
        " pickle",
        "pickle ",
        "json+pickle",
        "pickle+json",
        "py_pickle",
        "",
        "..",
        "os.system",
    ],
)
def test_a_row_does_not_choose_its_reader(name: str, canary: tuple[str, Path]) -> None:
    text, path = canary
    payload = Payload(text, name)
    for engine in (ENGINE, Serialization(also_reads=[Upper()])):
        for types in (PLAIN, CLASSES):
            with pytest.raises(SerializationError, match="also_reads") as caught:
                engine.load(payload, types, what=WHAT)
            assert WHAT in str(caught.value)
            with pytest.raises(SerializationError):
                engine.load_arguments(payload, types, what=WHAT)
        assert type(engine.load_error(payload, what=WHAT)) is RemoteError
    assert not path.exists()


@pytest.mark.parametrize("name", ["JSON", "Json", " json", "json ", "json+zlib", "jsonx"])
def test_names_are_matched_exactly(name: str) -> None:
    with pytest.raises(SerializationError, match="written with"):
        ENGINE.load(Payload("1", name), PLAIN, what=WHAT)


def test_pickle_is_opted_into(canary: tuple[str, Path]) -> None:
    engine = Serialization(PickleSerializer())
    value = [complex(1, 2), {1: Box, 2: range(3)}]
    payload = engine.dump(value, PLAIN, what=WHAT)
    assert payload.serialization == "pickle"
    assert engine.load(payload, PLAIN, what=WHAT) == value
    assert Serialization(also_reads=[PickleSerializer()]).load(payload, PLAIN, what=WHAT) == value
    arguments = engine.dump_arguments((1,), {"a": {2}}, PLAIN, what=WHAT)
    assert engine.load_arguments(arguments, PLAIN, what=WHAT) == ((1,), {"a": {2}})
    with pytest.raises(SerializationError, match="PickleSerializer"):
        ENGINE.load(payload, PLAIN, what=WHAT)
    for text in ("", "x", "!!!!", "é", "gASV"):
        with pytest.raises(SerializationError, match="pickle"):
            engine.load(Payload(text, "pickle"), PLAIN, what=WHAT)
    for unpicklable in (lambda: None, OneWay(1, 2)):
        with pytest.raises(SerializationError, match="read back") as caught:
            engine.dump(unpicklable, PLAIN, what=WHAT)
        assert "secret" not in str(caught.value)


class OneWay(Exception):
    """What pickle writes and cannot read."""

    def __init__(self, a: int, b: int) -> None:
        super().__init__("secret")


def test_errors_are_json_whatever_the_serializer() -> None:
    engine = Serialization(PickleSerializer())
    payload = engine.dump_error(ValueError("x"), what=WHAT)
    assert payload.serialization == "json"
    assert type(engine.load_error(payload, what=WHAT)) is ValueError


class Upper:
    name = "upper"

    def dumps(self, value: object, types: TypeTable) -> str:
        return str(value).upper()

    def loads(self, text: str, types: TypeTable) -> Any:
        return text.lower()


def test_the_readers_are_a_closed_set() -> None:
    engine = Serialization(Upper())
    assert engine.dump("a", PLAIN, what=WHAT) == Payload("A", "upper")
    with pytest.raises(SerializationError, match="reads only 'upper'"):
        engine.load(Payload("1", "json"), PLAIN, what=WHAT)
    assert Serialization(Upper(), [JsonSerializer()]).load(Payload("1", "json"), PLAIN, what=WHAT) == 1
    with pytest.raises(ConfigurationError, match="two serializers are called 'json'"):
        Serialization(also_reads=[JsonSerializer()])
    nameless = Upper()
    nameless.name = ""
    with pytest.raises(ConfigurationError, match="needs a name"):
        Serialization(nameless)


# Classes that a row names.


@pytest.mark.parametrize(
    "name",
    [
        "os.system",
        "builtins.eval",
        "builtins.object",
        "builtins.SystemExit",
        "builtins.KeyboardInterrupt",
        "builtins.GeneratorExit",
        "builtins.BaseException",
        "builtins.StopIteration",
        "subprocess.Popen",
        "antigravity.Anything",
        "this",
        "antigravity",
        "sys.modules",
        "os.path.join.__globals__",
        "os.error",  # an alias: the class is builtins.OSError
        "durably.errors.os",
        "..",
        "",
        ".",
        "a" * 5000,
        ".".join("abcdefgh" * 100),
        "builtins.ValueError ",
        "Builtins.ValueError",
    ],
)
def test_a_recorded_error_selects_among_exceptions_only(name: str) -> None:
    before = set(sys.modules)
    text = json.dumps({"type": name, "message": "m", "args": ["touch /tmp/canary"]})
    back = ENGINE.load_error(Payload(text, "json"), what=WHAT)
    assert type(back) is RemoteError
    assert back.__dict__["type_name"] == name
    value = ENGINE.load(Payload(f'[{{"$durably":"exception","value":{text}}}]', "json"), PLAIN, what=WHAT)
    assert type(value[0]) is RemoteError
    assert set(sys.modules) == before


def test_a_module_that_imports_on_demand_is_not_asked(monkeypatch: pytest.MonkeyPatch) -> None:
    import types

    class Lazy(types.ModuleType):
        def __getattribute__(self, name: str) -> Any:
            raise AssertionError("asked")

    lazy = types.ModuleType("lazy_by_getattr")
    lazy.__getattr__ = lambda name: pytest.fail("asked")  # type: ignore[method-assign]
    monkeypatch.setitem(sys.modules, "lazy_by_getattr", lazy)
    monkeypatch.setitem(sys.modules, "lazy_by_class", Lazy("lazy_by_class"))
    for name in ("lazy_by_getattr.Error", "lazy_by_class.Error"):
        text = json.dumps({"type": name, "message": "m", "args": []})
        assert type(ENGINE.load_error(Payload(text, "json"), what=WHAT)) is RemoteError


@pytest.mark.parametrize("kind", ["dataclass", "pydantic", "enum", "flag", "namedtuple"])
@pytest.mark.parametrize(
    "name",
    ["os:system", "antigravity:X", "builtins:eval", "tests.serialization.same:round_trip", "os", ":", ""],
)
def test_a_class_comes_from_the_table_only(kind: str, name: str) -> None:
    before = set(sys.modules)
    text = json.dumps({"$durably": kind, "class": name, "value": {}})
    with pytest.raises(SerializationError, match="does not know"):
        ENGINE.load(Payload(text, "json"), CLASSES, what=WHAT)
    assert set(sys.modules) == before


@pytest.mark.parametrize("key", ["../../etc/passwd", "/etc/passwd", "a.b/c", "..", "", "No/Such", "Europe", "x" * 999])
def test_a_zone_is_no_path(key: str) -> None:
    before = set(sys.modules)
    text = json.dumps({"$durably": "datetime", "value": "2026-01-01T00:00:00", "zone": key})
    with pytest.raises(SerializationError, match="damaged datetime"):
        ENGINE.load(Payload(text, "json"), PLAIN, what=WHAT)
    # ZoneInfo itself looks into the tzdata package, with the standard library's importlib.
    packages = {name.partition(".")[0] for name in set(sys.modules) - before}
    assert packages <= {"importlib", "tzdata", "zoneinfo"}


# Damaged text.

SEEDS = [
    ENGINE.dump(value, CLASSES, what=WHAT).text
    for value in (
        {"a": [1, 2.5, None, (1, {2}), frozenset([b"x"])], "$durably": 1, 3: float("nan")},
        [
            Box(Point(1, Color.RED), "l"),
            Right.READ | Right.WRITE,
            ValueError("x", (1,)),
            10**700,
            "\ud83d\ude00",
        ],
    )
]
WORDS = [
    *[
        "$durably",
        "value",
        "class",
        "zone",
        "fold",
        "name",
        "args",
        "state",
        "type",
        "message",
        "cause",
        "notes",
    ],
    *[
        "tuple",
        "set",
        "dict",
        "datetime",
        "time",
        "date",
        "timedelta",
        "decimal",
        "uuid",
        "bytes",
        "bytearray",
    ],
    *[
        "int",
        "float",
        "str",
        "complex",
        "enum",
        "flag",
        "dataclass",
        "namedtuple",
        "pydantic",
        "exception",
        "nan",
    ],
    *[
        "builtins.OSError",
        "builtins.ExceptionGroup",
        "group",
        "set",
        "extra",
        "private",
        "__class__",
        "__dict__",
    ],
    *[f"{Box.__module__}:{cls.__name__}" for cls in (Box, Point, Color, Right)],
]
JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.sampled_from(WORDS) | st.text(max_size=5),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.sampled_from(WORDS), inner, max_size=4),
    max_leaves=10,
)


def survives(text: Any) -> None:
    """A value or a ``SerializationError``; any other exception fails the test."""
    payload = Payload(text, "json")
    for read in (ENGINE.load, ENGINE.load_arguments):
        with contextlib.suppress(SerializationError):
            read(payload, CLASSES, what=WHAT)
    assert isinstance(ENGINE.load_error(payload, what=WHAT), Exception)


@settings(max_examples=300, deadline=None)
@given(st.text(st.characters(codec=None, exclude_categories=()), max_size=30))
def test_any_text(text: str) -> None:
    survives(text)


@settings(max_examples=500, deadline=None)
@given(JSON)
def test_any_json(tree: Any) -> None:
    survives(json.dumps(tree))
    survives(json.dumps({"type": "builtins.OSError", "message": "m", "args": [tree], "state": {"errno": tree}}))
    for tag in ("datetime", "timedelta", "complex", "dict", "decimal", "exception", "flag"):
        survives(json.dumps({"$durably": tag, "class": WORDS[-1], "value": tree, "zone": tree, "name": tree}))


@settings(max_examples=300, deadline=None)
@given(st.sampled_from(SEEDS), st.data())
def test_mutated_text(text: str, data: st.DataObject) -> None:
    for _ in range(data.draw(st.integers(1, 3))):
        at = data.draw(st.integers(0, len(text)))
        cut = data.draw(st.integers(0, 4))
        text = (
            text[:at] + data.draw(st.sampled_from(["", '"', "{", "]", "1", "null", "\\u0000", "é"])) + text[at + cut :]
        )
    survives(text)


@pytest.mark.parametrize("text", [None, b"1", 5, [], "NaN", "Infinity", "-Infinity", "1" * 5000, "\ufeff1", "1 2"])
def test_what_is_no_json(text: Any) -> None:
    with pytest.raises(SerializationError):
        ENGINE.load(Payload(text, "json"), PLAIN, what=WHAT)


@pytest.mark.parametrize("text", ["[]", "{}", '{"args":[]}', '{"args":{},"kwargs":{}}', '{"args":[],"kwargs":[]}', "1"])
def test_what_is_no_call(text: str) -> None:
    with pytest.raises(SerializationError, match="no arguments of a call"):
        ENGINE.load_arguments(Payload(text, "json"), PLAIN, what=WHAT)


def test_the_reserved_key_in_disguise_is_the_reserved_key() -> None:
    assert ENGINE.load(Payload('{"\\u0024durably":"tuple","value":[1]}', "json"), PLAIN, what=WHAT) == (1,)
    assert ENGINE.load(Payload('{"$\\u0064urably":"tuple","value":[1]}', "json"), PLAIN, what=WHAT) == (1,)


def test_a_name_of_state_is_only_a_name() -> None:
    text = json.dumps(
        {
            "$durably": "dataclass",
            "class": f"{Box.__module__}:Box",
            "value": {"inside": 1, "label": "", "__class__": "x", "__dict__": {"a": 1}, "$durably": "os"},
        }
    )
    box = ENGINE.load(Payload(text, "json"), CLASSES, what=WHAT)
    assert type(box) is Box
    assert box == Box(1, "")
