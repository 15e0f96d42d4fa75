"""The throw-away servers' common face: what a test may ask of one, whichever database it is."""

from __future__ import annotations

import atexit
import os
from abc import ABC, abstractmethod
from types import TracebackType
from typing import ClassVar, TypeVar
from urllib.parse import quote, urlsplit

from durably.errors import ConfigurationError
from durably.testing._private import Cluster

Self = TypeVar("Self", bound="DatabaseServer")


class DatabaseServer(ABC):
    """A running server, to make databases on and drop them. Only one that was started here can be ended."""

    #: What tells that a server is there already, and who starts one of one's own.
    url_variable: ClassVar[str]
    starter: ClassVar[str]
    #: A database that is always there.
    first_database: ClassVar[str]

    def __init__(self, url: str, cluster: Cluster | None = None) -> None:
        self._url = url
        self._cluster = cluster
        self._owner = os.getpid()
        if cluster is not None:
            atexit.register(self.stop)

    @property
    def is_private(self) -> bool:
        """Whether it was started here, so that `kill` and `restart` are allowed."""
        return self._cluster is not None

    def url(self, dbname: str | None = None) -> str:
        """The URL of one of its databases."""
        return urlsplit(self._url)._replace(path=f"/{quote(dbname or self.first_database)}").geturl()

    @abstractmethod
    def create_database(self, name: str) -> str:
        """Make an empty database, and return its URL."""

    @abstractmethod
    def drop_database(self, name: str) -> None:
        """Drop a database with whatever is still connected to it."""

    def stop(self) -> None:
        """Stop it (connections are closed) and remove what was temporary. Safe to call twice."""
        atexit.unregister(self.stop)
        if self._cluster is not None and os.getpid() == self._owner:  # not in a forked child
            self._cluster.stop()
            self._cluster.discard()

    def kill(self) -> None:
        """End it at once, like a crash: no checkpoint, and recovery from its log in the next `restart`."""
        self._private().kill()

    def restart(self) -> None:
        """Stop it if it runs, and start it again on the same port with the same data."""
        cluster = self._private()
        cluster.stop()
        cluster.start()

    def __enter__(self: Self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.stop()

    def _private(self) -> Cluster:
        if self._cluster is None:
            raise ConfigurationError(
                f"the server in {self.url_variable} was not started here and is left running; use {self.starter}()"
            )
        return self._cluster
