"""What type checkers see of starts, handles and results. Checked by `make check`, never run."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from typing_extensions import assert_type

import durably
from durably import Durably, WorkflowHandle, WorkflowStatus, aio, workflow


@dataclass
class Receipt:
    cents: int


@workflow
def checkout(order: str, quantity: int = 1) -> Receipt:
    return Receipt(len(order) * quantity)


@workflow
async def checkout_later(order: str, *, quantity: int) -> Receipt:
    return Receipt(len(order) * quantity)


class Mailer:
    @workflow
    def campaign(self, to: str) -> list[int]:
        return [len(to)]

    @classmethod
    @workflow
    def of_class(cls, to: str) -> int:
        return len(to)

    @workflow
    async def campaign_later(self, to: str) -> bool:
        return bool(to)


def blocking(eu: Mailer) -> None:
    handle = durably.start_workflow(checkout, "o-1", quantity=2)
    assert_type(handle, WorkflowHandle[Receipt])
    assert_type(handle.workflow_id, str)
    assert_type(handle.get_result(), Receipt)
    assert_type(handle.get_result(timeout_seconds=1.5), Receipt)
    assert_type(handle.get_status(), WorkflowStatus)
    # A coroutine workflow is started alike, and its handle gives what it returns, not a coroutine.
    assert_type(durably.start_workflow(checkout_later, "o-1", quantity=2), WorkflowHandle[Receipt])
    assert_type(durably.start_workflow(eu.campaign, "x"), WorkflowHandle[list[int]])
    assert_type(durably.start_workflow(eu.campaign_later, "x"), WorkflowHandle[bool])
    assert_type(durably.start_workflow(Mailer.of_class, "x"), WorkflowHandle[int])

    assert_type(durably.retrieve_workflow("o-1"), WorkflowHandle[Any])
    assert_type(durably.retrieve_workflow("o-1", expect=Receipt), WorkflowHandle[Receipt])
    assert_type(durably.get_result("o-1"), Any)
    assert_type(durably.get_result("o-1", expect=Receipt), Receipt)
    assert_type(durably.get_result("o-1", timeout_seconds=2, expect=list[int]), list[int])
    assert_type(durably.get_workflow_status("o-1"), WorkflowStatus)


def blocking_wrong(eu: Mailer) -> None:
    durably.start_workflow(checkout)  # type: ignore[call-overload]
    durably.start_workflow(checkout, 5)  # type: ignore[call-overload]
    durably.start_workflow(checkout, "o-1", quantity="two")  # type: ignore[arg-type]
    durably.start_workflow(checkout_later, "o-1", 2)  # type: ignore[call-overload]
    durably.start_workflow(eu.campaign)  # type: ignore[call-overload]
    durably.start_workflow("checkout")  # type: ignore[call-overload]
    durably.get_workflow_status(5)  # type: ignore[arg-type]
    text: str = durably.start_workflow(checkout, "o-1").get_result()  # type: ignore[assignment]
    print(text)


async def awaiting(eu: Mailer) -> None:
    handle = await aio.start_workflow(checkout_later, "o-1", quantity=2)
    assert_type(handle, aio.WorkflowHandle[Receipt])
    assert_type(await handle.get_result(), Receipt)
    assert_type(await handle.get_status(), WorkflowStatus)
    assert_type(await aio.start_workflow(checkout, "o-1"), aio.WorkflowHandle[Receipt])
    assert_type(await aio.start_workflow(eu.campaign_later, "x"), aio.WorkflowHandle[bool])
    assert_type(await durably.aio.retrieve_workflow("o-1", expect=Receipt), aio.WorkflowHandle[Receipt])
    assert_type(await durably.aio.get_result("o-1", expect=Receipt), Receipt)
    assert_type(await durably.aio.get_result("o-1"), Any)
    assert_type(await durably.aio.get_workflow_status("o-1"), WorkflowStatus)


async def awaiting_wrong() -> None:
    await aio.start_workflow(checkout_later, "o-1")  # type: ignore[call-overload]
    await aio.start_workflow(checkout, order=5)  # type: ignore[call-overload]
    handle = await aio.start_workflow(checkout, "o-1")
    number: int = await handle.get_result()  # type: ignore[assignment]
    print(number)


async def engines(app: Durably) -> None:
    with app as entered:
        assert_type(entered, Durably)
    async with app as entered_later:
        assert_type(entered_later, Durably)
    with app.current() as current:
        assert_type(current, Durably)
    Durably("shop", executes="some")  # type: ignore[arg-type]
    Durably("shop", "sqlite:///shop.db")  # type: ignore[call-arg]
    Durably()  # type: ignore[call-arg]
