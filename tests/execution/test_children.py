"""Workflows that call and start workflows: ids that follow from the place, results recorded like a step's."""

from __future__ import annotations

import asyncio

import pytest

import durably
from durably import DeclarationError, Durably, Status, step, workflow
from tests.execution.rows import checkpoints, rows


@step
def charge(order: str) -> str:
    return f"charged {order}"


@workflow
def child(order: str) -> tuple[str | None, str]:
    return durably.workflow_id(), charge(order)


@workflow
async def child_later(order: str) -> tuple[str | None, str]:
    await asyncio.sleep(0)
    return durably.workflow_id(), await durably.aio.run_step(charge, order)


@workflow
def failing(order: str) -> None:
    raise ValueError(f"no {order}")


@workflow
def parent(order: str) -> list[tuple[str | None, str]]:
    first = child(order)
    charge(order)
    second = durably.start_workflow(child, order)
    return [first, second.get_result(timeout_seconds=30), child(order)]


@workflow
async def parent_later(order: str) -> list[tuple[str | None, str]]:
    first = await child_later(order)
    await durably.aio.run_step(charge, order)
    second = await durably.aio.start_workflow(child, order)
    return [first, await second.get_result(timeout_seconds=30), await child_later(order)]


@pytest.mark.parametrize("start", [parent, parent_later], ids=["plain", "coroutine"])
def test_children_are_called_after_their_place(system_url: str, start: object) -> None:
    with Durably("children", system_database_url=system_url):
        with durably.workflow_options(workflow_id="p"):
            handle = durably.start_workflow(start, "o")  # type: ignore[call-overload]
        expected = [(f"p-{place}", "charged o") for place in (1, 3, 5)]
        assert handle.get_result(timeout_seconds=30) == expected
        # Each is a workflow of its own.
        assert [durably.get_result(one) for one, _ in expected] == expected
        assert [durably.get_workflow_status(one).status for one, _ in expected] == [Status.SUCCESS] * 3
    recorded = rows(
        system_url,
        "SELECT function_id, child_workflow_id FROM durably.operation_outputs WHERE workflow_uuid = 'p'"
        " AND child_workflow_id IS NOT NULL ORDER BY function_id",
    )
    assert recorded[0] == (1, "p-1")
    assert recorded[-1] == (5, "p-5")


def test_a_childs_error_is_its_parents_to_catch(system_url: str) -> None:
    @workflow
    def catching() -> str:
        with pytest.raises(ValueError, match="no o"):
            failing("o")
        with pytest.raises(ValueError, match="no p"):
            durably.start_workflow(failing, "p").get_result(timeout_seconds=30)
        return "caught"

    @workflow
    def not_catching() -> None:
        failing("o")

    with Durably("children", system_database_url=system_url):
        with durably.workflow_options(workflow_id="p"):
            assert catching() == "caught"
        assert durably.get_workflow_status("p-1").status is Status.ERROR
        with pytest.raises(ValueError, match="no o"):
            not_catching()


def test_children_have_children(system_url: str) -> None:
    @workflow
    def tower(height: int) -> list[str | None]:
        return [durably.workflow_id(), *(tower(height - 1) if height else [])]

    with Durably("children", system_database_url=system_url), durably.workflow_options(workflow_id="t"):
        assert tower(3) == ["t", "t-1", "t-1-1", "t-1-1-1"]


def test_children_run_side_by_side(system_url: str) -> None:
    @workflow
    async def family(size: int) -> list[tuple[str | None, str]]:
        return await durably.aio.gather(*(child_later(str(number)) for number in range(size)))

    with Durably("children", system_database_url=system_url), durably.workflow_options(workflow_id="f"):
        assert durably.start_workflow(family, 5).get_result(timeout_seconds=30) == [
            (f"f-{number + 1}", f"charged {number}") for number in range(5)
        ]


def test_a_workflow_is_not_called_inside_a_step(system_url: str) -> None:
    ran: list[str] = []

    @workflow
    def inner() -> None:
        ran.append("inner")

    @workflow
    async def inner_later() -> None:
        ran.append("inner later")

    @step
    def outer() -> None:
        inner()

    @step
    async def outer_later() -> None:
        await inner_later()

    @workflow
    def flow() -> None:
        outer()

    @workflow
    async def flow_later() -> None:
        await outer_later()

    with Durably("children", system_database_url=system_url):
        for start in (flow, flow_later):
            with pytest.raises(DeclarationError, match=r"inside the body of step .*outer.*call it from the workflow"):
                durably.start_workflow(start).get_result(timeout_seconds=30)
    assert ran == []


def test_a_start_inside_a_step_needs_an_id(system_url: str) -> None:
    """Without one, each retry of the step would start another workflow."""

    @step
    def nameless() -> None:
        durably.start_workflow(child, "o")

    @step
    def named() -> str:
        with durably.workflow_options(workflow_id="named"):
            return durably.start_workflow(child, "o").workflow_id

    @workflow
    def flow() -> str:
        with pytest.raises(DeclarationError, match=r"workflow_options\(workflow_id="):
            nameless()
        return named() + charge("o")

    with Durably("children", system_database_url=system_url):
        with durably.workflow_options(workflow_id="f"):
            assert flow() == "named" + "charged o"
        assert durably.get_result("named", timeout_seconds=30) == ("named", "charged o")
    # What a step does takes no place among its workflow's functions.
    assert len(checkpoints(system_url, "f")) == 3
    assert [row[0] for row in rows(system_url, "SELECT max(function_id) FROM durably.operation_outputs")] == [3]
