"""Where a crash test's databases are: fresh ones for each configuration."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from uuid import uuid4

from durably.testing.mariadb import MariaDBServer
from durably.testing.postgres import PostgresServer
from tests.crash import oracle
from tests.crash.configurations import Configuration, Database
from tests.crash.spec import Spec


@dataclass(frozen=True)
class Site:
    """The databases of one configuration, and the folder for what is beside them."""

    configuration: Configuration
    system_url: str
    application_url: str
    folder: Path

    def spec(self, workflow_ids: tuple[str, ...], log: Path) -> Spec:
        """A process that works here."""
        return Spec(
            system_url=self.system_url,
            application_url=self.application_url,
            workflow_ids=workflow_ids,
            log=str(log),
            orm=self.configuration.orm,
            asynchronous=self.configuration.asynchronous,
        )


class Builder:
    """Makes sites, and removes them all at the end."""

    def __init__(self, folder: Path, server: PostgresServer) -> None:
        self._folder = folder
        self._servers: dict[Database, PostgresServer | MariaDBServer] = {"postgresql": server}
        self._databases: dict[Database, list[str]] = {}

    def use(self, server: MariaDBServer) -> None:
        """From now on there is MariaDB, too."""
        self._servers["mysql"] = server

    def leave(self, kind: Database) -> None:
        """Drop the databases that were made on a server, which may end after that."""
        for name in self._databases.pop(kind, ()):
            self._servers[kind].drop_database(name)
        del self._servers[kind]

    def site(self, configuration: Configuration) -> Site:
        """Empty databases, the application's tables in them."""
        folder = self._folder / f"site-{uuid4().hex[:12]}"
        folder.mkdir()
        application_url = self._database(configuration.database, folder / "application.db")
        oracle.prepare(application_url)
        if configuration.colocated:
            return Site(configuration, application_url, application_url, folder)
        system: Database = "sqlite" if configuration.database == "sqlite" else "postgresql"
        return Site(configuration, self._database(system, folder / "system.db"), application_url, folder)

    def _database(self, kind: Database, path: Path) -> str:
        if kind == "sqlite":
            return f"sqlite:///{path}"
        name = f"durably_crash_{uuid4().hex[:12]}"
        self._databases.setdefault(kind, []).append(name)
        return self._servers[kind].create_database(name)

    def close(self) -> None:
        """Leave all servers."""
        for kind in tuple(self._servers):
            self.leave(kind)
