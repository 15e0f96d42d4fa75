"""Streams: values in order, from any offset, while they are written and afterwards."""

from __future__ import annotations

import asyncio
import threading
import time
from dataclasses import dataclass
from typing import Any

import pytest

import durably
from durably import Client, ConfigurationError, Durably, WaitTimeoutError, WorkflowNotFoundError, step, workflow
from tests.execution.rows import checkpoints, rows
from tests.messaging.forms import Form, Verbs, all_values
from tests.messaging.lives import SECONDS, Lives
from tests.messaging.test_messages import started


def read(workflow_id: str, key: str, **options: Any) -> list[Any]:
    """What a stream has, read in both ways."""
    options.setdefault("timeout_seconds", SECONDS)

    async def later() -> list[Any]:
        return [value async for value in durably.aio.read_stream(workflow_id, key, **options)]

    values = list(durably.read_stream(workflow_id, key, **options))
    assert asyncio.run(later()) == values
    return values


def test_streams_are_read_in_order_from_any_offset_and_are_apart(system_url: str, form: Form) -> None:
    async def write(verbs: Verbs) -> None:
        for number in range(4):
            await verbs.write_stream("a", number)
            await verbs.write_stream("b", f"b{number}")

        @step(name="in a step")
        def in_a_step() -> None:
            durably.write_stream("a", "from a step")
            durably.write_stream("a", None)

        await verbs.run_step(in_a_step)
        await verbs.close_stream("a")

    with Durably("talk", system_database_url=system_url):
        started(form.workflow(write), workflow_id="w").get_result(timeout_seconds=SECONDS)
        assert read("w", "a") == [0, 1, 2, 3, "from a step", None]
        assert read("w", "a", offset=4) == ["from a step", None]
        assert read("w", "a", offset=6) == []
        assert read("w", "a", offset=1000) == []
        assert read("w", "b", offset=2) == ["b2", "b3"], "it ended with its workflow"
        assert read("w", "never") == []
    assert len(checkpoints(system_url, "w")) == 10


def test_a_stream_ends_where_it_is_closed(system_url: str, form: Form) -> None:
    go = threading.Event()

    async def write(verbs: Verbs) -> None:
        await verbs.write_stream("k", 1)
        await verbs.close_stream("k")
        await verbs.run_step(lambda: go.wait(SECONDS))
        await verbs.write_stream("k", 2)

    with Durably("talk", system_database_url=system_url):
        handle = started(form.workflow(write), workflow_id="w")
        assert read("w", "k") == [1]
        go.set()
        handle.get_result(timeout_seconds=SECONDS)
        assert read("w", "k") == [1]
        assert read("w", "k", offset=2) == [2], "what comes after the end is not lost"


@pytest.mark.parametrize("ending", ["returns", "raises", "is cancelled"])
def test_a_stream_ends_with_its_workflow(system_url: str, form: Form, ending: str) -> None:
    reading = threading.Event()

    async def write(verbs: Verbs) -> None:
        await verbs.write_stream("k", 1)
        if ending == "is cancelled":
            await verbs.recv(timeout_seconds=SECONDS)
        await verbs.run_step(lambda: reading.wait(SECONDS))
        if ending == "raises":
            raise ValueError("no")

    with Durably("talk", system_database_url=system_url):
        started(form.workflow(write), workflow_id="w")
        values = durably.read_stream("w", "k", timeout_seconds=SECONDS)
        assert next(values) == 1
        threading.Timer(
            0.2, lambda: durably.cancel_workflow("w") if ending == "is cancelled" else reading.set()
        ).start()
        began = time.monotonic()
        assert list(values) == []
        assert time.monotonic() - began < 8, "its end was told, not found by looking"


