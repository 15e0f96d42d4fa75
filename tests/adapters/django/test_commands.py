"""The management commands: what they say when something is wrong, and how a worker ends."""

from __future__ import annotations

import io
import os
import signal
import threading
import time
from collections.abc import Callable

import pytest
from django.core.management import CommandError, call_command

import durably
from durably.ledger.migrations import migrations
from durably.overview import overview
from durably_django.addresses import address
from durably_django.process import process
from tests.adapters.django.notes import add, make_table, notes, workflow_of
from tests.adapters.django.site import Site


def status() -> str:
    printed = io.StringIO()
    call_command("durably_status", stdout=printed)
    return printed.getvalue()


def test_without_tables_both_say_what_to_run(site: Site, url: str) -> None:
    site.add("default", url)
    site.set()
    names = ", ".join(f"{one.version:04}_{one.name}" for one in migrations("sqlite"))
    assert f"pending: {names}; run `manage.py migrate`" in status()
    with pytest.raises(CommandError, match=r"run `manage\.py migrate`"):
        call_command("durably_worker", skip_checks=True)
    assert not process.is_executing()


def test_without_a_setting_both_say_so(site: Site, url: str) -> None:
    site.add("default", url)
    for command in ("durably_status", "durably_worker"):
        with pytest.raises(CommandError, match="the setting DURABLY is missing"):
            call_command(command, skip_checks=True)


def test_a_database_that_is_away_is_an_error_without_its_password(site: Site) -> None:
    site.add("default", "postgresql://ann:secret@127.0.0.1:1/shop")
    site.set()
    with pytest.raises(CommandError, match="cannot read the system database") as caught:
        status()
    assert "secret" not in str(caught.value)


def test_status_shows_adapters_and_no_password(site: Site, postgres_url: str) -> None:
    site.add("default", postgres_url, PASSWORD="secret")  # noqa: S106  the server trusts everybody
    site.add("maria", "mysql://ann:secret@db/shop")
    site.set(adapters=["default", "maria"])
    site.migrate()
    printed = status()
    assert "secret" not in printed
    assert "adapter          default: postgresql, in the system database" in printed
    assert "adapter          maria: mysql, apart" in printed
    assert "executor         none" in printed


def holding(release: threading.Event, begun: threading.Event) -> Callable[[], None]:
    """A workflow that runs until it is let go."""

    def body() -> None:
        begun.set()
        release.wait(20)
        add("to its end")

    return workflow_of(body)


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_a_worker_that_is_told_to_end_waits_for_what_runs(site: Site, url: str, number: signal.Signals) -> None:
    site.add("default", url)
    site.set()
    site.migrate()
    make_table()
    release, begun = threading.Event(), threading.Event()
    workflow_id = durably.start_workflow(holding(release, begun)).workflow_id

    def tell() -> None:
        begun.wait(20)
        os.kill(os.getpid(), number)
        time.sleep(0.2)  # so that ending has begun; too little would only test less
        release.set()

    teller = threading.Thread(target=tell)
    teller.start()
    before = signal.getsignal(number)
    printed = io.StringIO()
    call_command("durably_worker", skip_checks=True, stdout=printed)
    teller.join()
    assert "Ending: waiting for what runs." in printed.getvalue()
    assert signal.getsignal(number) is before
    assert notes() == ["to its end"]
    assert durably.get_workflow_status(workflow_id).status == "SUCCESS"


def test_what_does_not_end_in_time_is_handed_back(site: Site, url: str) -> None:
    site.add("default", url)
    site.set()
    site.migrate()
    make_table()
    release, begun = threading.Event(), threading.Event()
    workflow_id = durably.start_workflow(holding(release, begun)).workflow_id

    def tell() -> None:
        begun.wait(20)
        os.kill(os.getpid(), signal.SIGTERM)

    teller = threading.Thread(target=tell)
    teller.start()
    call_command("durably_worker", skip_checks=True, drain_seconds=0.1, stdout=io.StringIO())
    teller.join()
    assert durably.get_workflow_status(workflow_id).status == "ENQUEUED"
    assert overview("site", str(address("default"))).executors == []
    release.set()
    for thread in threading.enumerate():
        if thread.name.startswith("durably-workflow"):
            thread.join(20)
