"""Patches where transactions commit in a database apart: a crash may keep that from the system database."""

from __future__ import annotations

import sqlite3
import threading
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import pytest

import durably
from durably import Durably, transaction
from durably.adapter import Parameter
from durably.registry import Snapshot, registry
from tests.execution.adapters import SqliteAdapter, connection
from tests.execution.rows import checkpoints, rows
from tests.messaging.forms import Form, Verbs
from tests.messaging.lives import SECONDS, Lives
from tests.messaging.test_messages import started


class Asked(SqliteAdapter):
    """Knows how often it was asked for completion rows; while it is away, it refuses once."""

    def __init__(self, path: Path) -> None:
        super().__init__(path)
        self.away = threading.Event()
        self.asked = 0
        self.refused = False

    def execute(self, handle: sqlite3.Connection, sql: str, params: Sequence[Parameter] = ()) -> list[tuple[Any, ...]]:
        if "WHERE run_id" in sql:
            self.asked += 1
            if self.away.is_set():
                self.away.clear()
                self.refused = True
                raise self._locked_error()
        return super().execute(handle, sql, params)


@pytest.fixture
def adapter(tmp_path: Path) -> Asked:
    return Asked(tmp_path / "application.db")


@pytest.fixture
def lives(system_url: str, adapter: Asked) -> Lives:
    return Lives(system_url, adapters={"default": adapter})


def declared(form: Form, lives: Lives, *, patched: bool) -> Any:
    """The workflow before and after its patch."""
    registry.restore(Snapshot({}, {}))

    @transaction(name="old")
    def old() -> str:
        connection().execute("CREATE TABLE IF NOT EXISTS done (path text)")
        connection().execute("INSERT INTO done VALUES ('old')")
        return "old"

    async def flow(verbs: Verbs) -> str:
        if patched and await verbs.patch("p"):
            return "new"
        found: str = await verbs.run_step(old)
        await lives.stuck_once(verbs)
        return found

    return form.workflow(flow)


def interrupted(lives: Lives, form: Form, between: Callable[[], None] = lambda: None) -> Any:
    """Begin on the old code, lose what the system database was told of the transaction, and go on with the new code."""
    flow = declared(form, lives, patched=False)

    def lose() -> None:
        rows(lives.url, "DELETE FROM durably.operation_outputs")
        declared(form, lives, patched=True)
        between()

    return lives.interrupted(lambda: durably.start_workflow(flow), lose)


def test_a_transaction_whose_record_was_lost_stays_on_the_old_path(lives: Lives, form: Form) -> None:
    assert interrupted(lives, form) == "old"
    assert checkpoints(lives.url, "w")[0] == "old"


def test_a_database_that_is_away_is_asked_again(lives: Lives, form: Form, adapter: Asked) -> None:
    """Whether the patch is new cannot be told without it: the workflow is handed back, and takes neither path."""
    assert interrupted(lives, form, adapter.away.set) == "old"
    assert adapter.refused


def test_a_new_workflow_asks_no_database_apart(system_url: str, form: Form, adapter: Asked) -> None:
    async def flow(verbs: Verbs) -> bool:
        found: bool = await verbs.patch("p")
        return found

    with Durably("patches", system_database_url=system_url, adapters={"default": adapter}):
        assert started(form.workflow(flow)).get_result(timeout_seconds=SECONDS) is True
    assert adapter.asked == 0
