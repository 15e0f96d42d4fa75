"""Django's settings for tests in this process: configured once, since Django has but one configuration per process.

Each test adds the aliases that it needs to ``DATABASES`` and takes them away again.
"""

from __future__ import annotations

from typing import Any
from urllib.parse import unquote, urlsplit

import django
import pymysql
from asgiref.sync import SyncToAsync
from django.conf import settings
from django.db import connections

ENGINES = {"postgresql": "postgresql", "sqlite": "sqlite3", "mysql": "mysql"}


def configure() -> None:
    """Configure Django, unless that is done. The alias ``default`` leads nowhere until a test says where."""
    if settings.configured:
        return
    pymysql.install_as_MySQLdb()
    settings.configure(
        DATABASES={"default": {"ENGINE": "django.db.backends.sqlite3", "NAME": ":memory:"}},
        INSTALLED_APPS=["django.contrib.contenttypes", "durably_django"],
        SECRET_KEY="of no use",  # noqa: S106
        USE_TZ=True,
    )
    django.setup()


def database(url: str, **options: Any) -> dict[str, Any]:
    """The entry of ``DATABASES`` for an address."""
    parts = urlsplit(url)
    name = parts.path[1:]
    return {
        "ENGINE": f"django.db.backends.{ENGINES[parts.scheme]}",
        "NAME": unquote(name),
        "HOST": parts.hostname or "",
        "PORT": str(parts.port or ""),
        "USER": parts.username or "",
        "PASSWORD": unquote(parts.password or ""),
        "OPTIONS": options,
    }


def add_alias(alias: str, entry: dict[str, Any]) -> None:
    """Add an alias, as if it had been in ``DATABASES`` all the time."""
    configure()
    remove_alias(alias)
    connections.settings[alias] = connections.configure_settings({"default": {}, alias: entry})[alias]


def remove_alias(alias: str) -> None:
    """Close an alias's connections, and take the alias away. ``default`` leads nowhere again."""
    configure()
    _forget(alias)
    # The one thread where synchronous views run under ASGI lives on.
    SyncToAsync.single_thread_executor.submit(_forget, alias).result()
    if alias == "default":
        connections.settings.update(
            connections.configure_settings({"default": {"ENGINE": "django.db.backends.sqlite3", "NAME": ":memory:"}})
        )
    else:
        connections.settings.pop(alias, None)


def _forget(alias: str) -> None:
    """Close this thread's connection of an alias."""
    if alias in connections.settings and hasattr(connections._connections, alias):  # type: ignore[attr-defined]
        connection = connections[alias]
        raw = connection.connection
        connection.close()
        if raw is not None and connection.vendor == "sqlite":
            raw.close()  # Django keeps the one that leads into memory
        del connections[alias]
