"""The suite catches broken adapters: each fails the scenarios that are named for it, and the reference passes them."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from durably.testing.postgres import URL_VARIABLE, PostgresServer

BROKEN = Path(__file__).with_name("broken.py")

#: A broken adapter's class of tests, and scenarios that it must fail.
MUTANTS: dict[str, list[str]] = {
    "TestCommitsBeforeTheRecord": [
        "test_a_value_that_cannot_be_recorded_rolls_back[sqlite-apart]",
        "test_a_value_that_cannot_be_recorded_rolls_back[sqlite]",
        "test_a_process_killed_at_the_commit[sqlite-apart-before]",
    ],
    "TestSwallowsErrors": [
        "test_an_error_rolls_back_and_is_recorded_and_raised_as_itself[sqlite-apart]",
        "test_an_error_rolls_back_and_is_recorded_and_raised_as_itself[postgresql]",
    ],
    "TestLeaksConnections": [
        "test_connections_do_not_grow_in_number[postgresql]",
        *(["test_connections_do_not_grow_in_number[sqlite-apart]"] if sys.platform == "linux" else []),
    ],
    "TestLeavesReadersOpen": ["test_no_connection_is_left_in_a_transaction[sqlite-apart]"],
    "TestRecordsElsewhere": ["test_writes_and_checkpoint_are_committed_together[postgresql]"],
    "TestStaysReadOnly": ["test_a_write_in_a_read_only_transaction_is_refused[sqlite-apart]"],
    "TestIgnoresReadOnly": [
        "test_a_write_in_a_read_only_transaction_is_refused[sqlite]",
        "test_a_write_in_a_read_only_transaction_is_refused[postgresql-apart]",
    ],
    "TestIgnoresIsolation": [
        "test_an_isolation_level_is_in_force_for_its_own_transaction_only[postgresql-apart]",
        "test_a_serialization_failure_is_run_again[postgresql-serializable]",
    ],
    "TestNeverBegins": [
        "test_a_process_killed_at_the_commit[sqlite-before]",
        "test_a_process_killed_at_the_commit[sqlite-apart-before]",
    ],
    "TestHidesFailedCommits": ["test_a_commit_that_meets_a_reader_is_run_again[sqlite-apart]"],
    "TestDisguisesTransientErrors": ["test_a_file_that_another_process_writes_is_waited_for[sqlite-apart]"],
    "TestSeesNoCaller": [
        "test_it_is_seen_while_it_is_open[sqlite]",
        "test_a_transaction_of_a_workflow_is_refused_in_it[postgresql]",
        "test_outside_a_workflow_a_transaction_joins_it[postgresql]",
    ],
    "TestIgnoresCancellation": [
        "test_a_cancelled_task_leaves_nothing_and_is_not_tried_again[sqlite-apart-between statements]"
    ],
}
ASYNCHRONOUS = {"TestIgnoresCancellation"}
CAUGHT = [(mutant, scenario) for mutant, scenarios in MUTANTS.items() for scenario in scenarios]


def reference(mutant: str) -> str:
    return "TestAsyncReference" if mutant in ASYNCHRONOUS else "TestReference"


@pytest.fixture(scope="module")
def verdicts(postgres_server: PostgresServer, tmp_path_factory: pytest.TempPathFactory) -> dict[str, Any]:
    """What each of them came to, by its node: one run for all."""
    nodes = dict.fromkeys(
        f"{BROKEN}::{cls}::{scenario}" for mutant, scenario in CAUGHT for cls in (mutant, reference(mutant))
    )
    path = tmp_path_factory.mktemp("mutants") / "results.json"
    run = [sys.executable, "-m", "pytest", "-q", "--tb=no", "-o", "addopts=--import-mode=importlib", "-p"]
    done = subprocess.run(
        [*run, "durably.testing.conformance.plugin", f"--conformance-json={path}", *nodes],
        env={**os.environ, URL_VARIABLE: postgres_server.url()},
        capture_output=True,
        text=True,
        check=False,
        timeout=110,
    )
    assert path.exists(), done.stdout + done.stderr
    return {each["node"]: each["verdict"] for each in json.loads(path.read_text())["scenarios"]}


@pytest.mark.parametrize(("mutant", "scenario"), CAUGHT)
def test_a_broken_adapter_fails_the_scenario_and_the_reference_passes_it(
    verdicts: dict[str, Any], mutant: str, scenario: str
) -> None:
    found = {node.partition("::")[2]: verdict for node, verdict in verdicts.items()}
    assert found[f"{mutant}::{scenario}"] == "failed"
    assert found[f"{reference(mutant)}::{scenario}"] == "passed"
