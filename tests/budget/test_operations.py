"""What each operation costs the system database: the table of the architecture, counted twice.

By the ledger's own hook, and by outsiders: on PostgreSQL the server's transaction ids and a proxy on the wire, on
SQLite its trace. The process is quiet meanwhile: its lease is long, and it looks for nothing to take over.
"""

from __future__ import annotations

import threading
from collections.abc import Iterator
from contextlib import ExitStack
from functools import partial

import pytest

import durably
from durably import Durably, step, transaction, workflow
from tests.budget.adapters import PsycopgAdapter, Sqlite3Adapter
from tests.budget.counting import Cost, Counter, SqliteCounter, settled
from tests.ledger.writing import in_threads


def costs(counter: Counter, cost: Cost, *, commits: int, round_trips: int) -> None:
    """Both accounts say so."""
    assert (cost.commits, cost.own_commits) == (commits, commits), cost
    waited = round_trips if counter.waits_for_round_trips else 0
    assert (cost.round_trips, cost.own_round_trips) == (waited, waited), cost


@step(name="charge")
def charge(number: int) -> int:
    return number


def quiet(counter: Counter, adapter: object = None) -> Durably:
    adapters = {} if adapter is None else {"default": adapter}
    return Durably("shop", system_database_url=counter.url, lease_seconds=120, executes="own", adapters=adapters)


@pytest.fixture
def app(counter: Counter) -> Iterator[Durably]:
    """An engine that has run one workflow, so that everything is prepared."""

    @workflow(name="warm")
    def warm() -> int:
        return charge(1)

    with quiet(counter) as app:
        warm()
        settled(counter)
        yield app


@pytest.mark.usefixtures("app")
class TestWorkflows:
    @pytest.mark.parametrize("steps", [0, 1, 7])
    def test_a_first_run_costs_its_start_its_steps_and_its_outcome_and_reads_nothing(
        self, counter: Counter, steps: int
    ) -> None:
        @workflow(name="order")
        def order() -> int:
            return sum(charge(number) for number in range(steps))

        with counter.counting() as counted:
            order()
        costs(counter, counted[0], commits=2 + steps, round_trips=2 + steps)
        if counter.waits_for_round_trips:
            assert len(counted[0].statements) == 2 + steps
            assert counted[0].reads == []
        else:
            # A file is asked who holds the workflow: one look at one row in memory, in the same transaction.
            assert len(counted[0].reads) == steps

    def test_a_start_costs_one_commit_and_one_round_trip(self, counter: Counter) -> None:
        go_on = threading.Event()

        @workflow(name="order")
        def order() -> None:
            go_on.wait(10)

        with counter.counting() as counted:
            handle = durably.start_workflow(order)
        go_on.set()
        handle.get_result()
        costs(counter, counted[0], commits=1, round_trips=1)

    def test_a_step_costs_one_commit_and_one_round_trip(self, counter: Counter) -> None:
        found: list[Cost] = []

        @workflow(name="order")
        def order() -> None:
            for number in range(3):
                with counter.counting() as counted:
                    charge(number)
                found.extend(counted)

        order()
        for cost in found:
            costs(counter, cost, commits=1, round_trips=1)

    def test_a_failing_step_costs_the_same(self, counter: Counter) -> None:
        found: list[Cost] = []

        @step(name="refuse")
        def refuse() -> None:
            raise ValueError("no")

        @workflow(name="order")
        def order() -> None:
            with counter.counting() as counted, pytest.raises(ValueError, match="no"):
                refuse()
            found.extend(counted)

        order()
        costs(counter, found[0], commits=1, round_trips=1)

    def test_an_outcome_costs_one_commit_and_one_round_trip(self, counter: Counter) -> None:
        with ExitStack() as stack:
            found: list[list[Cost]] = []

            @workflow(name="order")
            def order() -> int:
                found.append(stack.enter_context(counter.counting()))
                return 1

            order()
            stack.close()
        costs(counter, found[0][0], commits=1, round_trips=1)

    def test_a_hundred_steps_at_once_share_their_commits(self, counter: Counter) -> None:
        found: list[Cost] = []
        arrived, go_on, done, leave = (threading.Barrier(101) for _ in range(4))

        @workflow(name="order")
        def order(number: int) -> int:
            arrived.wait(30)
            go_on.wait(30)
            charge(number)
            done.wait(30)
            leave.wait(30)
            return number

        def counts() -> None:
            arrived.wait(30)
            with counter.counting() as counted:
                go_on.wait(30)
                done.wait(30)
            leave.wait(30)
            found.extend(counted)

        in_threads([counts, *(partial(order, number) for number in range(100))], 60)
        assert 1 <= found[0].commits <= 50, found[0].commits
        assert found[0].own_commits == found[0].commits


