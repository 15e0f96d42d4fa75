"""The databases of one test run: one for each placement, made at its first use, and emptied before each test."""

from __future__ import annotations

import contextlib
import os
import shutil
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import Any
from uuid import uuid4

from durably.adapter import DialectName
from durably.engine import Durably
from durably.testing.conformance.control import Control, SqliteControl, control_of
from durably.testing.conformance.placements import Placement
from durably.testing.postgres import postgres_for_tests


class DatabaseMissing(Exception):
    """No server of that kind can be had on this machine; says why."""


@dataclass(frozen=True)
class Site:
    """What one scenario gets: two empty databases, or one that is both, and an eye on them."""

    placement: Placement
    url: str
    system_url: str
    control: Control
    directory: Path


class Databases:
    """Makes and drops them; closed at the end of the run."""

    def __init__(self, directory: Path) -> None:
        self._directory = directory
        directory.mkdir(exist_ok=True)
        self._closing = contextlib.ExitStack()
        self._servers: dict[DialectName, Any] = {}
        self._missing: dict[DialectName, str] = {}
        self._controls: dict[Placement, Control] = {}
        self._templates: dict[bool, Path] = {}

    def __enter__(self) -> Databases:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._closing.close()

    @contextlib.contextmanager
    def site(self, placement: Placement, directory: Path) -> Iterator[Site]:
        """Empty databases at ``placement``. DatabaseMissing."""
        system = directory / "system.db"
        if not placement.colocated:
            shutil.copy(self._template(False), system)
        if placement.database == "sqlite":
            path = directory / "app.db"
            self._make_file(path, placement.colocated)
            with control_of("sqlite", f"sqlite:///{path}", placement.colocated) as control:
                yield self._site(placement, control, system, directory)
            return
        control = self._controls.get(placement) or self._make(placement)
        control.empty()
        yield self._site(placement, control, system, directory)

    @staticmethod
    def _site(placement: Placement, control: Control, system: Path, directory: Path) -> Site:
        system_url = control.url if placement.colocated else f"sqlite:///{system}"
        return Site(placement, control.url, system_url, control, directory)

    # -- servers -------------------------------------------------------------------------------------------------

    def _make(self, placement: Placement) -> Control:
        server = self._server(placement.database)
        # One for each process, so that runs at the same time do not meet.
        name = f"conformance_{'together' if placement.colocated else 'apart'}_{uuid4().hex[:12]}"
        url = server.create_database(name)
        self._closing.callback(server.drop_database, name)
        control = self._closing.enter_context(control_of(placement.database, url, placement.colocated))
        for sql in control.tables:
            control.execute(sql)
        if placement.database == "postgresql":
            # A second by default, which each deadlock would take. Holds for the connections that are made from now on.
            control.execute(f"ALTER DATABASE {name} SET deadlock_timeout = '20ms'")
        self._controls[placement] = control
        return control

    def _server(self, database: DialectName) -> Any:
        if database in self._missing:
            raise DatabaseMissing(self._missing[database])
        if database not in self._servers:
            start = postgres_for_tests if database == "postgresql" else _mariadb_for_tests
            try:
                self._servers[database] = self._closing.enter_context(start())
            except Exception as error:
                # PostgreSQL is installed if need be, and its absence is a failure. MariaDB is an option; not on CI.
                if database == "postgresql" or os.environ.get("CI"):
                    raise
                self._missing[database] = f"no MariaDB or MySQL server for the conformance suite: {error}"
                raise DatabaseMissing(self._missing[database]) from error
        return self._servers[database]

    # -- files ---------------------------------------------------------------------------------------------------

    def _make_file(self, path: Path, colocated: bool) -> None:
        if colocated:
            shutil.copy(self._template(True), path)
            return
        with control_of("sqlite", f"sqlite:///{path}", False) as control:
            for sql in control.tables:
                control.execute(sql)

    def _template(self, application: bool) -> Path:
        """A file with the system tables, and with the application's if asked; copied, since migrating takes longer."""
        if application not in self._templates:
            path = self._directory / f"{'both' if application else 'system'}.db"
            with Durably("template", adapters={}, system_database_url=f"sqlite:///{path}", executes="none"):
                pass
            if application:
                with control_of("sqlite", f"sqlite:///{path}", True) as control:
                    for sql in SqliteControl.tables:
                        control.execute(sql)
            self._templates[application] = path
        return self._templates[application]


def _mariadb_for_tests() -> Any:
    from durably.testing.mariadb import mariadb_for_tests

    return mariadb_for_tests()
