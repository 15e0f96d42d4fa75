"""Every hot statement finds its rows through an index, on small and on large tables.

The statements are those that the ledger really sends, taken from its observer, and planned as it plans them: on a
connection of its own, with its settings.
"""

from __future__ import annotations

import re
import sqlite3
import time
from collections.abc import Iterator
from typing import Any

import pytest

from durably.ledger import queries
from durably.ledger.backend import Backend
from durably.ledger.postgres import PostgresBackend
from durably.ledger.sqlite import SqliteBackend
from durably.model import CheckpointKey
from durably.sql.dialect import POSTGRESQL, SQLITE, render
from tests.ledger.commands import ALICE, BOB, checkpoint, claimant, outcome, start

#: One row for each executor: it is read whole, on purpose.
SMALL = "executors"
_LARGE = "workflow_status|workflow_inputs|workflow_outputs|operation_outputs"


def exercise(backend: Backend, *, written_only: bool = False) -> list[str]:
    """Every kind of statement that the ledger sends while it works, each once. ``written_only``: group commit's."""
    sent: dict[str, None] = {}

    def observe(sql: str, round_trips: int) -> None:
        if sql not in ("BEGIN", "BEGIN IMMEDIATE", "COMMIT"):
            sent[sql] = None

    backend.observe = observe
    backend.write([start("p1"), start("p2"), start("p3", executor=None)])
    backend.write([start("p1"), checkpoint("p1"), outcome("p2")])
    backend.write([start("p1")])
    backend.write([checkpoint("p1")])
    backend.write([outcome("p2")])
    if written_only:
        backend.observe = None
        return [sql for sql in sent if not sql.startswith("SELECT")]
    backend.change(queries.claim_waiting_by(claimant(ALICE), 10))
    backend.change(queries.claim_lost_by(claimant(BOB), ALICE, 10))
    backend.change(lambda session: queries.hand_back(session, BOB, ["p1"]))
    backend.change(lambda session: queries.forget_executor(session, "shop", ALICE))
    backend.read(lambda session: queries.statuses(session, ["p1"]))
    backend.read(lambda session: queries.outcomes(session, ["p1"]))
    backend.read(lambda session: queries.history(session, ["p1"]))
    backend.read(lambda session: queries.checkpoint(session, "p1", CheckpointKey("", 1)))
    backend.read(lambda session: queries.claimed_inputs(session, ["p1"], BOB))
    backend.read(lambda session: queries.held(session, BOB))
    backend.observe = None
    return list(sent)


def fill(backend: Backend, count: int) -> None:
    """``count`` workflows that have ended, with their steps, and some that are held or wait."""
    for first in range(0, count, 1000):
        ids = [f"f{number}" for number in range(first, min(first + 1000, count))]
        backend.write([start(one) for one in ids])
        backend.write([checkpoint(one) for one in ids])
        backend.write([outcome(one) for one in ids[:-2]])


@pytest.fixture(params=[3_000, 50_000])
def size(request: pytest.FixtureRequest) -> int:
    size: int = request.param
    return size


def nodes(plan: dict[str, Any]) -> Iterator[dict[str, Any]]:
    yield plan
    for below in plan.get("Plans", ()):
        yield from nodes(below)


def copied(backend: PostgresBackend, count: int) -> None:
    """As ``fill``, inside the database: 50,000 rows in a second."""
    with backend.connect() as raw:
        raw.execute(
            "INSERT INTO durably.workflow_status (workflow_uuid, run_id, status, name, application_name, executor_id,"
            " attempt, created_at) SELECT 'f' || n, 'r' || n, CASE n %% 500 WHEN 1 THEN 'PENDING'"
            " WHEN 2 THEN 'ENQUEUED' ELSE 'SUCCESS' END, 'order', 'shop', 'e' || n %% 7, 1, n"
            " FROM generate_series(1, %s) n",
            (count,),
        )
        for table, value in (("workflow_inputs", "inputs"), ("workflow_outputs", "output")):
            raw.execute(
                f"INSERT INTO durably.{table} (workflow_uuid, {value}, serialization)".encode()
                + b" SELECT 'f' || n, repeat('x', 100), 'json' FROM generate_series(1, %s) n",
                (count,),
            )
        raw.execute(
            "INSERT INTO durably.operation_outputs (workflow_uuid, function_id, function_name, output, serialization)"
            " SELECT 'f' || n, f, 'charge', '1', 'json' FROM generate_series(1, %s) n, generate_series(1, 2) f",
            (count,),
        )
        raw.execute("ANALYZE")
    raw.close()


