"""What throw-away database servers have in common: a folder, an unprivileged user, a process and its watchdog."""

from __future__ import annotations

import contextlib
import os
import pwd
import signal
import socket
import subprocess
import sys
import tempfile
import time
from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NamedTuple

from durably.errors import ConfigurationError, DatabaseUnavailableError
from durably.testing import _watchdog

START_SECONDS = 60.0
STOP_SECONDS = 20.0


class Kind(NamedTuple):
    """What differs between the servers, as data."""

    name: str
    #: Users to run it as when we are root, the best first.
    accounts: Sequence[str]
    #: Environment variables with these beginnings are kept from it.
    environment: tuple[str, ...]
    #: Its orderly shutdown that does not wait for connections, and the one that is like a crash.
    stop: signal.Signals
    stop_at_once: signal.Signals
    #: What its log says if the port is taken.
    port_taken: str


@dataclass(frozen=True)
class Account:
    """The user that the server runs as when we are root."""

    uid: int
    gid: int

    @property
    def popen(self) -> dict[str, Any]:
        """What ``subprocess`` is to be told."""
        return {"user": self.uid, "group": self.gid, "extra_groups": []}


class Cluster(ABC):
    """One data directory, its server process, and the watchdog that outlives us to clean up."""

    def __init__(self, kind: Kind, directory: Path | None, settings: Mapping[str, str]) -> None:
        account = _unprivileged_account(kind)
        self.kind = kind
        self.home = _home(kind, directory, account)
        self.data = self.home / "data"
        self.log = self.home / "server.log"
        self.port = 0
        self.settings = settings
        self._keep = directory is not None
        environment = {key: value for key, value in os.environ.items() if not key.startswith(kind.environment)}
        self._popen: dict[str, Any] = {
            "cwd": self.home,
            "env": environment | {"LC_ALL": "C"},
            **(account.popen if account else {}),
        }
        self._process: subprocess.Popen[Any] | None = None
        self._watchdog: subprocess.Popen[bytes] | None = None

    # -- what each kind of server adds ---------------------------------------------------------------------------

    @property
    @abstractmethod
    def url(self) -> str:
        """The address of a database that is always there."""

    @abstractmethod
    def prepare(self) -> None:
        """Make the data directory if it is not there."""

    @abstractmethod
    def command(self, port: int) -> list[str]:
        """The server's command line; it must name the data directory, by which the watchdog knows the process."""

    @abstractmethod
    def is_ready(self) -> bool:
        """Whether the server has said that it takes connections."""

    @property
    def pid(self) -> int | None:
        """The server's process id while it runs."""
        return self._process.pid if self._process is not None else None

    # -- its life ------------------------------------------------------------------------------------------------

    def launch(self) -> None:
        """Prepare and start it, under the watchdog's eye from the start; leaves nothing behind if that fails."""
        try:
            self._watch()
            self.prepare()
            self.start()
        except BaseException:
            self.discard()
            raise

    def start(self) -> None:
        """Start the server and wait until it says that it is ready."""
        for _ in range(10):
            # A port that was free may be taken in between; every start after the first needs the same one.
            port = self.port or _free_port()
            if self._start_on(port):
                self.port = port
                return
            time.sleep(0.3)
        raise DatabaseUnavailableError(f"no port could be bound for {self.kind.name}:\n{self._log_tail()}")

    def stop(self) -> None:
        """End it in an orderly way, or at once if that takes too long."""
        self._end(self.kind.stop)

    def kill(self) -> None:
        """End it at once."""
        self._end(self.kind.stop_at_once)

    def discard(self) -> None:
        """Let the watchdog end whatever runs, remove what is temporary, and go."""
        watchdog, self._watchdog = self._watchdog, None
        if watchdog is not None:
            if watchdog.stdin is not None:
                watchdog.stdin.close()
            watchdog.wait()
        self.kill()

    def run(self, command: Sequence[str]) -> subprocess.CompletedProcess[str]:
        """Run a program as the server's user, to its end."""
        return subprocess.run(
            command,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            check=False,
            **self._popen,
        )

    def _watch(self) -> None:
        how = "keep" if self._keep else "remove"
        # -I: this file's folder is not put on the path, where its modules would hide others.
        program = [sys.executable, "-I", _watchdog.__file__]
        self._watchdog = subprocess.Popen(
            [*program, str(self.home), how, self.kind.stop_at_once.name],
            stdin=subprocess.PIPE,
            # Not ours: whoever reads our output waits until the last holder of the pipe has gone.
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
            start_new_session=True,  # Ctrl-C, or a kill of our process group, must not reach it
        )

    def _start_on(self, port: int) -> bool:
        with self.log.open("wb") as log:  # a new one for each start, so that its end is about this start
            process = subprocess.Popen(
                self.command(port),
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=subprocess.STDOUT,
                start_new_session=True,
                **self._popen,
            )
        self._process = process
        (self.home / "server.pid").write_text(str(process.pid))
        deadline = time.monotonic() + START_SECONDS
        while process.poll() is None and time.monotonic() < deadline:
            if self.is_ready():
                return True
            time.sleep(0.02)
        self.kill()
        if self.kind.port_taken in self.log_text():
            return False
        raise DatabaseUnavailableError(f"{self.kind.name} did not start in {self.home}:\n{self._log_tail()}")

    def _end(self, how: signal.Signals) -> None:
        process, self._process = self._process, None
        if process is None:
            return
        # Does nothing if it has ended: it is our child, so its id can't have gone to another process.
        process.send_signal(how)
        try:
            process.wait(STOP_SECONDS)
        except subprocess.TimeoutExpired:
            process.send_signal(self.kind.stop_at_once)
            process.wait(STOP_SECONDS)

    def log_text(self) -> str:
        """What the server has said since its last start."""
        return self.log.read_text(errors="replace") if self.log.exists() else ""

    def _log_tail(self) -> str:
        return "\n".join(self.log_text().splitlines()[-15:])


def _unprivileged_account(kind: Kind) -> Account | None:
    if os.getuid() != 0:
        return None
    for name in kind.accounts:
        with contextlib.suppress(KeyError):
            entry = pwd.getpwnam(name)
            return Account(entry.pw_uid, entry.pw_gid)
    raise ConfigurationError(
        f"{kind.name} refuses root, and there is no user {' or '.join(kind.accounts)} to run it as"
    )


def _home(kind: Kind, directory: Path | None, account: Account | None) -> Path:
    """The cluster's folder, made, owned by the server's user, and reachable for it."""
    if directory is not None:
        directory.mkdir(parents=True, exist_ok=True)
        return _own(kind, directory.resolve(), account)
    for parent in (None, "/tmp", "/var/tmp"):  # noqa: S108
        home = Path(tempfile.mkdtemp(prefix=f"durably-{kind.name.lower()}-", dir=parent)).resolve()
        try:
            return _own(kind, home, account)
        except ConfigurationError:
            home.rmdir()
    raise ConfigurationError("no temporary directory is open to an unprivileged user: set TMPDIR to such a one")


def _own(kind: Kind, home: Path, account: Account | None) -> Path:
    if account is not None:
        os.chown(home, account.uid, account.gid)
        try:
            subprocess.run(["/bin/sh", "-c", ":"], cwd=home, check=True, **account.popen)
        except PermissionError as error:
            raise ConfigurationError(
                f"{home} is below a folder that an unprivileged user can't enter, and {kind.name} refuses "
                "root: name another directory"
            ) from error
    return home


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port
