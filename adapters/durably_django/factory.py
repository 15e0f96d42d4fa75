"""What ``app_db_client: django`` stands for: the alias ``default``, if the address leads there."""

from __future__ import annotations

import os
from collections.abc import Sequence
from urllib.parse import SplitResult, parse_qs, unquote, urlsplit

from durably import ConfigurationError
from durably_django.adapter import DjangoAdapter
from durably_django.addresses import address, is_in_memory

_LOCAL = frozenset({"", "localhost", "127.0.0.1", "::1"})
_PORTS = {"postgresql": 5432, "mysql": 3306}
_SCHEMES = {"postgres": "postgresql", "mariadb": "mysql"}


def from_url(url: str) -> Sequence[DjangoAdapter]:
    """The adapter for an application database's address, which Django's settings must have as ``default``.

    Django opens connections by its own settings only, so that the address can merely confirm them. ConfigurationError
    if they are not configured yet, or lead to another database.
    """
    if is_in_memory("default"):
        raise _other("an SQLite database in memory")
    ours = address("default")
    if ours is not None and _place(ours) != _place(url):
        raise _other(ours)
    return [DjangoAdapter()]


def _other(ours: str) -> ConfigurationError:
    place = ours if "://" not in ours else "{0}, database {3!r} on {1}:{2}".format(*_shown(ours))
    return ConfigurationError(
        "application_database_url leads to another database than Django's connection 'default' "
        f"({place}). Give them the same address; for another alias use "
        "adapters={'default': DjangoAdapter('alias')}, or the DURABLY setting with INSTALLED_APPS += ['durably_django']"
    )


def _shown(url: str) -> tuple[str, str, str, str]:
    kind, host, port, database = _place(url)
    return kind, host or "this machine", port, database


def _place(url: str) -> tuple[str, str, str, str]:
    """Kind, host, port and database of an address: what must be the same."""
    parts = urlsplit(url)
    kind = parts.scheme.partition("+")[0].lower()
    kind = _SCHEMES.get(kind, kind)
    if kind == "sqlite":
        return kind, "", "", os.path.realpath(unquote(parts.path[1:]))
    parameters = {key: values[-1] for key, values in parse_qs(parts.query).items()}
    host = parameters.get("host", parts.hostname or "").lower()
    port = parameters.get("port") or str(_port(parts) or _PORTS.get(kind) or "")
    # Sockets and the local addresses lead to one server as a rule.
    place = "" if host in _LOCAL or host.startswith("/") else host
    return kind, place, port, parameters.get("dbname") or unquote(parts.path[1:])


def _port(parts: SplitResult) -> int | None:
    try:
        return parts.port
    except ValueError:
        return None
