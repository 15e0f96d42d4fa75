"""Other threads and tasks than the transaction's own, and tasks that are cancelled."""

from __future__ import annotations

import asyncio
import contextlib
import contextvars
import threading

import pytest

from durably.drive import drive
from durably.sql.failures import is_transient
from durably.testing.conformance.lab import Body, Lab
from durably.testing.conformance.scenario import scenario

# MySQL and MariaDB go on with a statement, and keep its locks, after the client has gone.
SLEEPS = {"postgresql": "SELECT pg_sleep(30)", "mysql": "SELECT SLEEP(2)"}


class Undone(Exception):
    """Why the transaction is given up."""


class Elsewhere:
    """Threads and tasks."""

    @scenario(lock_seconds=0.05)
    async def test_use_in_another_thread_or_task_is_as_declared(self, lab: Lab) -> None:
        """Refused; or inside, and rolled back with the transaction; or outside of it, of which the docs warn."""
        raised: list[BaseException | None] = []
        declared = lab.capabilities.elsewhere

        async def body() -> None:
            await lab.orm.add(1)
            raised.append(await _elsewhere(lab, lab.adding(2)))
            if declared == "inside":
                assert await lab.orm.items() == [1, 2]
            raise Undone

        error = await lab.failure(body)
        kept = lab.items()
        assert kept in ([], [2]), "the transaction itself was not rolled back"
        assert await lab.run(lab.adding(9)) == 9
        if declared == "refused":
            (refusal,) = raised
            assert refusal is not None, "declared as refused, and it worked"
            # A locked SQLite file would keep out what works on another connection.
            assert not is_transient(refusal), f"{refusal!r} does not refuse it"
            assert kept == []
            return
        assert isinstance(error, Undone)
        if declared == "inside":
            assert raised == [None]
            assert kept == []
            return
        # A locked SQLite file may have kept it out.
        assert kept == ([2] if raised == [None] else [])
        raise lab.unsupported("in another thread or task the ORM works outside of the transaction")

    @scenario()
    async def test_the_function_runs_in_the_callers_thread_and_task(self, lab: Lab) -> None:
        """Some ORMs bind the connection to either."""
        places: list[tuple[int, object]] = []

        async def note() -> None:
            task = asyncio.current_task() if lab.asynchronous else None
            places.append((threading.get_ident(), task))

        await lab.call(note, lab.transaction(note))
        assert places[0] == places[1]


class Cancellation:
    """Asynchronous transactions whose task is cancelled."""

    @pytest.mark.parametrize("where", ["between statements", "in a statement"])
    @scenario(asynchronous=True)
    async def test_a_cancelled_task_leaves_nothing_and_is_not_tried_again(self, lab: Lab, where: str) -> None:
        runs: list[int] = []
        begun = asyncio.Event()

        async def body() -> None:
            runs.append(1)
            if len(runs) > 1:
                return  # run again by recovery, as what is interrupted is, while a slow machine was looking
            await lab.orm.add(1)
            begun.set()
            sleep = SLEEPS.get(lab.placement.database)
            if sleep is not None and where == "in a statement":
                await lab.orm.statement(sleep)
            await asyncio.sleep(30)

        task = asyncio.ensure_future(lab.run(body))
        await begun.wait()
        await asyncio.sleep(0.05)
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task
        assert runs == [1]
        assert lab.items() == []
        assert lab.recorded() == []
        await lab.over()
        for n in range(2, 6):
            assert await lab.run(lab.adding(n)) == n
        assert lab.items() == [2, 3, 4, 5]

    @scenario(asynchronous=True)
    async def test_a_task_that_is_cancelled_while_it_waits_lets_the_others_go_on(self, lab: Lab) -> None:
        """While it waits for a connection, for the file, or for its turn."""
        go = asyncio.Event()
        inside: list[int] = []

        async def holding() -> int:
            await lab.orm.add(1)
            inside.append(1)
            await go.wait()
            return 1

        flows = [
            lab.workflow(lab.transaction(holding), name="conformance-holding"),
            lab.workflow(lab.transaction(lab.adding(2)), name="conformance-waiting"),
        ]
        first = asyncio.ensure_future(lab.execute(flows[0]))
        await lab.until(lambda: bool(inside), "the first is in its function")
        second = asyncio.ensure_future(lab.execute(flows[1]))
        await asyncio.sleep(0.05)
        second.cancel()
        with contextlib.suppress(asyncio.CancelledError):
            # Where writers do not wait for each other it may have ended before.
            assert await second == 2
        go.set()
        assert await first == 1
        assert await lab.run(lab.adding(3)) == 3
        assert [n for n in lab.items() if n != 2] == [1, 3]


async def _elsewhere(lab: Lab, body: Body) -> BaseException | None:
    """What ``body`` raises in another thread or task that has this one's context."""
    if lab.asynchronous:
        try:
            await asyncio.create_task(body())
        except Exception as error:
            return error
        return None
    raised: list[BaseException | None] = [None]
    context = contextvars.copy_context()

    def work() -> None:
        try:
            context.run(drive, body())
        except BaseException as error:
            raised[0] = error
        finally:
            lab.subject.thread_ends()

    thread = threading.Thread(target=work)
    thread.start()
    thread.join()
    return raised[0]
