"""How to begin a transaction: one rule per database, whichever ORM runs it.

PostgreSQL takes its options as the first statement inside the transaction; MySQL and MariaDB take them
before BEGIN, for the next transaction only. Both go back to the session's defaults by themselves. SQLite is
always serializable: its one choice is when to take the write lock, and a writer takes it at once, because a
lock that is upgraded halfway fails with SQLITE_BUSY, which no busy timeout can wait out.
"""

from __future__ import annotations

from functools import cache

from durably.adapter import BeginPlan, DialectName
from durably.errors import ConfigurationError

#: The SQL standard's four. A closed list: what is rendered into SQL is never the caller's own text.
ISOLATION_LEVELS = ("read uncommitted", "read committed", "repeatable read", "serializable")


def parse_isolation_level(level: str | None) -> str | None:
    """``level`` as :data:`ISOLATION_LEVELS` spells it, or None; case, spaces, ``_`` and ``-`` do not matter.

    Raises :class:`~durably.errors.ConfigurationError` for anything else, naming the levels there are.
    """
    if level is None:
        return None
    if isinstance(level, str):
        name = " ".join(level.lower().replace("_", " ").replace("-", " ").split())
        if name in ISOLATION_LEVELS:
            return name
    raise ConfigurationError(
        f"isolation_level={level!r} is not an isolation level; use one of: "
        + ", ".join(repr(name) for name in ISOLATION_LEVELS),
        setting="isolation_level",
        value=level,
    )


def begin_plan(dialect: DialectName, isolation_level: str | None, read_only: bool) -> BeginPlan:
    """The plan for one transaction; the same object each time. None leaves the session's own level in force.

    Raises :class:`~durably.errors.ConfigurationError` for an unknown level or dialect.
    """
    return _plan(dialect, parse_isolation_level(isolation_level), bool(read_only))


@cache  # no more entries than dialects x levels x 2
def _plan(dialect: DialectName, level: str | None, read_only: bool) -> BeginPlan:
    if dialect == "sqlite":
        begin = "BEGIN DEFERRED" if read_only else "BEGIN IMMEDIATE"
        return BeginPlan(begin=begin, query_only=read_only)
    options = _set_transaction(level, read_only)
    if dialect == "postgresql":
        return BeginPlan(after=options)
    if dialect == "mysql":
        return BeginPlan(before=options)
    raise ConfigurationError(
        f"dialect {dialect!r} is not supported; use one of: 'postgresql', 'sqlite', 'mysql'",
        setting="dialect",
        value=dialect,
    )


def _set_transaction(level: str | None, read_only: bool) -> tuple[str, ...]:
    """One SET TRANSACTION, or none (and so no round trip) when nothing was asked for."""
    options = [f"ISOLATION LEVEL {level.upper()}"] if level else []
    if read_only:
        options.append("READ ONLY")
    return (f"SET TRANSACTION {', '.join(options)}",) if options else ()
