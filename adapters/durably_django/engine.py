"""The engine of a Django process: a ``Durably`` whose settings and whose advice are Django's."""

from __future__ import annotations

import threading
from collections.abc import Callable

from django.db import connections
from typing_extensions import Self

from durably import ConfigurationError, DatabaseUnavailableError, Durably, DurablyError, SchemaBehindError
from durably_django.adapter import DjangoAdapter
from durably_django.addresses import dialect
from durably_django.conf import Configuration, Executes

#: Never opened: transactions outside workflows need no system database.
_NOWHERE = "sqlite:///nowhere.durably.db"


class DjangoEngine(Durably):
    """An engine by the setting ``DURABLY``, with an adapter for each alias, by the alias's name."""

    def __init__(self, configuration: Configuration, executes: Executes) -> None:
        self.configuration = configuration
        #: Where the system database was when this engine was made; None if it cannot be launched.
        self.address = configuration.system_address()
        super().__init__(
            configuration.name,
            system_database_url=self.address or _NOWHERE,
            adapters={alias: DjangoAdapter(alias) for alias in configuration.adapters},
            executes=executes,
            **configuration.options,
        )

    def launch(self) -> None:
        """Launch. Unlike elsewhere it may be called on an event loop, which waits, and inside ``atomic()``."""
        self._require_address()
        try:
            _on_another_thread(super().launch)
        except SchemaBehindError as error:
            raise self._behind(error) from error
        except DurablyError:
            raise
        except Exception as error:
            if not self._callers_lock():
                raise
            raise DatabaseUnavailableError(
                f"an engine that executes cannot be launched inside a transaction that writes to its own SQLite file "
                f"({error}); have the process launch before: use a verb outside `atomic()` first, or asgi_lifespan"
            ) from error

    def _callers_lock(self) -> bool:
        """Whether the caller may be the one who keeps the launch from writing."""
        alias = self.configuration.system_alias
        return alias is not None and dialect(alias) == "sqlite" and connections[alias].in_atomic_block

    async def __aenter__(self) -> Self:
        self._require_address()
        try:
            return await super().__aenter__()
        except SchemaBehindError as error:
            raise self._behind(error) from error

    def _require_address(self) -> None:
        if self.address is None:
            alias = self.configuration.system_database
            raise ConfigurationError(
                f"the system database {alias!r} is an SQLite database in memory (or opened by a URI), which Durably's "
                f"own connections cannot share. In tests, give it a file: DATABASES[{alias!r}]['TEST'] = "
                "{'NAME': BASE_DIR / 'test.sqlite3'}",
                alias=alias,
            )

    def _behind(self, error: SchemaBehindError) -> SchemaBehindError:
        alias = self.configuration.system_alias
        if alias is None:
            return error
        database = "" if alias == "default" else f" --database={alias}"
        return SchemaBehindError(
            f"the system database {alias!r} lacks Durably's tables, or some of their changes; "
            f"run `manage.py migrate{database}`",
            **vars(error),
        )


def _on_another_thread(work: Callable[[], None]) -> None:
    """Where no loop runs, and where Django's connections are none of the caller's, which may be in ``atomic()``."""
    failed: list[BaseException] = []

    def run() -> None:
        try:
            work()
        except BaseException as error:
            failed.append(error)
        finally:
            connections.close_all()

    thread = threading.Thread(target=run, name="durably-launch", daemon=True)
    thread.start()
    thread.join()
    if failed:
        raise failed[0]
