"""Adapters by name: what ``app_db_client`` stands for, found through the entry points ``durably.adapters``."""

from __future__ import annotations

import difflib
from collections.abc import Mapping, Sequence
from typing import Any

from durably.adapter import Locates
from durably.config import Settings, redacted
from durably.errors import ConfigurationError

GROUP = "durably.adapters"


def adapters_from_url(settings: Settings) -> Mapping[str, Sequence[Any]]:
    """The default adapter for ``application_database_url`` with ``app_db_client``; none if neither is set."""
    url, client = settings.application_database_url, settings.app_db_client
    if url is None:
        if client is not None:
            raise ConfigurationError(f"app_db_client is {client!r}, but application_database_url is not set")
        return {}
    if client is None:
        raise ConfigurationError(
            f"application_database_url is set ({redacted(url)}), but app_db_client is not; "
            f"say which ORM your transactions use: {_installed()}"
        )
    return {"default": _factory(client)(url)}


def adapter_url(adapters: Mapping[str, Any] | None) -> str | None:
    """Where the default adapter's database is, if it can tell."""
    found = (adapters or {}).get("default")
    for adapter in found if isinstance(found, Sequence) else [found]:
        if isinstance(adapter, Locates) and (url := adapter.url()) is not None:
            return url
    return None


def _factory(client: str) -> Any:
    from importlib.metadata import entry_points

    found = [point for point in entry_points(group=GROUP) if point.name == client]
    if not found:
        near = difflib.get_close_matches(client, {point.name for point in entry_points(group=GROUP)}, 1)
        raise ConfigurationError(
            f"app_db_client is {client!r}, which no installed package provides; there are: {_installed()}"
            + (f" (did you mean {near[0]!r}?)" if near else ""),
            setting="app_db_client",
            value=client,
        )
    try:
        return found[0].load()
    except ImportError as error:
        raise ConfigurationError(
            f"app_db_client {client!r} needs the package {error.name!r}, which is not installed; "
            f"run: pip install 'durably[{client}]'",
            extra=client,
            package=error.name,
        ) from error


def _installed() -> str:
    from importlib.metadata import entry_points

    return ", ".join(sorted({point.name for point in entry_points(group=GROUP)})) or "none"
