"""How a workflow ends: its value or its own error, the same for its caller, for handles, and for other processes."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Callable
from dataclasses import dataclass
from decimal import Decimal
from typing import Any

import pytest

import durably
from durably import Durably, RemoteError, SerializationError, Status, step, workflow


@dataclass
class Receipt:
    """A value of the application's own class."""

    order: str
    cents: Decimal


class PaymentDeclined(Exception):
    """An error of the application's own class, with a field."""

    def __init__(self, order: str, code: int) -> None:
        super().__init__(order, code)
        self.code = code


class Unstorable(Exception):
    """An error that no process could build again."""

    def __init__(self, order: str, lock: Any) -> None:
        super().__init__(order, lock)

    def __str__(self) -> str:
        return f"{self.args[0]} is locked"


@step
def declined(order: str) -> Receipt:
    raise PaymentDeclined(order, 51)


@workflow
def checkout(order: str) -> Receipt:
    return Receipt(order, Decimal("9.90"))


@workflow
def checkout_declined(order: str) -> Receipt:
    return declined(order)


def everyone(system_url: str, call: Callable[[], Any], workflow_id: str) -> list[Any]:
    """What a direct caller, a second caller, another engine, and an asynchronous one get: values or errors."""

    def asked(ask: Callable[[], Any]) -> Any:
        try:
            return ask()
        except Exception as error:
            return error

    async def main() -> Any:
        async with Durably("outcomes", system_database_url=system_url):
            return await durably.aio.get_result(workflow_id)

    def named() -> Any:
        with durably.workflow_options(workflow_id=workflow_id):
            return call()

    with Durably("outcomes", system_database_url=system_url):
        results = [asked(named), asked(named), asked(lambda: durably.get_result(workflow_id))]
    with Durably("outcomes", system_database_url=system_url):
        results.append(asked(lambda: durably.retrieve_workflow(workflow_id).get_result()))
    results.append(asked(lambda: asyncio.run(main())))
    return results


def test_a_value_comes_back_as_its_own_class(system_url: str) -> None:
    assert everyone(system_url, lambda: checkout("o-1"), "o-1") == [Receipt("o-1", Decimal("9.90"))] * 5


def test_an_error_comes_back_as_its_own_class(system_url: str) -> None:
    for error in everyone(system_url, lambda: checkout_declined("o-1"), "o-1"):
        assert type(error) is PaymentDeclined
        assert (error.args, error.code) == (("o-1", 51), 51)


def test_the_status_tells_success_from_error(system_url: str) -> None:
    with Durably("outcomes", system_database_url=system_url):
        fine, failed = durably.start_workflow(checkout, "a"), durably.start_workflow(checkout_declined, "b")
        fine.get_result(timeout_seconds=30)
        with pytest.raises(PaymentDeclined):
            failed.get_result(timeout_seconds=30)
        assert (fine.get_status().status, failed.get_status().status) == (Status.SUCCESS, Status.ERROR)
        assert fine.get_status().completed_at is not None


def test_an_error_that_cannot_be_built_again_is_a_remote_one_for_everyone(system_url: str) -> None:
    @workflow
    def flow() -> None:
        raise Unstorable("o-1", threading.Lock())

    for error in everyone(system_url, flow, "f"):
        assert type(error) is RemoteError
        assert str(error) == "o-1 is locked"
        assert error.type_name == f"{__name__}.Unstorable"  # type: ignore[attr-defined]


def test_a_steps_error_that_cannot_be_built_again_is_a_remote_one_at_once(system_url: str) -> None:
    """The workflow's code must meet on its first run what a replay would show it."""
    caught: list[type] = []

    @step
    def locked() -> None:
        raise Unstorable("o-1", threading.Lock())

    @workflow
    def flow() -> None:
        with pytest.raises(RemoteError) as raised:
            locked()
        caught.append(type(raised.value.__cause__))

    with Durably("outcomes", system_database_url=system_url):
        flow()
    assert caught == [Unstorable]


@pytest.mark.parametrize(
    "thing", [threading.Lock(), object(), {1: object()}, (lambda: 1)], ids=lambda one: type(one).__name__
)
def test_a_value_that_cannot_be_stored_ends_in_one_clear_error(system_url: str, thing: object) -> None:
    @step
    def unstorable_step() -> object:
        return thing

    @workflow(name="of the workflow")
    def flow() -> object:
        return thing

    @workflow
    def flow_of_step() -> object:
        return unstorable_step()

    for error in everyone(system_url, flow, "f"):
        assert type(error) is SerializationError
        assert "cannot record the output of workflow 'f' ('of the workflow')" in str(error)
    for error in everyone(system_url, flow_of_step, "s"):
        assert type(error) is SerializationError
        assert "unstorable_step' (function id 1) in workflow 's'" in str(error)


def test_a_workflow_may_catch_a_steps_error_and_go_on(system_url: str) -> None:
    @workflow
    def flow() -> str:
        try:
            declined("o-1")
        except PaymentDeclined as error:
            return f"declined with {error.code}"
        return "paid"

    with Durably("outcomes", system_database_url=system_url):
        assert flow() == "declined with 51"


def test_none_and_empty_values_are_values(system_url: str) -> None:
    @step
    def same(value: Any) -> Any:
        return value

    @workflow
    def flow(value: Any) -> Any:
        return same(value)

    with Durably("outcomes", system_database_url=system_url):
        values: list[Any] = [None, "", 0, False, [], {}]
        for number, value in enumerate(values):
            with durably.workflow_options(workflow_id=f"v-{number}"):
                assert flow(value) == value
            result = durably.get_result(f"v-{number}")
            assert (result, type(result)) == (value, type(value))


def test_a_million_characters_are_kept(system_url: str) -> None:
    text = "x\u00e9\U0001f600\n\"'\\%?{}" * 80_000

    @step
    def same(value: str) -> str:
        return value

    @workflow
    def flow(value: str) -> str:
        return same(value)

    with Durably("outcomes", system_database_url=system_url):
        handle = durably.start_workflow(flow, text)
        assert handle.get_result(timeout_seconds=60) == text
        assert durably.get_result(handle.workflow_id) == text
