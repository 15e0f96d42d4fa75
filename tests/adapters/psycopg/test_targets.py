"""What an adapter can be made from: a pool, a function that makes a connection, an address; and what it cannot."""

from __future__ import annotations

import asyncio
import functools
import gc
import subprocess
import sys
from collections.abc import Callable
from typing import Any

import psycopg
import psycopg_pool
import pytest
from psycopg.conninfo import conninfo_to_dict
from psycopg_pool import AsyncConnectionPool, ConnectionPool

import durably
from durably.config import resolve
from durably.plugins import adapters_from_url
from durably.sql.begin import begin_plan
from durably.sql.failures import is_transient
from durably_psycopg import AsyncPsycopg, Psycopg, from_url
from tests.adapters.psycopg.lab import Lab, add, given, inside, pid

# -- a pool ------------------------------------------------------------------------------------------------------


def test_a_pool_stays_the_users_to_close(lab: Lab) -> None:
    assert lab.run(add(1)) == 1
    lab.shutdown()
    assert not lab.pool.closed
    lab.launch()
    assert lab.run(add(2)) == 2
    assert lab.items() == [1, 2]


def test_a_pool_without_pooling(made: Lab) -> None:
    kind: Any = psycopg_pool.AsyncNullConnectionPool if made.asynchronous else psycopg_pool.NullConnectionPool
    made.pool = kind(made.url, max_size=2, open=False)

    async def opened() -> None:
        await given(made.pool.open())

    made.wait(opened())
    made.launch()
    assert made.run(add(1)) == 1
    with pytest.raises(psycopg.errors.UniqueViolation):
        made.run(add(1))
    assert made.run(add(2)) == 2
    assert made.items() == [1, 2]


def test_a_pool_that_is_not_open_is_said_to_be(made: Lab) -> None:
    kind: Any = AsyncConnectionPool if made.asynchronous else ConnectionPool
    with pytest.raises(durably.ConfigurationError, match=r"is not open.*open it before the engine is launched"):
        made.launch(kind(made.url, open=False)).run(add(1))


# -- a function --------------------------------------------------------------------------------------------------


def test_a_function_is_called_for_each_transaction_and_its_connection_closed_after_it(made: Lab) -> None:
    opened: list[Any] = []

    async def make_async() -> Any:
        opened.append(await psycopg.AsyncConnection.connect(made.url))
        return opened[-1]

    def make() -> Any:
        opened.append(psycopg.connect(made.url))
        return opened[-1]

    made.launch(make_async if made.asynchronous else make)
    made.run(add(1))
    opened.clear()
    flow = made.flow(pid)
    assert made.wait(flow()) != made.wait(flow())
    assert [one.closed for one in opened] == [True, True]

    async def fails(c: Any) -> None:
        raise LookupError

    with pytest.raises(LookupError):
        made.run(fails)
    assert [one.closed for one in opened] == [True] * 3


def test_what_a_function_has_set_on_its_connection_holds(made: Lab) -> None:
    async def make_async() -> Any:
        c = await psycopg.AsyncConnection.connect(made.url)
        await c.execute("SET search_path = shop, public")
        return c

    def make() -> Any:
        c = psycopg.connect(made.url)
        c.execute("SET search_path = shop, public")
        return c

    async def path(c: Any) -> str:
        return str((await given((await given(c.execute("SHOW search_path"))).fetchone()))[0])

    made.launch(make_async if made.asynchronous else make)
    assert made.run(path) == "shop, public"


def test_a_function_that_makes_something_else_is_named(made: Lab) -> None:
    wrong: Callable[[], Any] = (lambda: psycopg.connect(made.url)) if made.asynchronous else object
    with pytest.raises(durably.ConfigurationError, match=r"was given made (Connection|object), and not a psycopg"):
        made.launch(wrong).run(add(1))


# -- an address --------------------------------------------------------------------------------------------------


def test_an_address_is_connected_when_needed_and_closed_at_shutdown(made: Lab) -> None:
    adapter = made.adapter(made.url + "?application_name=kept")
    assert _open(made, "kept") == 0
    for _ in range(2):  # an engine may be launched again
        made.launch(adapter)
        flow = made.flow(pid)
        assert made.wait(flow()) == made.wait(flow())
        assert _open(made, "kept") == 1
        made.shutdown()
        _closed(made, "kept")


