"""Only Durably ends a transaction: every way to end it, or to spoil it, inside its own function."""

from __future__ import annotations

import threading
from collections.abc import Awaitable, Callable
from typing import Any

import psycopg
import pytest
from psycopg import sql

import durably
from tests.adapters.psycopg.lab import Lab, add, given, inside

ENDINGS: dict[str, Callable[[Any], Any]] = {
    "commit": lambda c: c.commit(),
    "rollback": lambda c: c.rollback(),
    "COMMIT": lambda c: c.execute("COMMIT"),
    "a comment before": lambda c: c.execute("/* now */ -- really\n rollback work"),
    "END of a cursor": lambda c: c.cursor().execute("END"),
    "PREPARE": lambda c: c.execute("PREPARE TRANSACTION 'x'"),
}
#: Not seen by the adapter: bytes and composed statements are not read, nor what comes second.
HIDDEN: dict[str, Callable[[Any], Any]] = {
    "bytes": lambda c: c.execute(b"COMMIT"),
    "composed": lambda c: c.execute(sql.SQL("ROLLBACK")),
    "second": lambda c: c.execute("SELECT 1; COMMIT"),
    "chained": lambda c: c.execute(b"COMMIT AND CHAIN"),
}


def _add_and(end: Callable[[Any], Awaitable[Any] | Any], *, caught: bool = False) -> Any:
    async def body(c: Any) -> str:
        await given(c.execute("INSERT INTO item (n) VALUES (1)"))
        try:
            await given(end(c))
        except durably.TransactionEndedError:
            if not caught:
                raise
        return "done"

    return body


@pytest.mark.parametrize("caught", [False, True], ids=["", "caught"])
@pytest.mark.parametrize("end", ENDINGS.values(), ids=ENDINGS)
def test_an_ending_inside_is_refused_and_nothing_is_kept(lab: Lab, end: Callable[[Any], Any], caught: bool) -> None:
    with pytest.raises(durably.TransactionEndedError, match=r"inside its own function.*connection\(\).transaction\(\)"):
        lab.run(_add_and(end, caught=caught))
    assert lab.items() == []
    [recorded] = lab.recorded()
    assert recorded.output is None
    assert "TransactionEndedError" in str(recorded.error)
    assert lab.run(add(2)) == 2


@pytest.mark.parametrize("end", HIDDEN.values(), ids=HIDDEN)
def test_a_hidden_ending_is_found_at_the_record(lab: Lab, end: Callable[[Any], Any]) -> None:
    with pytest.raises(durably.TransactionEndedError, match="committed or rolled back by its own function"):
        lab.run(_add_and(end))
    [recorded] = lab.recorded()
    assert recorded.output is None
    assert lab.run(add(2)) == 2


def test_the_block_of_the_connection_is_refused_since_it_commits(lab: Lab) -> None:
    async def body(c: Any) -> None:
        async with inside(c):
            await given(c.execute("INSERT INTO item (n) VALUES (1)"))

    with pytest.raises(durably.TransactionEndedError, match="which its `with` block calls"):
        lab.run(body)
    assert lab.items() == []


def test_the_error_that_leaves_the_connections_block_is_not_hidden(made: Lab) -> None:
    made.launch(_factory(made))

    async def body(c: Any) -> None:
        async with inside(c):
            raise LookupError("sold out")

    with pytest.raises(LookupError, match="sold out"):
        made.run(body)


def _factory(lab: Lab, **kwargs: Any) -> Callable[[], Any]:
    kind: Any = psycopg.AsyncConnection if lab.asynchronous else psycopg.Connection
    return lambda: kind.connect(lab.url, **kwargs)


def test_to_close_the_connection_inside_does_nothing(lab: Lab) -> None:
    async def body(c: Any) -> str:
        await given(c.close())
        await given(c.execute("INSERT INTO item (n) VALUES (1)"))
        return "open"

    assert lab.run(body) == "open"
    assert lab.items() == [1]


def test_psycopgs_own_rollback_is_an_error_like_any_other(lab: Lab) -> None:
    """``with connection.transaction():`` would swallow it, and the transaction would seem to have gone well."""

    async def body(c: Any) -> None:
        await given(c.execute("INSERT INTO item (n) VALUES (1)"))
        raise psycopg.Rollback

    flow = lab.flow(body)
    for _ in range(2):  # and again when the outcome is replayed
        with durably.workflow_options(workflow_id="w"), pytest.raises(psycopg.Rollback):
            lab.wait(flow())
    assert lab.items() == []
    assert len(lab.recorded()) == 1


def test_a_savepoint_is_undone_alone(lab: Lab) -> None:
    async def part(c: Any, *numbers: int, error: Exception | None = None) -> None:
        async with inside(c.transaction()):
            for n in numbers:
                await given(c.execute("INSERT INTO item (n) VALUES (%s)", (n,)))
            if error is not None:
                raise error

    async def body(c: Any) -> list[str]:
        await given(c.execute("INSERT INTO item (n) VALUES (1)"))
        with pytest.raises(psycopg.errors.UniqueViolation):
            await part(c, 2, 1)
        await part(c, 3, error=psycopg.Rollback())
        await part(c, 4)
        await given(c.execute("SAVEPOINT mine"))
        await given(c.execute("INSERT INTO item (n) VALUES (5)"))
        await given(c.execute("ROLLBACK TO SAVEPOINT mine"))
        return ["kept"]

    assert lab.run(body) == ["kept"]
    assert lab.items() == [1, 4]


