"""The nth call of a driver fails, for n = 1, 2, 3 … until no fault fires: all ends well, and exactly once."""

from __future__ import annotations

import sqlite3
from collections.abc import Iterator
from functools import partial
from typing import Any

import psycopg
import pytest
from sqlalchemy import Engine, create_engine

import durably
from durably import Durably
from durably.declared import declaration_of
from durably.registry import registry
from durably_sqlalchemy import SQLAlchemy
from tests.crash import journal, oracle
from tests.crash.applications import Application
from tests.crash.applications.sqlalchemy import address, move
from tests.crash.configurations import BLOCKING, Configuration
from tests.crash.driver_faults import Faults, Mode, faulty_postgres, faulty_sqlite
from tests.crash.sites import Builder, Site

#: More calls than a run can make; if faults still fire here, a fault makes the run begin again without end.
MANY = 200


@pytest.fixture
def program() -> Any:
    """The program that is killed elsewhere, registered for this test only."""
    from tests.crash import program

    for function in (program.note, program.move, program.move_strictly, program.transfer):
        declaration = declaration_of(function)
        assert declaration is not None
        registry.add(declaration)
    return program


@pytest.fixture
def faults() -> Iterator[Faults]:
    faults = Faults()
    yield faults
    faults.disarm()


def run_until_no_fault_fires(site: Site, engine: Engine, faults: Faults, mode: Mode, program: Any) -> int:
    """Run one workflow for each n, in one launch of the engine; how many faults fired."""
    log = site.folder / "calls.log"
    program._spec = site.spec((), log)
    program._application = Application(SQLAlchemy(engine), move)
    ids = []
    app = Durably("crash", system_database_url=site.system_url, adapters={"default": program._application.adapter})
    with app:
        for nth in range(1, MANY):
            ids.append(f"call-{nth}")
            faults.arm(nth, mode)
            with durably.workflow_options(workflow_id=ids[-1]):
                value = program.transfer(ids[-1])
            faults.disarm()
            journal.write(str(log), "told", ids[-1], token=",".join(value))
            if not faults.fired:
                break
        else:
            pytest.fail(f"a fault still fires at call {MANY}")
    engine.dispose()
    verdict = oracle.judge(site.system_url, site.application_url, ids, journal.read(log))
    assert verdict.workflows == len(ids)
    assert not verdict.violations, "\n".join(verdict.findings)
    print(f"\n{site.configuration}, failing {mode} the call: {len(ids) - 1} faults, 0 violations", end="")
    return len(ids) - 1


@pytest.mark.parametrize("mode", ["before", "after"])
@pytest.mark.parametrize("configuration", BLOCKING, ids=str)
def test_calls_of_the_ledger(
    builder: Builder,
    configuration: Configuration,
    mode: Mode,
    program: Any,
    faults: Faults,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    site = builder.site(configuration)
    engine = create_engine(address(site.application_url))
    connect = engine.dialect.loaded_dbapi.connect  # before the patch: the application's own calls do not fail here
    application = create_engine(engine.url, creator=lambda: connect(*_arguments(site)))
    if configuration.database == "sqlite":
        monkeypatch.setattr(sqlite3, "connect", partial(sqlite3.connect, factory=faulty_sqlite(faults)))
    else:
        monkeypatch.setattr(psycopg, "connect", faulty_postgres(faults).connect)
    assert run_until_no_fault_fires(site, application, faults, mode, program) >= 4


@pytest.mark.parametrize("mode", ["before", "after"])
@pytest.mark.parametrize("configuration", BLOCKING, ids=str)
def test_calls_of_the_application(
    builder: Builder, configuration: Configuration, mode: Mode, program: Any, faults: Faults
) -> None:
    site = builder.site(configuration)
    engine = create_engine(
        address(site.application_url),
        creator=lambda: (
            sqlite3.connect(*_arguments(site), check_same_thread=False, factory=faulty_sqlite(faults))
            if configuration.database == "sqlite"
            else faulty_postgres(faults).connect(*_arguments(site))
        ),
    )
    assert run_until_no_fault_fires(site, engine, faults, mode, program) >= 10


def _arguments(site: Site) -> tuple[str]:
    return (site.application_url.removeprefix("sqlite:///"),)
