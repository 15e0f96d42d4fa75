"""Synchronous Peewee and event loops: all tasks share the thread's transaction, so that Durably refuses."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Any

import pytest

import durably
from durably.sql.begin import begin_plan
from durably_peewee import Peewee
from tests.adapters.peewee.conftest import SYNC, MakeLab, kinds
from tests.adapters.peewee.lab import Item, Lab, add, unpooled

pytestmark = kinds(SYNC, only=("sqlite",))


def test_a_transaction_does_not_begin_on_a_loop(make_lab: MakeLab) -> None:
    lab = make_lab(unpooled)
    adapter = Peewee(lab.database)

    async def program() -> None:
        refused = pytest.raises(durably.BlockingCallError, match="event loop")
        with refused, adapter.begin(begin_plan("sqlite", None, False)):
            pytest.fail("it began")

    asyncio.run(program())
    assert lab.database.is_closed()


def test_another_tasks_transaction_is_never_taken_for_the_callers(make_lab: MakeLab) -> None:
    lab = make_lab()
    adapter = Peewee(lab.database)
    seen: list[str] = []

    async def opens(opened: asyncio.Event, go_on: asyncio.Event) -> None:
        with lab.database.atomic():
            Item.create(n=1)
            opened.set()
            await go_on.wait()

    async def program() -> None:
        assert adapter.ambient() is None
        opened, go_on = asyncio.Event(), asyncio.Event()
        other = asyncio.create_task(opens(opened, go_on))
        await opened.wait()
        with pytest.raises(durably.BlockingCallError, match="share one connection") as caught:
            adapter.ambient()
        seen.append(str(caught.value))
        go_on.set()
        await other

    asyncio.run(program())
    assert len(seen) == 1
    lab.database.close()


def test_an_asynchronous_workflow_runs_it_on_a_thread(lab: Lab) -> None:
    write: Callable[[], Any] = lab.transaction(add(1))

    @durably.workflow(name="awaited")
    async def flow() -> int:
        found: int = await durably.aio.run_step(write)
        return found

    handle = durably.start_workflow(flow)
    assert handle.get_result(timeout_seconds=20) == 1
    assert lab.items() == [1]