def _open(lab: Lab, name: str) -> int:
    """Connections of that name."""
    [(count,)] = lab.control.execute("SELECT count(*) FROM pg_stat_activity WHERE application_name = %s", (name,))
    return int(count)


def _closed(lab: Lab, name: str) -> None:
    """Wait until the server has noticed that they are closed, which takes it a moment."""
    while _open(lab, name):
        lab.control.execute("SELECT pg_sleep(0.01)")


def test_kept_connections_that_died_are_passed_over(made: Lab) -> None:
    made.launch(made.url)
    runs: list[int] = []

    async def body(c: Any) -> int:
        runs.append(1)
        return await pid(c)

    flow = made.flow(body)
    first = made.wait(flow())
    assert made.kill_others(f"pid = {first}") == 1
    assert made.wait(flow()) != first
    assert runs == [1, 1]


@pytest.mark.parametrize("made", ["psycopg"], indirect=True)
def test_a_forked_child_makes_connections_of_its_own(made: Lab) -> None:
    script = f"""
import os, sys
from durably.sql.begin import begin_plan
from durably_psycopg import Psycopg

adapter, plan = Psycopg({made.url!r}), begin_plan("postgresql", None, False)

def server():
    with adapter.begin(plan) as c:
        return adapter.execute(c, "SELECT pg_backend_pid()")[0][0]

before = server()
child = os.fork()
if not child:
    own = server()
    adapter.close()
    os._exit(0 if own != before else 1)
status = os.waitpid(child, 0)[1]
assert status == 0, status
assert server() == before
adapter.close()
"""
    run = subprocess.run([sys.executable, "-W", "error", "-c", script], capture_output=True, text=True, check=False)
    assert (run.returncode, run.stderr) == (0, "")


@pytest.mark.parametrize("made", ["async"], indirect=True)
def test_each_event_loop_has_connections_of_its_own(made: Lab) -> None:
    adapter = AsyncPsycopg(made.url + "?application_name=loops")

    async def server() -> int:
        async with adapter.begin(begin_plan("postgresql", None, False)) as c:
            return await pid(c)

    async def twice() -> list[int]:
        return [await server(), await server()]

    async def last() -> list[int]:
        pids = await twice()
        await adapter.close()
        return pids

    first, second = asyncio.run(twice()), asyncio.run(last())
    assert first[0] == first[1] != second[0] == second[1]
    _closed(made, "loops")
    gc.collect()  # would warn of a connection that was left open


