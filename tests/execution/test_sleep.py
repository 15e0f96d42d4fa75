"""Durable sleep, and what a workflow may not find out by itself: the time, and random ids."""

from __future__ import annotations

import asyncio
import json
import time
from datetime import datetime, timedelta, timezone
from typing import Any
from uuid import UUID

import pytest

import durably
from durably import ConfigurationError, Durably, WorkflowCancelledError, step
from tests.execution.rows import checkpoints, rows
from tests.messaging.forms import FORMS, Form, Verbs
from tests.messaging.lives import SECONDS, Lives
from tests.messaging.test_messages import started


def wakes_at(url: str) -> list[int]:
    """When the sleeps are to end, in milliseconds since the epoch."""
    found = rows(
        url,
        "SELECT output FROM durably.operation_outputs WHERE function_name = ? ORDER BY function_id",
        ("durably.sleep",),
    )
    return [json.loads(row[0]) for row in found]


def test_a_sleep_takes_its_time_and_records_its_end_first(system_url: str, form: Form) -> None:
    seen: list[Any] = []

    async def flow(verbs: Verbs) -> float:
        began = time.monotonic()
        await verbs.sleep(0.5)
        seen.extend(wakes_at(system_url))
        return time.monotonic() - began

    with Durably("sleep", system_database_url=system_url):
        before = time.time() * 1000
        slept = started(form.workflow(flow), workflow_id="w").get_result(timeout_seconds=SECONDS)
        after = time.time() * 1000
    assert 0.49 <= slept < 5
    assert before + 490 <= seen[0] <= after + 10
    assert checkpoints(system_url, "w") == ["durably.sleep"]


@pytest.mark.parametrize("seconds", [0, 0.0, -1, -1e300, float("-inf")])
def test_a_sleep_of_no_time_is_over_at_once(system_url: str, form: Form, seconds: float) -> None:
    async def flow(verbs: Verbs) -> float:
        began = time.monotonic()
        await verbs.sleep(seconds)
        return time.monotonic() - began

    with Durably("sleep", system_database_url=system_url):
        assert started(form.workflow(flow), workflow_id="w").get_result(timeout_seconds=SECONDS) < 5
    assert checkpoints(system_url, "w") == ["durably.sleep"], "the place does not depend on how long it is"


@pytest.mark.parametrize("seconds", [float("nan"), float("inf"), 1e10, "1", None, True], ids=str)
def test_what_is_no_time_is_refused(system_url: str, form: Form, seconds: Any) -> None:
    async def flow(verbs: Verbs) -> None:
        with pytest.raises(ConfigurationError, match=r"sleep cannot wait for .*; give a number up to 864000000"):
            await verbs.sleep(seconds)

    with Durably("sleep", system_database_url=system_url):
        started(form.workflow(flow), workflow_id="w").get_result(timeout_seconds=SECONDS)
    assert checkpoints(system_url, "w") == []


def test_years_of_sleep_are_woken_by_a_cancel(system_url: str, form: Form) -> None:
    async def flow(verbs: Verbs) -> None:
        await verbs.sleep(864e6)

    with Durably("sleep", system_database_url=system_url):
        handle = started(form.workflow(flow), workflow_id="w")
        while not wakes_at(system_url):
            time.sleep(0.01)
        assert wakes_at(system_url)[0] > time.time() * 1000 + 863e9
        began = time.monotonic()
        handle.cancel()
        with pytest.raises(WorkflowCancelledError):
            handle.get_result(timeout_seconds=SECONDS)
        assert time.monotonic() - began < 3


def test_sleep_is_for_the_code_of_workflows(system_url: str, form: Form) -> None:
    @step(name="sleeps")
    def sleeps() -> None:
        with pytest.raises(ConfigurationError, match=r"in a step, and outside workflows, use time\.sleep"):
            durably.sleep(0)

    async def flow(verbs: Verbs) -> None:
        await verbs.run_step(sleeps)

    with Durably("sleep", system_database_url=system_url):
        started(form.workflow(flow)).get_result(timeout_seconds=SECONDS)
        with pytest.raises(ConfigurationError, match=r"asyncio\.sleep"):
            asyncio.run(durably.aio.sleep(0))


