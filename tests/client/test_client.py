"""A client has every verb on a system database: by id, without workflows, threads or a lease of its own."""

from __future__ import annotations

import asyncio
import inspect
import threading
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

import durably
from durably import (
    BlockingCallError,
    Client,
    ConfigurationError,
    DatabaseUnavailableError,
    Durably,
    Message,
    NotLaunchedError,
    SchemaBehindError,
    Status,
    WaitTimeoutError,
    WorkflowCancelledError,
    WorkflowHandle,
    WorkflowNotFoundError,
    WorkflowQuery,
    workflow,
)
from durably.awaited_verbs import AwaitedVerbs
from tests.execution.rows import rows

LONG = 30.0
SOON = 3.0


@dataclass
class Reply:
    """A class that only annotations name."""

    text: str


@workflow
def server() -> list[Reply]:
    """Answers messages with events and stream values until it is told to stop."""
    said: list[Reply] = []
    while (message := durably.recv("ask", timeout_seconds=LONG)) != "stop":
        said.append(Reply(message))
        durably.write_stream("said", Reply(message))
        durably.set_event("last", Reply(message))
    durably.close_stream("said")
    return said


@pytest.fixture
def served(system_url: str) -> Iterator[str]:
    """The address of a system database in which workflow ``s`` answers."""
    with Durably("client", system_database_url=system_url):
        with durably.workflow_options(workflow_id="s", attributes={"a": 1}):
            durably.start_workflow(server)
        yield system_url
        durably.cancel_workflow("s")


def names_of_threads() -> set[str]:
    return {one.name for one in threading.enumerate()}


def test_every_verb_is_there() -> None:
    """What only makes sense in the code of a workflow is not."""
    inside = {"recv", "set_event", "write_stream", "close_stream", "sleep", "now", "uuid", "patch", "deprecate_patch"}
    awaited = {name for name, _ in inspect.getmembers(AwaitedVerbs, inspect.isfunction) if not name.startswith("_")}
    blocking = {name for name, _ in inspect.getmembers(Client, inspect.isfunction) if not name.startswith("_")}
    assert blocking - {"close"} == awaited - inside


def test_talking(served: str) -> None:
    with Client(served, name="client") as client:
        client.send("s", "one", "ask")
        client.send("s", "one", "ask", idempotency_key="k")
        client.send("s", "twice", "ask", idempotency_key="k")
        client.send_bulk([Message("s", "two", "ask"), Message("s", "stop", "ask")])
        values = client.read_stream("s", "said", timeout_seconds=LONG, expect=Reply)
        assert list(values) == [Reply("one"), Reply("one"), Reply("two")]
        assert list(client.read_stream("s", "said", offset=2, expect=Reply)) == [Reply("two")]
        assert client.get_result("s", timeout_seconds=LONG) == [Reply("one"), Reply("one"), Reply("two")]
        assert client.get_event("s", "last", timeout_seconds=LONG, expect=Reply) == Reply("two")
        assert client.get_event("s", "never", timeout_seconds=0) is None
        with pytest.raises(WorkflowNotFoundError, match="nobody"):
            client.send("nobody", 1)


def test_managing(served: str) -> None:
    with Client(served, name="client") as client:
        assert client.get_workflow_status("s").status is Status.PENDING
        client.update_workflow_attributes("s", {"b": 2})
        assert [one.workflow_id for one in client.list_workflows(WorkflowQuery(attributes={"b": 2}))] == ["s"]
        assert client.count_workflows(group_by=["status"]) == {("PENDING",): 1}
        client.cancel_workflow("s")
        with pytest.raises(WorkflowCancelledError):
            client.get_result("s", timeout_seconds=SOON)
        client.resume_workflow("s")
        client.send("s", "stop", "ask")
        assert client.get_result("s", timeout_seconds=LONG, expect=list[Reply]) == []
        assert client.fork_workflow("s", 2, new_workflow_id="f") == "f"
        assert client.get_result("f", timeout_seconds=LONG) == []
        assert [one.name for one in client.list_workflow_steps("f")] == ["durably.recv", "durably.close_stream"]
        assert client.list_stranded_workflows() == []
        client.delete_workflows(["f"], children=True)
        assert client.count_workflows() == {(): 1}
        with pytest.raises(WorkflowNotFoundError):
            client.get_workflow_status("f")


