"""A throw-away MariaDB server for tests: started here, gone afterwards. What holds for ``durably.testing.postgres``
holds here: a free loopback port, a new folder, no password, and it ends with this process, also when that is killed.

    with start_mariadb() as server:
        url = server.create_database("shop")  # mysql://root@127.0.0.1:49213/shop

It has no unix socket, and as root it runs as an unprivileged user.
"""

from __future__ import annotations

import contextlib
import os
import signal
from collections.abc import Mapping
from pathlib import Path
from types import MappingProxyType
from typing import Any
from urllib.parse import unquote, urlsplit

from durably.errors import ConfigurationError, DatabaseUnavailableError
from durably.testing._mariadb_binaries import Programs, find_programs
from durably.testing._private import Cluster, Kind
from durably.testing._server import DatabaseServer

URL_VARIABLE = "DURABLY_TEST_MARIADB_URL"
NO_SETTINGS: Mapping[str, str] = MappingProxyType({})
#: Faster, and still safe when the *server* is killed: only a crash of the machine could lose what was committed.
TEST_SETTINGS: Mapping[str, str] = MappingProxyType(
    {
        "innodb_flush_log_at_trx_commit": "2",
        "innodb_doublewrite": "OFF",
        "innodb_buffer_pool_size": "64M",
        "max_connections": "200",
    }
)
_KIND = Kind(
    name="MariaDB",
    accounts=("mysql", "nobody"),
    environment=("MYSQL_", "MARIADB_"),
    stop=signal.SIGTERM,
    stop_at_once=signal.SIGKILL,  # it has no way of its own, and no children
    port_taken="Address already in use",
)
#: As small as it can be: it is written anew for each server.
_LOG_SIZE = "--innodb-log-file-size=16M"


def start_mariadb(
    directory: Path | None = None, *, settings: Mapping[str, str] = NO_SETTINGS, install: bool = False
) -> MariaDBServer:
    """Start a private server and wait until it answers.

    ``directory``: where its data and its log go, kept afterwards and used again the next time; without it, a
    temporary folder that is removed. ``settings``: server variables by name; without them, MariaDB's own defaults.
    ``install``: if no server is installed, get one, as root on Debian, with apt-get, without starting its service.

    Raises `ConfigurationError` if there is none to start, `DatabaseUnavailableError` if it doesn't start.
    """
    cluster = _MariaDBCluster(find_programs(install=install), directory, settings)
    cluster.launch()
    return MariaDBServer(cluster.url, cluster)


def mariadb_for_tests() -> MariaDBServer:
    """The server that a test run uses: the one in ``DURABLY_TEST_MARIADB_URL``, else a private one, which is installed
    if it can be. `ConfigurationError`, which says what to install, if there is none.
    """
    url = os.environ.get(URL_VARIABLE)
    return MariaDBServer(url) if url else start_mariadb(settings=TEST_SETTINGS, install=True)


class MariaDBServer(DatabaseServer):
    """A running server, to make databases on and drop them. Only one that was started here can be ended."""

    url_variable = URL_VARIABLE
    starter = "start_mariadb"
    first_database = "mysql"

    def create_database(self, name: str) -> str:
        """Make an empty database, in utf8mb4, and return its URL."""
        self._execute(f"CREATE DATABASE {_quoted(name)} CHARACTER SET utf8mb4")
        return self.url(name)

    def drop_database(self, name: str) -> None:
        """Drop a database; whoever is connected to it is disconnected, because an open transaction would hold it."""
        self._execute(
            f"DROP DATABASE IF EXISTS {_quoted(name)}",
            before="SELECT id FROM information_schema.processlist WHERE db = %s AND id <> connection_id()",
            parameter=name,
        )

    def _execute(self, statement: str, *, before: str | None = None, parameter: str = "") -> None:
        with contextlib.closing(connect(self._url if self._cluster is None else self.url())) as connection:
            cursor = connection.cursor()
            if before is not None:
                cursor.execute(before, (parameter,))
                for (thread,) in cursor.fetchall():
                    with contextlib.suppress(Exception):  # it has gone by itself
                        cursor.execute(f"KILL {int(thread)}")
            cursor.execute(statement)


def connect(url: str, **options: Any) -> Any:
    """A PyMySQL connection to such a URL, in autocommit unless ``options``, which are PyMySQL's, say otherwise."""
    try:
        import pymysql
    except ImportError as error:
        raise ConfigurationError("PyMySQL is missing: pip install 'durably[pymysql]'") from error
    parts = urlsplit(url)
    known: dict[str, Any] = {
        "host": parts.hostname or "127.0.0.1",
        "port": parts.port or 3306,
        "user": unquote(parts.username or "root"),
        "password": unquote(parts.password or ""),
        "database": unquote(parts.path.lstrip("/")) or None,
        "charset": "utf8mb4",
        "autocommit": True,
    }
    return pymysql.connect(**{**known, **options})


def _quoted(name: str) -> str:
    return "`" + name.replace("`", "``") + "`"


class _MariaDBCluster(Cluster):
    def __init__(self, programs: Programs, directory: Path | None, settings: Mapping[str, str]) -> None:
        super().__init__(_KIND, directory, settings)
        self._programs = programs

    @property
    def url(self) -> str:
        return f"mysql://root@127.0.0.1:{self.port}/mysql"

    def prepare(self) -> None:
        if (self.data / "mysql").exists():
            return
        flags = ["--auth-root-authentication-method=normal", "--skip-test-db", "--skip-name-resolve", _LOG_SIZE]
        made = self.run([str(self._programs.installer), *self._common(), *flags])
        if made.returncode:
            raise DatabaseUnavailableError(f"{self._programs.installer.name} failed in {self.home}:\n{made.stdout}")

    def command(self, port: int) -> list[str]:
        settings = [f"--{key.replace('_', '-')}={value}" for key, value in self.settings.items()]
        return [
            str(self._programs.server),
            *self._common(),
            "--bind-address=127.0.0.1",
            f"--port={port}",
            "--socket=",
            f"--pid-file={self.data / 'own.pid'}",
            "--skip-name-resolve",
            _LOG_SIZE,
            *settings,
        ]

    def _common(self) -> list[str]:
        return ["--no-defaults", f"--basedir={self._programs.base}", f"--datadir={self.data}"]

    def is_ready(self) -> bool:
        """It says so in its log, which is a new one for each start."""
        return "ready for connections" in self.log_text()
