"""Recorded errors come back as their own class, with args, attributes and causes, or as a RemoteError."""

from __future__ import annotations

import collections
import dataclasses
import json
import subprocess
import threading
import urllib.error
from decimal import Decimal
from typing import Any

import pytest

from durably.errors import RemoteError, SerializationError, StepAttemptsExceededError, WaitTimeoutError
from durably.serialization import Payload, Serialization, TypeTable, is_faithful, register_types
from tests.serialization.same import PLAIN, WHAT, round_trip

ENGINE = Serialization()


def replayed(error: BaseException) -> Exception:
    """What a replay raises for ``error``."""
    payload = ENGINE.dump_error(error, what=WHAT)
    assert payload.serialization == "json"
    back = ENGINE.load_error(payload, what=WHAT)
    assert is_faithful(error) == (type(back) is type(error))
    return back


class CardDeclined(Exception):
    """An ordinary exception of an application: its signature is not its args."""

    def __init__(self, code: int, *, amount: Decimal) -> None:
        super().__init__(f"declined with {code}")
        self.code = code
        self.amount = amount


class Bare(Exception):
    def __init__(self, code: int) -> None:
        self.code = code  # and super().__init__ is not called

    def __str__(self) -> str:
        return f"code {self.code}"


class Slotted(ValueError):
    __slots__ = ("hint",)
    hint: tuple[str, ...]


class Outer(Exception):
    class Inner(KeyError):
        pass


class Loud(Exception):
    def __new__(cls, *args: object) -> Loud:
        calls.append("new")
        return super().__new__(cls, *args)

    def __init__(self, *args: object) -> None:
        calls.append("init")

    def __setattr__(self, name: str, value: object) -> None:
        calls.append("setattr")
        super().__setattr__(name, value)


calls: list[str] = []


@dataclasses.dataclass
class Detail:
    x: int


@pytest.mark.parametrize(
    "error",
    [
        ValueError(),
        ValueError("a", 1, (2, None), Decimal("1.5")),
        KeyError("k"),
        ZeroDivisionError("z"),
        AssertionError("\ud83d\ude00 \x00"),
        UnicodeDecodeError("utf-8", b"\xff" * 300, 290, 291, "bad"),
        UnicodeEncodeError("ascii", "\xe9", 0, 1, "bad"),
        OSError("text only"),
        FileNotFoundError(2, "No such file", "a.txt"),
        OSError(2, "No such file", "a.txt", None, "b.txt"),
        BlockingIOError(11, "again", 5),
        ConnectionResetError(104, "reset"),
        TimeoutError("late"),
        ImportError("no", name="thing", path="/x"),
        ModuleNotFoundError("no", name="thing"),
        NameError("no", name="x"),
        SyntaxError("bad", ("f.py", 1, 2, "text")),
        SyntaxError("bad", ("f.py", 1, 2, "text", 1, 3)),
        UnicodeTranslateError("x", 0, 1, "bad"),
        json.JSONDecodeError("bad", "doc", 1),
        subprocess.CalledProcessError(1, ["cmd"], b"out"),
        urllib.error.URLError("refused"),
        CardDeclined(5, amount=Decimal("1")),
        Bare(5),
        Outer.Inner("k"),
        StepAttemptsExceededError("3 times", errors=["a", "b"], workflow_id="w"),
        WaitTimeoutError("late", seconds=1.5),
        RuntimeError(ValueError("inside")),
    ],
    ids=lambda error: type(error).__name__,
)
def test_comes_back_as_it_was(error: Exception) -> None:
    back = replayed(error)
    assert type(back) is type(error)
    assert str(back) == str(error)
    assert repr(back.args) == repr(error.args)
    assert {name: repr(value) for name, value in vars(back).items()} == {
        name: repr(value) for name, value in vars(error).items()
    }
    for name in (
        "errno",
        "strerror",
        "filename",
        "filename2",
        "characters_written",
        "name",
        "path",
        "lineno",
    ):
        assert getattr(back, name, None) == getattr(error, name, None)
    assert back.__traceback__ is None
    again = replayed(back)
    assert type(again) is type(back)
    assert str(again) == str(back)


def test_slots_of_an_exception() -> None:
    error = Slotted("x")
    error.hint = ("try", "again")
    back = replayed(error)
    assert isinstance(back, Slotted)
    assert back.hint == ("try", "again")


