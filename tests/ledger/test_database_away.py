"""A database that goes away makes workflows wait, and then finish; nothing fails, nothing is doubled."""

from __future__ import annotations

import asyncio
import logging
import sqlite3
import threading
import time
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import partial
from pathlib import Path
from uuid import uuid4

import psycopg
import pytest

import durably
from durably import Durably, step, workflow
from durably.client import make_backend
from durably.clock import SystemClock
from durably.config import Settings
from durably.drive import drive
from durably.errors import NotLaunchedError
from durably.ledger import migrations, queries
from durably.ledger import sqlite as sqlite_backend
from durably.ledger.backend import Session
from durably.ledger.commands import Recorded
from durably.ledger.ledger import Ledger
from durably.testing.postgres import TEST_SETTINGS, PostgresServer, start_postgres
from tests.ledger.commands import checkpoint, outcome, start
from tests.ledger.writing import in_threads

STEPS = 5


class Bodies:
    """Counts how often each step body ran."""

    def __init__(self) -> None:
        self.ran: Counter[tuple[str, int]] = Counter()
        self.mutex = threading.Lock()

    def run(self, number: int) -> int:
        workflow_id = durably.workflow_id()
        assert workflow_id is not None
        with self.mutex:
            self.ran[workflow_id, number] += 1
        time.sleep(0.002)
        return number


@pytest.fixture
def bodies() -> Bodies:
    return Bodies()


@pytest.fixture
def order(bodies: Bodies) -> Callable[[], int]:
    @step(name="count")
    def count(number: int) -> int:
        return bodies.run(number)

    @workflow(name="order")
    def order() -> int:
        return sum(count(number) for number in range(STEPS))

    return order


@pytest.fixture(scope="module")
def killed_server() -> Iterator[PostgresServer]:
    with start_postgres(settings=TEST_SETTINGS, install=True) as server:
        yield server


@pytest.fixture
def server(killed_server: PostgresServer) -> PostgresServer:
    """A private server that runs, and may be killed."""
    killed_server.restart()
    return killed_server


def created(server: PostgresServer) -> str:
    return server.create_database(f"shop_{uuid4().hex[:12]}")


@contextmanager
def load(order: Callable[[], int], threads: int = 8) -> Iterator[list[int]]:
    """Workflows one after the other in many threads, while something happens to the database."""
    stop = threading.Event()
    results: list[int] = []

    def work() -> None:
        while not stop.is_set():
            results.append(order())

    def runs(ready: threading.Event) -> None:
        ready.set()
        in_threads([work] * threads, 60)

    failed: list[BaseException] = []

    def guarded(ready: threading.Event) -> None:
        try:
            runs(ready)
        except BaseException as error:
            failed.append(error)

    ready = threading.Event()
    thread = threading.Thread(target=guarded, args=(ready,))
    thread.start()
    ready.wait(5)
    time.sleep(0.3)
    try:
        yield results
    finally:
        stop.set()
        thread.join(60)
    if failed:
        raise failed[0]


def terminate(url: str) -> int:
    """End every other connection to this database."""
    with psycopg.connect(url, autocommit=True) as raw:
        row = raw.execute(
            "SELECT count(pg_terminate_backend(pid)) FROM pg_stat_activity"
            " WHERE datname = current_database() AND pid <> pg_backend_pid()"
        ).fetchone()
    raw.close()
    assert row is not None
    return int(row[0])


def check(bodies: Bodies, results: list[int]) -> None:
    """Every workflow that was called has returned; no step ran again after it was recorded."""
    assert set(results) == {sum(range(STEPS))}
    assert set(bodies.ran.values()) == {1}
    assert len(bodies.ran) == len(results) * STEPS


def test_terminated_connections_under_load_reach_no_caller(
    postgres_url: str, bodies: Bodies, order: Callable[[], int], caplog: pytest.LogCaptureFixture
) -> None:
    with Durably("shop", system_database_url=postgres_url), load(order) as results:
        for _ in range(8):
            time.sleep(0.15)
            assert terminate(postgres_url) >= 1
    check(bodies, results)
    told = [record.getMessage() for record in caplog.records if record.name == "durably.ledger"]
    assert any("is away" in message and "trying again" in message for message in told)


def test_a_server_that_is_killed_and_comes_back_makes_workflows_wait(
    server: PostgresServer, bodies: Bodies, order: Callable[[], int]
) -> None:
    url = created(server)
    with Durably("shop", system_database_url=url, lease_seconds=30), load(order) as results:
        for pause in (0.0, 0.8):
            before = len(results)
            server.kill()
            time.sleep(pause)
            server.restart()
            deadline = time.monotonic() + 20
            while len(results) < before + 8:
                assert time.monotonic() < deadline, "it did not go on"
                time.sleep(0.02)
    check(bodies, results)


