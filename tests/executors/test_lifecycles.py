"""However often and whenever a workflow is cancelled and resumed, it does what it would have done, once."""

from __future__ import annotations

import os
from concurrent.futures import ThreadPoolExecutor

from durably import Client, Durably
from tests.execution.rows import rows
from tests.executors.lifecycles import Figures, Lifecycle

#: ``DURABLY_LIFECYCLES`` says how many, and ``DURABLY_SEED`` where they begin.
COUNT = int(os.environ.get("DURABLY_LIFECYCLES", "300"))
SEED = int(os.environ.get("DURABLY_SEED", "20250"))
AT_ONCE = 8


def test_random_lifecycles(system_url: str) -> None:
    """Recorded steps are a prefix of each branch, each ran once unless it was resumed while it ran, sums are right."""
    rows(system_url, "CREATE TABLE effects (place varchar(255) PRIMARY KEY, times integer NOT NULL)")
    figures = Figures()
    app = Durably(
        "lives",
        system_database_url=system_url,
        application_database_url=system_url,
        app_db_client="sqlalchemy",
    )
    with app, Client(system_url, name="lives") as client, ThreadPoolExecutor(AT_ONCE) as pool:
        lives = [Lifecycle(app, client, system_url, SEED + number, figures) for number in range(COUNT)]
        for done in [pool.submit(life.live) for life in lives]:
            done.result()
    print(f"{COUNT} lifecycles: {figures}")
    # What is to be tested has taken place.
    assert figures.resumes >= COUNT
    assert figures.resumes > figures.quiet > COUNT / 4
    assert figures.cancelled_children > COUNT / 4
    assert figures.transactions > COUNT / 2
