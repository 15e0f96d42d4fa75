"""The user's own connections are used, with the settings that they have, and are given back as they came."""

from __future__ import annotations

import asyncio
import contextlib
import threading
from collections.abc import Callable, Coroutine
from typing import Any

import psycopg
import pytest
from psycopg import rows

import durably
from tests.adapters.psycopg.lab import Lab, add, given, inside, pid

#: Each with what it makes of a row; psycopg 3.1 has no scalar_row.
ROWS = {"dict_row": "{'n': 1}", "namedtuple_row": "Row(n=1)", "scalar_row": "1"}


@pytest.mark.parametrize("name", [name for name in ROWS if hasattr(rows, name)])
def test_the_users_rows_are_the_users_and_the_cores_are_tuples(made: Lab, name: str) -> None:
    factory: Any = getattr(rows, name)
    lab = made.open_pool(row_factory=factory).launch()

    async def body(c: Any) -> str:
        await given(c.execute("INSERT INTO item (n) VALUES (1)"))
        cursor = await given(c.execute("SELECT n FROM item"))
        assert c.row_factory is factory
        return repr(await given(cursor.fetchone()))

    assert lab.run(body) == ROWS[name]
    assert lab.items() == [1]
    assert len(lab.recorded()) == 1


@pytest.mark.parametrize("autocommit", [False, True])
@pytest.mark.parametrize("threshold", [None, 0, 5])
def test_autocommit_and_prepared_statements_stay_as_they_are(
    made: Lab, autocommit: bool, threshold: int | None
) -> None:
    lab = made.open_pool(max_size=1, autocommit=autocommit, prepare_threshold=threshold).launch()
    seen: list[Any] = []

    async def body(c: Any) -> None:
        seen.append((c.autocommit, c.prepare_threshold))
        await given(c.execute("INSERT INTO item (n) VALUES (%s)", (len(seen),)))
        if len(seen) == 3:
            raise LookupError

    flow = lab.flow(body)
    for _ in range(2):
        lab.wait(flow())
    with pytest.raises(LookupError):
        lab.wait(flow())
    assert seen == [(autocommit, threshold)] * 3
    assert lab.items() == [1, 2]


def _cursor_classes(lab: Lab) -> list[Any]:
    raw = ("AsyncRawCursor", "RawCursor") if hasattr(psycopg, "RawCursor") else ()
    names = [name for name in ("AsyncClientCursor", "ClientCursor", *raw) if ("Async" in name) == lab.asynchronous]
    plain: Any = psycopg.AsyncCursor if lab.asynchronous else psycopg.Cursor
    return [plain, *(getattr(psycopg, name) for name in names), type("MyCursor", (plain,), {"mine": True})]


def test_cursors_are_of_the_users_own_class(made: Lab) -> None:
    lab = made.open_pool(max_size=1).launch()
    classes = _cursor_classes(lab)
    seen: list[Any] = []

    async def body(c: Any) -> None:
        cursor = c.cursor()
        seen.append(cursor)
        mark = "$1" if "Raw" in type(cursor).__name__ else "%s"
        await given(cursor.execute(f"INSERT INTO item (n) VALUES ({mark})", [len(seen)]))

    flow = lab.flow(body)

    async def change(to: Any) -> None:
        async with inside(lab.pool.connection()) as c:
            c.cursor_factory = to

    for one in classes:
        lab.wait(change(one))
        lab.wait(flow())
    assert [isinstance(cursor, one) for cursor, one in zip(seen, classes, strict=True)] == [True] * len(classes)
    assert [type(cursor).__name__ for cursor in seen] == [one.__name__ for one in classes]
    assert lab.items() == list(range(1, len(classes) + 1))

    async def check() -> None:
        async with inside(lab.pool.connection()) as c:
            assert c.cursor_factory is classes[-1]
            assert {"commit", "rollback", "close"}.isdisjoint(vars(c))

    lab.wait(check())


def test_every_way_to_run_a_statement_is_the_transactions(lab: Lab) -> None:
    async def body(c: Any) -> list[int]:
        cursor = c.cursor()
        await given(cursor.executemany("INSERT INTO item (n) VALUES (%s)", [(1,), (2,)]))
        async with inside(cursor.copy("COPY item (n) FROM STDIN")) as copy:
            await given(copy.write_row((3,)))
        async with inside(c.pipeline()):
            await given(c.execute("INSERT INTO item (n) VALUES (4)"))
            await given(c.execute("INSERT INTO item (n) VALUES (%(n)s)", {"n": 5}, prepare=True))
        async with inside(c.cursor("named")) as named:
            await given(named.execute("SELECT n FROM item ORDER BY n"))
            seen = await given(named.fetchall())
        streamed = cursor.stream("SELECT n FROM item ORDER BY n")
        same = [row async for row in streamed] if lab.asynchronous else list(streamed)
        assert same == seen
        return [n for (n,) in seen]

    assert lab.run(body) == [1, 2, 3, 4, 5]
    assert lab.items() == [1, 2, 3, 4, 5]
    lab.control.execute("TRUNCATE item")

    async def fails(c: Any) -> None:
        await body(c)
        raise LookupError

    with pytest.raises(LookupError):
        lab.run(fails)
    assert lab.items() == []


