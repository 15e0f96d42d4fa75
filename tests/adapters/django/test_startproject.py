"""A project made by ``startproject`` and the lines of docs/django.md runs a durable view, as the page says."""

from __future__ import annotations

import signal
from collections.abc import Iterator
from pathlib import Path
from typing import Any
from uuid import uuid4

import pytest

from durably.testing.postgres import PostgresServer
from tests.adapters.django.page import make_project, run
from tests.adapters.django.project import database
from tests.adapters.django.serving import ask, free_port, listening, reloads, running, until


@pytest.fixture(scope="module", params=["sqlite", "postgresql"])
def project(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """The project, migrated."""
    folder = tmp_path_factory.mktemp("project")
    if request.param == "sqlite":
        yield migrated(make_project(folder))
        return
    server: PostgresServer = request.getfixturevalue("postgres_server")
    name = f"durably_django_{uuid4().hex[:12]}"
    entry = database(server.create_database(name))
    entry["TEST"] = {"NAME": f"{name}_test"}
    yield migrated(make_project(folder, f"DATABASES['default'] = {entry!r}"))
    server.drop_database(name)


def migrated(folder: Path) -> Path:
    run(folder, "manage.py", "check")
    run(folder, "manage.py", "makemigrations", "shop")
    run(folder, "manage.py", "migrate")
    assert "No changes detected" in run(folder, "manage.py", "makemigrations", "--check")
    return folder


def outcome(port: int, workflow_id: str) -> Any:
    """Wait for the outcome, as a browser would."""

    def asked() -> Any:
        code, answer = ask(port, f"orders/{workflow_id}")
        assert code == 200, answer
        return answer if answer["status"] == "SUCCESS" else None

    return until(asked, lambda: f"the outcome of {workflow_id}")


def place(port: int) -> str:
    code, answer = ask(port, "orders/widget/place", post=True)
    assert code == 202, answer
    workflow_id: str = answer["workflow_id"]
    return workflow_id


def work(folder: Path, port: int, workflow_id: str) -> None:
    """Have a worker execute it, and end gracefully."""
    assert ask(port, f"orders/{workflow_id}") == (200, {"status": "ENQUEUED"})
    with running(folder, "manage.py", "durably_worker") as worker:
        worker.says("Durably executes the workflows of 'mysite'")
        assert outcome(port, workflow_id)["receipt"].startswith("charged for widget, key ")
        assert "lease good for" in run(folder, "manage.py", "durably_status")
        assert worker.end() == 0, worker.output()
        assert "Ending: waiting for what runs." in worker.output()
    status = run(folder, "manage.py", "durably_status")
    assert "executor         none" in status
    assert "SUCCESS: " in status


def test_the_view_starts_what_a_worker_executes(project: Path) -> None:
    port = free_port()
    with running(project, "manage.py", "runserver", "--noreload", str(port)) as server:
        listening(port, server)
        work(project, port, place(port))
        assert "Traceback" not in server.output()


def test_the_reloader_begins_anew_and_all_goes_on(project: Path) -> None:
    port = free_port()
    with running(project, "manage.py", "runserver", str(port)) as server:
        listening(port, server)
        before = place(port)
        views = project / "shop" / "views.py"
        reloads(server, "Quit the server with", views, views.read_text() + "\n")
        listening(port, server)
        assert ask(port, f"orders/{before}") == (200, {"status": "ENQUEUED"})
        work(project, port, before)
        assert server.end(signal.SIGTERM) is not None
        # Before 5.2, Django's own check of migrations leaves a connection open for the reloader to complain of.
        assert "Internal Server Error" not in server.output()


def test_a_worker_that_reloads_executes_with_the_new_code(project: Path) -> None:
    port = free_port()
    with (
        running(project, "manage.py", "runserver", "--noreload", str(port)) as server,
        running(project, "manage.py", "durably_worker", "--reload") as worker,
    ):
        listening(port, server)
        worker.says("Durably executes")
        workflows = project / "shop" / "workflows.py"
        text = workflows.read_text()
        try:
            reloads(worker, "Durably executes", workflows, text.replace("charged for", "billed for"))
            assert outcome(port, place(port))["receipt"].startswith("billed for widget")
        finally:
            workflows.write_text(text)


def test_a_web_process_executes_in_its_lifespan(project: Path) -> None:
    pytest.importorskip("uvicorn")
    port = free_port()
    with running(project, "-m", "uvicorn", "mysite.asgi:application", "--port", str(port)) as server:
        listening(port, server)
        assert "lease good for" in run(project, "manage.py", "durably_status")
        assert outcome(port, place(port))["receipt"].startswith("charged for widget")
        server.end()  # uvicorn then ends by the signal itself
        assert "Application shutdown complete" in server.output()
        assert "Traceback" not in server.output()
    assert "executor         none" in run(project, "manage.py", "durably_status")


def test_the_projects_tests_pass(project: Path) -> None:
    printed = run(project, "-m", "pytest", "-q", "-p", "no:cacheprovider", "--ds=mysite.settings", "shop")
    assert "3 passed" in printed


def test_the_projects_tests_pass_with_djangos_own_runner(project: Path) -> None:
    (project / "shop" / "tests.py").write_text(UNITTESTS)
    printed = run(project, "manage.py", "test")
    assert "Ran 4 tests" in printed
    assert "OK" in printed


UNITTESTS = """
from django.test import TestCase, TransactionTestCase
import durably
from durably_django import executing
from shop.models import Order
from shop.workflows import checkout, finish


class Committed(TransactionTestCase):
    def test_a_checkout(self):
        order = Order.objects.create(sku="widget")
        with executing(), durably.workflow_options(workflow_id="the-same"):
            self.assertTrue(durably.start_workflow(checkout, order.pk).get_result(timeout_seconds=20))

    def test_begins_without_the_workflows_of_the_other(self):
        with self.assertRaises(durably.WorkflowNotFoundError):
            durably.get_workflow_status("the-same")


class RolledBack(TestCase):
    def test_verbs_say_that_they_cannot_work(self):
        order = Order.objects.create(sku="widget")
        with self.assertRaisesRegex(durably.NotLaunchedError, "transactional_db"):
            durably.start_workflow(checkout, order.pk)
        with self.assertRaisesRegex(durably.NotLaunchedError, "TransactionTestCase"), executing():
            pass

    def test_a_transaction_by_itself(self):
        order = Order.objects.create(sku="widget")
        finish(order.pk, "paid")
        self.assertEqual(Order.objects.get().receipt, "paid")
"""
