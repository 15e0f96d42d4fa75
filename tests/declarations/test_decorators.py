"""The decorators declare and do nothing else: a decorated function stays a function, and odd ones are refused."""

from __future__ import annotations

import inspect
from collections.abc import AsyncIterator, Callable, Iterator
from typing import Any

import pytest

import durably
from durably import ConfigurationError, DeclarationError, DurablyError, step, transaction, workflow
from durably.declared import declaration_of
from durably.registry import registry

DECORATORS = [pytest.param(one, id=one.__name__) for one in (workflow, step, transaction)]
Decorator = Callable[..., Any]


@pytest.mark.parametrize("decorator", DECORATORS)
def test_bare_and_called_declare_the_same(decorator: Decorator) -> None:
    def bare(amount: int) -> int:
        return amount

    def called(amount: int) -> int:
        return amount

    for function in (decorator(bare), decorator()(called)):
        declaration = declaration_of(function)
        assert declaration is not None
        assert declaration.kind == decorator.__name__
        assert registry.find(declaration.name) is declaration


@pytest.mark.parametrize("decorator", DECORATORS)
def test_a_decorated_function_keeps_what_describes_it(decorator: Decorator) -> None:
    def original(order: str, /, *, cents: int = 990) -> tuple[str, int]:
        """What it does."""
        return order, cents

    decorated = decorator(original)

    assert decorated.__doc__ == "What it does."
    assert decorated.__name__ == "original"
    assert decorated.__qualname__ == original.__qualname__
    assert decorated.__module__ == __name__
    assert inspect.signature(decorated) == inspect.signature(original)
    assert decorated.__wrapped__ is original


@pytest.mark.parametrize("decorator", DECORATORS)
def test_a_coroutine_function_is_declared_as_one(decorator: Decorator) -> None:
    @decorator
    async def later() -> None:
        """Does nothing."""

    declaration = declaration_of(later)
    assert declaration is not None
    assert declaration.is_async


def test_a_step_is_a_plain_call_before_launch() -> None:
    @step
    def double(amount: int) -> int:
        return amount * 2

    assert double(21) == 42


async def _value(amount: int) -> int:
    return amount


def test_a_coroutine_step_is_a_plain_call_before_launch() -> None:
    coroutine = step(_value)(21)
    with pytest.raises(StopIteration) as stop:
        coroutine.send(None)
    assert stop.value.value == 21


def test_declaring_opens_nothing_and_starts_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    import socket
    import sqlite3
    import threading

    def refuse(*_: object, **__: object) -> None:
        raise AssertionError("a declaration must not do this")

    for owner, name in ((threading.Thread, "start"), (sqlite3, "connect"), (socket, "socket")):
        monkeypatch.setattr(owner, name, refuse)

    @workflow
    def flow() -> None:
        """Does nothing."""

    @step
    def one() -> None:
        """Does nothing."""

    durably.Durably("shop", system_database_url="sqlite:///never-made.db")
    assert declaration_of(flow) is not None
    assert declaration_of(one) is not None


@pytest.mark.parametrize("decorator", DECORATORS)
def test_a_generator_is_refused(decorator: Decorator) -> None:
    def numbers() -> Iterator[int]:
        yield 1

    async def numbers_later() -> AsyncIterator[int]:
        yield 1

    for function in (numbers, numbers_later):
        with pytest.raises(DeclarationError, match=r"generator .*numbers.*; return a list"):
            decorator(function)


@pytest.mark.parametrize("decorator", DECORATORS)
@pytest.mark.parametrize("thing", [int, object(), "function", len, None], ids=repr)
def test_what_is_no_function_is_refused(decorator: Decorator, thing: object) -> None:
    if thing is None:
        assert callable(decorator(thing))  # the called form, with nothing given
        return
    with pytest.raises(DeclarationError, match="takes a function or coroutine function"):
        decorator(thing)


def test_a_class_is_refused_with_what_to_do() -> None:
    with pytest.raises(DeclarationError, match="directly above the `def`"):

        @step
        class Charge:
            """Not a function."""


@pytest.mark.parametrize("inner", DECORATORS)
@pytest.mark.parametrize("outer", DECORATORS)
def test_a_function_is_declared_once(inner: Decorator, outer: Decorator) -> None:
    declared = inner(lambda: 1)
    with pytest.raises(DeclarationError, match=f"declared twice, as {inner.__name__} and as {outer.__name__}"):
        outer(declared)


@pytest.mark.parametrize("attempts", [0, -1])
def test_max_recovery_attempts_is_at_least_one(attempts: int) -> None:
    with pytest.raises(ConfigurationError, match="max_recovery_attempts"):
        workflow(max_recovery_attempts=attempts)


def test_a_malformed_declaration_is_not_registered() -> None:
    before = registry.names()
    with pytest.raises(DurablyError):
        step(len)
    with pytest.raises(DurablyError):
        step(max_attempts=0)
    assert registry.names() == before
