"""Several engines in one process are ordinary: each workflow stays with its own, and nobody has to guess."""

from __future__ import annotations

import asyncio
import threading
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

import durably
from durably import AmbiguousEngineError, Durably, NotLaunchedError, workflow


@workflow
def application() -> str:
    """The name of the application that runs this, by its row."""
    found = durably.workflow_id()
    assert found is not None
    return durably.get_workflow_status(found).application_name


@workflow
async def application_later() -> str:
    found = durably.workflow_id()
    assert found is not None
    return (await durably.aio.get_workflow_status(found)).application_name


@workflow
def through_a_child() -> list[str]:
    return [application(), durably.start_workflow(application).get_result(timeout_seconds=30)]


@pytest.fixture
def two(system_url: str, tmp_path: Path) -> tuple[Durably, Durably]:
    """Two applications; one of them on a file of its own."""
    return (
        Durably("shop", system_database_url=system_url),
        Durably("bank", system_database_url=f"sqlite:///{tmp_path}/bank.db"),
    )


def test_the_only_launched_engine_is_current(two: tuple[Durably, Durably]) -> None:
    shop, bank = two
    with shop:
        assert application() == "shop"
    with bank:
        assert application() == "bank"


def test_several_launched_engines_are_ambiguous(two: tuple[Durably, Durably]) -> None:
    with two[0], two[1]:
        for verb in (application, lambda: durably.start_workflow(application), lambda: durably.get_result("x")):
            with pytest.raises(AmbiguousEngineError, match=r"\('bank', 'shop'\); use `with app\.current\(\):`"):
                verb()
        with pytest.raises(AmbiguousEngineError):
            asyncio.run(application_later())


def test_current_says_which(two: tuple[Durably, Durably]) -> None:
    shop, bank = two
    with shop, bank:
        with shop.current() as given:
            assert given is shop
            assert application() == "shop"
            with bank.current():
                assert application() == "bank"
                assert asyncio.run(application_later()) == "bank"
            assert application() == "shop"
        with pytest.raises(AmbiguousEngineError):
            application()


def test_one_that_is_shut_down_is_no_longer_in_the_way(two: tuple[Durably, Durably]) -> None:
    shop, bank = two
    with shop:
        with bank:
            pass
        assert application() == "shop"


def test_another_than_the_named_engine_is_never_used(two: tuple[Durably, Durably]) -> None:
    shop, bank = two
    with shop, bank.current(), pytest.raises(NotLaunchedError, match="the engine 'bank' is not launched"):
        application()


def test_what_runs_in_the_background_stays_with_its_engine(two: tuple[Durably, Durably]) -> None:
    with two[0], two[1]:
        for app, name in zip(two, ("shop", "bank"), strict=True):
            with app.current():
                handles = [durably.start_workflow(application), durably.start_workflow(application_later)]
                family = durably.start_workflow(through_a_child)
            # A handle knows its engine, too.
            assert [handle.get_result(timeout_seconds=30) for handle in handles] == [name, name]
            assert family.get_result(timeout_seconds=30) == [name, name]


def test_threads_and_tasks_have_a_current_engine_of_their_own(two: tuple[Durably, Durably]) -> None:
    barrier = threading.Barrier(2)

    def in_thread(app: Durably) -> str:
        with app.current():
            barrier.wait(30)
            return application()

    async def in_task(app: Durably) -> str:
        with app.current():
            await asyncio.sleep(0)
            return await application_later()

    async def main() -> list[str]:
        return await asyncio.gather(*(in_task(app) for app in two))

    with two[0], two[1], ThreadPoolExecutor(2) as pool:
        assert [one.result(30) for one in [pool.submit(in_thread, app) for app in two]] == ["shop", "bank"]
        assert asyncio.run(main()) == ["shop", "bank"]


def test_a_handle_of_an_engine_that_is_shut_down_says_so(two: tuple[Durably, Durably]) -> None:
    shop, bank = two
    with shop:
        with bank, bank.current():
            handle = durably.start_workflow(application)
            handle.get_result(timeout_seconds=30)
        with pytest.raises(NotLaunchedError, match="the engine 'bank' is not launched"):
            handle.get_result()


def test_two_engines_of_one_application_share_their_workflows(system_url: str) -> None:
    first, second = (Durably("shop", system_database_url=system_url) for _ in range(2))
    with first, second:
        with first.current():
            handle = durably.start_workflow(application)
        with second.current():
            assert durably.get_result(handle.workflow_id, timeout_seconds=30) == "shop"