def check_plans(backend: PostgresBackend, statements: list[str]) -> None:
    """Every scan of a large table goes by an index with a condition; planned without looking at the values."""
    with backend.connect(one_plan=True) as raw:
        for place, sql in enumerate(statements):
            text = render(sql, POSTGRESQL, "dollar")
            values = ", ".join(["NULL"] * len(re.findall(r"\$\d+", text)))
            raw.execute(f"PREPARE p{place} AS {text}".encode())
            row = raw.execute(f"EXPLAIN (FORMAT JSON) EXECUTE p{place}({values})".encode()).fetchone()
            assert row is not None
            plan = row[0][0]["Plan"]
            scanned = [node for node in nodes(plan) if node["Node Type"] == "Seq Scan"]
            assert {node["Relation Name"] for node in scanned} <= {SMALL}, (sql, plan)
            # … nor an index from end to end, which is no better.
            for node in nodes(plan):
                if node["Node Type"] in ("Index Scan", "Index Only Scan", "Bitmap Index Scan"):
                    assert "Index Cond" in node, (sql, plan)
    raw.close()


def test_postgresql_scans_no_large_table(postgres_backend: Backend, size: int) -> None:
    assert isinstance(postgres_backend, PostgresBackend)
    statements = exercise(postgres_backend)
    assert len(statements) >= 12
    copied(postgres_backend, size)
    check_plans(postgres_backend, statements)


@pytest.mark.parametrize("rows", [0, 1, 3, 60, 1000])
def test_a_plan_that_was_made_for_a_small_table_is_good_for_a_large_one(postgres_backend: Backend, rows: int) -> None:
    """The writer keeps its plans, so those for a table of one row must be those for a million."""
    assert isinstance(postgres_backend, PostgresBackend)
    statements = exercise(postgres_backend, written_only=True)
    assert len(statements) == 3
    with postgres_backend.connect() as raw:
        raw.execute("TRUNCATE durably.workflow_status, durably.workflow_outputs, durably.operation_outputs")
    raw.close()
    fill(postgres_backend, rows)
    postgres_backend.change(lambda session: session.execute("ANALYZE"))
    check_plans(postgres_backend, statements)


def test_an_outcome_costs_the_same_beside_thousands_that_run(postgres_backend: Backend) -> None:
    """With the real plans of the real connection, made while nothing was there."""
    assert isinstance(postgres_backend, PostgresBackend)
    exercise(postgres_backend, written_only=True)
    for first in range(0, 10_000, 1000):
        postgres_backend.write([start(f"w{number}") for number in range(first, first + 1000)])
    began = time.monotonic()
    assert postgres_backend.write([outcome(f"w{number}") for number in range(1000)]) == [True] * 1000
    assert time.monotonic() - began < 1.0, "it took 4 s when each was compared with all"


@pytest.mark.parametrize("size", [3_000], indirect=True)
def test_sqlite_scans_no_large_table(sqlite_path: Any, connect: Any, size: int) -> None:
    backend = connect(f"sqlite:///{sqlite_path}")
    assert isinstance(backend, SqliteBackend)
    fill(backend, size)
    statements = exercise(backend)
    raw = sqlite3.connect(sqlite_path)
    try:
        raw.execute("ANALYZE")
        for sql in statements:
            text = render(sql, SQLITE, "qmark")
            steps = [row[3] for row in raw.execute(f"EXPLAIN QUERY PLAN {text}", [None] * text.count("?"))]
            scanned = [step for step in steps if re.match(rf"SCAN (s|o|durably_({_LARGE}))( |$)", step)]
            assert not [step for step in scanned if "USING INDEX" not in step], (sql, steps)
    finally:
        raw.close()
