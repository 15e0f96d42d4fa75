"""Exception groups (Python 3.11) keep their members."""

from __future__ import annotations

import builtins
import json
from typing import Any

import pytest

from durably.errors import RemoteError
from durably.serialization import Payload, Serialization, is_faithful
from tests.serialization.same import WHAT

ENGINE = Serialization()
# By name, because on 3.10 neither exists, and the rest of this file must still be read there.
Group: Any = getattr(builtins, "ExceptionGroup", Exception)
BaseGroup: Any = getattr(builtins, "BaseExceptionGroup", Exception)
needs_groups = pytest.mark.skipif(Group is Exception, reason="exception groups came with Python 3.11")


class Declined(Exception):
    def __init__(self, code: int) -> None:
        super().__init__(f"declined with {code}")
        self.code = code


class Many(Group):  # type: ignore[misc]
    pass


def replayed(error: BaseException) -> Any:
    back = ENGINE.load_error(ENGINE.dump_error(error, what=WHAT), what=WHAT)
    assert is_faithful(error) == (type(back) is type(error))
    return back


@needs_groups
@pytest.mark.parametrize("kind", [Group, Many])
def test_members_keep_their_classes(kind: Any) -> None:
    inner = Group("inner", [Declined(1), ValueError(print)])
    group = kind("outer", [inner, KeyError("k")])
    back = replayed(group)
    assert type(back) is kind
    assert str(back) == str(group)
    assert [type(member) for member in back.exceptions] == [Group, KeyError]
    assert [type(member) for member in back.exceptions[0].exceptions] == [Declined, RemoteError]
    assert back.exceptions[0].exceptions[0].code == 1


@needs_groups
def test_a_group_of_what_is_no_exception_is_remote() -> None:
    assert type(replayed(BaseGroup("b", [KeyboardInterrupt()]))) is RemoteError


@needs_groups
def test_groups_nested_without_end() -> None:
    deep: Exception = ValueError()
    for _ in range(300):
        deep = Group("g", [deep])
    assert isinstance(replayed(deep), (Group, RemoteError))


def test_a_group_where_there_are_none() -> None:
    form = {"type": "shop.Many", "message": "m", "args": ["m"], "group": [{"type": "a.B", "message": "x"}]}
    back = ENGINE.load_error(Payload(json.dumps(form), "json"), what=WHAT)
    assert type(back) is RemoteError
    assert str(back) == "m"
