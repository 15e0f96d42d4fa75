"""Database addresses: a database from one, and the address of one that is there."""

from __future__ import annotations

import inspect
from collections.abc import Mapping
from importlib import import_module
from importlib.util import find_spec
from typing import Any
from urllib.parse import parse_qsl, quote, unquote, urlencode, urlsplit

import peewee

from durably import ConfigurationError
from durably_peewee.targets import Target, dialect_of

#: How many connections a pool that the adapter makes may have, and how long (seconds) one waits for a free one.
POOL_SIZE, POOL_SECONDS = 20, 10
_SCHEMES = {"postgresql": "postgresql", "postgres": "postgresql", "sqlite": "sqlite", "mysql": "mysql"}
#: What asyncpg understands of an address's parameters; libpq's others are psycopg's alone.
_ASYNCPG_PARAMETERS = frozenset({"host", "port", "sslmode"})
#: The drivers of ``playhouse.pwasyncio``, and the extra of Durably's that installs each.
_ASYNC_DRIVERS = {"postgresql": "asyncpg", "sqlite": "aiosqlite", "mysql": "aiomysql"}


class Address:
    """An address, taken apart. ConfigurationError without the address, since that may hold a password."""

    def __init__(self, url: str) -> None:
        scheme, found, _ = url.partition("://")
        kind = {**_SCHEMES, "mariadb": "mysql"}.get(scheme.partition("+")[0].lower())
        try:
            split = urlsplit(url)
            port = split.port
        except ValueError:
            kind, split, port = None, urlsplit(""), None
        if kind is None or not found:
            raise ConfigurationError(
                "this is no address of a database that Peewee's adapter knows; use for example "
                "postgresql://user@localhost:5432/shop, sqlite:///shop.db or mysql://user@localhost:3306/shop"
            )
        self.dialect = kind
        self.user, self.password = unquote(split.username or ""), unquote(split.password or "")
        self.host, self.port = split.hostname, port
        self.parameters = dict(parse_qsl(split.query, keep_blank_values=True))
        self.database = unquote(split.path[1:])
        #: For libpq, which knows no drivers in an address.
        self.libpq = "postgresql://" + url.partition("://")[2]
        if kind == "sqlite" and self.database in ("", ":memory:"):
            raise ConfigurationError(
                "this address names no file; use sqlite:///shop.db, or with four slashes sqlite:////var/lib/shop.db"
            )


# -- from an address -----------------------------------------------------------------------------------------------


def connect(address: Address) -> Any:
    """A database with a pool, synchronous. psycopg 3 serves PostgreSQL if it is installed, else psycopg2."""
    pool = import_module("playhouse.pool")
    options: dict[str, Any] = {"max_connections": POOL_SIZE, "timeout": POOL_SECONDS}
    if address.dialect == "sqlite":
        return pool.PooledSqliteDatabase(address.database, check_same_thread=False, **options)
    if address.dialect == "mysql":
        return pool.PooledMySQLDatabase(address.database, **_mysql_options(address), **options)
    return _postgresql(pool, address, options)


def _postgresql(pool: Any, address: Address, options: dict[str, Any]) -> Any:
    database = address.database or address.user or "postgres"
    if find_spec("psycopg") is None:
        return pool.PooledPostgresqlDatabase(database, dsn=address.libpq, **options)
    if hasattr(peewee, "Psycopg3Adapter"):
        return pool.PooledPostgresqlDatabase(database, conninfo=address.libpq, prefer_psycopg3=True, **options)
    pooled = getattr(pool, "PooledPsycopg3Database", None)
    if pooled is not None:
        return pooled(database, conninfo=address.libpq, **options)
    return import_module("playhouse.psycopg3_ext").Psycopg3Database(database, conninfo=address.libpq)


def has_async(address: Address) -> bool:
    """Whether an asynchronous database can be made: Peewee 4, greenlet and a driver that takes the address."""
    return _async_module() is not None and (
        find_spec(_ASYNC_DRIVERS[address.dialect]) is not None
        and (address.dialect != "postgresql" or _ASYNCPG_PARAMETERS.issuperset(address.parameters))
    )