def test_a_long_stream_is_read_while_another_engine_writes_it(system_url: str, form: Form) -> None:
    async def write(verbs: Verbs, count: int) -> None:
        for number in range(count):
            await verbs.write_stream("k", number)

    flow = form.workflow(write)
    one, two = Durably("one", system_database_url=system_url), Durably("two", system_database_url=system_url)
    found: dict[str, list[Any]] = {}

    def reader(name: str, source: Any, offset: int = 0) -> threading.Thread:
        def run() -> None:
            found[name] = list(source.read_stream("w", "k", offset=offset, timeout_seconds=SECONDS))

        return threading.Thread(target=run)

    with one, two, Client(system_url, name="one") as client:
        with one.current():
            started(flow, 700, workflow_id="w")
        threads = [reader("two", two), reader("one", one, 3), reader("client", client, 650)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join(SECONDS)
    everything = list(range(700))
    assert found == {"two": everything, "one": everything[3:], "client": everything[650:]}


def test_who_reads_waits_so_long(system_url: str, form: Form) -> None:
    go = threading.Event()

    async def write(verbs: Verbs) -> None:
        await verbs.write_stream("k", 1)
        await verbs.run_step(lambda: go.wait(SECONDS))

    with Durably("talk", system_database_url=system_url):
        started(form.workflow(write), workflow_id="w")
        with pytest.raises(WaitTimeoutError, match=r"stream 'k' of workflow 'w' had no value at offset 1 in 0\.2 s"):
            list(durably.read_stream("w", "k", timeout_seconds=0.2))
        with pytest.raises(WaitTimeoutError, match="offset 5"):
            list(durably.read_stream("w", "k", offset=5, timeout_seconds=0))
        go.set()


def test_a_stream_of_no_workflow_is_an_error(system_url: str) -> None:
    with (
        Durably("talk", system_database_url=system_url),
        pytest.raises(WorkflowNotFoundError, match="no workflow with the id 'nobody' to read a stream of"),
    ):
        list(durably.read_stream("nobody", "k"))


def test_streams_are_for_workflows(system_url: str) -> None:
    with Durably("talk", system_database_url=system_url):
        with pytest.raises(ConfigurationError, match=r"durably\.write_stream is for workflows and their steps"):
            durably.write_stream("k", 1)
        with pytest.raises(ConfigurationError, match=r"durably\.close_stream"):
            asyncio.run(durably.aio.close_stream("k"))


@dataclass
class Token:
    text: str


def test_expect_names_the_type(system_url: str, form: Form) -> None:
    async def write(verbs: Verbs) -> None:
        await verbs.write_stream("k", Token("a"))
        await verbs.write_stream("k", Token("b"))

    with Durably("talk", system_database_url=system_url):
        started(form.workflow(write), workflow_id="w").get_result(timeout_seconds=SECONDS)
        assert read("w", "k", expect=Token) == [Token("a"), Token("b")]


# -- reading in workflows ----------------------------------------------------------------------------------------


def test_what_a_workflow_reads_is_recorded(lives: Lives, form: Form) -> None:
    async def flow(verbs: Verbs) -> list[Any]:
        await verbs.write_stream("k", 1)
        await verbs.write_stream("k", 2)
        await verbs.close_stream("k")
        found = await all_values(verbs, "w", "k", timeout_seconds=SECONDS)
        late = ""
        try:
            await all_values(verbs, "w", "other", timeout_seconds=0)
        except WaitTimeoutError as error:
            late = type(error).__name__
        try:
            await all_values(verbs, "nobody", "k")
        except WorkflowNotFoundError as error:
            late += type(error).__name__
        lives.lines.append([found, late])
        await verbs.write_stream("other", 3)
        await lives.stuck_once(verbs)
        return found

    flow_ = form.workflow(flow)
    assert lives.interrupted(lambda: durably.start_workflow(flow_)) == [1, 2]
    assert lives.lines == [[[1, 2], "WaitTimeoutErrorWorkflowNotFoundError"]] * 2
    reads = [name for name in checkpoints(lives.url, "w") if name == "durably.read_stream"]
    assert len(reads) == 4, "a share, the end, and two errors"


def test_a_workflow_that_waits_for_a_stream_is_cancelled_at_once(system_url: str, form: Form) -> None:
    async def flow(verbs: Verbs) -> Any:
        return await all_values(verbs, "w", "k")

    with Durably("talk", system_database_url=system_url):
        handle = started(form.workflow(flow), workflow_id="w")
        time.sleep(0.3)
        began = time.monotonic()
        handle.cancel()
        with pytest.raises(durably.WorkflowCancelledError):
            handle.get_result(timeout_seconds=SECONDS)
        assert time.monotonic() - began < 5


# -- across crashes ----------------------------------------------------------------------------------------------


def test_a_replay_writes_nothing_twice(lives: Lives, form: Form) -> None:
    async def flow(verbs: Verbs) -> None:
        await verbs.write_stream("k", 1)

        @step(name="in a step")
        def in_a_step() -> None:
            durably.write_stream("k", 2)
            durably.write_stream("l", "l")
            durably.write_stream("k", 3)
            lives.stick()
            durably.write_stream("k", 4)

        await verbs.run_step(in_a_step)
        await verbs.close_stream("k")

    flow_ = form.workflow(flow)
    lives.interrupted(lambda: durably.start_workflow(flow_))
    with Client(lives.url, name="lives") as client:
        assert list(client.read_stream("w", "k")) == [1, 2, 3, 4]
        assert list(client.read_stream("w", "l")) == ["l"]


def test_a_step_that_is_retried_writes_once(system_url: str, form: Form) -> None:
    async def write(verbs: Verbs) -> None:
        @step(name="in a step", max_attempts=3, interval_seconds=0.01)
        def in_a_step() -> None:
            durably.write_stream("k", "first")
            durably.write_stream("k", durably.attempt())
            if durably.attempt() < 3:
                raise ConnectionError("again")
            durably.write_stream("k", "last")

        await verbs.run_step(in_a_step)

    with Durably("talk", system_database_url=system_url):
        started(form.workflow(write), workflow_id="w").get_result(timeout_seconds=SECONDS)
        assert read("w", "k") == ["first", 1, "last"]


def test_arms_write_side_by_side(system_url: str) -> None:
    @workflow(name="write")
    async def write(arms: int) -> None:
        async def arm(name: int) -> None:
            for number in range(10):
                await durably.aio.write_stream("k", [name, number])

        await durably.aio.gather(*(arm(name) for name in range(arms)))

    with Durably("talk", system_database_url=system_url):
        with durably.workflow_options(workflow_id="w"):
            durably.start_workflow(write, 6)
        values = list(durably.read_stream("w", "k", timeout_seconds=SECONDS))
        durably.get_result("w", timeout_seconds=SECONDS)
    assert len(values) == 60
    for name in range(6):
        assert [number for one, number in values if one == name] == list(range(10))
    offsets = rows(system_url, 'SELECT "offset" FROM durably.streams ORDER BY "offset"')
    assert [row[0] for row in offsets] == list(range(60))