def test_handles(served: str) -> None:
    with Client(served, name="client") as client:
        handle: WorkflowHandle[Any] = client.retrieve_workflow("s")
        with pytest.raises(WaitTimeoutError):
            handle.get_result(timeout_seconds=0.01)
        with pytest.raises(WaitTimeoutError):
            client.wait_first([handle], timeout_seconds=0.01)
        handle.cancel()
        with pytest.raises(WorkflowCancelledError):
            handle.get_result(timeout_seconds=SOON)
        client.close()  # a handle connects again, as the client does
        assert handle.get_status().status is Status.CANCELLED
        handle.resume()
        client.send("s", "hi", "ask")
        client.send("s", "stop", "ask")
        assert client.wait_first([handle, handle], timeout_seconds=LONG) is handle
        typed = client.retrieve_workflow("s", expect=list[Reply])
        assert client.wait_all([handle, typed]) == [[Reply("hi")], [Reply("hi")]]
        with pytest.raises(WorkflowNotFoundError, match="nobody"):
            client.retrieve_workflow("nobody")


def test_awaited(served: str) -> None:
    async def main() -> None:
        async with Client(served, name="client") as client:
            await client.aio.send("s", "one", "ask")
            assert await client.aio.get_event("s", "last", timeout_seconds=LONG, expect=Reply) == Reply("one")
            handle = await client.aio.retrieve_workflow("s", expect=list[Reply])
            with pytest.raises(WaitTimeoutError):
                await handle.get_result(timeout_seconds=0.01)
            await handle.cancel()
            with pytest.raises(WorkflowCancelledError):
                await client.aio.wait_all([handle], timeout_seconds=SOON)
            await handle.resume()
            await client.aio.send_bulk([Message("s", "stop", "ask")])
            assert await client.aio.wait_first([handle], timeout_seconds=LONG) is handle
            assert await handle.get_result(timeout_seconds=LONG) == [Reply("one")]
            assert [one async for one in client.aio.read_stream("s", "said", expect=Reply)] == [Reply("one")]
            assert (await handle.get_status()).status is Status.SUCCESS
            with pytest.raises(BlockingCallError):
                client.list_workflows()
            with pytest.raises(BlockingCallError):
                client.get_result("s")
            with pytest.raises(BlockingCallError):
                client.wait_all([])

    asyncio.run(main())


def test_no_threads_before_it_waits_and_no_lease(system_url: str) -> None:
    with Durably("client", system_database_url=system_url, executes="none"), durably.workflow_options(workflow_id="w"):
        durably.start_workflow(server)
    before = names_of_threads()
    client = Client(system_url, name="client")
    client.send("w", 1, "ask")
    client.send_bulk([Message("w", 2, "ask")])
    client.update_workflow_attributes("w", {"a": 1})
    client.list_workflows(WorkflowQuery(payloads=True))
    client.get_all_events("w")
    client.get_workflow_status("w")
    client.fork_workflow("w", new_workflow_id="f")
    client.cancel_workflow("f")
    client.delete_workflow("f")
    assert names_of_threads() == before
    with pytest.raises(WaitTimeoutError):
        client.get_result("w", timeout_seconds=0.05)
    assert len(names_of_threads() - before) == 1
    client.close()
    assert names_of_threads() == before
    assert rows(system_url, "SELECT count(*) FROM durably.executors") == [(0,)]


def test_constructing_opens_nothing() -> None:
    client = Client("postgresql://nobody@127.0.0.1:1/nothing", name="client")
    client.close()
    for wrong, message in (("mysql://x/y", "MySQL"), ("shop.db", "does not begin with")):
        with pytest.raises(ConfigurationError, match=message):
            Client(wrong, name="client")
    with pytest.raises(ConfigurationError, match="application name"):
        Client("sqlite:///x.db", name="a b")


def test_a_database_without_tables(system_url: str) -> None:
    client = Client(system_url, name="client")
    for _ in range(2):
        with pytest.raises(SchemaBehindError, match="durably"):
            client.list_workflows()
    with Durably("client", system_database_url=system_url, executes="none"):
        assert client.list_workflows() == []
    client.close()


def test_a_database_that_is_not_there(tmp_path: Path) -> None:
    with pytest.raises(DatabaseUnavailableError, match="folder exists"):
        Client(f"sqlite:///{tmp_path}/no/folder.db", name="client").count_workflows()
    with pytest.raises(DatabaseUnavailableError, match="check the address") as caught:
        Client("postgresql://nobody:secret@127.0.0.1:1/nothing", name="client").count_workflows()
    assert "secret" not in str(caught.value)


