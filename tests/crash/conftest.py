"""What crash tests share: lanes with zygotes, and the table that is printed at the end of the run."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from durably.testing.mariadb import MariaDBServer
from durably.testing.postgres import PostgresServer
from tests.crash import figures
from tests.crash.configurations import Configuration
from tests.crash.rounds import Crew
from tests.crash.sites import Builder


@pytest.fixture(scope="session")
def builder(tmp_path_factory: pytest.TempPathFactory, postgres_server: PostgresServer) -> Iterator[Builder]:
    """Makes databases for crash tests."""
    builder = Builder(tmp_path_factory.mktemp("crash"), postgres_server)
    yield builder
    builder.close()


@pytest.fixture(scope="session")
def mariadb(builder: Builder, mariadb_server: MariaDBServer) -> Iterator[None]:
    """MariaDB, left before its server ends: that is started after the builder, and so ends before it."""
    builder.use(mariadb_server)
    yield
    builder.leave("mysql")


@pytest.fixture(autouse=True)
def servers(request: pytest.FixtureRequest) -> None:
    """The server that only some configurations need: where MariaDB is missing, those are skipped, and say so."""
    params = request.node.callspec.params if hasattr(request.node, "callspec") else {}
    configuration = params.get("configuration")
    if isinstance(configuration, Configuration) and configuration.database == "mysql":
        request.getfixturevalue("mariadb")


@pytest.fixture(scope="session")
def crew(builder: Builder) -> Iterator[Crew]:
    """Lanes, each with a zygote."""
    crew = Crew(builder, figures.LANES)
    yield crew
    crew.close()


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter) -> None:
    lines = list(figures.table())
    if lines:
        terminalreporter.section("crash tests")
        for line in lines:
            terminalreporter.write_line(line)
