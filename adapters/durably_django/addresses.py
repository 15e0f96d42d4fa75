"""Where the connections of ``DATABASES`` lead: as kinds of database, and as addresses that others can open."""

from __future__ import annotations

import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any
from urllib.parse import quote, urlencode

from django.core.exceptions import ImproperlyConfigured
from django.db import connections
from django.db.backends.base.base import BaseDatabaseWrapper
from django.utils.connection import ConnectionDoesNotExist

from durably import ConfigurationError
from durably.adapter import DialectName

_DIALECTS: Mapping[str, DialectName] = {"postgresql": "postgresql", "sqlite": "sqlite", "mysql": "mysql"}
#: What Django or psycopg understands, and libpq does not.
_NOT_LIBPQ = frozenset(
    {"autocommit", "client_encoding", "context", "cursor_factory", "prepare_threshold", "row_factory"}
)

_HOST_NAME = re.compile(r"[A-Za-z0-9._:-]+")


def connection_of(alias: str) -> BaseDatabaseWrapper:
    """This thread's connection of that alias, not necessarily open; ConfigurationError if there is none."""
    try:
        return connections[alias]
    except ConnectionDoesNotExist as error:
        names = ", ".join(repr(name) for name in connections)
        raise ConfigurationError(f"DATABASES has no alias {alias!r}; there are: {names}", alias=alias) from error
    except ImproperlyConfigured as error:
        raise ConfigurationError(
            f"Django's connection {alias!r} cannot be used: {error} (is DJANGO_SETTINGS_MODULE set?)", alias=alias
        ) from error


def dialect(alias: str) -> DialectName:
    """The kind of database behind an alias; ConfigurationError if Durably does not know it."""
    vendor = connection_of(alias).vendor
    found = _DIALECTS.get(vendor)
    if found is None:
        raise ConfigurationError(
            f"the database {alias!r} is of the kind {vendor!r}; transactions run on PostgreSQL, SQLite, MySQL and "
            "MariaDB",
            alias=alias,
        )
    return found


def is_in_memory(alias: str) -> bool:
    """Whether an alias is an SQLite database in memory, which no other connection sees for sure."""
    name = str(connection_of(alias).settings_dict["NAME"])
    return dialect(alias) == "sqlite" and (name == ":memory:" or "mode=memory" in name)


def address(alias: str) -> str | None:
    """The address of an alias with its password, as its settings are now (a test's database, in a test).

    None where no address leads there: SQLite in memory, or opened by a URI.
    """
    connection = connection_of(alias)
    kind = dialect(alias)
    settings: Mapping[str, Any] = connection.settings_dict
    if kind == "sqlite":
        name = str(settings["NAME"])
        if is_in_memory(alias) or name.startswith("file:"):
            return None
        return f"sqlite:///{quote(str(Path(name).absolute()))}"
    if kind == "mysql":
        return _server_address("mysql", settings, str(settings["NAME"]), {})
    parameters = {
        key: str(value)
        for key, value in connection.get_connection_params().items()
        if key not in _NOT_LIBPQ and isinstance(value, (str, int, Path)) and not isinstance(value, bool)
    }
    return _server_address("postgresql", settings, parameters.pop("dbname", ""), parameters)


def _server_address(scheme: str, settings: Mapping[str, Any], database: str, parameters: dict[str, str]) -> str:
    """``scheme://user:password@host:port/database?parameters``; a host that is a socket's folder is a parameter."""
    host, port, user = str(settings["HOST"] or ""), str(settings["PORT"] or ""), str(settings["USER"] or "")
    for key in ("user", "password", "port"):
        parameters.pop(key, None)
    if _HOST_NAME.fullmatch(host):
        parameters.pop("host", None)
        host = f"[{host}]" if ":" in host else host
    elif host:
        parameters["host"], host = host, ""
    if port and not host:
        # Neither libpq nor others take a port after an empty host.
        parameters["port"], port = port, ""
    password = f":{quote(str(settings['PASSWORD']), safe='')}" if settings["PASSWORD"] else ""
    who = f"{quote(user, safe='')}{password}@" if user or password else ""
    query = f"?{urlencode(parameters, quote_via=quote)}" if parameters else ""
    return f"{scheme}://{who}{host}{f':{port}' if port else ''}/{quote(database, safe='')}{query}"
