"""The benchmark runs, on both databases, and reports; what it measures is never asserted."""

from __future__ import annotations

import itertools
import json
from pathlib import Path

import pytest

from benchmarks import report
from benchmarks.measure import QUICK
from benchmarks.side_by_side import DURABLY, RAW, main, side_by_side
from durably.testing.postgres import PostgresServer


class DatabasesOfTheTests:
    """Databases on the server of this test run."""

    name = "postgres"
    version = "PostgreSQL of the tests"

    def __init__(self, server: PostgresServer) -> None:
        self._server = server
        self._names = (f"durably_bench_{number}" for number in itertools.count(1))
        self.made: list[str] = []

    def empty(self) -> str:
        self.made.append(next(self._names))
        return self._server.create_database(self.made[-1])


def test_postgresql(postgres_server: PostgresServer) -> None:
    databases = DatabasesOfTheTests(postgres_server)
    try:
        rounds = side_by_side(databases, [DURABLY, RAW], QUICK, 2)
    finally:
        for name in databases.made:
            postgres_server.drop_database(name)
    assert [list(one.systems) for one in rounds] == [["Durably", "bare driver"], ["bare driver", "Durably"]]
    for one in rounds:
        for system in ("Durably", "bare driver"):
            assert all(one.figures(system, case)["workflows"] > 0 for case in one.systems[system]["cases"])


def test_command_line(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    kept = tmp_path / "figures.json"
    main(["--quick", "--only", "durably", "raw", "--database", "sqlite", "--json", str(kept)])
    printed = capsys.readouterr().out
    assert "1 step: p50 ms" in printed
    assert "8 threads: workflows/s" in printed
    assert "A smoke run" in printed
    (comparison,) = json.loads(kept.read_text())["comparisons"]
    (one,) = comparison["rounds"]
    assert set(one["systems"]) == {"Durably", "bare driver"}


@pytest.mark.parametrize(("ratio", "reached"), [(10.0, True), (9.9, False)])
def test_a_rate_is_judged(ratio: float, reached: bool) -> None:
    rate, _ = report.TARGETS["postgres"]
    assert rate.verdict(ratio).endswith("NOT reached") is not reached


@pytest.mark.parametrize(("ratio", "reached"), [(0.2, True), (0.21, False)])
def test_a_latency_is_judged(ratio: float, reached: bool) -> None:
    _, latency = report.TARGETS["sqlite"]
    assert latency.verdict(ratio).endswith("NOT reached") is not reached
