"""The address that is configured, and where Tortoise's connection really goes: both must be one database."""

from __future__ import annotations

import os
from typing import Any
from urllib.parse import parse_qs, unquote, urlsplit

from tortoise.backends.base.client import BaseDBAsyncClient

from durably import ConfigurationError
from durably.adapter import DialectName

_SCHEMES: dict[str, DialectName] = {
    "postgresql": "postgresql",
    "postgres": "postgresql",
    "asyncpg": "postgresql",
    "psycopg": "postgresql",
    "sqlite": "sqlite",
    "mysql": "mysql",
    "mariadb": "mysql",
}
_PORTS = {"postgresql": 5432, "mysql": 3306}
_HERE = ("", "localhost", "127.0.0.1", "::1")


def dialect_of(url: str) -> DialectName:
    """The kind of database; ConfigurationError without the address, since it may hold a password."""
    name = url.partition("://")[0].partition("+")[0].lower()
    if "://" not in url or name not in _SCHEMES:
        raise ConfigurationError(
            "the address for Tortoise begins with postgresql://, sqlite:/// or mysql://; for example "
            "postgresql://user@localhost:5432/shop, or sqlite:///shop.db"
        )
    return _SCHEMES[name]


def check(url: str, client: BaseDBAsyncClient, dialect: DialectName) -> None:
    """ConfigurationError unless ``client`` goes to the database of ``url``."""
    found: Any = client
    if dialect == dialect_of(url) == "sqlite":
        path, wanted = str(found.filename), _files(url)
        agree = path == ":memory:" or os.path.realpath(path) in wanted
        names = wanted[0], os.path.realpath(path)
    else:
        here, there = _server(url), (dialect, _host(found), _port(found.port, dialect), found.database)
        agree = all(one is None or one == other for one, other in zip(here, there, strict=True))
        names = _named(here), _named(there)
    if not agree:
        raise ConfigurationError(
            f"the configured address names {names[0]}, and Tortoise's connection {client.connection_name!r} goes to "
            f"{names[1]}; give Tortoise.init(...) and Durably(...) the same one"
        )


def _files(url: str) -> list[str]:
    """The file, relative after three slashes as everywhere in Durably; or after two, which is how Tortoise reads it."""
    path = unquote(url.partition("://")[2].partition("?")[0])
    return [os.path.realpath(one) for one in (path.removeprefix("/"), path)]


def _server(url: str) -> tuple[DialectName, str | None, int | None, str]:
    """Dialect, host (None if the address does not say), port and database."""
    parts = urlsplit(url)
    dialect = dialect_of(url)
    host = parts.hostname or next(iter(parse_qs(parts.query).get("host", [])), None)
    local = host is None or host.startswith("/")
    return (
        dialect,
        None if host is None else _normal(unquote(host)),
        None if local and parts.port is None else _port(parts.port, dialect),
        unquote(parts.path.removeprefix("/")),
    )


def _host(client: Any) -> str:
    return _normal(client.host or "")


def _normal(host: str) -> str:
    host = host.lower()
    return "localhost" if host in _HERE or host.startswith("/") else host


def _port(port: int | None, dialect: DialectName) -> int:
    return int(port or _PORTS[dialect])


def _named(server: tuple[str, str | None, int | None, str]) -> str:
    dialect, host, port, database = server
    at = f" at {host}{f':{port}' if port else ''}" if host else ""
    return f"the {dialect} database {database!r}{at}"
