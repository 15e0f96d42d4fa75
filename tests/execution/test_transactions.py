"""Transactions as the engine sees them: through which adapter, or a clear error; handed back rather than failed.

What an ORM's adapter must do is tested with that adapter.
"""

from __future__ import annotations

import asyncio
from pathlib import Path
from weakref import WeakSet

import pytest

import durably
from durably import (
    AmbiguousEngineError,
    Durably,
    NoAdapterError,
    NoTransactionError,
    Status,
    TransactionRetriesExceededError,
    context,
    transaction,
    workflow,
)
from tests.execution.adapters import SqliteAdapter, connection
from tests.execution.rows import checkpoints


@transaction
def reserve(sku: str) -> int:
    connection().execute("CREATE TABLE IF NOT EXISTS reserved (sku text, step_key text)")
    connection().execute("INSERT INTO reserved VALUES (?, ?)", (sku, durably.step_key()))
    count: int = connection().execute("SELECT count(*) FROM reserved").fetchone()[0]
    return count


@workflow
def checkout(sku: str) -> int:
    return reserve(sku)


@pytest.fixture
def adapter(tmp_path: Path) -> SqliteAdapter:
    return SqliteAdapter(tmp_path / "application.db")


@pytest.fixture(autouse=True)
def constructed(monkeypatch: pytest.MonkeyPatch) -> None:
    """Forget the engines of other tests, which may be waiting for the garbage collector."""
    monkeypatch.setattr(context, "_constructed", WeakSet())


# -- without an adapter -------------------------------------------------------------------------------------------


def test_without_any_engine_it_says_what_to_construct() -> None:
    with pytest.raises(
        NoAdapterError, match=r"construct Durably\(\.\.\.\) with application_database_url and app_db_client"
    ):
        reserve("widget")


def test_without_an_adapter_it_says_what_to_configure(system_url: str) -> None:
    app = Durably("plain", system_database_url=system_url)
    with pytest.raises(NoAdapterError, match="adapter 'default', which is not configured") as before_launch:
        reserve("widget")
    with app, durably.workflow_options(workflow_id="w"), pytest.raises(NoAdapterError) as inside:
        checkout("widget")
    for caught in (before_launch, inside):
        message = str(caught.value)
        assert "(configured: none)" in message
        assert f"transaction '{__name__}.reserve'" in message
        assert "application_database_url with app_db_client, or adapters={'default': ...}" in message
        assert caught.value.adapter == "default"  # type: ignore[attr-defined]


def test_the_configured_adapters_are_named(system_url: str, adapter: SqliteAdapter) -> None:
    @transaction(adapter="reports")
    def report() -> None:
        raise AssertionError("it must not run")

    @workflow
    def flow() -> None:
        report()

    with (
        Durably("plain", system_database_url=system_url, adapters={"default": adapter, "archive": adapter}),
        pytest.raises(NoAdapterError, match=r"'reports', which is not configured \(configured: 'archive', 'default'\)"),
    ):
        flow()


def test_a_missing_half_is_known_at_launch(system_url: str, adapter: SqliteAdapter) -> None:
    @transaction
    async def reserve_later() -> None:
        raise AssertionError("it must not run")

    app = Durably("plain", system_database_url=system_url, adapters={"default": adapter})
    with pytest.raises(NoAdapterError, match="reserve_later' is an async def, but adapter 'default' has only its sync"):
        app.launch()
    assert repr(app).endswith("not launched)")

    async def main() -> None:
        async with app:
            raise AssertionError("it must not launch")

    with pytest.raises(NoAdapterError):
        asyncio.run(main())


def test_an_accessor_needs_a_transaction() -> None:
    with pytest.raises(NoTransactionError, match=r"connection\(\) needs an open transaction.*@transaction"):
        connection()


# -- with one -----------------------------------------------------------------------------------------------------


def test_it_works_before_launch_and_outside_workflows(system_url: str, adapter: SqliteAdapter) -> None:
    app = Durably("plain", system_database_url=system_url, adapters={"default": adapter})
    assert reserve("before launch") == 1
    with app:
        assert reserve("outside a workflow") == 2
        assert checkout("inside") == 3
    assert reserve("after shutdown") == 4


def test_a_named_engines_adapter_is_used_before_launch(tmp_path: Path) -> None:
    first, second = (
        Durably(name, adapters={"default": SqliteAdapter(tmp_path / f"{name}-application.db")})
        for name in ("first", "second")
    )
    with pytest.raises(AmbiguousEngineError, match=r"constructed, and none is launched, .*\('first', 'second'\)"):
        reserve("widget")
    for app in (first, second):
        with app.current():
            assert reserve("widget") == 1


def test_a_child_that_is_handed_back_is_not_its_parents_error(system_url: str, adapter: SqliteAdapter) -> None:
    """A database that is away for long hands workflows back; it is never recorded, not as a child's error either."""

    @workflow
    def parent() -> int:
        return checkout("widget") + 10

    app = Durably(
        "plain", system_database_url=system_url, adapters={"default": adapter}, transaction_retry_seconds=0.01
    )
    with app:
        # The table of completion rows is made at launch; from then on the file is locked.
        adapter.locked.set()
        with durably.workflow_options(workflow_id="p"), pytest.raises(TransactionRetriesExceededError):
            parent()
        assert checkpoints(system_url, "p") == []
        assert durably.get_workflow_status("p").status in (Status.ENQUEUED, Status.PENDING)
        adapter.locked.clear()
        assert durably.get_result("p", timeout_seconds=30) == 11
    assert checkpoints(system_url, "p") == [f"{__name__}.checkout"]
    assert checkpoints(system_url, "p-1") == [f"{__name__}.reserve"]
