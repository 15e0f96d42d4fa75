"""Parents and children that are cancelled together, or one of them alone; and resumed."""

from __future__ import annotations

import pytest

import durably
from durably import Client, Durably, Message, WorkflowCancelledError, workflow
from tests.execution.rows import rows
from tests.managing.flows import (
    LONG,
    WAITER,
    Stand,
    current,
    note,
    start,
    stay,
)

#: A cancellation is noticed sooner; a busy machine is slow.
SOON = 3.0


@workflow
def tree(height: int) -> str:
    """Two children each, down to leaves that stand still."""
    if height == 0:
        return stay("leaf")
    left, right = durably.start_workflow(tree, height - 1), durably.start_workflow(tree, height - 1)
    return left.get_result() + right.get_result()


@pytest.mark.parametrize("children", [False, True])
def test_with_and_without_children(system_url: str, stand: Stand, children: bool) -> None:
    with Durably("cancel", system_database_url=system_url):
        handle = start(tree, "t", 2)
        start(tree, "beside", 0)
        stand.arrived(5)
        durably.cancel_workflow("t", children=children)
        with pytest.raises(WorkflowCancelledError):
            handle.get_result(timeout_seconds=SOON)
        by_status = durably.count_workflows(group_by=["status"])
        assert by_status == ({("CANCELLED",): 7, ("PENDING",): 1} if children else {("CANCELLED",): 1, ("PENDING",): 7})
        stand.go.set()
        assert durably.get_result("beside", timeout_seconds=LONG) == "leaf"
        if not children:
            assert durably.get_result("t-1", timeout_seconds=LONG) == "leafleaf"
    # The parents do not take the cancellation of their children for these children's results.
    failed = rows(system_url, "SELECT count(*) FROM durably.operation_outputs WHERE error IS NOT NULL")
    assert failed == [(0,)]


def test_a_child_that_is_called_and_cancelled_with_its_parent_is_not_its_result(system_url: str, stand: Stand) -> None:
    @workflow
    def child() -> str:
        stay("child")
        return note("after")

    @workflow
    def parent() -> str:
        return child() + note("parent")

    with Durably("cancel", system_database_url=system_url):
        handle = start(parent, "p")
        stand.arrived()
        durably.cancel_workflow("p", children=True)
        stand.go.set()
        for one in ("p", "p-1"):
            with pytest.raises(WorkflowCancelledError):
                durably.get_result(one, timeout_seconds=SOON)
        durably.resume_workflows(["p", "p-1"])
        assert handle.get_result(timeout_seconds=LONG) == "afterparent"
    assert stand.ran["after"] == stand.ran["parent"] == 1


def test_a_childs_own_cancellation_is_its_parents_to_catch(system_url: str, stand: Stand) -> None:
    @workflow
    def parent() -> str:
        child = durably.start_workflow(WAITER["plain"], "sleep")
        with pytest.raises(WorkflowCancelledError):
            child.get_result()
        return "caught"

    with Durably("cancel", system_database_url=system_url):
        handle = start(parent, "p")
        stand.arrived()
        durably.cancel_workflow("p-1")
        assert handle.get_result(timeout_seconds=LONG) == "caught"


@workflow
def calling() -> str:
    """Has a child that receives, called."""
    return receiving()


@workflow
def asking() -> str:
    """The same, started."""
    return durably.start_workflow(receiving).get_result()


@workflow
def waiting_for_all() -> list[str]:
    """The same, waited for."""
    return durably.wait_all([durably.start_workflow(receiving)])


@workflow
def receiving() -> str:
    """Receives its result."""
    current().inside.release()
    return durably.recv(timeout_seconds=None, expect=str) or ""


def test_the_end_of_a_child_is_not_taken_for_its_result_whoever_tells(system_url: str, stand: Stand) -> None:
    """Cancelled together from elsewhere, a parent may hear of its child's end before its own; resumed, both go on."""
    parents = {f"{flow.__name__}{number}": flow for flow in (calling, asking, waiting_for_all) for number in range(5)}
    with Durably("cancel", system_database_url=system_url) as app, Client(system_url, name="cancel") as client:
        handles = {name: start(flow, name) for name, flow in parents.items()}
        stand.arrived(len(parents))
        client.cancel_workflows(list(parents), children=True)
        assert app._require().services.active.drained().wait(LONG)
        failed = rows(system_url, "SELECT workflow_uuid FROM durably.operation_outputs WHERE error IS NOT NULL")
        assert failed == []
        client.resume_workflows([*parents, *(f"{name}-1" for name in parents)])
        client.send_bulk([Message(f"{name}-1", "received") for name in parents])
        for name, handle in handles.items():
            expected = ["received"] if name.startswith("waiting") else "received"
            assert handle.get_result(timeout_seconds=LONG) == expected
