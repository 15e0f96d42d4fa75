"""Views, sync and async, that start workflows, call them and wait for them; and an ASGI server's lifespan."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Coroutine
from typing import Any

import pytest
from django.db import transaction
from django.http import HttpRequest, HttpResponse
from django.test import AsyncClient, Client, override_settings
from django.urls import path

import durably
from durably import AmbientTransactionError, aio
from durably_django import asgi_lifespan
from durably_django.process import process
from tests.adapters.django.notes import add, make_table, notes, transaction_of, workflow_of
from tests.adapters.django.site import Site

urlpatterns: list[Any] = []
View = Callable[[HttpRequest], Any]


@pytest.fixture
def serve(site: Site, url: str) -> Any:
    """A site with one view, on a web process that executes what it starts."""

    def serve(view: View, **entry: Any) -> None:
        site.add("default", url, **entry)
        site.set(executes="own")
        site.migrate()
        make_table()
        urlpatterns[:] = [path("", view)]

    with override_settings(ROOT_URLCONF=__name__, ALLOWED_HOSTS=["*"], MIDDLEWARE=[]):
        yield serve


def noting(text: str) -> Callable[[], str]:
    """A workflow of one transaction."""

    def body() -> str:
        add(text)
        return text

    return workflow_of(body)


def test_a_sync_view_calls_a_workflow(serve: Any) -> None:
    flow = noting("called")
    serve(lambda request: HttpResponse(flow()))
    assert Client().get("/").content == b"called"
    assert notes() == ["called"]


def test_a_sync_view_does_the_same_under_asgi(serve: Any) -> None:
    flow = noting("called")
    serve(lambda request: HttpResponse(flow()))

    async def ask() -> bytes:
        return bytes((await AsyncClient().get("/")).content)

    assert asyncio.run(ask()) == b"called"
    assert notes() == ["called"]


@pytest.mark.parametrize("asynchronous", [True, False], ids=["asgi", "wsgi"])
def test_an_async_view_awaits_a_workflow_whose_transactions_run_on_threads(serve: Any, asynchronous: bool) -> None:
    call = transaction_of(lambda: add("awaited"))

    @durably.workflow(name="awaiting")
    async def flow() -> str:
        await aio.run_step(call)
        return "awaited"

    async def view(request: HttpRequest) -> HttpResponse:
        return HttpResponse(await flow())

    serve(view)

    async def ask() -> bytes:
        return bytes((await AsyncClient().get("/")).content)

    assert (asyncio.run(ask()) if asynchronous else Client().get("/").content) == b"awaited"
    assert notes() == ["awaited"]


def test_an_async_view_starts_a_workflow_and_waits_for_it(serve: Any) -> None:
    flow = noting("started")

    async def view(request: HttpRequest) -> HttpResponse:
        handle = await aio.start_workflow(flow)
        return HttpResponse(await handle.get_result(timeout_seconds=20))

    serve(view)

    async def ask() -> list[bytes]:
        answers = await asyncio.gather(*(AsyncClient().get("/") for _ in range(1)))
        return [bytes(answer.content) for answer in answers]

    assert asyncio.run(ask()) == [b"started"]
    assert notes() == ["started"]


def test_a_view_under_atomic_requests_is_told_how_to_call_a_workflow(serve: Any) -> None:
    flow = noting("no")
    serve(lambda request: HttpResponse(flow()), ATOMIC_REQUESTS=True)
    with pytest.raises(AmbientTransactionError, match=r"on_commit.*@transaction\.non_atomic_requests"):
        Client().get("/")
    assert notes() == []


def test_a_view_that_is_taken_out_of_atomic_requests_calls_one(serve: Any) -> None:
    flow = noting("called")
    serve(transaction.non_atomic_requests(lambda request: HttpResponse(flow())), ATOMIC_REQUESTS=True)
    assert Client().get("/").content == b"called"


def test_under_atomic_requests_a_start_exists_exactly_if_the_request_commits(serve: Any) -> None:
    flow = noting("started")

    def view(request: HttpRequest) -> HttpResponse:
        with durably.workflow_options(workflow_id=request.GET["id"]):
            durably.start_workflow(flow)
        if "fail" in request.GET:
            raise KeyError("no")
        return HttpResponse()

    serve(view, ATOMIC_REQUESTS=True)
    with pytest.raises(KeyError):
        Client().get("/", {"id": "undone", "fail": "1"})
    with pytest.raises(durably.WorkflowNotFoundError):
        durably.get_workflow_status("undone")
    Client().get("/", {"id": "kept"})
    assert durably.get_workflow_status("kept").name == "noting"


def test_a_request_may_start_a_workflow_after_its_commit(serve: Any) -> None:
    flow = noting("afterwards")
    handles: list[durably.WorkflowHandle[str]] = []

    def view(request: HttpRequest) -> HttpResponse:
        transaction.on_commit(lambda: handles.append(durably.start_workflow(flow)))
        return HttpResponse()

    serve(view, ATOMIC_REQUESTS=True)
    Client().get("/")
    assert handles[0].get_result(timeout_seconds=20) == "afterwards"


# -- the lifespan of an ASGI server ------------------------------------------------------------------------------------


def lifespan(application: Any, during: Callable[[], Coroutine[Any, Any, None]]) -> list[dict[str, Any]]:
    """Speak the protocol with an application, as a server does; what it sent."""

    async def serve() -> list[dict[str, Any]]:
        sent: asyncio.Queue[Any] = asyncio.Queue()
        told: asyncio.Queue[Any] = asyncio.Queue()
        running = asyncio.create_task(application({"type": "lifespan"}, told.get, sent.put))
        await told.put({"type": "lifespan.startup"})
        messages = [await sent.get()]
        if messages[0]["type"] == "lifespan.startup.complete":
            await during()
            await told.put({"type": "lifespan.shutdown"})
            messages.append(await sent.get())
        await running
        return messages

    return asyncio.run(serve())


async def nothing(scope: Any, receive: Any, send: Any) -> None:
    await send({"scope": scope["type"]})


def test_a_server_executes_for_its_lifespan_on_its_own_loop(site: Site, url: str) -> None:
    site.add("default", url)
    site.set()
    site.migrate()
    make_table()
    call = transaction_of(lambda: add("in the lifespan"))
    loops: list[object] = []

    @durably.workflow(name="background")
    async def flow() -> None:
        loops.append(asyncio.get_running_loop())
        await aio.run_step(call)

    async def during() -> None:
        loops.append(asyncio.get_running_loop())
        await (await aio.start_workflow(flow)).get_result(timeout_seconds=20)

    sent = lifespan(asgi_lifespan(nothing), during)
    assert [one["type"] for one in sent] == ["lifespan.startup.complete", "lifespan.shutdown.complete"]
    assert notes() == ["in the lifespan"]
    assert loops[0] is loops[1]
    assert not process.is_executing()


def test_a_server_is_told_why_it_cannot_start(site: Site, url: str, caplog: pytest.LogCaptureFixture) -> None:
    site.add("default", url)
    site.set()
    (failed,) = lifespan(asgi_lifespan(nothing), during=lambda: asyncio.sleep(0))
    assert failed["type"] == "lifespan.startup.failed"
    assert "manage.py migrate" in failed["message"]
    assert "could not be launched" in caplog.text


def test_everything_else_is_the_applications(site: Site) -> None:
    sent: list[Any] = []

    async def ask() -> None:
        async def send(message: Any) -> None:
            sent.append(message)

        async def receive() -> Any:
            return {}

        await asgi_lifespan(nothing)({"type": "http"}, receive, send)

    asyncio.run(ask())
    assert sent == [{"scope": "http"}]
