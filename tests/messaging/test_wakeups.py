"""Who waits is woken by what other processes write, without asking; and asks where nobody can tell.

Engines beside each other in one process tell each other nothing: what they hear of each other is what processes hear.
"""

from __future__ import annotations

import asyncio
import logging
import threading
import time
from collections.abc import Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from functools import partial
from typing import Any

import psycopg
import pytest

import durably
from durably import Client, Durably, workflow
from tests.executors.programs import Program
from tests.messaging.lives import SECONDS, waited_for
from tests.messaging.test_messages import started


class Waiting:
    """An engine with two workflows, one that receives and one that shows, and what its database was asked."""

    def __init__(self, url: str, **options: Any) -> None:
        self.app = Durably("waits", system_database_url=url, lease_seconds=120, executes="own", **options)
        self.statements: list[str] = []

        @workflow(name="receive")
        async def receive(count: int) -> list[Any]:
            # Without an end, of which nothing has to be written down.
            return [await durably.aio.recv(timeout_seconds=None) for _ in range(count)]

        @workflow(name="show")
        async def show() -> None:
            await durably.aio.recv(timeout_seconds=SECONDS)
            await durably.aio.set_event("k", "v")
            await durably.aio.write_stream("s", 1)

        self.receive, self.show = receive, show

    def __enter__(self) -> Waiting:
        self.app.launch()
        self.connected.ledger.backend.observe = lambda sql, _: self.statements.append(sql)
        return self

    def __exit__(self, *error: object) -> None:
        self.app.shutdown(timeout_seconds=0)

    @property
    def connected(self) -> Any:
        launched = self.app._launched
        assert launched is not None
        return launched.connected

    def start(self, flow: Any, *args: Any, workflow_id: str) -> durably.WorkflowHandle[Any]:
        with self.app.current():
            return started(flow, *args, workflow_id=workflow_id)

    def asked_more_than(self, count: int) -> bool:
        return len(self.statements) > count

    def quiet(self, seconds: float = 0.3) -> None:
        """Until it has not asked for anything for a while."""
        seen = -1
        while len(self.statements) != seen:
            seen = len(self.statements)
            time.sleep(seconds)


@pytest.fixture
def pool() -> Iterator[ThreadPoolExecutor]:
    with ThreadPoolExecutor(8) as pool:
        yield pool


def sender(url: str) -> Client:
    return Client(url, name="waits")


def soon(future: Future[Any], seconds: float) -> Any:
    """Its result, which is to come much sooner than by looking now and then."""
    return future.result(timeout=seconds)


# The net looks every ten seconds; much less than that was told. The machine may be busy.
TOLD = 5.0


def test_on_postgresql_who_waits_is_woken_and_asks_nothing_meanwhile(postgres_url: str) -> None:
    with Waiting(postgres_url) as waiting, sender(postgres_url) as client:
        handle = waiting.start(waiting.receive, 3, workflow_id="w")
        waiting.quiet()
        before = len(waiting.statements)
        time.sleep(1.5)
        assert waiting.statements[before:] == [], "nothing is polled for"
        for number in range(3):
            began = time.monotonic()
            client.send("w", number)
            waited_for(partial(waiting.asked_more_than, before), TOLD)
            assert time.monotonic() - began < TOLD
            waiting.quiet(0.1)
            before = len(waiting.statements)
        assert handle.get_result(timeout_seconds=TOLD) == [0, 1, 2]


def test_events_streams_outcomes_and_cancellations_are_told(system_url: str, pool: ThreadPoolExecutor) -> None:
    with Waiting(system_url) as waiting, sender(system_url) as client, sender(system_url) as other:
        waiting.start(waiting.show, workflow_id="shows")
        sleeper = waiting.start(waiting.receive, 1, workflow_id="sleeps")
        event = pool.submit(lambda: client.get_event("shows", "k", timeout_seconds=SECONDS))
        stream = pool.submit(lambda: list(client.read_stream("shows", "s", timeout_seconds=SECONDS)))
        result = pool.submit(client.get_result, "shows", timeout_seconds=SECONDS)
        ended = pool.submit(client.get_result, "sleeps", timeout_seconds=SECONDS)
        time.sleep(0.5)
        began = time.monotonic()
        other.send("shows", "go")
        assert soon(event, SECONDS) == "v"
        assert soon(stream, SECONDS) == [1]
        assert soon(result, SECONDS) is None
        other.cancel_workflow("sleeps")
        with pytest.raises(durably.WorkflowCancelledError):
            soon(ended, SECONDS)
        with pytest.raises(durably.WorkflowCancelledError):
            sleeper.get_result(timeout_seconds=SECONDS)
        assert time.monotonic() - began < TOLD


