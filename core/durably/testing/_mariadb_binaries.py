"""Finds a MariaDB server's programs on this machine, and installs them if that was asked for."""

from __future__ import annotations

import contextlib
import os
import re
import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

from durably.errors import ConfigurationError

#: Where packagers put the server, beside PATH: Debian and Red Hat, Homebrew, MariaDB's own archives.
PLACES = (
    "usr/sbin",
    "usr/libexec",
    "opt/homebrew/opt/mariadb*/bin",
    "usr/local/opt/mariadb*/bin",
    "usr/local/mysql/bin",
    "usr/local/sbin",
)
SERVERS = ("mariadbd", "mysqld")
INSTALLERS = ("mariadb-install-db", "mysql_install_db")
POLICY = Path("/usr/sbin/policy-rc.d")


class Programs(NamedTuple):
    """The server, the script that makes its data directory, and the folder that both belong to."""

    server: Path
    installer: Path
    base: Path


def find_programs(*, install: bool) -> Programs:
    """A MariaDB server to start. ``install``: fetch one if there is none."""
    found = _installed()
    if found is None and install:
        found = _install_debian()
    if found is None:
        raise ConfigurationError(
            "No MariaDB server was found: install one (Debian: apt-get install mariadb-server; macOS: brew "
            "install mariadb), or set DURABLY_TEST_MARIADB_URL."
        )
    return found


def _installed() -> Programs | None:
    return next((programs for server in _candidates() if (programs := _complete(server))), None)


def _candidates() -> Iterator[Path]:
    for name in SERVERS:
        if found := shutil.which(name):
            yield Path(found).resolve()
        for place in PLACES:
            yield from (folder / name for folder in sorted(Path("/").glob(place)))


def _complete(server: Path) -> Programs | None:
    """The server with its installer; None if one is missing, or if it is MySQL's."""
    if not os.access(server, os.X_OK) or "MariaDB" not in _output([str(server), "--no-defaults", "--version"]):
        return None
    base = server.parent.parent
    for folder in ("bin", "scripts", "sbin"):
        for name in INSTALLERS:
            if os.access(base / folder / name, os.X_OK):
                return Programs(server, base / folder / name, base)
    return None


def _install_debian() -> Programs | None:
    apt = shutil.which("apt-get")
    if apt is None or os.getuid() != 0:
        return None
    print("No MariaDB server was found here: apt-get install mariadb-server", file=sys.stderr, flush=True)
    environment = {**os.environ, "DEBIAN_FRONTEND": "noninteractive"}
    with _no_services(POLICY):
        for arguments in (["update"], ["install", "--yes", "--no-install-recommends", "mariadb-server"]):
            subprocess.run([apt, "--quiet", *arguments], env=environment, stdout=subprocess.DEVNULL, check=False)
    return _installed()


@contextlib.contextmanager
def _no_services(policy: Path) -> Iterator[None]:
    """Debian's packages start their service when they are installed, unless this script forbids it."""
    before = policy.read_bytes() if policy.exists() else None
    mode = policy.stat().st_mode if before is not None else 0o755
    policy.write_text("#!/bin/sh\nexit 101\n")
    policy.chmod(0o755)
    try:
        yield
    finally:
        if before is None:
            policy.unlink()
        else:
            policy.write_bytes(before)
            policy.chmod(mode)


def _output(command: list[str]) -> str:
    ran = subprocess.run(command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, check=False)
    return re.sub(r"\s+", " ", ran.stdout)
