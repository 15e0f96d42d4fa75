"""Database addresses: which drivers serve one, and how the system database's own driver is to read it."""

from __future__ import annotations

from collections.abc import Mapping
from importlib.util import find_spec
from urllib.parse import quote, urlencode

from sqlalchemy import URL, make_url
from sqlalchemy.exc import ArgumentError

from durably import ConfigurationError

# Driver: the package that it needs, and the extra of Durably's that installs it.
_PACKAGES: Mapping[str, tuple[str, str | None]] = {
    "pysqlite": ("sqlite3", None),
    "aiosqlite": ("aiosqlite", "aiosqlite"),
    "psycopg": ("psycopg", "postgres"),
    "psycopg_async": ("psycopg", "postgres"),
    "asyncpg": ("asyncpg", "asyncpg"),
    "pymysql": ("pymysql", "pymysql"),
    "mysqldb": ("MySQLdb", None),
    "asyncmy": ("asyncmy", "asyncmy"),
    "aiomysql": ("aiomysql", "aiomysql"),
}
# What MySQL's drivers are called by their packages.
_ALIASES: Mapping[str, str] = {"mysqlclient": "mysqldb"}
_DISTRIBUTIONS: Mapping[str, str] = {"MySQLdb": "mysqlclient"}
_SYNC_DRIVERS: Mapping[str, str] = {
    "postgresql": "psycopg",
    "sqlite": "pysqlite",
    "mysql": "pymysql",
    "mariadb": "pymysql",
}
_MYSQL = ("mysql", "mariadb")
ASYNC_DRIVERS = frozenset({"aiosqlite", "asyncpg", "psycopg_async", "asyncmy", "aiomysql"})
#: What asyncpg understands of an address's parameters; libpq's others are psycopg's alone.
_ASYNCPG_PARAMETERS = frozenset({"host", "port", "ssl", "sslmode", "prepared_statement_cache_size"})
#: Parameters that are SQLAlchemy's or asyncpg's own, and unknown to libpq.
_NOT_LIBPQ = frozenset({"prepared_statement_cache_size", "prepared_statement_name_func", "async_fallback"})


def parse(url: str) -> URL:
    """An address as SQLAlchemy reads it; ConfigurationError without the address, since it may hold a password."""
    try:
        parsed = make_url(url)
    except ArgumentError as error:
        raise ConfigurationError(
            "application_database_url is no database address; use for example postgresql://user@localhost:5432/shop, "
            "or sqlite:///shop.db"
        ) from error
    backend, driver = parsed.get_backend_name(), named_driver(parsed)
    if backend == "postgres" and driver is None:
        return parsed.set(drivername="postgresql")
    return _with_driver(parsed, _ALIASES.get(driver or "", driver)) if backend in _MYSQL else parsed


def named_driver(url: URL) -> str | None:
    """The driver that the address names, as in ``postgresql+asyncpg``."""
    return url.drivername.partition("+")[2] or None


def sync_url(url: URL) -> URL:
    """The address for the synchronous half."""
    named = named_driver(url)
    if named is not None and named not in ASYNC_DRIVERS:
        return url
    return _with_driver(url, _SYNC_DRIVERS.get(url.get_backend_name()))


def async_url(url: URL) -> URL | None:
    """The address for the asynchronous half; None if no driver for it is installed."""
    named = named_driver(url)
    if named in ASYNC_DRIVERS:
        return url
    backend = "mysql" if url.get_backend_name() in _MYSQL else url.get_backend_name()
    candidates = {
        ("sqlite", None): ["aiosqlite"],
        ("sqlite", "pysqlite"): ["aiosqlite"],
        ("postgresql", None): ["asyncpg", "psycopg_async"],
        ("postgresql", "psycopg"): ["psycopg_async"],
        ("postgresql", "psycopg2"): ["asyncpg", "psycopg_async"],
        ("mysql", None): ["asyncmy", "aiomysql"],
        ("mysql", "pymysql"): ["asyncmy", "aiomysql"],
        ("mysql", "mysqldb"): ["asyncmy", "aiomysql"],
    }.get((backend, named), [])
    for driver in candidates:
        if driver == "asyncpg" and not _ASYNCPG_PARAMETERS.issuperset(url.query):
            continue
        if is_installed(driver):
            return _with_driver(url, driver)
    return None


def is_installed(driver: str) -> bool:
    """Whether the package of a driver can be imported."""
    return find_spec(_PACKAGES.get(driver, (driver, None))[0]) is not None


def missing(driver: str, package: str) -> ConfigurationError:
    """The error for a driver whose package is not installed."""
    extra = _PACKAGES.get(driver, (driver, None))[1]
    install = f"'durably[{extra}]'" if extra else _DISTRIBUTIONS.get(package, package)
    return ConfigurationError(
        f"the package {package!r} of the database driver {driver!r} is not installed; run: pip install {install}",
        extra=extra,
        package=package,
    )


def _with_driver(url: URL, driver: str | None) -> URL:
    if driver is None:
        return url
    changed = url.set(drivername=f"{url.get_backend_name()}+{driver}")
    if url.get_backend_name() != "postgresql":
        return changed
    old, new = ("sslmode", "ssl") if driver == "asyncpg" else ("ssl", "sslmode")
    if old in url.query:
        changed = changed.difference_update_query([old]).update_query_dict({new: url.query[old]})
    return changed if driver == "asyncpg" else changed.difference_update_query(_NOT_LIBPQ)


def plain_url(url: URL) -> str | None:
    """The address with its password and without a driver, as libpq and the standard library read it.

    None if it leads nowhere by itself.
    """
    if url.get_backend_name() in _MYSQL:
        plain = url.set(drivername="mysql").render_as_string(hide_password=False)
        return plain if url.host or url.database or url.query else None
    if url.get_backend_name() == "sqlite":
        named = url.database not in (None, "", ":memory:") and not str(url.database).startswith("file:")
        return URL.create("sqlite", database=url.database).render_as_string() if named else None
    if url.get_backend_name() != "postgresql" or not (url.host or url.database or url.query):
        return None  # an engine with a creator of its own has an empty address
    user = quote(url.username or "", safe="")
    password = f":{quote(str(url.password), safe='')}" if url.password else ""
    host = f"[{url.host}]" if url.host and ":" in url.host else url.host or ""
    parameters = urlencode(_libpq_parameters(_with_driver(url, "psycopg")), quote_via=quote)
    return (
        f"postgresql://{user}{password}{'@' if user else ''}{host}{f':{url.port}' if url.port else ''}"
        f"/{quote(url.database or '', safe='')}{'?' if parameters else ''}{parameters}"
    )


def _libpq_parameters(url: URL) -> dict[str, str]:
    """SQLAlchemy repeats ``host=name:port`` for several hosts; libpq has a list of names, and one of ports."""
    parameters = {key: value if isinstance(value, str) else ",".join(value) for key, value in url.query.items()}
    hosts = [host.rpartition(":") if ":" in host else (host, "", "") for host in parameters.get("host", "").split(",")]
    if any(port for _, _, port in hosts):
        parameters["host"] = ",".join(host for host, _, _ in hosts)
        parameters["port"] = ",".join(port for _, _, port in hosts)
    return parameters