def test_more_transactions_than_connections_wait_for_one(made: Lab, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("durably_psycopg.kept.LIMIT", 1)
    monkeypatch.setattr("durably_psycopg.kept.WAIT_SECONDS", 0.1)
    adapter: Any = made.adapter(made.url)

    async def nested() -> None:
        plan = begin_plan("postgresql", None, False)
        async with inside(adapter.begin(plan)):
            with pytest.raises(psycopg.OperationalError, match=r"all 1 connections.*were in use") as raised:
                async with inside(adapter.begin(plan)):
                    raise AssertionError("two at once")
            assert is_transient(raised.value, connecting=True)
        async with inside(adapter.begin(plan)) as c:
            assert await pid(c) > 0
        await given(adapter.close())

    made.wait(nested())


def test_a_database_that_is_not_there_is_told_at_once(made: Lab) -> None:
    nowhere = made.url.rpartition("/")[0] + "/no_such_database"
    with pytest.raises(psycopg.OperationalError, match="no_such_database"):
        made.launch(nowhere).run(add(1))


# -- what it cannot be made from ---------------------------------------------------------------------------------

URL = "postgresql://nobody:secret@127.0.0.1:1/none"
ASYNC_POOL = functools.partial(AsyncConnectionPool, URL, open=False)
POOL = functools.partial(ConnectionPool, URL, open=False)
# The type checkers would refuse the first four; who does not use one is told as well.
WRONG: dict[str, tuple[Callable[[], Any], str]] = {
    "an asynchronous pool": (lambda: Psycopg(ASYNC_POOL()), "use AsyncPsycopg"),  # type: ignore[arg-type]
    "an asynchronous function": (lambda: Psycopg(psycopg.AsyncConnection.connect), "use AsyncPsycopg"),  # type: ignore[arg-type]
    "a plain pool": (lambda: AsyncPsycopg(POOL()), "use Psycopg"),  # type: ignore[arg-type]
    "nothing": (lambda: Psycopg(None), "not NoneType"),  # type: ignore[arg-type]
    "SQLite": (lambda: Psycopg("sqlite:///shop.db"), "PostgreSQL only, and the address begins with sqlite://"),
    "MySQL": (lambda: AsyncPsycopg("mysql://root:secret@localhost/shop"), "begins with mysql://"),
    "no address": (lambda: Psycopg("shop"), "libpq cannot read"),
    "a parameter that is none": (lambda: from_url("postgresql://u:secret@h/d?shoe=1"), "libpq cannot read"),
    "a word too many": (lambda: Psycopg("host=h password=se://secret dbname"), "libpq cannot read"),
    "two @": (lambda: Psycopg("postgresql://u:se@secret@h/d"), "more than one @"),
}


@pytest.mark.parametrize(("make", "says"), WRONG.values(), ids=WRONG)
def test_what_cannot_be_used_is_refused_in_words(make: Callable[[], Any], says: str) -> None:
    with pytest.raises(durably.ConfigurationError, match=says) as raised:
        make()
    assert "secret" not in str(raised.value)
    assert raised.value.__suppress_context__ or raised.value.__context__ is None


def test_one_connection_is_refused(lab: Lab) -> None:
    with pytest.raises(durably.ConfigurationError, match="not a connection: transactions run side by side"):
        Psycopg(lab.control)  # type: ignore[arg-type]


# -- where it leads ----------------------------------------------------------------------------------------------

ADDRESSES: list[tuple[str, str | None]] = [
    ("postgresql://u:p@h:5433/d", "postgresql://u:p@h:5433/d"),
    ("postgres://h/d", "postgresql://h/d"),
    ("postgresql+psycopg://u@h/d?sslmode=require", "postgresql://u@h/d?sslmode=require"),
    ("host=h dbname=d user=u password='p w'", "postgresql://u:p%20w@h/d"),
    ("host=h password=a://b", "postgresql://:a%3A%2F%2Fb@h/"),
    ("", "postgresql:///"),
    ("dbname=d host=/tmp", "postgresql:///d?host=%2Ftmp"),
    ("postgresql://a:1,b:2/d?target_session_attrs=any", None),
    ("dbname=d host=::1 port=5", "postgresql://[::1]:5/d"),
]


@pytest.mark.parametrize(("given_url", "url"), ADDRESSES)
def test_the_address_of_an_address(given_url: str, url: str | None) -> None:
    found = Psycopg(given_url).url()
    assert found is not None
    if url is not None:
        assert found == url
    assert _same(found, given_url)


def _same(url: str, other: str) -> bool:
    return conninfo_to_dict(url) == conninfo_to_dict(other.replace("+psycopg", ""))


def test_the_address_of_a_pool_is_put_together_from_its_settings() -> None:
    settings: dict[str, Any] = {"dbname": "d", "user": "u", "password": "p/@: w", "port": 5433, "connect_timeout": None}
    pool = ConnectionPool("host=h", kwargs={**settings, "autocommit": True, "row_factory": dict}, open=False)
    url = Psycopg(pool).url()
    assert url == "postgresql://u:p%2F%40%3A%20w@h:5433/d"
    assert _same(url, "host=h dbname=d user=u password='p/@: w' port=5433")


def test_a_function_does_not_tell_where_it_leads() -> None:
    assert Psycopg(lambda: psycopg.connect(URL)).url() is None
    pool = ConnectionPool(URL, open=False)
    pool.conninfo = lambda: URL  # as psycopg_pool 3.3 takes it
    assert Psycopg(pool).url() is None


def test_the_system_database_is_the_applications_own_by_default(lab: Lab) -> None:
    assert lab.run(add(1)) == 1
    assert [one.output for one in lab.recorded()] == ["1"]


def test_both_halves_come_from_one_address(shared_database: str) -> None:
    settings = resolve(
        "lab", adapter_url=None, environment={}, application_database_url=shared_database, app_db_client="psycopg"
    )
    halves = adapters_from_url(settings)["default"]
    assert [type(half) for half in halves] == [Psycopg, AsyncPsycopg]
    assert [half.url() for half in halves] == [shared_database] * 2