@pytest.mark.parametrize("options", [{"notifications": False}, {"transaction_pooler": True}], ids=str)
def test_where_nobody_tells_it_looks_now_and_then(
    postgres_url: str, options: dict[str, Any], pool: ThreadPoolExecutor
) -> None:
    with Waiting(postgres_url, **options) as waiting, sender(postgres_url) as client:
        handle = waiting.start(waiting.receive, 2, workflow_id="w")
        event = pool.submit(lambda: waiting.app.get_event("other", "k", timeout_seconds=0.5))
        assert soon(event, SECONDS) is None
        time.sleep(4)  # until it looks at its slowest
        before = len(waiting.statements)
        time.sleep(2.5)
        assert 0 < len(waiting.statements) - before <= 6, "at most once a second, for all that is waited for"
        began = time.monotonic()
        client.send("w", 1)
        client.send_bulk([durably.Message("w", 2)])
        assert handle.get_result(timeout_seconds=SECONDS) == [1, 2]
        cancelled = waiting.start(waiting.receive, 1, workflow_id="c")
        client.cancel_workflow("c")
        with pytest.raises(durably.WorkflowCancelledError):
            cancelled.get_result(timeout_seconds=SECONDS)
        assert time.monotonic() - began < 8
        waiting.quiet(1.2)
        before = len(waiting.statements)
        time.sleep(2.5)
        assert waiting.statements[before:] == [], "nobody waits any more"


def test_sqlite_without_notifications_looks_now_and_then(sqlite_path: Any) -> None:
    url = f"sqlite:///{sqlite_path}"
    with Waiting(url, notifications=False) as waiting, sender(url) as client:
        handle = waiting.start(waiting.receive, 1, workflow_id="w")
        time.sleep(0.3)
        client.send("w", 1)
        assert handle.get_result(timeout_seconds=SECONDS) == [1]


def test_where_nobody_waits_nothing_is_asked(system_url: str) -> None:
    with Waiting(system_url) as waiting, Waiting(system_url) as writer:
        waiting.quiet()
        before = len(waiting.statements)
        handle = writer.start(writer.receive, 50, workflow_id="w")
        writer.app.send_bulk([durably.Message("w", number) for number in range(50)])
        handle.get_result(timeout_seconds=SECONDS)
        time.sleep(0.3)
        assert waiting.statements[before:] == []


def test_waiters_share_what_is_asked(system_url: str) -> None:
    """Many wait for many; the news of one of them is not looked for by all the others."""
    with Waiting(system_url) as waiting, sender(system_url) as client:
        for number in range(100):
            waiting.start(waiting.receive, 1, workflow_id=f"w-{number}")
        waiting.quiet()
        before = len(waiting.statements)
        client.send("w-7", "x")
        assert client.get_result("w-7", timeout_seconds=SECONDS) == ["x"]
        waiting.quiet(0.2)
        asked = waiting.statements[before:]
        # One look for all of them where a file only tells that something was written, and the receiver's own work.
        assert len(asked) < 60, asked


# -- lost connections --------------------------------------------------------------------------------------------


def kill_connections(url: str) -> int:
    """End all connections to this database; how many there were."""
    with psycopg.connect(url, autocommit=True) as connection:
        rows = connection.execute(
            "SELECT pg_terminate_backend(pid) FROM pg_stat_activity"
            " WHERE datname = current_database() AND pid <> pg_backend_pid()"
        ).fetchall()
    return len(rows)


def listening(url: str) -> int:
    with psycopg.connect(url, autocommit=True) as connection:
        row = connection.execute(
            "SELECT count(*) FROM pg_stat_activity WHERE datname = current_database() AND query = 'LISTEN durably_news'"
        ).fetchone()
    assert row is not None
    return int(row[0])


def test_it_listens_again_after_its_connections_were_killed_and_loses_nothing(
    postgres_url: str, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.WARNING)
    with Waiting(postgres_url) as waiting, sender(postgres_url) as client:
        handle = waiting.start(waiting.receive, 6, workflow_id="w")
        waited_for(lambda: listening(postgres_url) == 1)
        for number in range(3):
            # While nobody listens …
            assert kill_connections(postgres_url) >= 2
            client.send("w", 2 * number)
            # … and when somebody does again.
            waited_for(lambda: listening(postgres_url) == 1)
            client.send("w", 2 * number + 1)
        began = time.monotonic()
        assert handle.get_result(timeout_seconds=SECONDS) == list(range(6))
        assert time.monotonic() - began < TOLD
    assert "cannot listen for news" in caplog.text


def test_a_client_listens_again_too(postgres_url: str, pool: ThreadPoolExecutor) -> None:
    with Waiting(postgres_url) as waiting, sender(postgres_url) as client, sender(postgres_url) as other:
        waiting.start(waiting.show, workflow_id="shows")
        event = pool.submit(lambda: client.get_event("shows", "k", timeout_seconds=SECONDS))
        waited_for(lambda: listening(postgres_url) == 2)
        kill_connections(postgres_url)
        waited_for(lambda: listening(postgres_url) == 2)
        other.send("shows", "go")
        assert soon(event, TOLD) == "v"