def test_tasks_wait_for_a_server_that_is_away_and_the_loop_goes_on(server: PostgresServer, bodies: Bodies) -> None:
    @step(name="count")
    async def count(number: int) -> int:
        return bodies.run(number)

    @workflow(name="order")
    async def order() -> int:
        return sum([await count(number) for number in range(STEPS)])

    url = created(server)

    async def main() -> tuple[list[int], int]:
        ticks = 0
        async with Durably("shop", system_database_url=url, lease_seconds=30):
            tasks = [asyncio.create_task(order()) for _ in range(20)]
            await asyncio.sleep(0.02)
            await asyncio.to_thread(server.kill)
            restarting = asyncio.create_task(asyncio.to_thread(server.restart))
            while not all(task.done() for task in tasks):
                await asyncio.sleep(0.01)
                ticks += 1
            await restarting
            return await asyncio.gather(*tasks), ticks

    results, ticks = asyncio.run(main())
    check(bodies, results)
    assert ticks > 5


def test_a_lock_that_another_program_holds_for_long_makes_sqlite_wait(
    sqlite_path: Path, bodies: Bodies, order: Callable[[], int], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sqlite_backend, "BUSY_SECONDS", 0.1)
    with (
        Durably("shop", system_database_url=f"sqlite:///{sqlite_path}", lease_seconds=30),
        load(order, threads=4) as results,
    ):
        other = sqlite3.connect(sqlite_path, isolation_level=None, timeout=10)
        for _ in range(2):
            other.execute("BEGIN IMMEDIATE")
            before = len(results)
            time.sleep(0.6)
            assert len(results) <= before + 4, "the lock was held"
            other.execute("COMMIT")
            time.sleep(0.3)
        other.close()
    check(bodies, results)


@pytest.fixture
def away(server: PostgresServer) -> tuple[Ledger, PostgresServer]:
    """A ledger whose server has just gone."""
    backend = make_backend(Settings("test", created(server)))
    ledger = Ledger(backend, SystemClock(), where="the test database")
    ledger.open(run_migrations=True)
    backend.write([start("w")])
    server.kill()
    return ledger, server


def test_reads_changes_and_commands_wait_for_their_database(away: tuple[Ledger, PostgresServer]) -> None:
    ledger, server = away
    answers: dict[str, object] = {}

    def record() -> None:
        answers["record"] = drive(ledger.record(checkpoint("w")))

    def read() -> None:
        answers["read"] = drive(ledger.read(lambda session: queries.statuses(session, ["w"])))

    def change() -> None:
        answers["change"] = drive(ledger.change(lambda session: session.execute("SELECT 1")))

    def restart() -> None:
        time.sleep(0.3)
        assert answers == {}
        server.restart()

    in_threads([record, read, change, restart])
    assert answers["record"] is Recorded.RECORDED
    assert set(answers) == {"record", "read", "change"}
    ledger.close()


def test_closing_while_the_database_is_away_ends_the_waiting_with_a_clear_error(
    away: tuple[Ledger, PostgresServer],
) -> None:
    ledger, _ = away

    def waits() -> None:
        with pytest.raises(NotLaunchedError, match=r"shut down while its system database .* was away"):
            drive(ledger.record(checkpoint("w")))

    def closes() -> None:
        time.sleep(0.3)
        began = time.monotonic()
        ledger.close()
        assert time.monotonic() - began < 5

    in_threads([waits, waits, closes])


def test_a_long_outage_is_told_without_a_password(
    away: tuple[Ledger, PostgresServer], caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    ledger, server = away
    waiting = threading.Thread(target=partial(drive, ledger.record(checkpoint("w"))))
    waiting.start()
    time.sleep(0.3)
    told = [record for record in caplog.records if record.name == "durably.ledger"]
    assert told
    assert told[0].levelno == logging.WARNING
    assert "the test database is away" in told[0].getMessage()
    assert len(told) < 10, "nor is every try told"
    server.restart()
    waiting.join(20)
    ledger.close()


def test_a_backend_reconnects_after_every_kind_of_loss(emptied_url: str) -> None:
    """Also in a batch of several kinds, which goes out as a pipeline, and in the middle of a transaction."""
    backend = make_backend(Settings("test", emptied_url))
    migrations.migrate(backend)
    ledger = Ledger(backend, SystemClock(), where="test")
    for turn in range(3):
        workflow_id = f"w{turn}"
        terminate(emptied_url)
        assert drive(ledger.start(start(workflow_id))).created
        terminate(emptied_url)
        assert asyncio.run(both(ledger, workflow_id)) == (Recorded.RECORDED, True)
        assert drive(ledger.change(Terminates(emptied_url))) == "done"
    ledger.close()


async def both(ledger: Ledger, workflow_id: str) -> tuple[Recorded, bool]:
    """A checkpoint and an outcome in one batch."""
    recorded = asyncio.create_task(ledger.record(checkpoint(workflow_id)))
    finished = asyncio.create_task(ledger.finish(outcome(workflow_id)))
    return await recorded, await finished


class Terminates:
    """A change whose connection is ended in the middle, the first time."""

    def __init__(self, url: str) -> None:
        self._url = url
        self._done = False

    def __call__(self, session: Session) -> str:
        if not self._done:
            self._done = True
            terminate(self._url)
        session.execute("SELECT 1")
        return "done"
