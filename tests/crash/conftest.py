"""What crash tests share: lanes with zygotes, the seed, and the table that is printed at the end of the run."""

from __future__ import annotations

import os
import secrets
from collections.abc import Iterator

import pytest

from durably.testing.postgres import PostgresServer
from tests.crash.rounds import Crew, Tally
from tests.crash.sites import Builder

#: Kills at each point in each configuration.
KILLS = int(os.environ.get("DURABLY_CRASH_KILLS", "20"))
#: To repeat a run: which passes are hit, and which random choices are made. Threads still race as they like.
SEED = os.environ.get("DURABLY_CRASH_SEED") or secrets.token_hex(4)
LANES = int(os.environ.get("DURABLY_CRASH_LANES", "3"))

_tallies: list[Tally] = []


@pytest.fixture(scope="session")
def builder(tmp_path_factory: pytest.TempPathFactory, postgres_server: PostgresServer) -> Iterator[Builder]:
    """Makes databases for crash tests."""
    builder = Builder(tmp_path_factory.mktemp("crash"), postgres_server)
    yield builder
    builder.close()


@pytest.fixture(scope="session")
def crew(builder: Builder) -> Iterator[Crew]:
    """Lanes, each with a zygote."""
    crew = Crew(builder, LANES)
    yield crew
    crew.close()


def report(tally: Tally) -> Tally:
    """Have a tally printed at the end of the run."""
    _tallies.append(tally)
    return tally
