"""Django's connections on Durably's own threads: checked and handed back between pieces of work, none left behind."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterator
from typing import Any

import django
import psycopg
import pytest
from django.db import connections

import durably
from durably import Durably
from durably_django import DjangoAdapter
from tests.adapters.django.notes import Note, add, make_table, workflow_of
from tests.adapters.django.site import Site

AT_ONCE = 6


@pytest.fixture
def count(postgres_url: str) -> Iterator[Callable[[], int]]:
    """How many connections to the database Django has open: all but Durably's own, and the counting one."""
    with psycopg.connect(postgres_url, autocommit=True, application_name="count") as connection:

        def counted() -> int:
            row = connection.execute(
                "SELECT count(*) FROM pg_stat_activity WHERE datname = current_database()"
                " AND application_name NOT IN ('durably', 'count')"
            ).fetchone()
            assert row is not None
            return int(row[0])

        yield counted


@pytest.fixture
def launch(site: Site, postgres_url: str) -> Iterator[Callable[..., Durably]]:
    """An engine with a worker's threads, on an alias with such an entry."""
    engines: list[Durably] = []

    def launch(**entry: Any) -> Durably:
        site.add("default", postgres_url, **entry)
        make_table()
        engine = Durably(
            "site", system_database_url=postgres_url, adapters={"default": DjangoAdapter()}, lease_seconds=5
        )
        engine.launch()
        engines.append(engine)
        connections.close_all()
        return engine

    yield launch
    for engine in engines:
        engine.shutdown()
    connections["default"].close()
    if pool := getattr(connections["default"], "pool", None):
        pool.close()


def run(names: list[str]) -> None:
    """Workflows of a step and a transaction, each on a thread of Durably's, all at once; both use the ORM."""
    together = threading.Barrier(len(names))

    def look() -> int:
        return Note.objects.count()

    def write(name: str) -> None:
        add(name)
        together.wait(20)

    step = durably.step(name="look")(look)
    call = durably.transaction(name="write")(write)

    def both(name: str) -> None:
        step()
        call(name)

    flow = durably.workflow(name="both")(both)
    for handle in [durably.start_workflow(flow, name) for name in names]:
        handle.get_result(timeout_seconds=20)


def settles(count: Callable[[], int], expected: int) -> None:
    """Outcomes are told a moment before their threads hand their connections back, and a server's end takes another."""
    deadline = time.monotonic() + 20
    while count() != expected:
        assert time.monotonic() < deadline, f"{count()} connections, and not {expected}"
        time.sleep(0.02)


def test_without_persistence_none_is_left_after_the_work(
    launch: Callable[..., Durably], count: Callable[[], int]
) -> None:
    launch()
    for round_ in range(2):
        run([f"{round_}-{n}" for n in range(AT_ONCE)])
        settles(count, 0)


def test_persistent_ones_are_kept_while_their_threads_live_and_no_longer(
    launch: Callable[..., Durably], count: Callable[[], int]
) -> None:
    app = launch(CONN_MAX_AGE=60, CONN_HEALTH_CHECKS=True)
    run([str(n) for n in range(AT_ONCE)])
    settles(count, AT_ONCE)
    run([f"again-{n}" for n in range(AT_ONCE)])
    settles(count, AT_ONCE)
    app.shutdown()
    settles(count, 0)


def test_a_persistent_one_that_died_is_replaced_before_it_is_used(
    launch: Callable[..., Durably], count: Callable[[], int], postgres_url: str
) -> None:
    launch(CONN_MAX_AGE=60, CONN_HEALTH_CHECKS=True)
    run(["first"])
    settles(count, 1)
    with psycopg.connect(postgres_url, autocommit=True) as other:
        other.execute(
            "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE datname = current_database()"
            " AND application_name NOT IN ('durably', 'count') AND pid <> pg_backend_pid()"
        )
    run(["second"])  # a step that fails is not tried again here
    settles(count, 1)


@pytest.mark.skipif(django.VERSION < (5, 1), reason="Django has pools from 5.1 on")
def test_with_a_pool_they_go_back_to_it(launch: Callable[..., Durably], count: Callable[[], int]) -> None:
    app = launch(OPTIONS={"pool": {"min_size": 1, "max_size": AT_ONCE, "timeout": 5}})
    for round_ in range(3):
        # Idle threads that kept theirs would starve the next round's.
        run([f"{round_}-{n}" for n in range(AT_ONCE)])
    assert 1 <= count() <= AT_ONCE
    app.shutdown()


def test_the_callers_thread_is_left_alone(launch: Callable[..., Durably], count: Callable[[], int]) -> None:
    launch()
    Note.objects.count()
    mine = connections["default"].connection
    run(["one"])
    workflow_of(lambda: None)()
    assert connections["default"].connection is mine
    settles(count, 1)