def test_other_applications_are_out_of_sight(system_url: str) -> None:
    for name in ("shop", "bank"):
        engine = Durably(name, system_database_url=system_url, executes="none")
        with engine, durably.workflow_options(workflow_id=name):
            durably.start_workflow(server)
    with Client(system_url, name="shop") as client:
        assert [one.workflow_id for one in client.list_workflows()] == ["shop"]
        everyone = WorkflowQuery(every_application=True)
        assert client.count_workflows(everyone) == {(): 2}
        # Ids are one space: who knows one may ask for it.
        assert client.get_workflow_status("bank").application_name == "bank"


def test_in_several_threads(served: str) -> None:
    """They share one connection to open, and wait for each other's news."""
    client = Client(served, name="client")
    barrier = threading.Barrier(8)

    def work(number: int) -> int:
        barrier.wait(LONG)
        for one in range(5):
            client.send("s", f"{number}-{one}", "ask")
        client.get_workflow_status("s")
        return len(client.list_workflows())

    def wait(_: int) -> list[Reply]:
        result: list[Reply] = client.get_result("s", timeout_seconds=LONG)
        return result

    before = names_of_threads()
    with ThreadPoolExecutor(8) as pool:
        assert list(pool.map(work, range(8))) == [1] * 8
        client.send("s", "stop", "ask")
        results = list(pool.map(wait, range(8)))
    assert all(result == results[0] for result in results)
    assert sorted(one.text for one in results[0]) == sorted(f"{a}-{b}" for a in range(8) for b in range(5))
    client.close()
    assert {name for name in names_of_threads() - before if name.startswith("durably")} == set()


def test_close_and_use_again(served: str) -> None:
    client = Client(served, name="client")
    for _ in range(3):
        assert client.get_workflow_status("s").status is Status.PENDING
        client.close()
        client.close()
    with client:
        assert client.count_workflows() == {(): 1}
    with client:
        assert client.count_workflows() == {(): 1}


def test_who_waits_is_told_of_a_close(served: str) -> None:
    client = Client(served, name="client")
    told: list[str] = []

    def wait(what: str) -> None:
        try:
            if what == "result":
                client.get_result("s")
            elif what == "event":
                client.get_event("s", "never", timeout_seconds=None)
            else:
                list(client.read_stream("s", "never"))
        except NotLaunchedError:
            told.append(what)

    threads = [threading.Thread(target=wait, args=(what,)) for what in ("result", "event", "stream")]
    client.count_workflows()
    for thread in threads:
        thread.start()
    time.sleep(0.2)
    client.close()
    for thread in threads:
        thread.join(LONG)
    assert sorted(told) == ["event", "result", "stream"]


def test_the_verbs_of_workflows_say_so(served: str) -> None:
    async def main() -> None:
        async with Client(served, name="client") as client:
            for refused in (
                client.aio.recv(),
                client.aio.set_event("a", 1),
                client.aio.write_stream("a", 1),
                client.aio.close_stream("a"),
                client.aio.sleep(1),
            ):
                with pytest.raises(ConfigurationError, match="workflow"):
                    await refused

    asyncio.run(main())


def test_while_notifications_are_off(served: str) -> None:
    with Client(served, name="client", notifications=False) as client:
        client.send("s", "one", "ask")
        assert client.get_event("s", "last", timeout_seconds=LONG, expect=Reply) == Reply("one")
        client.send("s", "stop", "ask")
        assert client.get_result("s", timeout_seconds=LONG) == [Reply("one")]


def test_without_a_name_it_lists_every_application(system_url: str, monkeypatch: pytest.MonkeyPatch) -> None:
    @workflow(name="ends")
    def ends() -> None: ...

    for name in ("one", "two"):
        with Durably(name, system_database_url=system_url):
            ends()
    with Client(system_url) as client, Client(system_url, name="one") as one:
        assert client.count_workflows(group_by=["name"]) == {("ends",): 2}
        assert len(client.list_workflows()) == 2
        assert client.list_stranded_workflows() == []
        assert one.count_workflows() == {(): 1}
    monkeypatch.setenv("DURABLY_SYSTEM_DATABASE_URL", system_url)
    with Client() as client:
        assert client.count_workflows() == {(): 2}


def test_without_an_address_and_a_name_it_is_an_error(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("DURABLY_SYSTEM_DATABASE_URL", raising=False)
    with pytest.raises(ConfigurationError, match="needs the address of a system database"):
        Client()
