"""What messages, events, streams and waits cost the system database, counted twice (see ``test_operations``)."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

import pytest

import durably
from durably import Durably, Message, step, workflow
from tests.budget.counting import Cost, Counter, settled
from tests.budget.test_operations import costs, quiet


@pytest.fixture
def app(counter: Counter) -> Iterator[Durably]:
    """An engine that has talked before, so that everything is prepared."""

    @workflow(name="warm")
    def warm() -> None:
        durably.send("w", 1)
        durably.recv()
        durably.set_event("k", 1)
        durably.get_event("w", "k")
        durably.write_stream("k", 1)
        durably.sleep(0)

    with quiet(counter) as app:
        with durably.workflow_options(workflow_id="w"):
            warm()
        settled(counter)
        yield app


def counted(counter: Counter, body: Callable[[], Any], before: Callable[[], Any] = lambda: None) -> Cost:
    """The cost of ``body`` in the code of a workflow."""
    found: list[Cost] = []

    @workflow(name="talks")
    def talks() -> None:
        before()
        with counter.counting() as counted:
            body()
        found.extend(counted)

    with durably.workflow_options(workflow_id="talks"):
        talks()
    return found[0]


ONE_COMMIT: dict[str, Callable[[], Any]] = {
    "send": lambda: durably.send("w", {"n": 1}, "t"),
    "send with a key": lambda: durably.send("w", 1, idempotency_key="k"),
    "set_event": lambda: durably.set_event("k", 1),
    "write_stream": lambda: durably.write_stream("k", 1),
    "close_stream": lambda: durably.close_stream("k"),
    "sleep": lambda: durably.sleep(0),
    "now": durably.now,
    "uuid": durably.uuid,
    "patch": lambda: durably.patch("p"),
}


@pytest.mark.usefixtures("app")
@pytest.mark.parametrize("what", ONE_COMMIT)
def test_it_costs_one_commit_and_one_round_trip(counter: Counter, what: str) -> None:
    costs(counter, counted(counter, ONE_COMMIT[what]), commits=1, round_trips=1)


@pytest.mark.usefixtures("app")
def test_a_receive_of_what_is_there_costs_one_commit_and_one_round_trip(counter: Counter) -> None:
    cost = counted(counter, durably.recv, lambda: durably.send("talks", 1))
    costs(counter, cost, commits=1, round_trips=1)


@pytest.mark.usefixtures("app")
def test_messages_in_bulk_cost_one_commit_and_a_round_trip_for_a_thousand(counter: Counter) -> None:
    def sent(count: int) -> Cost:
        cost = counted(counter, lambda: durably.send_bulk([Message("w", number, "bulk") for number in range(count)]))
        durably.delete_workflow("talks")
        return cost

    few, many = sent(2), sent(2500)
    assert (few.commits, few.own_commits) == (many.commits, many.own_commits) == (1, 1)
    assert len(many.statements) == len(few.statements) + 2


@pytest.mark.usefixtures("app")
def test_an_event_that_is_there_costs_a_read_and_in_a_workflow_its_record(counter: Counter) -> None:
    costs(counter, counted(counter, lambda: durably.get_event("w", "k")), commits=1, round_trips=2)
    with counter.counting() as outside:
        assert durably.get_event("w", "k") == 1
    costs(counter, outside[0], commits=0, round_trips=1)


@pytest.mark.usefixtures("app")
def test_a_write_from_a_step_costs_the_same(counter: Counter) -> None:
    found: list[Cost] = []

    @step(name="shows")
    def shows() -> None:
        writes: list[Callable[[], None]] = [
            lambda: durably.set_event("k", 1),
            lambda: durably.write_stream("k", 1),
            lambda: durably.send("w", 1, "t"),
        ]
        for write in writes:
            with counter.counting() as counted:
                write()
            found.extend(counted)

    @workflow(name="talks")
    def talks() -> None:
        shows()

    talks()
    assert len(found) == 3
    for cost in found:
        costs(counter, cost, commits=1, round_trips=1)


@pytest.mark.usefixtures("app")
def test_many_writes_at_once_share_their_commits(counter: Counter) -> None:
    found: list[Cost] = []

    @workflow(name="talks")
    async def talks() -> None:
        async def arm(number: int) -> None:
            await durably.aio.set_event(f"k{number}", number)
            await durably.aio.write_stream("s", number)
            await durably.aio.send("w", number, "t")

        with counter.counting() as counted:
            await durably.aio.gather(*(arm(number) for number in range(50)))
        found.extend(counted)

    durably.start_workflow(talks).get_result(timeout_seconds=60)
    assert 1 <= found[0].own_commits <= 50, "of 150 writes"
    assert found[0].commits == found[0].own_commits
