"""A shutdown ends, even if the system database has gone away; what was unfinished goes on when it is back."""

from __future__ import annotations

import threading
import time

import durably
from durably import Durably, step, workflow
from durably.testing.postgres import start_postgres


def test_a_shutdown_does_not_wait_for_a_database_that_is_away() -> None:
    inside, go_on = threading.Event(), threading.Event()
    ran: list[str] = []

    @step
    def hold() -> str:
        ran.append("hold")
        inside.set()
        go_on.wait(30)
        return "held"

    @workflow
    def flow() -> str:
        return hold()

    with start_postgres() as server:
        url = server.create_database("shop")
        app = Durably("shop", system_database_url=url, lease_seconds=0.5)
        app.launch()
        with durably.workflow_options(workflow_id="w"):
            durably.start_workflow(flow)
        assert inside.wait(30)
        server.kill()
        began = time.monotonic()
        app.shutdown(timeout_seconds=0.2)
        assert time.monotonic() - began < 25, "it waited for the database"
        server.restart()
        go_on.set()
        with Durably("shop", system_database_url=url, lease_seconds=0.5):
            assert durably.get_result("w", timeout_seconds=60) == "held"
    assert ran == ["hold", "hold"]
