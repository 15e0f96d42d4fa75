"""Addresses of databases: what libpq understands, checked, and what a pool was made with, as one address."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any
from urllib.parse import quote, urlencode

import psycopg
from psycopg.conninfo import conninfo_to_dict, make_conninfo
from psycopg.pq import Conninfo

from durably import ConfigurationError

# Anything else is libpq's other form: host=localhost dbname=shop.
_URL = re.compile(r"(\w+)(?:\+\w+)?://")


def checked(address: str) -> str:
    """What libpq takes, of an address that may name SQLAlchemy's driver; ConfigurationError, without the password."""
    url = _URL.match(address)
    if url and url[1] not in ("postgresql", "postgres"):
        raise ConfigurationError(
            f"psycopg works with PostgreSQL only, and the address begins with {url[1]}://; one for psycopg begins with "
            "postgresql://, for example postgresql://user@localhost:5432/shop"
        )
    conninfo = f"postgresql://{address[url.end() :]}" if url else address
    try:
        parts = conninfo_to_dict(conninfo)
    except psycopg.ProgrammingError:
        # Without libpq's own words, and without a cause: they quote what may be half of the password.
        raise ConfigurationError(
            "libpq cannot read the database address that psycopg was given; write it as "
            "postgresql://user:password@localhost:5432/shop, with @ in the password as %40, : as %3A, / as %2F, "
            "? as %3F, # as %23 and % as %25"
        ) from None
    if "@" in str(parts.get("host") or "").lstrip("@"):
        raise ConfigurationError("the database address has more than one @; write the one in the password as %40")
    return conninfo


def url_of(conninfo: Any, kwargs: Any) -> str | None:
    """The address, with its password, of connections that are made with these; None if only a call would tell."""
    if not isinstance(conninfo, str) or not isinstance(kwargs, Mapping | None):
        return None  # the pool asks a function of the user's before each connection
    options = {name: value for name, value in (kwargs or {}).items() if name in _keywords() and value is not None}
    try:
        parts = {name: str(value) for name, value in conninfo_to_dict(make_conninfo(conninfo, **options)).items()}
    except psycopg.ProgrammingError:
        return None
    host, port = parts.get("host", ""), parts.get("port", "")
    location = ""
    if not set("/,@") & set(host + port):  # sockets, and several hosts, go behind the question mark
        location = f"[{host}]" if ":" in host else quote(host, safe="")
        location += f":{port}" if port else ""
        parts = {name: value for name, value in parts.items() if name not in ("host", "port")}
    user, password, database = (parts.pop(name, "") for name in ("user", "password", "dbname"))
    login = quote(user, safe="") + (f":{quote(password, safe='')}" if password else "")
    query = f"?{urlencode(parts, quote_via=quote)}" if parts else ""
    return f"postgresql://{login}{'@' if login else ''}{location}/{quote(database, safe='')}{query}"


def _keywords() -> set[str]:
    """What libpq itself takes; psycopg takes more: row_factory, autocommit and their like."""
    return {one.keyword.decode() for one in Conninfo.get_defaults()}