def connect_async(address: Address) -> Any:
    """A database with a pool, of ``playhouse.pwasyncio``. ConfigurationError where that cannot be."""
    module = require_async()
    driver = _ASYNC_DRIVERS[address.dialect]
    if find_spec(driver) is None:
        raise ConfigurationError(
            f"the package {driver!r}, the asynchronous driver of {address.dialect}, is not installed; "
            f"run: pip install 'durably[{driver}]'",
            extra=driver,
            package=driver,
        )
    options: dict[str, Any] = {"pool_size": POOL_SIZE, "acquire_timeout": POOL_SECONDS}
    if address.dialect == "sqlite":
        # It opens all of its connections, a thread each, at once; and writers wait for each other anyway.
        return module.AsyncSqliteDatabase(address.database, **{**options, "pool_size": 5})
    if address.dialect == "mysql":
        return module.AsyncMySQLDatabase(address.database, **_mysql_options(address), **options)
    database = address.database or address.user or "postgres"
    return module.AsyncPostgresqlDatabase(database, dsn=address.libpq, **options)


def require_async() -> Any:
    """``playhouse.pwasyncio``; ConfigurationError that says what it needs."""
    module = _async_module()
    if module is None:
        if find_spec("playhouse.pwasyncio") is not None and find_spec("greenlet") is None:
            raise ConfigurationError(
                "playhouse.pwasyncio needs the package 'greenlet', which is not installed; run: pip install greenlet",
                package="greenlet",
            )
        version = getattr(peewee, "__version__", "of an unknown version")
        raise ConfigurationError(
            "asynchronous transactions through Peewee need the playhouse.pwasyncio of Peewee 4.0.7 or later, and this "
            f"is Peewee {version}; run: pip install 'peewee>=4.0.7', or declare the transaction without `async`"
        )
    return module


def _async_module() -> Any:
    """The module, if it keeps the transactions of tasks apart, as the first releases of 4.0 did not."""
    if find_spec("playhouse.pwasyncio") is None or find_spec("greenlet") is None:
        return None
    module = import_module("playhouse.pwasyncio")
    # … nor let one say how a transaction begins.
    takes = inspect.signature(module.AsyncDatabaseMixin.transaction).parameters
    return module if len(takes) > 1 and hasattr(module._ConnectionState, "ctx") else None


def _mysql_options(address: Address) -> dict[str, Any]:
    given = {"host": address.host, "port": address.port, "user": address.user, "password": address.password}
    parameters = {key: int(value) if value.isdigit() else value for key, value in address.parameters.items()}
    return {"charset": "utf8mb4", **{key: value for key, value in given.items() if value}, **parameters}


# -- to an address -------------------------------------------------------------------------------------------------


def address(target: Target) -> str | None:
    """The address with its password; None if it leads nowhere by itself, or if there is no database yet."""
    if target.address is not None:
        return target.address
    database = target.peek()
    if database is None:
        return None
    name, dialect = str(database.database), dialect_of(database)
    if dialect == "sqlite":
        named = name not in ("", ":memory:") and not name.startswith("file:")
        return f"sqlite:///{quote(name)}" if named else None
    if name.startswith(("postgresql://", "postgres://")):
        return name
    return _server_address(dialect, name, dict(database.connect_params))


def _server_address(dialect: str, name: str, params: dict[str, Any]) -> str:
    for key in ("conninfo", "dsn"):
        if str(params.get(key, "")).startswith("postgresql://"):
            return str(params[key])
    user = params.pop("user", "")
    password = params.pop("password", params.pop("passwd", ""))
    host, port = params.pop("host", ""), params.pop("port", "")
    login = quote(str(user or ""), safe="") + (f":{quote(str(password), safe='')}" if password else "")
    where = f"[{host}]" if ":" in str(host) else str(host)
    if str(host).startswith("/"):  # a socket's folder
        params["host"], where = host, ""
    rest = _plain(params) if dialect == "postgresql" else ""
    return (
        f"{dialect}://{login}{'@' if login else ''}{where}{f':{port}' if port else ''}/{quote(name, safe='')}"
        f"{'?' if rest else ''}{rest}"
    )


def _plain(params: Mapping[str, Any]) -> str:
    """libpq's parameters; others, such as factories of cursors, are the program's own."""
    known = {key: value for key, value in params.items() if isinstance(value, (str, int)) and key not in _PEEWEES}
    return urlencode(known, quote_via=quote)


_PEEWEES = frozenset({"autocommit", "prepare_threshold", "row_factory", "cursor_factory", "register_hstore"})
