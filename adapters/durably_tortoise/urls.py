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
    wanted = dialect_of(url)
    goes_to = os.path.realpath(found.filename) if dialect == "sqlite" else _named(*_server_of(found, dialect))
    if wanted != dialect:
        agree, named = False, f"a database of {wanted}"
    elif dialect == "sqlite":
        files = _files(url)
        agree, named = goes_to in files, files[0]
    else:
        server = _server(url, wanted)
        agree = all(one is None or one == other for one, other in zip(server, _server_of(found, dialect), strict=True))
        named = _named(*server)
    if not agree:
        raise ConfigurationError(
            f"the configured address names {named}, and Tortoise's connection {client.connection_name!r} goes to "
            f"{goes_to}; give Tortoise.init(...) and Durably(...) the same one"
        )


def _files(url: str) -> list[str]:
    """The file, relative after three slashes as everywhere in Durably; or after two, which is how Tortoise reads it."""
    path = unquote(url.partition("://")[2].partition("?")[0])
    return [os.path.realpath(one) for one in (path.removeprefix("/"), path)]


def _server(url: str, dialect: DialectName) -> tuple[str | None, int | None, str]:
    """Host and port (None where the address does not say), and database."""
    parts = urlsplit(url)
    host = parts.hostname or next(iter(parse_qs(parts.query).get("host", [])), None)
    port = parts.port or (_PORTS[dialect] if parts.hostname else None)
    return None if host is None else _host(unquote(host)), port, unquote(parts.path.removeprefix("/"))


def _server_of(client: Any, dialect: DialectName) -> tuple[str, int, str]:
    return _host(client.host or ""), int(client.port or _PORTS[dialect]), str(client.database)


def _host(name: str) -> str:
    """One name for this machine, whether it is reached by network or by socket."""
    name = name.lower()
    return "localhost" if name in _HERE or name.startswith("/") else name


def _named(host: str | None, port: int | None, database: str) -> str:
    at = f" at {host}{f':{port}' if port else ''}" if host else ""
    return f"the database {database!r}{at}"