# -- threads -----------------------------------------------------------------------------------------------------


def test_who_waits_asynchronously_costs_no_thread(system_url: str) -> None:
    async def ask(app: Durably, count: int) -> tuple[int, list[Any]]:
        waits = [asyncio.ensure_future(app.aio.get_event("shows", "k", timeout_seconds=SECONDS)) for _ in range(count)]
        await asyncio.sleep(0.5)
        threads = threading.active_count()
        await app.aio.send("shows", "go")
        return threads, await asyncio.gather(*waits)

    with Waiting(system_url) as waiting:
        waiting.start(waiting.show, workflow_id="shows")
        waiting.quiet()
        before = threading.active_count()
        threads, found = asyncio.run(ask(waiting.app, 200))
        assert found == ["v"] * 200
        # The readers of the ledger, at most.
        assert threads <= before + 5


def test_a_thousand_workflows_that_receive_cost_no_thread(system_url: str) -> None:
    with Waiting(system_url) as waiting:
        waiting.start(waiting.receive, 0, workflow_id="first").get_result(timeout_seconds=SECONDS)
        before = threading.active_count()
        handles = [waiting.start(waiting.receive, 1, workflow_id=f"w-{number}") for number in range(500)]
        assert threading.active_count() <= before + 2
        waiting.app.send_bulk([durably.Message(handle.workflow_id, 1) for handle in handles])
        for handle in handles:
            assert handle.get_result(timeout_seconds=SECONDS) == [1]


# -- processes ---------------------------------------------------------------------------------------------------

PROGRAM = """
import sys
import durably
from durably import Durably, workflow

@workflow(name="echo")
def echo(times):
    for _ in range(times):
        sender, number = durably.recv("ping", timeout_seconds=60)
        durably.set_event("last", number)
        durably.write_stream("all", number)
        durably.send(sender, -number, "pong")

with Durably("waits", system_database_url=sys.argv[1], executes="own"):
    with durably.workflow_options(workflow_id="echo"):
        handle = durably.start_workflow(echo, int(sys.argv[2]))
    print("ready", flush=True)
    handle.get_result(timeout_seconds=60)
"""


def test_processes_talk_in_both_directions(system_url: str, tmp_path: Any, pool: ThreadPoolExecutor) -> None:
    @workflow(name="ask")
    async def ask(times: int) -> list[Any]:
        heard = []
        for number in range(1, times + 1):
            await durably.aio.send("echo", ["ask", number], "ping")
            heard.append(await durably.aio.recv("pong", timeout_seconds=SECONDS))
        return heard

    with Waiting(system_url) as waiting:
        process = Program(tmp_path, PROGRAM).start(system_url, "20")
        assert process.stdout is not None
        assert process.stdout.readline() == "ready\n"
        stream = pool.submit(lambda: list(waiting.app.read_stream("echo", "all", timeout_seconds=SECONDS)))
        began = time.monotonic()
        asking = waiting.start(ask, 20, workflow_id="ask")
        assert asking.get_result(timeout_seconds=SECONDS) == [-number for number in range(1, 21)]
        took = time.monotonic() - began
        assert soon(stream, SECONDS) == list(range(1, 21))
        assert waiting.app.get_event("echo", "last") == 20
        with waiting.app.current():
            assert durably.get_result("echo", timeout_seconds=SECONDS) is None
        assert process.wait(SECONDS) == 0
        process.stdout.close()
        if process.stdin is not None:
            process.stdin.close()
        # By looking every ten seconds it would take minutes.
        assert took < 20, took


def test_a_process_that_is_killed_leaves_its_messages(system_url: str, tmp_path: Any) -> None:
    text = PROGRAM.replace("handle.get_result(timeout_seconds=60)", "sys.stdin.read()")
    with Waiting(system_url) as waiting:
        handle = waiting.start(waiting.receive, 3, workflow_id="ask")
        process = Program(tmp_path, text).start(system_url, "3")
        assert process.stdout is not None
        assert process.stdin is not None
        assert process.stdout.readline() == "ready\n"
        for number in range(3):
            waiting.app.send("echo", ["ask", number], "ping")
        waited_for(lambda: waiting.app.get_event("echo", "last", timeout_seconds=0.05) == 2)
        process.kill()
        process.wait(SECONDS)
        process.stdin.close()
        process.stdout.close()
        # It sent to the topic "pong", of which nothing was asked here: these are others.
        waiting.app.send_bulk([durably.Message("ask", number) for number in range(3)])
        assert handle.get_result(timeout_seconds=SECONDS) == [0, 1, 2]
