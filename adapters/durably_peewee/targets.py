"""What users hand in (a database, a proxy) as what the halves need; and which databases cannot serve."""

from __future__ import annotations

import logging
from collections.abc import Mapping
from typing import Any

import peewee

from durably import ConfigurationError
from durably.adapter import DialectName, ParamStyle
from durably_peewee.guarded import guard

log = logging.getLogger("durably.adapters")

_DIALECTS: Mapping[Any, DialectName] = {
    peewee.PostgresqlDatabase: "postgresql",
    peewee.SqliteDatabase: "sqlite",
    peewee.MySQLDatabase: "mysql",
}
_WHAT = "a Database of peewee or playhouse, a DatabaseProxy or an address"


class Target:
    """Where transactions go. A proxy is looked into at each use, since it may be initialized late, and again."""

    def __init__(self, given: Any, *, asynchronous: bool, made: bool = False, address: str | None = None) -> None:
        self.asynchronous = asynchronous
        #: The database is the adapter's own, and its to close.
        self.made = made
        #: From which address it was made.
        self.address = address
        self._given = given
        self._checked: Any = None
        if resolved(given) is not None:
            self._checked = resolved(given)
            self._check(self._checked)

    def __repr__(self) -> str:
        found = resolved(self._given)
        return "an uninitialized proxy" if found is None else type(found).__name__

    def database(self) -> Any:
        """The database; ConfigurationError as long as there is none."""
        found = resolved(self._given)
        if found is None:
            raise ConfigurationError(
                "the DatabaseProxy that Peewee(...) was given is not initialized; call proxy.initialize(database) "
                "before the engine is launched"
            )
        if found is not self._checked:
            self._check(found)
            self._checked = found
        if found.deferred:
            raise ConfigurationError(
                f"the {type(found).__name__} that Peewee(...) was given has no name yet; call database.init(...) "
                "before the engine is launched"
            )
        guard(found, self.asynchronous)
        return found

    def peek(self) -> Any:
        """The database, or None as long as there is none."""
        found = resolved(self._given)
        return None if found is None or found.deferred else found

    @property
    def dialect(self) -> DialectName:
        """The kind of the database."""
        return dialect_of(self.database())

    @property
    def paramstyle(self) -> ParamStyle:
        """How statements take their parameters; asyncpg is given the core's own without a detour."""
        database = self.database()
        if self.asynchronous and dialect_of(database) == "postgresql":
            return "dollar"
        return "qmark" if database.param == "?" else "format"

    def _check(self, found: Any) -> None:
        dialect = dialect_of(found)
        if _is_asynchronous(found) != self.asynchronous:
            this, other = ("Async", "") if self.asynchronous else ("", "Async")
            raise ConfigurationError(
                f"{this}Peewee(...) was given {_article(type(found).__name__)}, which is for "
                f"`{'async def' if other else 'def'}` transactions; give it to {other}Peewee(...)"
            )
        if any(each.__name__ == "SqliteQueueDatabase" for each in type(found).__mro__):
            raise ConfigurationError(
                "a SqliteQueueDatabase has no transactions, since one thread writes for all; give Peewee(...) a "
                "SqliteDatabase or PooledSqliteDatabase of the same file. Durably's writers wait for each other"
            )
        if not found.thread_safe:
            raise ConfigurationError(
                "a database with thread_safe=False has one connection and one transaction for all threads, and "
                "workflows run on many; leave it out"
            )
        if dialect == "mysql" and found.connect_params.get("charset") in ("utf8", "utf8mb3"):
            log.warning(
                "the %s talks to its server in three-byte utf8, the default before Peewee 4.5: emoji and more would be "
                "stored as question marks; give it charset='utf8mb4'",
                type(found).__name__,
            )


def resolved(given: Any) -> Any:
    """What a proxy stands for, if it stands for something."""
    while isinstance(given, peewee.Proxy):
        given = given.obj
    return given


def dialect_of(database: Any) -> DialectName:
    """The kind of a database; ConfigurationError if it is none that Durably knows."""
    for each, dialect in _DIALECTS.items():
        if isinstance(database, each):
            return dialect
    if not isinstance(database, peewee.Database):
        raise ConfigurationError(f"Peewee(...) takes {_WHAT}, not {_article(type(database).__name__)}")
    raise ConfigurationError(
        f"transactions run on PostgreSQL, SQLite, MySQL and MariaDB, and {type(database).__name__} is for none of these"
    )


def _is_asynchronous(database: Any) -> bool:
    # By its methods: the module needs greenlet, which synchronous programs need not have.
    return isinstance(database, peewee.Database) and hasattr(database, "aexecute_sql")


def _article(name: str) -> str:
    return f"{'an' if name[:1].lower() in 'aeiou' else 'a'} {name}"
