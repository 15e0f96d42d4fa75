"""How an application is doing, read from its system database and changing nothing there."""

from __future__ import annotations

import pytest

import durably
from durably import DatabaseUnavailableError, Durably, workflow
from durably.overview import overview


@workflow
def done() -> None: ...


@workflow
def failed() -> None:
    raise ValueError("no")


def test_it_tells_what_is_pending_without_making_it(system_url: str) -> None:
    for _ in range(2):
        seen = overview("shop", system_url)
        assert seen.pending[0] == "0001_initial"
        assert (seen.executors, seen.workflows) == ([], {})


def test_it_counts_executors_and_workflows_of_one_application(system_url: str) -> None:
    with Durably("bank", system_database_url=system_url, executor_id="elsewhere"):
        done()
    app = Durably("shop", system_database_url=system_url, executor_id="here", application_version="7")
    with app:
        done()
        done()
        with pytest.raises(ValueError, match="no"):
            failed()
        seen = overview("shop", system_url)
        (executor,) = seen.executors
        assert (executor.label, executor.application_version, executor.holds) == ("here", "7", 0)
        assert 0 < executor.lease_seconds <= 10
    assert seen.workflows == {durably.Status.SUCCESS: 2, durably.Status.ERROR: 1}
    assert seen.pending == []
    assert overview("shop", system_url).executors == []


def test_a_database_that_is_away_is_one_clear_error_without_the_password() -> None:
    with pytest.raises(DatabaseUnavailableError, match="cannot read the system database") as caught:
        overview("shop", "postgresql://ann:secret@127.0.0.1:1/shop")
    assert "secret" not in str(caught.value)
