"""Where the adapter finds Tortoise's connections: in the caller's context, in another's, on this loop or not."""

from __future__ import annotations

import asyncio
import contextvars
from pathlib import Path
from typing import Any

import pytest
from tortoise import Tortoise
from tortoise.transactions import in_transaction

import durably
from durably import AmbientTransactionError, ConfigurationError, Durably
from durably.adapter import BeginPlan
from durably_tortoise import Tortoise as Exported
from durably_tortoise import TortoiseAdapter, from_url
from durably_tortoise.contexts import HAS_CONTEXTS
from tests.adapters.tortoise.lab import Refused, adding, initialise, lab
from tests.adapters.tortoise.subject import Counter, Item, tortoise_url

sqlite = pytest.mark.parametrize("driver", ["aiosqlite"])


def test_the_name_in_the_documentation_is_the_same_class() -> None:
    assert Exported is TortoiseAdapter


@pytest.mark.parametrize("wrong", [Tortoise, None, 3])
def test_only_a_connections_name_makes_an_adapter(wrong: Any) -> None:
    with pytest.raises(ConfigurationError, match="name of a connection"):
        TortoiseAdapter(wrong)


def test_without_tortoise_set_up_the_launch_says_what_to_do(tmp_path: Path) -> None:
    async def main() -> None:
        app = Durably("lab", adapters={"default": TortoiseAdapter()}, system_database_url=f"sqlite:///{tmp_path}/s.db")
        with pytest.raises(ConfigurationError, match=r"Tortoise\.init\(\.\.\.\)` before `async with app:"):
            async with app:
                pass

    contextvars.copy_context().run(asyncio.run, main())


@sqlite
def test_a_connection_that_is_not_there_is_told_with_those_that_are(driver: str, url: str, tmp_path: Path) -> None:
    async def main() -> None:
        async with lab(driver, url, tmp_path) as one:
            with pytest.raises(ConfigurationError, match=r"no connection 'default' \(it has 'aiosqlite'\)"):
                async with one.launched(TortoiseAdapter()):
                    pass

    asyncio.run(main())


def test_an_adapter_that_was_made_before_tortoise_was_set_up_serves(driver: str, url: str, tmp_path: Path) -> None:
    adapter = TortoiseAdapter(driver)

    async def main() -> None:
        async with lab(driver, url, tmp_path) as one, one.launched(adapter):
            assert await one.run(adding(1)) == 1
            assert await one.items() == [1]

    asyncio.run(main())


def test_a_workflow_in_the_background_has_the_models_in_its_transactions(driver: str, url: str, tmp_path: Path) -> None:
    """It runs in a context of its own, where Tortoise 1.x takes itself for not set up."""

    async def main() -> None:
        async with lab(driver, url, tmp_path) as one:
            add = durably.transaction(name="add")(adding(1))

            @durably.workflow(name="flow")
            async def flow() -> int:
                return int(await add())

            async with one.launched():
                handle = await durably.aio.start_workflow(flow)
                assert await handle.get_result() == 1
            assert await one.items() == [1]

    asyncio.run(main())


@sqlite
def test_a_step_in_the_background_has_the_models_by_tortoises_fallback(driver: str, url: str, tmp_path: Path) -> None:
    init: dict[str, Any] = {"_enable_global_fallback": True} if HAS_CONTEXTS else {}

    async def main() -> None:
        async with lab(driver, url, tmp_path, **init) as one:
            add = durably.transaction(name="add")(adding(1))

            @durably.step(name="count")
            async def count() -> int:
                return await Item.all().count()

            @durably.workflow(name="flow")
            async def flow() -> int:
                return await count() + int(await add()) + await count()

            async with one.launched():
                handle = await durably.aio.start_workflow(flow)
                assert await handle.get_result() == 2

    asyncio.run(main())


@sqlite
def test_a_task_that_began_before_tortoise_was_set_up_can_run_transactions(
    driver: str, url: str, tmp_path: Path
) -> None:
    async def main() -> None:
        ready, adapters = asyncio.Event(), [TortoiseAdapter(driver)]

        async def early() -> Any:
            await ready.wait()
            async with adapters[0].begin(BeginPlan(begin="BEGIN IMMEDIATE")):
                await Item.create(n=1)
                return await Item.all().count()

        task = asyncio.create_task(early())
        await asyncio.sleep(0)
        async with lab(driver, url, tmp_path) as one, one.launched(adapters[0]):
            ready.set()
            assert await task == 1

    asyncio.run(main())


@sqlite
def test_the_same_engine_serves_one_loop_after_another(driver: str, url: str, tmp_path: Path) -> None:
    adapter = TortoiseAdapter(driver)

    async def main(n: int) -> list[int]:
        async with lab(driver, url, tmp_path) as one, one.launched(adapter):
            await one.run(adding(n))
            items = await one.items()
            await Counter.all().delete()
            return items

    assert asyncio.run(main(1)) == [1]
    assert asyncio.run(main(2)) == [1, 2]


@sqlite
def test_the_background_follows_when_tortoise_is_set_up_anew(driver: str, url: str, tmp_path: Path) -> None:
    """In other contexts, one after another; the first one's connections are closed."""
    adapter = TortoiseAdapter(driver)
    add = durably.transaction(name="add")(adding(1))

    @durably.workflow(name="flow")
    async def flow() -> int:
        return int(await add())

    async def main(folder: Path) -> list[int]:
        folder.mkdir()
        async with lab(driver, f"sqlite:///{folder}/app.db", folder) as one, one.launched(adapter):
            handle = await durably.aio.start_workflow(flow)
            await handle.get_result()
            return await one.items()

    assert asyncio.run(main(tmp_path / "first")) == [1]
    assert asyncio.run(main(tmp_path / "second")) == [1]


