"""An execution that was interrupted in its process, and goes on there in the same attempt."""

from __future__ import annotations

from pathlib import Path

import pytest

import durably
from durably import Durably, transaction, workflow
from durably.ledger import commit
from tests.execution.adapters import SqliteAdapter, connection
from tests.execution.rows import rows

SECONDS = 60.0


class Interrupted(BaseException):
    """As Ctrl-C is."""


def test_a_transaction_whose_echo_is_not_written_yet_is_not_run_again(
    system_url: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(commit, "ECHO_SECONDS", 3600.0)
    runs: list[int] = []
    interruptions = [True]

    @transaction
    def store() -> int:
        runs.append(1)
        connection().execute("CREATE TABLE IF NOT EXISTS stored (n integer)")
        connection().execute("INSERT INTO stored VALUES (1)")
        return len(runs)

    @workflow
    def flow() -> int:
        stored = store()
        if interruptions:
            interruptions.pop()
            assert rows(system_url, "SELECT 1 FROM durably.operation_outputs") == []
            raise Interrupted
        return stored

    adapter = SqliteAdapter(tmp_path / "application.db")
    with Durably("again", system_database_url=system_url, adapters={"default": adapter}, lease_seconds=0.5):
        with pytest.raises(Interrupted), durably.workflow_options(workflow_id="w"):
            flow()
        assert durably.get_result("w", timeout_seconds=SECONDS) == 1
    assert runs == [1]