def test_isolation_and_read_only_last_for_one_transaction(made: Lab) -> None:
    lab = made.open_pool(max_size=1).launch()

    async def level(c: Any) -> list[str]:
        shown = []
        for name in ("transaction_isolation", "transaction_read_only"):
            shown.append((await given((await given(c.execute(f"SHOW {name}"))).fetchone()))[0])
        return shown

    assert lab.run(level, isolation_level="serializable", read_only=True) == ["serializable", "on"]
    assert lab.run(level, isolation_level="repeatable read") == ["repeatable read", "off"]
    assert lab.run(level) == ["read committed", "off"]
    with pytest.raises(psycopg.errors.ReadOnlySqlTransaction):
        lab.run(add(1), read_only=True)
    assert lab.run(add(1)) == 1


# -- connections that are in trouble -----------------------------------------------------------------------------


def test_idle_connections_that_died_are_passed_over(made: Lab) -> None:
    lab = made.open_pool(max_size=4).launch()
    runs: list[int] = []

    async def body(c: Any) -> int:
        runs.append(1)
        return await pid(c)

    flow = lab.flow(body)
    _all_at_once(lab, flow, 4)
    assert lab.kill_others() >= 2
    runs.clear()
    lab.wait(flow())
    assert runs == [1]


def _all_at_once(lab: Lab, flow: Callable[[], Coroutine[Any, Any, Any]], count: int) -> None:
    if lab.asynchronous:

        async def gathered() -> None:
            await asyncio.gather(*(flow() for _ in range(count)))

        lab.wait(gathered())
        return
    threads = [threading.Thread(target=lambda: lab.wait(flow())) for _ in range(count)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()


def test_a_connection_that_is_lost_inside_is_replaced_and_the_transaction_run_again(lab: Lab) -> None:
    tries: list[int] = []

    async def body(c: Any) -> int:
        tries.append(await pid(c))
        await given(c.execute("INSERT INTO item (n) VALUES (1)"))
        if len(tries) == 1:
            lab.control.execute("SELECT pg_terminate_backend(%s, 5000)", (tries[0],))
        await given(c.execute("INSERT INTO item (n) VALUES (2)"))
        return len(tries)

    assert lab.run(body) == 2
    assert tries[0] != tries[1]
    assert lab.items() == [1, 2]


def test_a_failed_body_leaves_its_connection_to_the_next(made: Lab) -> None:
    lab = made.open_pool(max_size=1).launch()
    pids: list[int] = []

    async def body(c: Any) -> None:
        pids.append(await pid(c))
        await given(c.execute("INSERT INTO item (n) VALUES (1)"))
        raise LookupError

    flow = lab.flow(body)
    for _ in range(4):
        with pytest.raises(LookupError):
            lab.wait(flow())
        assert lab.in_transaction() == 0
    assert len(set(pids)) == 1
    assert lab.items() == []


@pytest.mark.parametrize("made", ["async"], indirect=True)
def test_a_cancelled_task_leaves_nothing_and_a_pool_that_works(made: Lab) -> None:
    lab = made.open_pool(max_size=1).launch()
    runs: list[int] = []
    started = asyncio.Event()

    async def body(c: Any) -> None:
        runs.append(1)
        await c.execute("INSERT INTO item (n) VALUES (1)")
        started.set()
        await c.execute("SELECT pg_sleep(30)")

    flow = lab.flow(body)

    async def cancel() -> None:
        task = asyncio.ensure_future(flow())
        await started.wait()
        await asyncio.sleep(0.05)  # into the query
        task.cancel()
        with contextlib.suppress(asyncio.CancelledError):
            await task
        assert task.cancelled()

    lab.wait(cancel())
    assert runs == [1]
    assert lab.items() == []
    assert lab.run(add(2)) == 2


def test_outside_a_workflow_it_is_a_transaction_without_a_record(lab: Lab) -> None:
    call = lab.transaction(add(1))

    async def run() -> Any:
        return await given(call())

    assert lab.wait(run()) == 1
    assert lab.items() == [1]
    assert lab.recorded() == []


def test_a_checkpoint_holds_what_the_function_returned(lab: Lab) -> None:
    async def body(c: Any) -> dict[str, str]:
        return {"percent": "100 % %s", "emoji": "🦆"}

    assert lab.run(body) == {"percent": "100 % %s", "emoji": "🦆"}
    with durably.workflow_options(workflow_id="again"):
        lab.run(body)
    assert ["100 % %s" in str(one.output) for one in lab.recorded()] == [True, True]
