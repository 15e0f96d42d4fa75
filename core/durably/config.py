"""Settings: arguments, then ``DURABLY_…`` variables, then ``durably.yaml``, then defaults; and database addresses."""

from __future__ import annotations

import os
import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Literal
from urllib.parse import unquote

from durably import config_file
from durably.errors import ConfigurationError

Executes = Literal["all", "own", "none"]
_EXECUTES = ("all", "own", "none")
# As much as may be the password: up to the last @, since some forget to encode theirs; with or without a scheme.
_PASSWORD = re.compile(r"(^|//)([^/@:\s]*):(?!//).*@", re.DOTALL)
_PASSWORD_PARAMETER = re.compile(r"(?i)(password\s*=\s*)('(?:[^'\\]|\\.)*'?|[^&\s]*)")


def redacted(url: str) -> str:
    """A database address without its password, however the address is written, and be it wrong."""
    return _PASSWORD_PARAMETER.sub(r"\1***", _PASSWORD.sub(r"\1\2:***@", url))


def scheme(url: str) -> str:
    """``postgresql``, ``sqlite`` or ``mysql``, whatever driver the address names; ConfigurationError otherwise."""
    name = url.partition("://")[0].partition("+")[0].lower() if "://" in url else ""
    found = {
        "postgresql": "postgresql",
        "postgres": "postgresql",
        "sqlite": "sqlite",
        "mysql": "mysql",
        "mariadb": "mysql",
    }.get(name)
    if found is None:
        raise ConfigurationError(
            f"the database address {redacted(url)!r} does not begin with postgresql://, sqlite:/// or mysql://; "
            "for example postgresql://user@localhost:5432/shop, or sqlite:///shop.db"
        )
    return found


def sqlite_path(url: str) -> str:
    """The file of ``sqlite:///relative.db`` or ``sqlite:////absolute.db``."""
    path = unquote(url.partition("://")[2].partition("?")[0])
    if not path.startswith("/") or path in ("", "/", "/:memory:"):
        raise ConfigurationError(
            f"the address {redacted(url)!r} names no file; use sqlite:///shop.db, or with four "
            "slashes sqlite:////var/lib/shop.db for an absolute path (a database in memory does not survive a crash)"
        )
    return path[1:]


def libpq_url(url: str) -> str:
    """A PostgreSQL address without the driver that SQLAlchemy's form may name."""
    address = url.partition("://")[2]
    if address.partition("/")[0].count("@") > 1:
        # Half of the password would be taken for the host, and shown by whoever cannot find that host.
        raise ConfigurationError(
            f"the database address {redacted(url)!r} has more than one @; write the one in the password as %40"
        )
    return f"postgresql://{address}"


@dataclass(frozen=True)
class Settings:
    """All settings of one engine, resolved. ``repr`` shows no password."""

    name: str
    system_database_url: str = field(repr=False)
    application_database_url: str | None = field(default=None, repr=False)
    app_db_client: str | None = None
    executes: Executes = "all"
    application_version: str | None = None
    executor_label: str | None = None
    run_migrations: bool = True
    transaction_pooler: bool = False
    notifications: bool = True
    lease_seconds: float = 10.0
    transaction_retry_seconds: float = 300.0


def resolve(
    name: str | None,
    *,
    adapter_url: str | None,
    environment: Mapping[str, str] | None = None,
    **arguments: Any,
) -> Settings:
    """Settings from arguments, environment and file; ConfigurationError names the setting at fault.

    ``adapter_url``: where a configured adapter's database is, the default place of the system database if that is
    PostgreSQL. ``name`` None: of no application, and so without a default place.
    """
    if name is not None and not re.fullmatch(r"[A-Za-z0-9_.-]{1,64}", name):
        raise ConfigurationError(
            f"the application name {name!r} is not usable; take letters, digits, '.', '_' and '-', at most 64"
        )
    environment = os.environ if environment is None else environment
    values = {key: value for key, value in arguments.items() if value is not None}
    for key in (
        "system_database_url",
        "application_database_url",
        "app_db_client",
        "application_version",
        "executes",
    ):
        from_environment = environment.get(f"DURABLY_{key.upper()}")
        if from_environment:
            values.setdefault(key, from_environment)
    values = {**config_file.read(name, environment), **values}
    if values.get("executes", "all") not in _EXECUTES:
        raise ConfigurationError(f"executes is {values['executes']!r}; it must be one of {', '.join(_EXECUTES)}")
    for key in ("lease_seconds", "transaction_retry_seconds"):
        if values.get(key, 1.0) <= 0:
            raise ConfigurationError(f"{key} is {values[key]!r}; it must be positive")
    application = values.get("application_database_url") or adapter_url
    if "system_database_url" not in values:
        values["system_database_url"] = _default_system_url(name, application)
    kind = scheme(values["system_database_url"])
    if kind == "sqlite":
        sqlite_path(values["system_database_url"])
    if kind == "mysql":
        raise ConfigurationError(
            "the system database cannot be on MySQL or MariaDB; set system_database_url to PostgreSQL or SQLite"
        )
    return Settings(name or "", **values)


def _default_system_url(name: str | None, application_url: str | None) -> str:
    """The application database itself on PostgreSQL; else a file of its own, beside the application's file."""
    kind = scheme(application_url) if application_url else "sqlite"
    if application_url and kind == "postgresql":
        return libpq_url(application_url)
    if kind == "mysql":
        raise ConfigurationError("an application database on MySQL or MariaDB needs a system_database_url of its own")
    if name is None:
        raise ConfigurationError(
            "Client(...) needs the address of a system database, or the name of an application that has its system "
            "database at the default place"
        )
    folder = os.path.dirname(sqlite_path(application_url)) if application_url else ""
    return f"sqlite:///{os.path.join(folder, name)}.durably.db"
