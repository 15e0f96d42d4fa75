"""The schema as numbered SQL files, applied once each, in order, under a lock, and recorded.

``NNNN_name.<dialect>.sql``: one statement after another, separated by ``;`` at the end of a line.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from importlib import resources
from typing import NamedTuple

from durably.adapter import DialectName
from durably.crashpoints import reach
from durably.errors import SchemaBehindError
from durably.ledger.backend import Backend, Session
from durably.sql.dialect import DIALECTS, Dialect, render

_FILE = re.compile(r"(\d{4})_(\w+)\.(\w+)\.sql")
#: Any number, the same for every process that migrates.
_LOCK = 6_021_023

_RECORD = "INSERT INTO {t}migrations (version, name, applied_at) VALUES (?, ?, {now})"
_RECORD_TABLE = (
    "CREATE TABLE IF NOT EXISTS {t}migrations"
    " (version integer NOT NULL PRIMARY KEY, name text NOT NULL, applied_at bigint NOT NULL)"
)


class Migration(NamedTuple):
    """One numbered file for one dialect."""

    version: int
    name: str
    sql: str

    def statements(self) -> Iterator[str]:
        """Its statements, one by one, without comments."""
        text = re.sub(r"^\s*--.*$", "", self.sql, flags=re.MULTILINE)
        for statement in re.split(r";\s*$", text, flags=re.MULTILINE):
            if statement.strip():
                yield statement.strip()


def migrations(dialect: DialectName) -> list[Migration]:
    """All migrations of a dialect, in order."""
    found = []
    for file in resources.files(__name__).iterdir():
        match = _FILE.fullmatch(file.name)
        if match and match[3] == dialect:
            found.append(Migration(int(match[1]), match[2], file.read_text(encoding="utf-8")))
    return sorted(found)


def preparation(dialect: DialectName) -> list[str]:
    """The statements that go before the first migration, and may be run again."""
    schema = ["CREATE SCHEMA IF NOT EXISTS durably"] if DIALECTS[dialect].has_schema else []
    return [*schema, render(_RECORD_TABLE, DIALECTS[dialect], "qmark")]


def record(migration: Migration, dialect: DialectName) -> str:
    """The statement that records a migration, written out."""
    values = _RECORD.replace("?, ?", f"{migration.version}, '{migration.name}'")
    return render(values, DIALECTS[dialect], "qmark")


def applied(session: Session) -> set[int]:
    """The versions that this database has; empty if it has none of our tables."""
    if not session.execute("{has_migrations}"):
        return set()
    return {row[0] for row in session.execute("SELECT version FROM {t}migrations")}


def migrate(backend: Backend) -> list[Migration]:
    """Apply what is missing, each migration with its record in one transaction; what was applied."""
    if not pending(backend):
        return []
    done = []
    for one in migrations(backend.dialect.name):
        if backend.change(lambda session, one=one: apply(session, backend.dialect, one)):  # type: ignore[misc]
            done.append(one)
    return done


def apply(session: Session, dialect: Dialect, migration: Migration) -> bool:
    """Apply and record a migration in the transaction that is open; False if that was done before."""
    if dialect.has_schema:
        # One migrates, the others wait and then find it done.
        session.execute("SELECT pg_advisory_xact_lock(?)", (_LOCK,))
        if not session.execute("SELECT 1 FROM pg_namespace WHERE nspname = 'durably'"):
            session.execute("CREATE SCHEMA durably")
    session.execute(_RECORD_TABLE)
    if migration.version in applied(session):
        return False
    for statement in migration.statements():
        reach("migration.statement")
        session.execute(statement)
    session.execute(_RECORD, (migration.version, migration.name))
    return True


def pending(backend: Backend) -> list[Migration]:
    """What this version of Durably has and the database has not."""
    done = backend.read(applied)
    return [one for one in migrations(backend.dialect.name) if one.version not in done]


def verify(backend: Backend) -> None:
    """Raise SchemaBehindError if a migration is missing."""
    missing = pending(backend)
    if missing:
        names = ", ".join(f"{one.version:04}_{one.name}" for one in missing)
        raise SchemaBehindError(
            f"the system database lacks the migrations {names}, and run_migrations is off; "
            "run `durably migrate URL` (or apply `durably schema`) with a role that may create tables",
            missing=[one.version for one in missing],
        )