def test_a_savepoint_that_is_left_open_keeps_nothing_and_spoils_no_connection(lab: Lab) -> None:
    async def body(c: Any) -> None:
        block: Any = psycopg.AsyncTransaction(c) if lab.asynchronous else psycopg.Transaction(c)
        await given(block.__aenter__() if lab.asynchronous else block.__enter__())
        await given(c.execute("INSERT INTO item (n) VALUES (1)"))

    with pytest.raises(psycopg.ProgrammingError, match="wrong nesting level"):
        lab.run(body)
    assert lab.items() == []
    for n in range(2, 8):  # with every connection of the pool
        assert lab.run(add(n)) == n


def test_a_statement_that_failed_and_was_caught_keeps_nothing(lab: Lab) -> None:
    async def body(c: Any) -> str:
        await given(c.execute("INSERT INTO item (n) VALUES (1)"))
        with pytest.raises(psycopg.errors.UniqueViolation):
            await given(c.execute("INSERT INTO item (n) VALUES (1)"))
        return "done"

    with pytest.raises(durably.TransactionEndedError, match="a statement of this transaction failed") as raised:
        lab.run(body)
    aborted = raised.value.__cause__
    assert isinstance(aborted, psycopg.errors.InFailedSqlTransaction)
    assert isinstance(aborted.__cause__, psycopg.errors.UniqueViolation)
    assert lab.items() == []


@pytest.mark.parametrize("goes_on", [False, True], ids=["returns", "goes on"])
def test_a_serialization_failure_that_was_caught_is_run_again(lab: Lab, goes_on: bool) -> None:
    lab.run(add(1))
    tries: list[int] = []

    async def body(c: Any) -> str:
        tries.append(1)
        await given(c.execute("SELECT * FROM item"))
        if len(tries) == 1:
            lab.control.execute("UPDATE item SET n = 5 WHERE n = 1")
        try:
            await given(c.execute("UPDATE item SET n = n + 1"))
        except psycopg.Error:
            if goes_on:
                await given(c.cursor().executemany("INSERT INTO item (n) VALUES (%s)", [(8,), (9,)]))
        return "done"

    assert lab.run(body, isolation_level="repeatable read") == "done"
    assert len(tries) == 2
    assert lab.items() == [6]
    assert [one.error for one in lab.recorded()] == [None, None]


def test_a_deferred_constraint_fails_the_commit_and_the_connection_serves_on(lab: Lab) -> None:
    lab.control.execute("ALTER TABLE item ADD UNIQUE (n) DEFERRABLE INITIALLY DEFERRED")
    lab.control.execute("ALTER TABLE item DROP CONSTRAINT item_n_key")

    async def twice(c: Any) -> int:
        await given(c.execute("INSERT INTO item (n) VALUES (1), (1)"))
        return 1

    with pytest.raises(psycopg.errors.UniqueViolation):
        lab.run(twice)
    assert lab.items() == []
    assert [one.output for one in lab.recorded()] == [None]
    assert lab.run(add(2)) == 2


# -- who may use the connection ----------------------------------------------------------------------------------


def test_a_captured_connection_is_refused_on_another_thread(lab: Lab) -> None:
    raised: list[BaseException] = []

    async def body(c: Any) -> str:
        def use(call: Callable[[], Any]) -> None:
            try:
                result = call()
                if hasattr(result, "send"):
                    result.send(None)
            except BaseException as error:
                raised.append(error)

        for call in (
            lambda: c.execute("INSERT INTO item (n) VALUES (1)"),
            c.commit,
            lambda: c.cursor().copy("COPY item"),
        ):
            thread = threading.Thread(target=use, args=(call,))
            thread.start()
            thread.join()
        return "done"

    assert lab.run(body) == "done"
    assert [type(error) for error in raised] == [durably.WrongThreadError] * 3
    assert lab.items() == []


def test_a_cursor_is_of_no_use_after_its_transaction(lab: Lab) -> None:
    kept: list[Any] = []

    async def body(c: Any) -> None:
        kept.extend([c, await given(c.execute("SELECT 1 AS one"))])

    lab.run(body)

    async def late() -> None:
        with pytest.raises(durably.NoTransactionError, match="after the transaction"):
            await given(kept[1].execute("INSERT INTO item (n) VALUES (1)"))

    lab.wait(late())
    assert lab.items() == []


def test_what_a_late_user_began_on_a_pooled_connection_is_undone_before_the_next_transaction(made: Lab) -> None:
    """psycopg would make a savepoint in it of the next transaction, which would then commit the stray row."""
    lab = made.open_pool(max_size=1).launch()
    kept: list[Any] = []

    async def body(c: Any) -> None:
        kept.append(c)

    lab.run(body)

    async def late() -> None:
        await given(kept[0].execute("INSERT INTO item (n) VALUES (1)"))

    lab.wait(late())
    assert lab.in_transaction() == 1
    assert lab.run(add(2)) == 2
    assert lab.items() == [2]
