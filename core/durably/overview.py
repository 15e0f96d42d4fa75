"""How an application is doing, by its system database; for commands. Launches nothing, and changes nothing."""

from __future__ import annotations

from dataclasses import dataclass

from durably.client import make_backend
from durably.config import redacted, resolve
from durably.errors import DatabaseUnavailableError
from durably.ledger import migrations
from durably.ledger import overview as counts
from durably.ledger.overview import Executor
from durably.model import Status
from durably.sql.failures import classify

__all__ = ["Executor", "Overview", "overview"]


@dataclass(frozen=True)
class Overview:
    """One application at one moment. Executors and workflows are empty while migrations are pending."""

    application_name: str
    #: The system database's address, without its password.
    system_database: str
    #: Migrations that the database lacks, as ``0001_initial``.
    pending: list[str]
    executors: list[Executor]
    #: How many workflows there are, by status; only those that occur.
    workflows: dict[Status, int]


def overview(application_name: str, system_database_url: str) -> Overview:
    """Look at a system database with three reads. DatabaseUnavailableError, ConfigurationError."""
    settings = resolve(application_name, adapter_url=None, environment={}, system_database_url=system_database_url)
    where = redacted(system_database_url)
    backend = make_backend(settings)
    try:
        pending = [f"{one.version:04}_{one.name}" for one in migrations.pending(backend)]
        if pending:
            return Overview(application_name, where, pending, [], {})
        executors = backend.read(lambda session: counts.executors(session, application_name))
        workflows = backend.read(lambda session: counts.workflows(session, application_name))
        return Overview(application_name, where, [], executors, workflows)
    except Exception as error:
        if classify(error, connecting=True) is None:
            raise
        raise DatabaseUnavailableError(f"cannot read the system database {where}: {error}", where=where) from error
    finally:
        backend.disconnect()
