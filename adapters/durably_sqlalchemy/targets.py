"""What users hand in (an engine, a sessionmaker, a scoped session) as what the halves need."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Generic, TypeVar

from sqlalchemy import URL, Engine
from sqlalchemy.ext.asyncio import AsyncEngine, AsyncSession, async_scoped_session, async_sessionmaker
from sqlalchemy.orm import Session, scoped_session, sessionmaker
from sqlalchemy.util import ScopedRegistry

from durably import ConfigurationError
from durably.adapter import DialectName, ParamStyle

E = TypeVar("E", Engine, AsyncEngine)
S = TypeVar("S", Session, AsyncSession)

_DIALECTS: Mapping[str, DialectName] = {
    "postgresql": "postgresql",
    "sqlite": "sqlite",
    "mysql": "mysql",
    "mariadb": "mysql",
}
# What drivers take in statements that are not SQLAlchemy's; the others take %s.
_PARAMSTYLES: Mapping[str, ParamStyle] = {
    "pysqlite": "qmark",
    "aiosqlite": "qmark",
    "pysqlcipher": "qmark",
    "asyncpg": "dollar",
    "mariadbconnector": "qmark",
    "pyodbc": "qmark",
}
# What a transaction's session takes from Durably and not from its maker. Its tables are all on one connection, which
# owns the transaction, and the session passes on the end that Durably gives it, so that its listeners run after it.
_OURS: Mapping[str, Any] = {
    "autobegin": True,
    "binds": None,
    "join_transaction_mode": "control_fully",
    "twophase": False,
}


@dataclass(frozen=True)
class Target(Generic[E, S]):
    """Where transactions go, and with which sessions. ``made``: the engine is the adapter's own, and its to dispose."""

    engine: E
    session_class: type[S]
    options: Mapping[str, Any]
    registry: ScopedRegistry[S] | None = None
    made: bool = False

    @property
    def dialect(self) -> DialectName:
        """The kind of database."""
        return _DIALECTS[self.engine.dialect.name]

    @property
    def paramstyle(self) -> ParamStyle:
        """What the driver takes in statements that are not SQLAlchemy's."""
        return _PARAMSTYLES.get(self.engine.dialect.driver, "format")


def sync_target(
    given: Engine | sessionmaker[Session] | scoped_session[Session], *, made: bool = False
) -> Target[Engine, Session]:
    """Take apart what a synchronous adapter is made from."""
    registry = None
    if isinstance(given, scoped_session):
        registry, given = given.registry, given.session_factory
    if isinstance(given, Engine):
        return Target(_supported(given), Session, _OURS, registry, made)
    if not isinstance(given, sessionmaker):
        raise _unusable(given)
    bind = _bound(given.kw)
    if not isinstance(bind, Engine):
        raise _unbound("sessionmaker", "Engine", bind)
    return Target(_supported(bind), given.class_, _options(given.kw), registry, made)


def async_target(
    given: AsyncEngine | async_sessionmaker[AsyncSession] | async_scoped_session[AsyncSession], *, made: bool = False
) -> Target[AsyncEngine, AsyncSession]:
    """Take apart what an asynchronous adapter is made from."""
    registry = None
    if isinstance(given, async_scoped_session):
        registry, given = given.registry, given.session_factory
    if isinstance(given, AsyncEngine):
        return Target(_supported(given), AsyncSession, _OURS, registry, made)
    if not isinstance(given, async_sessionmaker):
        raise _unusable(given)
    bind = _bound(given.kw)
    if not isinstance(bind, AsyncEngine):
        raise _unbound("async_sessionmaker", "AsyncEngine", bind)
    return Target(_supported(bind), given.class_, _options(given.kw), registry, made)


def _options(kw: Mapping[str, Any]) -> dict[str, Any]:
    return {key: value for key, value in {**kw, **_OURS}.items() if key != "bind"}


def _bound(kw: Mapping[str, Any]) -> object:
    """The one engine of a sessionmaker; None if there is none, or more than one."""
    engines = {*(kw.get("binds") or {}).values(), kw.get("bind")} - {None}
    return engines.pop() if len(engines) == 1 else None


def _supported(engine: E) -> E:
    if engine.dialect.name not in _DIALECTS:
        raise ConfigurationError(
            "transactions run on PostgreSQL, SQLite, MySQL and MariaDB, and this engine is for "
            f"{engine.dialect.name}; give SQLAlchemy(...) an engine of one of those",
            dialect=engine.dialect.name,
        )
    return engine


def _unbound(maker: str, engine: str, bind: object) -> ConfigurationError:
    found = f"its bind is of type {type(bind).__name__}" if bind is not None else "it has none, or several"
    return ConfigurationError(
        f"SQLAlchemy({maker}) needs one with one {engine}, and {found}; use {maker}(engine), and for several databases "
        "one adapter each"
    )


def _unusable(given: object) -> ConfigurationError:
    if isinstance(given, URL):
        return ConfigurationError("SQLAlchemy(...) takes an address as a string: url.render_as_string(False)")
    return ConfigurationError(
        f"SQLAlchemy(...) takes an Engine, a sessionmaker, a scoped_session, their asynchronous forms or an address, "
        f"not {type(given).__name__}"
    )
