"""A process that has nothing to do asks its system database at most once a second, all in all."""

from __future__ import annotations

import time

from durably import Durably, workflow
from tests.budget.counting import Counter, settled

SECONDS = 6.5


def test_an_idle_process_sends_at_most_one_statement_a_second(counter: Counter) -> None:
    @workflow(name="order")
    def order() -> None: ...

    with Durably("shop", system_database_url=counter.url):
        order()
        settled(counter, 0.2)
        with counter.counting() as counted:
            sent = counter.statements()
            time.sleep(SECONDS)
            sent = counter.statements() - sent
    assert len(counted[0].statements) <= SECONDS, counted[0].statements
    assert sent <= SECONDS, "with BEGIN and COMMIT, as the database sees it"
