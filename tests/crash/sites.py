"""Where a crash test's databases are: the configurations of the matrix, and fresh databases for each."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Literal
from uuid import uuid4

from durably.testing.postgres import PostgresServer
from tests.crash import oracle
from tests.crash.spec import Spec


@dataclass(frozen=True)
class Configuration:
    """On which databases the engine and the application are, and which half of the adapter is used."""

    name: str
    database: Literal["postgresql", "sqlite"]
    colocated: bool
    asynchronous: bool = False

    def share_of(self, kills: int) -> int:
        """How many kills each point gets: the asynchronous half shares the engine's code, and gets a quarter."""
        return max(kills // 4, 2) if self.asynchronous else kills

    def __str__(self) -> str:
        return self.name


CONFIGURATIONS: Sequence[Configuration] = (
    Configuration("postgresql co-located", "postgresql", colocated=True),
    Configuration("postgresql apart", "postgresql", colocated=False),
    Configuration("sqlite co-located", "sqlite", colocated=True),
    Configuration("sqlite apart", "sqlite", colocated=False),
    Configuration("postgresql co-located async", "postgresql", colocated=True, asynchronous=True),
    Configuration("sqlite apart async", "sqlite", colocated=False, asynchronous=True),
)

_DRIVERS = {
    ("postgresql", False): "postgresql+psycopg",
    ("postgresql", True): "postgresql+asyncpg",
    ("sqlite", False): "sqlite",
    ("sqlite", True): "sqlite+aiosqlite",
}


@dataclass(frozen=True)
class Site:
    """The databases of one configuration, and the folder for what is beside them."""

    configuration: Configuration
    system_url: str
    application_url: str
    folder: Path

    def spec(self, workflow_ids: tuple[str, ...], log: Path) -> Spec:
        """A process that works here."""
        _, _, address = self.application_url.partition("://")
        driver = _DRIVERS[self.configuration.database, self.configuration.asynchronous]
        return Spec(
            system_url=self.system_url,
            application_url=f"{driver}://{address}",
            workflow_ids=workflow_ids,
            log=str(log),
            asynchronous=self.configuration.asynchronous,
        )


class Builder:
    """Makes sites, and removes them all at the end."""

    def __init__(self, folder: Path, server: PostgresServer) -> None:
        self._folder = folder
        self._server = server
        self._databases: list[str] = []

    def site(self, configuration: Configuration) -> Site:
        """Empty databases, the application's tables in them."""
        folder = self._folder / f"site-{uuid4().hex[:12]}"
        folder.mkdir()
        application_url = self._database(configuration, folder / "application.db")
        oracle.prepare(application_url)
        if configuration.colocated:
            return Site(configuration, application_url, application_url, folder)
        return Site(configuration, self._database(configuration, folder / "system.db"), application_url, folder)

    def _database(self, configuration: Configuration, path: Path) -> str:
        if configuration.database == "sqlite":
            return f"sqlite:///{path}"
        self._databases.append(f"durably_crash_{uuid4().hex[:12]}")
        return self._server.create_database(self._databases[-1])

    def close(self) -> None:
        """Drop the databases that were made on the server."""
        while self._databases:
            self._server.drop_database(self._databases.pop())
