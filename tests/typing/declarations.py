"""What type checkers see of decorated functions. Checked by `make check`, never run.

A `type: ignore` stands where a checker must complain: if it does not, mypy reports the comment as unused.
"""

from __future__ import annotations

from collections.abc import Callable, Coroutine
from typing import Any

from typing_extensions import assert_type

import durably
from durably import StepOptions, step, transaction, workflow


@step
def bare(sku: str, quantity: int = 1) -> float:
    return len(sku) * float(quantity)


@step(max_attempts=3, interval_seconds=0.5, should_retry=lambda error: isinstance(error, OSError), timeout_seconds=60)
def called(sku: str, *, quantity: int) -> float:
    return len(sku) * float(quantity)


@step
async def awaited(sku: str) -> list[int]:
    return [len(sku)]


@transaction
def reserve(sku: str) -> int:
    return len(sku)


@transaction(adapter="reports", isolation_level="serializable", read_only=True)
async def report(sku: str) -> dict[str, int]:
    return {sku: 1}


@workflow
def checkout(order: str, quantity: int) -> str | None:
    assert_type(bare(order), float)
    assert_type(called(order, quantity=quantity), float)
    assert_type(reserve(order), int)
    return order


@workflow(name="checkout", aliases=("old",), max_recovery_attempts=None)
async def checkout_later(order: str) -> bytes:
    assert_type(await awaited(order), list[int])
    assert_type(await report(order), dict[str, int])
    return order.encode()


class Mailer:
    """Every kind of method."""

    @step
    def send(self, to: str) -> int:
        return len(to)

    @classmethod
    @step
    def of_class(cls, to: str) -> int:
        return len(to)

    @staticmethod
    @step
    def of_none(to: str) -> int:
        return len(to)

    @workflow
    def campaign(self, to: str) -> list[int]:
        return [self.send(to), self.of_class(to), self.of_none(to)]

    @workflow
    async def campaign_later(self, to: str) -> int:
        return len(to)


def right() -> None:
    assert_type(bare("widget"), float)
    assert_type(bare("widget", 2), float)
    assert_type(bare("widget", quantity=2), float)
    assert_type(called("widget", quantity=2), float)
    assert_type(checkout("o-1", 2), "str | None")
    coroutine: Coroutine[Any, Any, bytes] = checkout_later("o-1")
    coroutine.close()
    eu = durably.configured("mailer-eu", Mailer())
    assert_type(eu, Mailer)
    assert_type(eu.campaign("x"), list[int])
    assert_type(Mailer.of_class("x"), int)
    assert_type(Mailer.of_none("x"), int)
    decorated: Callable[[str, int], str | None] = checkout
    decorated("o-1", 1)


def wrong() -> None:
    bare(1)  # type: ignore[arg-type]
    bare("widget", "two")  # type: ignore[arg-type]
    bare("widget", 1, 2)  # type: ignore[call-arg]
    called("widget")  # type: ignore[call-arg]
    checkout("o-1")  # type: ignore[call-arg]
    checkout("o-1", quantity="2")  # type: ignore[arg-type]
    Mailer().send(5)  # type: ignore[arg-type]
    Mailer().campaign()  # type: ignore[call-arg]
    number: int = bare("widget")  # type: ignore[assignment]
    step(max_attempts="three")  # type: ignore[call-overload]
    step(attempts=3)  # type: ignore[call-overload]
    workflow(max_recovery_attempts="many")  # type: ignore[call-overload]
    transaction(isolation_level=1)  # type: ignore[call-overload]
    StepOptions(max_attempts="three")  # type: ignore[arg-type]
    durably.workflow_options("w-1")  # type: ignore[call-arg]
    with durably.workflow_options(workflow_id=5):  # type: ignore[arg-type]
        print(number)


def ambient() -> None:
    assert_type(durably.workflow_id(), "str | None")
    assert_type(durably.step_id(), "int | None")
    assert_type(durably.step_key(), str)
    assert_type(durably.attempt(), int)
