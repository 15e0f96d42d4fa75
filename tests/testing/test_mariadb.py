"""The throw-away MariaDB server: it starts, survives a crash of its own, and leaves nothing behind."""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path
from typing import Any

import pymysql
import pytest

from durably.errors import ConfigurationError, DatabaseUnavailableError
from durably.testing import _mariadb_binaries, mariadb
from durably.testing.mariadb import URL_VARIABLE, MariaDBServer, connect, mariadb_for_tests, start_mariadb

pytestmark = pytest.mark.usefixtures("mariadb_programs")


@pytest.fixture
def server() -> Iterator[MariaDBServer]:
    with start_mariadb(settings=mariadb.TEST_SETTINGS) as server:
        yield server


def ask(url: str, query: str) -> Any:
    with closing(connect(url)) as connection, connection.cursor() as cursor:
        cursor.execute(query)
        row = cursor.fetchone()
        return row and row[0]


def test_a_database_is_made_and_dropped_under_a_connection_that_holds_it(server: MariaDBServer) -> None:
    url = server.create_database("it's `odd`")
    assert ask(url, "SELECT database()") == "it's `odd`"
    assert ask(url, "SELECT @@character_set_database") == "utf8mb4"
    with closing(connect(url, autocommit=False)) as holding, holding.cursor() as cursor:
        cursor.execute("CREATE TABLE held (n integer) ENGINE = InnoDB")
        cursor.execute("INSERT INTO held VALUES (1)")
        server.drop_database("it's `odd`")
        with pytest.raises((pymysql.OperationalError, pymysql.InterfaceError)):
            cursor.execute("SELECT 1")
        holding._force_close()
    with pytest.raises(pymysql.OperationalError, match="1049"):
        connect(url)


def test_what_was_committed_survives_a_kill(server: MariaDBServer) -> None:
    url = server.create_database("kept")
    with closing(connect(url)) as connection, connection.cursor() as cursor:
        cursor.execute("CREATE TABLE kept (answer integer) ENGINE = InnoDB")
        cursor.execute("INSERT INTO kept VALUES (42)")
    server.kill()
    with pytest.raises(pymysql.OperationalError):
        connect(url)
    server.restart()
    assert ask(url, "SELECT answer FROM kept") == 42


def test_settings_are_used() -> None:
    with start_mariadb(settings={"innodb_snapshot_isolation": "ON"}) as server:
        assert ask(server.url(), "SELECT @@innodb_snapshot_isolation") == 1
    with pytest.raises(DatabaseUnavailableError, match="no-such-setting"):
        start_mariadb(settings={"no_such_setting": "1"})


def test_it_listens_on_loopback_alone_without_a_socket(server: MariaDBServer) -> None:
    assert ask(server.url(), "SELECT @@bind_address") == "127.0.0.1"
    assert ask(server.url(), "SELECT @@socket") == ""


def test_a_named_directory_is_kept_and_used_again() -> None:
    # Not below pytest's own folder, which is private: the server's user could not enter it.
    directory = Path(tempfile.mkdtemp(prefix="durably-test-"))
    try:
        with start_mariadb(directory) as server:
            server.create_database("kept")
        with start_mariadb(directory) as server:
            assert ask(server.url("kept"), "SELECT 1") == 1
    finally:
        shutil.rmtree(directory)


START_AND_WAIT = """
import sys, time
from durably.testing.mariadb import connect, start_mariadb
server = start_mariadb()
cursor = connect(server.url()).cursor()
cursor.execute("SELECT @@datadir")
print(server.url(), cursor.fetchone()[0], flush=True)
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
    with pytest.raises(pymysql.OperationalError):
        connect(url)


@pytest.mark.filterwarnings("ignore:.*fork:DeprecationWarning")
def test_a_forked_child_does_not_stop_its_parents_server(server: MariaDBServer) -> None:
    child = os.fork()
    if child == 0:
        server.stop()
        os._exit(0)
    os.waitpid(child, 0)
    assert ask(server.url(), "SELECT 1") == 1


def test_a_given_server_is_used_and_left_running(server: MariaDBServer, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(URL_VARIABLE, server.url())
    with mariadb_for_tests() as given:
        assert not given.is_private
        assert ask(given.create_database("own"), "SELECT database()") == "own"
        with pytest.raises(ConfigurationError, match=URL_VARIABLE):
            given.kill()
    assert ask(server.url("own"), "SELECT 1") == 1


def test_no_server_to_be_found_is_one_clear_error(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(_mariadb_binaries, "_installed", lambda: None)
    with pytest.raises(ConfigurationError, match="apt-get install mariadb-server"):
        start_mariadb()


def test_mysqls_own_server_is_not_taken_for_mariadb(tmp_path: Path) -> None:
    (tmp_path / "bin").mkdir()
    for name, says in (("mysqld", "mysqld  Ver 8.0.36 for Linux"), ("mysql_install_db", "")):
        program = tmp_path / "bin" / name
        program.write_text(f"#!/bin/sh\necho '{says}'\n")
        program.chmod(0o755)
    assert _mariadb_binaries._complete(tmp_path / "bin" / "mysqld") is None
    (tmp_path / "bin" / "mysqld").write_text("#!/bin/sh\necho 'mysqld  Ver 10.11.19-MariaDB for Linux'\n")
    programs = _mariadb_binaries._complete(tmp_path / "bin" / "mysqld")
    assert programs is not None
    assert programs.installer == tmp_path / "bin" / "mysql_install_db"


@pytest.mark.parametrize("before", [None, "#!/bin/sh\nexit 0\n"])
def test_installing_starts_no_service_and_leaves_the_policy_as_it_was(tmp_path: Path, before: str | None) -> None:
    policy = tmp_path / "policy-rc.d"
    if before is not None:
        policy.write_text(before)
        policy.chmod(0o750)
    with _mariadb_binaries._no_services(policy):
        assert subprocess.run([policy], check=False).returncode == 101
    assert policy.exists() == (before is not None)
    if before is not None:
        assert (policy.read_text(), policy.stat().st_mode & 0o777) == (before, 0o750)
