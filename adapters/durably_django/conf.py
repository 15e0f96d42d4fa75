"""The setting ``DURABLY``: read, checked, and completed from ``DATABASES``."""

from __future__ import annotations

import difflib
import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from importlib.util import find_spec
from typing import Any, Literal, NamedTuple

from django.conf import settings
from django.db import connections

from durably import ConfigurationError
from durably_django.addresses import address, connection_of, dialect

Executes = Literal["all", "own", "none"]
EXECUTES: tuple[Executes, ...] = ("all", "own", "none")
#: What is handed on to ``Durably(...)`` as it is.
_HANDED_ON = (
    "application_version",
    "executor_id",
    "lease_seconds",
    "serializer",
    "transaction_pooler",
    "transaction_retry_seconds",
)
KEYS = ("name", "system_database", "adapters", "executes", "run_migrations", *_HANDED_ON)
_NAME = re.compile(r"[A-Za-z0-9_.-]{1,64}")


class Fault(NamedTuple):
    """Something wrong with the setting: the system check's id, what it is, and what to do."""

    id: str
    message: str
    hint: str


@dataclass(frozen=True)
class Configuration:
    """The setting, with its defaults. ``system_database``: an alias, or an address if it has ``://``."""

    name: str
    system_database: str = field(repr=False)
    adapters: tuple[str, ...]
    executes: Executes
    options: Mapping[str, Any]

    @property
    def system_alias(self) -> str | None:
        """The alias of the system database; None if an address leads there."""
        return None if "://" in self.system_database else self.system_database

    def system_address(self) -> str | None:
        """Where the system database is right now, with its password: in a test, the test's. None: nobody can tell."""
        alias = self.system_alias
        return self.system_database if alias is None else address(alias)

    def apart(self) -> list[str]:
        """The adapters' aliases that are not in the system database, and so keep completion rows of their own."""
        system = self.system_alias
        return [alias for alias in self.adapters if system is None or _database(alias) != _database(system)]


def _database(alias: str) -> tuple[str, ...]:
    """What makes two aliases one database, whoever connects."""
    connection = connection_of(alias)
    return connection.vendor, *(str(connection.settings_dict[key]) for key in ("NAME", "HOST", "PORT"))


def is_set() -> bool:
    """Whether the project has the setting at all."""
    return getattr(settings, "DURABLY", None) is not None


_last_read: tuple[object, Configuration] | None = None


def read() -> Configuration:
    """The setting; ConfigurationError with its first fault."""
    global _last_read
    if not is_set():
        raise ConfigurationError("the setting DURABLY is missing; for example DURABLY = {'name': 'shop'}")
    raw = settings.DURABLY
    if _last_read is None or _last_read[0] is not raw:
        _last_read = raw, _read(raw)
    return _last_read[1]


def _read(raw: Mapping[str, Any]) -> Configuration:
    for fault in faults(raw):
        raise ConfigurationError(f"{fault.message}; {fault.hint}", check=fault.id)
    options = {key: raw[key] for key in _HANDED_ON if key in raw}
    system = raw.get("system_database", "default")
    # Where Django has an alias, its migrations own the tables.
    options["run_migrations"] = "://" in system and raw.get("run_migrations", True)
    return Configuration(
        raw["name"], system, tuple(raw.get("adapters", ("default",))), raw.get("executes", "none"), options
    )


def faults(raw: object) -> Iterator[Fault]:
    """All that is wrong with the setting. Opens no connection."""
    if not isinstance(raw, Mapping):
        yield Fault("durably.E001", "DURABLY is not a dictionary", "for example DURABLY = {'name': 'shop'}")
        return
    for key in raw:
        if key not in KEYS:
            near = difflib.get_close_matches(str(key), KEYS, n=1)
            hint = f"did you mean {near[0]!r}?" if near else f"there are: {', '.join(KEYS)}"
            yield Fault("durably.E002", f"DURABLY has an unknown key {key!r}", hint)
    name = raw.get("name")
    if not isinstance(name, str) or not _NAME.fullmatch(name):
        hint = "give 'name' letters, digits, '.', '_' and '-', at most 64: rows carry it, so keep it"
        yield Fault("durably.E003", f"DURABLY has no usable name ({name!r})", hint)
    if raw.get("executes", "none") not in EXECUTES:
        yield Fault("durably.E004", f"DURABLY['executes'] is {raw['executes']!r}", f"use one of {', '.join(EXECUTES)}")
    yield from _system_faults(raw)
    yield from _adapter_faults(raw.get("adapters", ("default",)))


def _system_faults(raw: Mapping[Any, Any]) -> Iterator[Fault]:
    system = raw.get("system_database", "default")
    if not isinstance(system, str) or not system:
        yield Fault(
            "durably.E005", "DURABLY['system_database'] is no text", "give an alias of DATABASES, or an address"
        )
    elif "://" in system:
        yield from _driver_faults(system.startswith("postgres"))
    elif system not in connections:
        names = ", ".join(repr(alias) for alias in connections)
        hint = f"there are: {names}; or give an address, as postgresql://… or sqlite:///…"
        yield Fault("durably.E005", f"DURABLY['system_database'] is {system!r}, which DATABASES has not", hint)
    elif connection_of(system).vendor not in ("postgresql", "sqlite"):
        hint = (
            "give another alias, or an address: postgresql://user@host/name, or sqlite:////var/lib/shop/durably.db; "
            "the adapters may stay where they are"
        )
        vendor = connection_of(system).vendor
        yield Fault(
            "durably.E006", f"the system database {system!r} is on {vendor}; it needs PostgreSQL or SQLite", hint
        )
    else:
        yield from _driver_faults(connection_of(system).vendor == "postgresql")
    if raw.get("run_migrations") and isinstance(system, str) and "://" not in system:
        hint = "leave it out: `manage.py migrate` makes the tables of an alias"
        yield Fault("durably.E007", "DURABLY['run_migrations'] is for a system database that has an address", hint)


def _driver_faults(postgresql: bool) -> Iterator[Fault]:
    if postgresql and find_spec("psycopg") is None:
        hint = "run: pip install 'durably[postgres]'; Django itself may go on with psycopg2"
        yield Fault("durably.E008", "a system database on PostgreSQL needs psycopg 3, which is not installed", hint)


def _adapter_faults(aliases: object) -> Iterator[Fault]:
    if isinstance(aliases, str) or not isinstance(aliases, Sequence):
        yield Fault("durably.E009", "DURABLY['adapters'] is no list", "list aliases of DATABASES: ['default']")
        return
    for alias in aliases:
        if alias not in connections:
            names = ", ".join(repr(name) for name in connections)
            yield Fault(
                "durably.E009", f"DURABLY['adapters'] names {alias!r}, which DATABASES has not", f"there are: {names}"
            )
            continue
        try:
            dialect(alias)
        except ConfigurationError as error:
            yield Fault("durably.E010", str(error), "leave this alias out of DURABLY['adapters']")
        if not connection_of(alias).settings_dict["AUTOCOMMIT"]:
            hint = "leave AUTOCOMMIT out: without it, everything happens in a transaction of the caller's"
            yield Fault("durably.E011", f"the database {alias!r} of DURABLY['adapters'] has AUTOCOMMIT = False", hint)