@pytest.mark.parametrize("driver", ["asyncpg", "aiosqlite"])
def test_another_loop_is_refused(driver: str, url: str, tmp_path: Path) -> None:
    """A pool belongs to the loop that it was made on."""

    async def elsewhere(adapter: TortoiseAdapter) -> None:
        with pytest.raises(ConfigurationError, match="another event loop"):
            await adapter.begin(BeginPlan()).__aenter__()

    async def main() -> None:
        async with lab(driver, url, tmp_path) as one, one.launched():
            await asyncio.to_thread(asyncio.run, elsewhere(one.adapter))
            assert await one.run(adding(1)) == 1

    asyncio.run(main())


@sqlite
def test_a_blocking_launch_says_that_coroutines_run_on_another_loop(driver: str, url: str, tmp_path: Path) -> None:
    async def main() -> None:
        async with lab(driver, url, tmp_path) as one:
            adapter = one.adapter
            async with adapter.begin(BeginPlan(begin="BEGIN IMMEDIATE")):
                await Item.create(n=1)
            add = durably.transaction(name="add")(adding(2))

            @durably.workflow(name="flow")
            async def flow() -> int:
                return int(await add())

            def blocking() -> None:
                app = Durably("lab", adapters={"default": adapter}, system_database_url=one.system_url)
                with app:
                    handle = durably.start_workflow(flow)
                    with pytest.raises(ConfigurationError, match=r"`async with app:` on the same loop"):
                        handle.get_result(timeout_seconds=20)

            await asyncio.to_thread(blocking)
            assert await one.items() == [1]

    asyncio.run(main())


def test_a_transaction_of_the_callers_own_is_noticed(driver: str, url: str, tmp_path: Path) -> None:
    async def main() -> None:
        async with lab(driver, url, tmp_path) as one, one.launched():
            assert one.adapter.ambient() is None
            async with in_transaction(driver) as outer:
                assert one.adapter.ambient() is outer
                with pytest.raises(AmbientTransactionError):
                    await one.run(adding(1))
                assert await durably.transaction(adding(2))() == 2
            assert one.adapter.ambient() is None
            assert await one.items() == [2]

    asyncio.run(main())


@pytest.mark.parametrize("error", ["user", "management"])
def test_a_transaction_joins_the_callers_by_a_savepoint(driver: str, url: str, tmp_path: Path, error: str) -> None:
    from tortoise.exceptions import TransactionManagementError

    raised: type[Exception] = Refused if error == "user" else TransactionManagementError

    async def main() -> None:
        async with lab(driver, url, tmp_path) as one, one.launched():

            @durably.transaction
            async def failing() -> None:
                await Item.create(n=2)
                raise raised("no")

            async with in_transaction(driver):
                await Item.create(n=1)
                with pytest.raises(raised):
                    await failing()
            assert await one.items() == [1]

    asyncio.run(main())


# -- addresses ---------------------------------------------------------------------------------------------------


def test_the_address_must_be_the_connections_own(driver: str, url: str, tmp_path: Path) -> None:
    async def main() -> None:
        await initialise("default", tortoise_url(url, postgresql=driver))
        try:
            await Tortoise.generate_schemas()
            for same in _spellings(url):
                [adapter] = from_url(same)
                assert adapter.dialect == url.partition("://")[0]
                async with adapter.begin(BeginPlan()):
                    pass
            for other in _others(url):
                [adapter] = from_url(other)
                with pytest.raises(ConfigurationError, match="goes to") as raised:
                    await adapter.begin(BeginPlan()).__aenter__()
                assert "secret" not in str(raised.value)
        finally:
            await Tortoise.close_connections()

    asyncio.run(main())


def _spellings(url: str) -> list[str]:
    scheme, _, rest = url.partition("://")
    if scheme == "sqlite":
        return [url, f"sqlite://{rest.removeprefix('/')}", f"{url}?mode=rw"]
    return [url, f"{scheme}+driver://{rest}", url.replace("127.0.0.1", "localhost"), f"{url}?connect_timeout=3"]


def _others(url: str) -> list[str]:
    scheme, _, rest = url.partition("://")
    if scheme == "sqlite":
        return [f"{url}.other", "postgresql://user:secret@localhost/app", "mysql://user:secret@localhost/app"]
    server, _, database = rest.rpartition("/")
    return [
        f"{scheme}://{server}/other_{database}",
        f"{scheme}://root:secret@elsewhere:5432/{database}",
        f"{scheme}://root:secret@127.0.0.1:1/{database}",
        "sqlite:///app.db",
    ]


@pytest.mark.parametrize("wrong", ["", "oracle://user:secret@host/app", "app.db"])
def test_an_address_of_something_else_is_refused_at_once(wrong: str) -> None:
    with pytest.raises(ConfigurationError, match="begins with") as raised:
        from_url(wrong)
    assert "secret" not in str(raised.value)


@sqlite
def test_the_name_of_the_orm_and_an_address_are_enough(driver: str, url: str, tmp_path: Path) -> None:
    async def main() -> None:
        await initialise("default", tortoise_url(url))
        try:
            await Tortoise.generate_schemas()
            app = Durably("lab", application_database_url=url, app_db_client="tortoise")
            add = durably.transaction(name="add")(adding(1))

            @durably.workflow(name="flow")
            async def flow() -> int:
                return int(await add())

            async with app:
                assert await flow() == 1
            assert await Item.all().count() == 1
        finally:
            await Tortoise.close_connections()

    asyncio.run(main())