def test_an_attribute_that_cannot_be_stored_is_left_out() -> None:
    error = CardDeclined(5, amount=Decimal(1))
    error.response = threading.Lock()  # type: ignore[attr-defined]
    payload = ENGINE.dump_error(error, what=WHAT)
    assert json.loads(payload.text)["dropped"] == ["response"]
    back = replayed(error)
    assert isinstance(back, CardDeclined)
    assert back.amount == Decimal(1)
    assert not hasattr(back, "response")


def test_http_errors() -> None:
    error = urllib.error.HTTPError("http://x/", 404, "Not Found", None, None)  # type: ignore[arg-type]
    with error:
        back = replayed(error)
        assert str(back) == "HTTP Error 404: Not Found"
        assert vars(back)["code"] == 404


def test_no_code_of_the_class_runs() -> None:
    payload = ENGINE.dump_error(Loud("x"), what=WHAT)
    calls.clear()
    back = ENGINE.load_error(payload, what=WHAT)
    assert type(back) is Loud
    assert back.args == ("x",)
    assert calls == []


def test_registered_values_inside_an_error() -> None:
    assert type(replayed(ValueError(Detail(1)))) is RemoteError
    register_types(Detail)
    assert replayed(ValueError(Detail(1))).args == (Detail(1),)


@pytest.mark.parametrize(
    "error",
    [
        ValueError(print),
        ValueError(threading.Lock()),
        ValueError(Detail(1)),
        ValueError(collections.OrderedDict()),
        KeyboardInterrupt("stop"),
        SystemExit(3),
        GeneratorExit(),
        BaseException("base"),
        StopIteration(1),
        StopAsyncIteration(),
    ],
    ids=lambda error: type(error).__name__,
)
def test_becomes_a_remote_error(error: BaseException) -> None:
    back = replayed(error)
    assert type(back) is RemoteError
    assert back.__dict__["type_name"] == f"builtins.{type(error).__name__}"
    assert str(back) == str(error)


def test_a_class_that_this_process_lacks() -> None:
    text = '{"type":"shop.errors.Declined","message":"no money","args":["x"],"state":{"a":1}}'
    back = ENGINE.load_error(Payload(text, "json"), what=WHAT)
    assert type(back) is RemoteError
    assert (str(back), back.__dict__["type_name"]) == ("no money", "shop.errors.Declined")
    again = replayed(back)
    assert (str(again), again.__dict__["type_name"]) == ("no money", "shop.errors.Declined")
    assert "no money" in str(replayed(RemoteError("no money")))


def test_a_class_defined_twice() -> None:
    def define() -> type[Exception]:
        class Again(Exception):
            pass

        return Again

    old, new = define(), define()
    assert type(replayed(new("x"))) is new
    assert not is_faithful(old("x"))


def test_causes_are_kept_three_deep() -> None:
    first: BaseException = ValueError("0")
    last = first
    for n in range(1, 6):
        cause: BaseException = CardDeclined(n, amount=Decimal(n)) if n % 2 else KeyboardInterrupt(n)
        last.__cause__ = cause
        last = cause
    seen: list[str] = []
    at: BaseException | None = replayed(first)
    while at is not None:
        seen.append(type(at).__name__)
        at = at.__cause__
    assert seen == ["ValueError", "CardDeclined", "RemoteError", "CardDeclined"]


def test_an_error_that_causes_itself() -> None:
    error = ValueError("x")
    error.__cause__ = error
    assert type(replayed(error)) is ValueError


def test_notes() -> None:
    error = ValueError("x")
    error.__notes__ = ["first", "second \ud83d\ude00", 5]  # type: ignore[attr-defined]
    assert vars(replayed(error))["__notes__"] == ["first", "second \ud83d\ude00"]
    error.__notes__ = "broken"  # type: ignore[attr-defined]
    assert type(replayed(error)) is ValueError


def test_exceptions_as_values() -> None:
    values = [ValueError("x"), CardDeclined(1, amount=Decimal("2"))]
    back = round_trip({"results": [1, *values]})["results"]
    assert [repr(value) for value in back] == [repr(value) for value in [1, *values]]
    assert back[2].amount == Decimal("2")
    dropped = CardDeclined(1, amount=Decimal("2"))
    dropped.response = print  # type: ignore[attr-defined]
    for error in (dropped, ValueError(print), KeyboardInterrupt(), StopIteration(), RemoteError("no type")):
        with pytest.raises(SerializationError):
            round_trip([error])
    remote = round_trip(RemoteError("m", type_name="a.B"))
    assert (str(remote), remote.type_name) == ("m", "a.B")