def test_a_replayed_step_costs_nothing(counter: Counter) -> None:
    found: list[Cost] = []
    runs, parked = threading.Semaphore(0), threading.Event()

    @workflow(name="order")
    def order() -> int:
        with counter.counting() as counted:
            total = sum(charge(number) for number in range(5))
        found.extend(counted)
        runs.release()
        if len(found) == 1:
            parked.wait(20)  # until the engine has given it up
        return total

    app = Durably("shop", system_database_url=counter.url, lease_seconds=120)
    app.launch()
    handle = durably.start_workflow(order)
    assert runs.acquire(timeout=10)
    app.shutdown(timeout_seconds=0)
    parked.set()
    with app:
        assert runs.acquire(timeout=20)
        assert durably.get_result(handle.workflow_id, timeout_seconds=20) == 10
    assert len(found) == 2
    assert found[0].commits >= 5
    costs(counter, found[1], commits=0, round_trips=0)
    assert found[1].statements == []


# -- transactions ------------------------------------------------------------------------------------------------


def adapter_on(counter: Counter, url: str) -> PsycopgAdapter | Sqlite3Adapter:
    if not isinstance(counter, SqliteCounter):
        return PsycopgAdapter(url)
    adapter = Sqlite3Adapter(url.removeprefix("sqlite:///"))
    counter.trace(adapter.connection)
    return adapter


def transaction_costs(counter: Counter, adapter: PsycopgAdapter | Sqlite3Adapter) -> tuple[Cost, list[str], Cost]:
    """The cost of one transaction, what was sent on the user's connection, and the cost of the whole workflow."""
    found: list[Cost] = []
    sent: list[str] = []

    @transaction(name="reserve")
    def reserve(number: int) -> int:
        adapter.run(f"INSERT INTO stock VALUES ({number})")
        return number

    @workflow(name="order")
    def order() -> int:
        before = len(adapter.sent)
        with counter.counting() as counted:
            reserve(7)
        found[:] = counted
        sent[:] = adapter.sent[before:]
        return 1

    with quiet(counter, adapter):
        adapter.run("CREATE TABLE stock (number integer)")
        order()
        settled(counter)
        with counter.counting() as whole:
            order()
        settled(counter, 0.1)
    return found[0], sent, whole[0]


def test_a_colocated_transaction_is_the_users_own_commit_and_one_insert(counter: Counter) -> None:
    adapter = adapter_on(counter, counter.url)
    cost, sent, whole = transaction_costs(counter, adapter)
    # Through the proxy the user's connection is counted, too: BEGIN, guard, the user's INSERT, the record, COMMIT.
    assert (cost.commits, cost.own_commits) == (1, 0)
    assert cost.statements == [], "the ledger itself does nothing"
    assert sum("stock" in sql for sql in sent) == 1
    assert sum("operation_outputs" in sql for sql in sent) == 1
    if counter.waits_for_round_trips:
        assert len(sent) == 3, "guard, the user's, the record"
        assert cost.round_trips == 5
    else:
        assert len(sent) == 4, "savepoint, the user's, its release, the record; none leaves the process"
    assert whole.commits == 3


@pytest.fixture
def elsewhere(counter: Counter, request: pytest.FixtureRequest) -> Iterator[str]:
    """An application database that is not the system database."""
    if not counter.waits_for_round_trips:
        yield f"sqlite:///{request.getfixturevalue('tmp_path') / 'application.db'}"
        return
    server = request.getfixturevalue("postgres_server")
    name = request.getfixturevalue("postgres_url").rpartition("/")[2] + "_application"
    yield server.create_database(name)
    server.drop_database(name)


def test_a_transaction_apart_is_the_users_own_commit_and_its_echo_is_not_waited_for(
    counter: Counter, elsewhere: str
) -> None:
    adapter = adapter_on(counter, elsewhere)
    cost, sent, whole = transaction_costs(counter, adapter)
    assert (cost.commits, cost.own_commits) == (1, 0)
    assert (cost.round_trips, cost.statements) == (0, []), "nothing waits for the system database"
    assert sum("transaction_completion" in sql for sql in sent) == 1
    assert len(sent) == (3 if counter.waits_for_round_trips else 4)
    # The start, the user's commit, and the outcome with the echo in its batch.
    assert whole.commits == 3
    assert whole.own_commits == 2
    if counter.waits_for_round_trips:
        assert (whole.round_trips, whole.own_round_trips) == (2, 2)
