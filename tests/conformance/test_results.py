"""What is counted, and where a scenario exists at all."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any, ClassVar

import pytest

from durably.errors import ConfigurationError
from durably.testing.conformance import Capabilities, databases
from durably.testing.conformance.databases import DatabaseMissing, Databases
from durably.testing.conformance.placements import PLACEMENTS, Placement
from durably.testing.conformance.results import Results
from durably.testing.conformance.scenario import NOT_APPLICABLE, UNSUPPORTED, Needs
from tests.conformance.reference import AsyncReferenceSubject, ReferenceSubject


def report(when: Any, outcome: Any, node: str = "file::Class::test_one[sqlite]", why: Any = None) -> pytest.TestReport:
    return pytest.TestReport(node, ("file", 1, "test_one"), {}, outcome, why, when)


def counted(results: Results) -> list[str]:
    return results.lines()[1].split()


def test_a_scenario_that_passes_counts_once() -> None:
    results = Results()
    for when in ("setup", "call", "teardown"):
        results.add("orm", "sqlite", report(when, "passed"), {})
    assert counted(results) == ["orm", "sqlite", "1", "0", "0", "0", "0"]


@pytest.mark.parametrize("failing", ["setup", "call", "teardown"])
def test_a_failure_in_any_phase_is_a_failure(failing: str) -> None:
    results = Results()
    for when in ("setup", "call", "teardown"):
        results.add("orm", "sqlite", report(when, "failed" if when == failing else "passed"), {})
    assert counted(results) == ["orm", "sqlite", "0", "1", "0", "0", "0"]


@pytest.mark.parametrize(
    ("name", "column", "title"),
    [(UNSUPPORTED, 2, "declared unsupported: because (1)"), (NOT_APPLICABLE, 3, "not applicable: because (1)")],
)
def test_what_is_ruled_out_is_never_counted_as_passed(name: str, column: int, title: str) -> None:
    results = Results()
    results.add("orm", "sqlite", report("call", "passed"), {name: "because"})
    assert [int(count) for count in counted(results)[2:]] == [int(index == column) for index in range(5)]
    assert title in results.lines()


def test_what_is_skipped_says_why() -> None:
    results = Results()
    results.add("orm", "mysql-apart", report("setup", "skipped", why=("file", 1, "Skipped: no server")), {})
    assert counted(results) == ["orm", "mysql-apart", "0", "0", "0", "0", "1"]
    assert "skipped: Skipped: no server (1)" in results.lines()


def test_the_file_has_every_verdict() -> None:
    results = Results()
    results.add("orm", "sqlite", report("call", "passed"), {UNSUPPORTED: "because"})
    assert json.loads(results.json())["scenarios"] == [
        {
            "subject": "orm",
            "placement": "sqlite",
            "scenario": "test_one",
            "node": "file::Class::test_one[sqlite]",
            "verdict": "unsupported",
            "why": "because",
        }
    ]


def test_scenarios_exist_where_their_database_and_kind_do() -> None:
    class Sqlite(ReferenceSubject):
        capabilities: ClassVar[Capabilities] = Capabilities(databases=("sqlite",))

    def where(needs: Needs, subject: Any) -> list[str]:
        return [str(placement) for placement in PLACEMENTS if needs.meets(subject, placement)]

    assert where(Needs(), ReferenceSubject) == ["postgresql", "postgresql-apart", "sqlite", "sqlite-apart"]
    assert where(Needs(), Sqlite) == ["sqlite", "sqlite-apart"]
    assert where(Needs(databases=["postgresql"]), Sqlite) == []
    assert where(Needs(colocated=False), Sqlite) == ["sqlite-apart"]
    assert where(Needs(asynchronous=True), ReferenceSubject) == []
    assert where(Needs(asynchronous=True), AsyncReferenceSubject) == ["sqlite", "sqlite-apart"]


def no_server() -> Any:
    raise ConfigurationError("install MariaDB")


def test_without_mariadb_its_scenarios_are_skipped_with_a_reason(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setattr(databases, "_mariadb_for_tests", no_server)
    monkeypatch.delenv("CI", raising=False)
    with Databases(tmp_path / "templates") as made:
        for _ in range(2):
            with (
                pytest.raises(DatabaseMissing, match="install MariaDB"),
                made.site(Placement("mysql", False), tmp_path),
            ):
                pass


def test_on_ci_they_fail(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setattr(databases, "_mariadb_for_tests", no_server)
    monkeypatch.setenv("CI", "true")
    with (
        Databases(tmp_path / "templates") as made,
        pytest.raises(ConfigurationError, match="install MariaDB"),
        made.site(Placement("mysql", False), tmp_path),
    ):
        pass
