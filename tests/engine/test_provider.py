"""An integration's engine: asked for where a verb meets none, and left alone where one is launched."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from weakref import WeakSet

import pytest

import durably
from durably import Durably, NotLaunchedError, context, transaction, workflow
from durably.adapter import launch_lazily
from tests.execution.adapters import SqliteAdapter, connection


class Provider:
    """The simplest there is."""

    def __init__(self, engine: Durably) -> None:
        self.engine = engine
        self.asked: list[str] = []

    def constructed(self) -> Durably:
        self.asked.append("constructed")
        return self.engine

    def launched(self) -> Durably:
        self.asked.append("launched")
        self.engine.launch()
        return self.engine


@pytest.fixture
def provider(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Provider]:
    monkeypatch.setattr(context, "_constructed", WeakSet())
    adapters = {"default": SqliteAdapter(tmp_path / "application.db")}
    provider = Provider(Durably("lazy", system_database_url=f"sqlite:///{tmp_path}/lazy.db", adapters=adapters))
    launch_lazily(provider)
    yield provider
    launch_lazily(None)
    provider.engine.shutdown()


@workflow
def answer() -> int:
    return 42


@transaction
def noted() -> int:
    count: int = connection().execute("SELECT 1").fetchone()[0]
    return count


def test_a_verb_that_meets_no_engine_has_one_launched(provider: Provider) -> None:
    assert answer() == 42
    assert durably.start_workflow(answer).get_result(timeout_seconds=20) == 42
    assert provider.asked == ["launched"], "once it is launched nobody asks"


def test_a_transaction_outside_workflows_needs_it_constructed_only(provider: Provider) -> None:
    assert noted() == 1
    assert provider.asked == ["constructed"]


def test_an_engine_that_is_launched_already_comes_first(provider: Provider, tmp_path: Path) -> None:
    with Durably("own", system_database_url=f"sqlite:///{tmp_path}/own.db"):
        assert answer() == 42
    assert provider.asked == []


def test_without_a_provider_nothing_is_launched(provider: Provider) -> None:
    launch_lazily(None)
    with pytest.raises(NotLaunchedError):
        answer()
    assert provider.asked == []