def test_async_sleepers_cost_no_threads(system_url: str) -> None:
    import threading

    async def flow(verbs: Verbs) -> None:
        await verbs.sleep(1.5)

    flow_ = FORMS[1].workflow(flow)
    with Durably("sleep", system_database_url=system_url):
        started(flow_, workflow_id="first").get_result(timeout_seconds=SECONDS)
        before = threading.active_count()
        handles = [started(flow_) for _ in range(300)]
        most = threading.active_count()
        for handle in handles:
            handle.get_result(timeout_seconds=SECONDS)
    assert most <= before + 1


# -- across crashes ----------------------------------------------------------------------------------------------


def test_a_replay_sleeps_for_the_rest_only(lives: Lives, form: Form) -> None:
    async def flow(verbs: Verbs) -> None:
        lives.lines.append(time.monotonic())
        await verbs.sleep(3)
        lives.lines.append(time.monotonic())

    flow_ = form.workflow(flow)
    recorded: list[int] = []

    def between() -> None:
        recorded.extend(wakes_at(lives.url))
        time.sleep(1)

    lives.interrupted(lambda: durably.start_workflow(flow_), between, until=lambda: wakes_at(lives.url) != [])
    first, second, end = lives.lines
    assert end - first >= 2.9, "not shorter"
    assert end - second <= 2.3, "the second life slept for the rest"
    assert wakes_at(lives.url) == recorded, "written once"


def test_a_sleep_that_was_over_while_nobody_ran_is_over(lives: Lives, form: Form) -> None:
    async def flow(verbs: Verbs) -> None:
        lives.lines.append(time.monotonic())
        await verbs.sleep(1)
        lives.lines.append(time.monotonic())

    flow_ = form.workflow(flow)
    lives.interrupted(
        lambda: durably.start_workflow(flow_), lambda: time.sleep(1.2), until=lambda: wakes_at(lives.url) != []
    )
    assert lives.lines[2] - lives.lines[1] < 0.5


def test_a_sleep_that_is_over_is_not_repeated(lives: Lives, form: Form) -> None:
    async def flow(verbs: Verbs) -> None:
        began = time.monotonic()
        await verbs.sleep(0.6)
        lives.lines.append(time.monotonic() - began)
        await lives.stuck_once(verbs)

    flow_ = form.workflow(flow)
    lives.interrupted(lambda: durably.start_workflow(flow_))
    first, second = lives.lines
    assert first >= 0.59
    assert second < 0.3


# -- now and uuid ------------------------------------------------------------------------------------------------


def test_the_time_and_ids_are_the_same_in_a_replay(lives: Lives, form: Form) -> None:
    async def flow(verbs: Verbs) -> None:
        lives.lines.append([await verbs.now(), await verbs.uuid(), await verbs.now(), await verbs.uuid()])
        await lives.stuck_once(verbs)

    flow_ = form.workflow(flow)
    before = datetime.now(timezone.utc)
    lives.interrupted(lambda: durably.start_workflow(flow_))
    first, second = lives.lines
    assert first == second
    one, identity, two, other = first
    assert before - timedelta(seconds=1) <= one <= two <= datetime.now(timezone.utc)
    assert one.tzinfo is not None
    assert isinstance(identity, UUID)
    assert identity != other
    assert checkpoints(lives.url, "w")[:4] == ["durably.now", "durably.uuid"] * 2


def test_outside_workflows_they_are_what_they_are(system_url: str) -> None:
    with Durably("sleep", system_database_url=system_url):
        assert abs(durably.now() - datetime.now(timezone.utc)) < timedelta(seconds=5)
        assert durably.uuid() != durably.uuid()
        assert asyncio.run(durably.aio.uuid()) != asyncio.run(durably.aio.uuid())
        assert asyncio.run(durably.aio.now()).tzinfo is not None
    assert rows(system_url, "SELECT count(*) FROM durably.operation_outputs") == [(0,)]
