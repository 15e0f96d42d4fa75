"""Where a round's systems keep their data: an empty database for each, on one server or on one disk."""

from __future__ import annotations

import contextlib
import itertools
import sqlite3
import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Protocol

from durably.testing.postgres import start_postgres


class Databases(Protocol):
    """Makes empty databases. ``name`` is how the report calls it."""

    name: str
    version: str

    def empty(self) -> str:
        """The URL of a new, empty database."""
        ...


class Postgres:
    """A private, throw-away server with PostgreSQL's own defaults, ``fsync`` among them."""

    name = "postgres"

    def __init__(self, stack: contextlib.ExitStack) -> None:
        import psycopg

        self._server = stack.enter_context(start_postgres(install=True))
        self._numbers = itertools.count(1)
        with contextlib.closing(psycopg.connect(self._server.url())) as connection:
            row = connection.execute("SHOW server_version").fetchone()
        self.version = f"PostgreSQL {str(row[0]).split()[0] if row else '?'}"

    def empty(self) -> str:
        return self._server.create_database(f"round_{next(self._numbers)}")


class Sqlite:
    """Files in a temporary folder on a real disk."""

    name = "sqlite"

    def __init__(self, stack: contextlib.ExitStack) -> None:
        self._folder = stack.enter_context(tempfile.TemporaryDirectory(prefix="durably-bench-", dir=real_disk()))
        self._numbers = itertools.count(1)
        self.version = f"SQLite {sqlite3.sqlite_version}"

    def empty(self) -> str:
        return f"sqlite:///{self._folder}/{next(self._numbers)}.db"


DATABASES: dict[str, Callable[[contextlib.ExitStack], Databases]] = {"postgres": Postgres, "sqlite": Sqlite}


@contextlib.contextmanager
def opened(name: str) -> Iterator[Databases]:
    """The databases of that name, gone afterwards."""
    with contextlib.ExitStack() as stack:
        yield DATABASES[name](stack)


def real_disk() -> str:
    """The temporary folder, unless it is in memory, where a commit costs nothing; then /var/tmp."""
    folder = tempfile.gettempdir()
    return "/var/tmp" if _file_system(Path(folder)) in ("tmpfs", "ramfs") else folder  # noqa: S108


def _file_system(folder: Path) -> str:
    """What kind of file system a folder is on; "" where the system has no table of mounts."""
    try:
        mounts = [line.split()[1:3] for line in Path("/proc/mounts").read_text().splitlines()]
    except OSError:
        return ""
    resolved = folder.resolve()
    kinds = {Path(where): kind for where, kind in mounts}
    return next((kinds[one] for one in (resolved, *resolved.parents) if one in kinds), "")
