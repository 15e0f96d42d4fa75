"""The engine of a process: launched by its first verb, once, in each process anew; executing only where it should."""

from __future__ import annotations

import asyncio
import os
import sys
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from django.core import mail
from django.db import connections, transaction
from django.test import override_settings

import durably
from durably import (
    ConfigurationError,
    DatabaseUnavailableError,
    NotExecutingError,
    NotLaunchedError,
    SchemaBehindError,
    aio,
)
from durably_django.engine import DjangoEngine
from durably_django.process import executes_here, executing, process
from tests.adapters.django import project
from tests.adapters.django.notes import add, make_table, notes, transaction_of, workflow_of
from tests.adapters.django.page import run
from tests.adapters.django.site import Site


@pytest.fixture
def ready(site: Site, url: str) -> Site:
    """A site with its tables; nothing is launched."""
    site.add("default", url)
    site.set()
    site.migrate()
    make_table()
    return site


@pytest.fixture
def launches(monkeypatch: pytest.MonkeyPatch) -> list[DjangoEngine]:
    """Every engine that is launched."""
    seen: list[DjangoEngine] = []
    launch = DjangoEngine.launch

    def noted(engine: DjangoEngine) -> None:
        seen.append(engine)
        launch(engine)

    monkeypatch.setattr(DjangoEngine, "launch", noted)
    return seen


def declared() -> Any:
    return workflow_of(lambda: add("noted"))


# -- launching -----------------------------------------------------------------------------------------------------