class Hostile(Exception):
    """Everything about it fails."""

    def __init__(self) -> None:
        pass

    def __str__(self) -> str:
        raise SystemExit("str")

    __repr__ = __str__

    def __getattribute__(self, name: str) -> Any:
        raise RuntimeError(name)

    def __eq__(self, other: object) -> bool:
        raise RuntimeError("eq")

    def __hash__(self) -> int:
        raise RuntimeError("hash")

    def __reduce__(self) -> Any:
        raise RuntimeError("reduce")

    @property
    def args(self) -> Any:  # type: ignore[override]
        raise RuntimeError("args")


class OddText(str):
    def __str__(self) -> str:
        raise RuntimeError

    def __len__(self) -> int:
        raise RuntimeError


class OddMessage(Exception):
    def __str__(self) -> str:
        return OddText("text")


class Changing(Exception):
    def __str__(self) -> str:
        return f"{id(self)}"


def test_writing_an_error_never_fails() -> None:
    loop = ValueError("loop")
    loop.args = (loop, [loop])
    loop.self = loop  # type: ignore[attr-defined]
    busy = ValueError("busy")
    for n in range(30):
        setattr(busy, f"a{n}", [busy, {"x": busy}])
    keyed = ValueError("keyed")
    vars(keyed)[5] = 1  # type: ignore[index]
    vars(keyed)["$durably"] = 2
    deep: Any = []
    for _ in range(5000):
        deep = [deep]
    for error, name in (
        (Hostile(), "Hostile"),
        (OddMessage(), "OddMessage"),
        (Changing(), "RemoteError"),
        (loop, "RemoteError"),
        (busy, "ValueError"),
        (keyed, "ValueError"),
        (ValueError(deep), "RemoteError"),
        (ValueError("x" * 1_000_000), "ValueError"),
    ):
        assert type(replayed(error)).__name__ == name, type(error)
    assert str(replayed(OddMessage())) == "text"


@pytest.mark.parametrize(
    "payload",
    [
        Payload("", "json"),
        Payload("{}", "json"),
        Payload("[]", "json"),
        Payload('{"type":5,"message":"x"}', "json"),
        Payload('{"type":"a.B"}', "json"),
        Payload('{"type":"a.B","message":5}', "json"),
        Payload('{"type":"x","message":"x","cause":' * 500 + "1" + "}" * 500, "json"),
        Payload("gASVCgAAAAAAAACMBnNlY3JldJQu", "pickle"),
        Payload("x", "JSON"),
        Payload(None, "json"),  # type: ignore[arg-type]
        Payload("{}", None),  # type: ignore[arg-type]
        None,
    ],
)
def test_reading_an_error_never_fails(payload: Any) -> None:
    back = ENGINE.load_error(payload, what=WHAT)
    assert type(back) is RemoteError
    assert WHAT in str(back)
    assert back.__dict__["type_name"] == "unknown"


@pytest.mark.parametrize(
    "text",
    [
        '{"type":"builtins.UnicodeDecodeError","message":"x","args":["only one"]}',
        '{"type":"builtins.OSError","message":"x","args":[2,"would be FileNotFoundError"]}',
        '{"type":"builtins.ExceptionGroup","message":"x","args":["no members"],"group":[]}',
        '{"type":"builtins.OSError","message":"x","args":[],"state":{"characters_written":"x"}}',
        '{"type":"builtins.ValueError","message":"x","args":5}',
        '{"type":"builtins.ValueError","message":"x","args":[],"state":5}',
        '{"type":"builtins.ValueError","message":"x","notes":5}',
        '{"type":"builtins.ValueError","message":"x","cause":5}',
        '{"type":"builtins.ValueError","message":"x","args":[],"group":5}',
        '{"type":"builtins.ValueError","message":"x","args":[{"$durably":"x"}]}',
        '{"type":"builtins.ValueError","message":"x","args":[{"$durably":"enum","class":"a:B","value":"C"}]}',
    ],
)
def test_a_damaged_part_leaves_type_and_message(text: str) -> None:
    back = ENGINE.load_error(Payload(text, "json"), what=WHAT)
    assert type(back) is RemoteError
    assert str(back) == "x"
    assert back.__dict__["type_name"] == json.loads(text)["type"]


def test_a_table_changes_nothing_for_errors() -> None:
    assert not TypeTable.for_type(Detail).knows(ValueError)
    assert not PLAIN.knows(ValueError)
