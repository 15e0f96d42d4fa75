"""Durably's tables, for tools that own an application's migrations: as statements, and through the tool's connection.

    for step in schema.steps("postgresql"):          # the system database
        for statement in step.statements: ...
    schema.completion_table("mysql")                 # an application database apart

A database that was brought here by these statements is up to date for Durably itself: each step records itself where
Durably looks. New versions add steps, with the next numbers; a step never changes.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

from durably.adapter import DialectName, ParamStyle
from durably.ledger import migrations
from durably.sql import completion
from durably.sql.dialect import DIALECTS, render

#: Runs one statement on the tool's connection; its rows, [] if it gives none.
Execute = Callable[[str, Sequence[Any]], "list[tuple[Any, ...]]"]

_CREATED = re.compile(r"CREATE TABLE (?:IF NOT EXISTS )?([\w.]+)")


class Step(NamedTuple):
    """One numbered change of the system database. ``statements`` take no parameters; the last one records it."""

    version: int
    name: str
    statements: tuple[str, ...]


def steps(dialect: DialectName) -> list[Step]:
    """Every step of a dialect, in order; none where Durably has no system database (MySQL and MariaDB)."""
    return [
        Step(
            one.version,
            one.name,
            (*migrations.preparation(dialect), *one.statements(), migrations.record(one, dialect)),
        )
        for one in migrations.migrations(dialect)
    ]


def completion_table(dialect: DialectName) -> tuple[str, ...]:
    """The statements that make the table of completion rows in an application database apart; they may be repeated."""
    return tuple(render(sql, DIALECTS[dialect], "qmark") for sql, _ in completion.create_table(dialect))


def drop_completion_table(dialect: DialectName) -> tuple[str, ...]:
    """The statement that drops that table."""
    return (f"DROP TABLE IF EXISTS {DIALECTS[dialect].table}transaction_completion",)


def tables(dialect: DialectName) -> list[str]:
    """The system database's tables, with the schema or prefix; last the one where steps are recorded."""
    if not steps(dialect):
        return []
    created = [name for one in migrations.migrations(dialect) for name in _CREATED.findall(one.sql)]
    return [*created, f"{DIALECTS[dialect].table}migrations"]


def script(dialect: DialectName) -> str:
    """The system database's whole schema as SQL with its comments, to be reviewed or run by hand."""
    parts = [f"{sql};\n" for sql in migrations.preparation(dialect)]
    for one in migrations.migrations(dialect):
        parts.append(f"-- migration {one.version:04} {one.name}\n{one.sql.strip()}\n")
        parts.append(f"{migrations.record(one, dialect)};\n")
    return "\n".join(parts)


class Tables:
    """Durably's tables in one database, through a connection and a transaction of the tool's own.

    Nothing here begins or commits. ``execute`` gets SQL in the connection's ``paramstyle``.
    """

    def __init__(self, dialect: DialectName, paramstyle: ParamStyle, execute: Execute) -> None:
        self.dialect: DialectName = dialect
        self._session = _Session(dialect, paramstyle, execute)

    def pending(self) -> list[Step]:
        """The steps that this database lacks."""
        done = migrations.applied(self._session)
        return [one for one in steps(self.dialect) if one.version not in done]

    def apply(self, version: int) -> bool:
        """Apply one step and record it, while others wait that want to; False if it was applied before."""
        (migration,) = (one for one in migrations.migrations(self.dialect) if one.version == version)
        return migrations.apply(self._session, DIALECTS[self.dialect], migration)

    def drop(self) -> None:
        """Drop the system database's tables with all workflows in them."""
        for table in tables(self.dialect):
            self._session.execute(f"DROP TABLE IF EXISTS {table}")

    def has_completion_table(self) -> bool:
        """Whether the table of completion rows is there."""
        return bool(self._session.execute(*completion.has_table(self.dialect)))

    def create_completion_table(self) -> None:
        """Make the table of completion rows, unless it is there."""
        if not self.has_completion_table():
            for sql, params in completion.create_table(self.dialect):
                self._session.execute(sql, params)

    def drop_completion_table(self) -> None:
        """Drop the table of completion rows. Transactions that ran but have no outcome yet may then run again."""
        for sql in drop_completion_table(self.dialect):
            self._session.execute(sql)

    def empty(self) -> None:
        """Delete every workflow, checkpoint, executor and completion row; for tests, and where all data is deleted."""
        if migrations.applied(self._session):
            for table in tables(self.dialect)[:-1]:
                self._session.execute(f"DELETE FROM {table}")  # noqa: S608
        if self.has_completion_table():
            self._session.execute("DELETE FROM {t}transaction_completion")


class _Session:
    """The tool's connection as the ledger's own code sees one."""

    def __init__(self, dialect: DialectName, paramstyle: ParamStyle, execute: Execute) -> None:
        self._dialect = DIALECTS[dialect]
        self._paramstyle = paramstyle
        self._execute = execute

    def execute(self, sql: str, params: Sequence[Any] = ()) -> list[tuple[Any, ...]]:
        return self._execute(render(sql, self._dialect, self._paramstyle), params)