def test_the_first_verb_launches_once_for_all_threads(ready: Site, launches: list[DjangoEngine]) -> None:
    flow = declared()
    barrier = threading.Barrier(8)
    given: list[str] = []

    def start() -> None:
        barrier.wait()
        given.append(durably.start_workflow(flow).workflow_id)
        connections.close_all()

    threads = [threading.Thread(target=start) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(set(given)) == 8
    assert len(launches) == 1


def test_a_launch_that_failed_is_tried_again_by_the_next_verb(site: Site, url: str) -> None:
    site.add("default", url)
    site.set()
    with pytest.raises(SchemaBehindError, match=r"manage\.py migrate"):
        durably.start_workflow(declared())
    site.migrate()
    assert durably.start_workflow(declared()).get_status().status == "ENQUEUED"


def test_a_verb_on_an_event_loop_launches_too(ready: Site) -> None:
    flow = declared()

    async def view() -> str:
        handle = await aio.start_workflow(flow)
        return str((await handle.get_status()).status.value)

    assert asyncio.run(view()) == "ENQUEUED"


@pytest.mark.parametrize("writes", [True, False])
def test_the_first_verb_may_be_inside_the_callers_transaction(ready: Site, writes: bool) -> None:
    with transaction.atomic():
        if writes:
            add("holds the lock of an SQLite file")
        handle = durably.start_workflow(declared())
    assert handle.get_status().status == "ENQUEUED"


@pytest.mark.parametrize("url", ["sqlite"], indirect=True)
def test_one_that_executes_cannot_be_launched_while_its_caller_has_the_file_locked(ready: Site) -> None:
    with override_settings(DURABLY={"name": "site", "executes": "own"}), transaction.atomic():
        add("holds the lock")
        with pytest.raises(DatabaseUnavailableError, match=r"outside `atomic\(\)` first"):
            durably.start_workflow(declared())


def test_a_transaction_outside_workflows_launches_nothing(ready: Site, launches: list[DjangoEngine]) -> None:
    transaction_of(lambda: add("alone"), "alone")()
    assert notes() == ["alone"]
    assert launches == []


def test_a_database_in_memory_is_refused_when_launched_and_not_before(site: Site) -> None:
    site.add("default", "sqlite:///unused", NAME=":memory:")
    site.set()
    make_table()
    transaction_of(lambda: add("alone"), "alone")()
    assert notes() == ["alone"]
    with pytest.raises(ConfigurationError, match=r"DATABASES\['default'\]\['TEST'\]"):
        durably.start_workflow(declared())


def test_the_address_is_the_one_at_launch_as_in_a_test_run(site: Site, tmp_path: Path) -> None:
    site.add("default", f"sqlite:///{tmp_path}/development.db")
    site.set()
    assert str(process.constructed().address).endswith("/development.db")
    connections["default"].settings_dict["NAME"] = f"{tmp_path}/test.db"  # what Django's own runner does
    site.migrate()
    assert str(process.launched().address).endswith("/test.db")
    assert durably.start_workflow(declared()).get_status().status == "ENQUEUED"


# -- executing -------------------------------------------------------------------------------------------------------


def test_by_default_nothing_is_executed(ready: Site) -> None:
    flow = declared()
    with pytest.raises(NotExecutingError):
        flow()
    workflow_id = durably.start_workflow(flow).workflow_id
    with executing():
        durably.get_result(workflow_id, timeout_seconds=20)
    assert durably.get_workflow_status(workflow_id).status == "SUCCESS"
    with pytest.raises(NotExecutingError):
        flow()


def test_a_web_process_executes_as_the_setting_says(ready: Site) -> None:
    with override_settings(DURABLY={"name": "site", "executes": "own"}):
        declared()()
    assert notes() == ["noted"]


@pytest.mark.parametrize(
    ("arguments", "executes"),
    [
        (["/usr/bin/gunicorn", "mysite.wsgi"], "own"),
        (["/usr/bin/uvicorn", "mysite.asgi:application"], "own"),
        (["manage.py", "runserver"], "own"),
        (["manage.py", "runserver_plus"], "own"),
        (["manage.py", "migrate"], "none"),
        (["./manage.py", "shell"], "none"),
        (["/usr/bin/django-admin", "check"], "none"),
        (["/site-packages/django/__main__.py", "check"], "none"),
        (["manage.py"], "none"),
    ],
)
def test_only_what_serves_executes(
    site: Site, monkeypatch: pytest.MonkeyPatch, arguments: list[str], executes: str
) -> None:
    monkeypatch.setattr(sys, "argv", arguments)
    assert executes_here("own") == executes
    assert executes_here("none") == "none"


def test_tests_execute_nothing_by_themselves(ready: Site, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(mail, "outbox", [], raising=False)
    with override_settings(DURABLY={"name": "site", "executes": "all"}):
        with pytest.raises(NotExecutingError):
            declared()()
        with executing("own"):
            declared()()
    assert notes() == ["noted"]


def test_a_testcase_is_told_what_to_use(ready: Site) -> None:
    block: Any = transaction.atomic()
    block._from_testcase = True
    with block:
        with pytest.raises(NotLaunchedError, match=r"TransactionTestCase.*transactional_db"):
            durably.start_workflow(declared())
        with pytest.raises(NotLaunchedError, match="TransactionTestCase"), executing():
            pass


# -- forking ---------------------------------------------------------------------------------------------------------

PRELOADED = """
import os, sys
import django
from django.conf import settings

settings.configure(DATABASES={"default": %r}, INSTALLED_APPS=["durably_django"], USE_TZ=True, DURABLY={"name": "site"})
django.setup()
from django.core.management import call_command
from django.db import connections
call_command("migrate", verbosity=0)
connections.close_all()

import durably
flow = durably.workflow(name="flow")(lambda: None)
if %r:
    durably.start_workflow(flow)        # as a careless module does at its import

def worker():
    with durably.workflow_options(workflow_id=f"of-{os.getpid()}"):
        durably.start_workflow(flow)
    assert durably.get_workflow_status(f"of-{os.getpid()}").status == "ENQUEUED"

for _ in range(2):
    child = os.fork()
    if not child:
        worker()
        sys.exit(0)
    assert os.waitpid(child, 0)[1] == 0
worker()
print("each has an engine of its own")
"""


@pytest.mark.skipif(not hasattr(os, "fork"), reason="this system does not fork")
@pytest.mark.parametrize("launched_before", [False, True])
def test_each_worker_of_a_preloading_server_has_its_own(url: str, tmp_path: Path, launched_before: bool) -> None:
    program = PRELOADED % (project.database(url), launched_before)
    # Python 3.12 warns of forking with threads, as a preloading server does.
    printed = run(tmp_path, "-W", "ignore::DeprecationWarning", "-c", program)
    assert "each has an engine of its own" in printed


# -- what this process has opened ------------------------------------------------------------------------------------


@pytest.fixture
def opened(monkeypatch: pytest.MonkeyPatch) -> Iterator[list[str]]:
    """Every connection that Django opens."""
    from django.db.backends.signals import connection_created

    seen: list[str] = []

    def note(connection: Any, **_: Any) -> None:
        seen.append(f"{threading.current_thread().name}: {connection.alias}")

    connection_created.connect(note)
    yield seen
    connection_created.disconnect(note)


def test_constructing_opens_nothing(ready: Site, opened: list[str]) -> None:
    process.constructed()
    assert opened == []
