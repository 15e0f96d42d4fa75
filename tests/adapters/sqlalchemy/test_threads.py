"""A session belongs to its transaction's thread or task; many transactions run at once."""

from __future__ import annotations

import asyncio
import contextvars
import threading
from collections.abc import Callable, Coroutine
from typing import Any

import pytest
from sqlalchemy import select, text
from sqlalchemy.orm import Session

import durably
from durably_sqlalchemy import async_session, session
from tests.adapters.sqlalchemy.conftest import EVERY_DRIVER, MakeLab, kinds
from tests.adapters.sqlalchemy.lab import Item, Kind, Lab, add

SYNC = kinds([kind for kind in EVERY_DRIVER if not kind.asynchronous])
ASYNC = kinds([*(kind for kind in EVERY_DRIVER if kind.asynchronous), Kind("aiomysql", False)])

USES: dict[str, Callable[[Session], Any]] = {
    "query": lambda s: s.scalars(select(Item)).all(),
    "flush": lambda s: (s.add(Item(n=2)), s.flush()),  # type: ignore[func-returns-value]
    "connection": lambda s: s.connection().exec_driver_sql("SELECT 1"),
    "savepoint": lambda s: s.connection().begin_nested(),
    "rollback": lambda s: s.rollback(),
    "commit": lambda s: s.commit(),
    "connection's rollback": lambda s: s.connection().rollback(),
}


def _elsewhere(work: Callable[[], Any]) -> BaseException | None:
    """What ``work`` raises on another thread, with this one's context."""
    raised: list[BaseException] = []
    context = contextvars.copy_context()

    def run() -> None:
        try:
            context.run(work)
        except BaseException as error:
            raised.append(error)

    thread = threading.Thread(target=run)
    thread.start()
    thread.join()
    return raised[0] if raised else None


@SYNC
@pytest.mark.parametrize("use", USES.values(), ids=USES)
def test_another_thread_is_refused_and_the_transaction_fails(lab: Lab, use: Callable[[Session], Any]) -> None:
    raised: list[BaseException | None] = []

    def body(s: Session) -> str:
        s.add(Item(n=1))
        s.flush()
        raised.append(_elsewhere(lambda: use(s)))
        return "done"

    with pytest.raises(durably.WrongThreadError):
        lab.run(body)
    assert isinstance(raised[0], durably.WrongThreadError)
    assert lab.items() == []


@SYNC
def test_another_thread_cannot_ask_for_the_session(lab: Lab) -> None:
    raised: list[BaseException | None] = []
    lab.run(lambda _: raised.append(_elsewhere(session)))
    assert isinstance(raised[0], durably.WrongThreadError)


@ASYNC
def test_another_task_is_refused_and_the_transaction_fails(lab: Lab) -> None:
    raised: list[BaseException] = []

    @durably.transaction
    async def body() -> None:
        s = async_session()
        s.add(Item(n=1))
        await s.flush()
        found = await asyncio.gather(s.execute(select(Item)), s.execute(select(Item)), return_exceptions=True)
        raised.extend(one for one in found if isinstance(one, BaseException))

    with pytest.raises(durably.WrongThreadError):
        lab.run_calls(body)
    # SQLAlchemy wraps what is raised while another task waits for a cursor of the same connection.
    assert [type(getattr(one, "orig", one)) for one in raised] == [durably.WrongThreadError] * 2
    assert lab.items() == []


@ASYNC
def test_another_task_cannot_ask_for_the_session(lab: Lab) -> None:
    raised: list[object] = []

    async def child() -> None:
        async_session()

    @durably.transaction
    async def body() -> None:
        raised.extend(await asyncio.gather(child(), return_exceptions=True))

    lab.run_calls(body)
    assert [type(one) for one in raised] == [durably.WrongThreadError]


@ASYNC
def test_the_body_runs_in_the_callers_task(lab: Lab) -> None:
    tasks: list[object] = []

    @durably.transaction
    async def body() -> None:
        tasks.append(asyncio.current_task())

    def note() -> Coroutine[Any, Any, None]:
        async def noted() -> None:
            tasks.append(asyncio.current_task())

        return noted()

    lab.run_calls(body, note)
    assert tasks[0] is tasks[1]


@ASYNC
def test_a_cancelled_task_leaves_nothing(lab: Lab) -> None:
    runs: list[int] = []

    @durably.transaction
    async def body() -> None:
        runs.append(1)
        s = async_session()
        s.add(Item(n=1))
        await s.flush()
        started.set()
        if lab.kind.backend != "sqlite":
            # MariaDB goes on with a statement, and keeps its locks, after the client has gone: not for long here.
            await s.execute(text("SELECT pg_sleep(30)" if lab.kind.backend == "postgresql" else "SELECT sleep(2)"))
        await asyncio.sleep(30)

    started = asyncio.Event()
    flow = lab.workflow(body)

    async def cancel() -> None:
        task = asyncio.ensure_future(flow())
        await started.wait()
        await asyncio.sleep(0.05)
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task

    lab.wait(cancel())
    assert runs == [1]
    assert lab.items() == []
    assert lab.run(add(2)) == 2
    assert lab.items() == [2]


@kinds([Kind("psycopg", True), Kind("psycopg", False)])
def test_32_threads_at_serializable_lose_no_update_and_record_no_failure(make_lab: MakeLab) -> None:
    lab = make_lab(pool_size=16, max_overflow=16).launch()
    lab.run(add(0))
    each, errors = 3, []

    def increment(s: Session) -> int:
        item = s.scalars(select(Item)).one()
        item.n += 1
        return item.n

    call = lab.transaction(increment, isolation_level="serializable")
    flow = lab.workflow(call)

    def work() -> None:
        try:
            for _ in range(each):
                flow()
        except BaseException as error:
            errors.append(error)

    threads = [threading.Thread(target=work) for _ in range(32)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert errors == []
    assert lab.items() == [32 * each]
    recorded = [one for one in lab.recorded() if one.function_name == "increment"]
    assert [one.error for one in recorded] == [None] * (32 * each)
    assert sorted(int(str(one.output)) for one in recorded) == list(range(1, 32 * each + 1))


@kinds([Kind("pysqlite", False), Kind("pysqlite", True)])
def test_threads_that_write_one_file_take_turns(lab: Lab) -> None:
    lab.run(add(0))
    flow = lab.workflow(lab.transaction(lambda s: setattr(s.scalars(select(Item)).one(), "n", Item.n + 1)))
    threads = [threading.Thread(target=lambda: [flow() for _ in range(5)]) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert lab.items() == [40]
