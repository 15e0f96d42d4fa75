"""What differs between databases, as data: how names, parameters, times and locks are spelled."""

from __future__ import annotations

import functools
import re
from dataclasses import dataclass

from durably.adapter import DialectName, ParamStyle
from durably.errors import ConfigurationError

_NAME = re.compile(r"[A-Za-z_][A-Za-z0-9_]{0,62}")


@dataclass(frozen=True, eq=False)  # hashed by identity: it is part of the key of ``render``'s cache
class Dialect:
    """One kind of database. Statements are written with ``?`` and the marks below, and rendered once per dialect."""

    name: DialectName
    #: What stands before a table's name: a schema, or a prefix where there are no schemas.
    table: str
    #: Now, in milliseconds since the Unix epoch, by the database's clock.
    now_ms: str
    #: Ends a SELECT whose rows are to be updated, leaving out those that somebody else has locked.
    for_update_skip_locked: str
    #: Ends a SELECT on workflow_status AS s that must still hold when this transaction commits.
    for_share_of_s: str
    #: The rows of a JSON array of strings that is passed as one parameter, for ``IN ({in_json})``.
    in_json: str
    #: A parameter that is a JSON document.
    json: str
    #: A query with a row exactly if the table of applied migrations is there.
    has_migrations: str
    #: Whether this user may insert checkpoints, where the database has such rights.
    may_insert: str | None = None
    #: How many functions of a workflow's own code came before the gather that ``branch`` is an arm of.
    gathered_after: str = "CAST(branch AS integer)"
    #: Whether the attributes of a row of workflow_status AS s contain the JSON object that is passed as one parameter;
    #: on SQLite by a function of the ledger's own connections.
    has_attributes: str = "durably_contains(s.attributes, ?)"
    #: A statement that tells other processes when the transaction commits: on which channel, and what.
    notify: str | None = None
    #: Its first row is the same on two connections exactly if both are to the same database; None if there is no
    #: telling.
    identity: str | None = None
    #: What else ends a transaction inside its function, as the end of the error's message.
    also_ends: str = ""
    #: Whether the database takes a schema of its own for Durably's tables.
    has_schema: bool = False

    def marks(self) -> dict[str, str]:
        """What stands for each mark in the text of a statement."""
        return {
            "{t}": self.table,
            "{now}": self.now_ms,
            "{skip_locked}": self.for_update_skip_locked,
            "{for_share}": self.for_share_of_s,
            "{in_json}": self.in_json,
            "{json}": self.json,
            "{notify}": self.notify or "SELECT 1 WHERE ? IS NULL AND ? IS NULL",
            "{gathered_after}": self.gathered_after,
            "{has_attributes}": self.has_attributes,
            "{has_migrations}": self.has_migrations,
        }


POSTGRESQL = Dialect(
    name="postgresql",
    table="durably.",
    now_ms="(extract(epoch from clock_timestamp()) * 1000)::bigint",
    for_update_skip_locked="FOR UPDATE SKIP LOCKED",
    for_share_of_s="FOR SHARE OF s",
    in_json="SELECT json_array_elements_text(?::json)",
    json="CAST(? AS jsonb)",
    has_migrations="SELECT 1 WHERE to_regclass('durably.migrations') IS NOT NULL",
    may_insert="SELECT has_table_privilege('durably.operation_outputs', 'INSERT')",
    notify="SELECT pg_notify(?, ?)",
    gathered_after="CAST(split_part(branch, '.', 1) AS integer)",
    has_attributes="s.attributes @> CAST(? AS jsonb)",
    # No two servers were started in the same microsecond, and none gives an oid twice.
    identity=(
        "SELECT CAST(extract(epoch FROM pg_postmaster_start_time()) AS text), CAST(oid AS text) FROM pg_database"
        " WHERE datname = current_database()"
    ),
    has_schema=True,
)

SQLITE = Dialect(
    name="sqlite",
    table="durably_",
    # Rounded: the difference of two days' fractions is often a hair below the millisecond that is meant.
    now_ms="CAST(round((julianday('now') - 2440587.5) * 86400000.0) AS INTEGER)",
    for_update_skip_locked="",
    for_share_of_s="",
    in_json="SELECT value FROM json_each(?)",
    json="?",
    has_migrations="SELECT 1 FROM sqlite_master WHERE name = 'durably_migrations'",
    # Not a SELECT from pragma_database_list: it would begin the read of a deferred transaction, which can write no more
    # once somebody else has written.
    identity="PRAGMA database_list",
)

MYSQL = Dialect(
    name="mysql",
    table="durably_",
    # Not UNIX_TIMESTAMP(NOW(3)): that goes through the session's time zone, in which an hour of the year comes twice.
    now_ms="(TIMESTAMPDIFF(MICROSECOND, '1970-01-01 00:00:00', UTC_TIMESTAMP(3)) DIV 1000)",
    for_update_skip_locked="FOR UPDATE SKIP LOCKED",
    for_share_of_s="LOCK IN SHARE MODE",
    json="?",
    in_json="SELECT j.v FROM JSON_TABLE(?, '$[*]' COLUMNS (v VARCHAR(255) PATH '$')) AS j",
    has_migrations="SELECT 1 FROM information_schema.tables WHERE table_name = 'durably_migrations'"
    " AND table_schema = DATABASE()",
    also_ends=". On MySQL and MariaDB statements such as CREATE TABLE commit by themselves, and a deadlock whose error"
    " is caught has rolled everything back",
)

DIALECTS: dict[DialectName, Dialect] = {one.name: one for one in (POSTGRESQL, SQLITE, MYSQL)}


@functools.lru_cache(maxsize=512)
def render(sql: str, dialect: Dialect, paramstyle: ParamStyle) -> str:
    """Fill in the dialect's marks, ``{t}`` for the table prefix among them, and the parameters' style."""
    text = sql
    for mark, meaning in dialect.marks().items():
        text = text.replace(mark, meaning)
    if paramstyle == "qmark":
        return text
    if paramstyle == "format":
        return text.replace("%", "%%").replace("?", "%s")
    numbers = iter(range(1, text.count("?") + 1))
    return re.sub(r"\?", lambda _: f"${next(numbers)}", text)


def checked_name(name: str, what: str) -> str:
    """A name that may stand in SQL text unquoted; ConfigurationError otherwise."""
    if not _NAME.fullmatch(name):
        raise ConfigurationError(
            f"{what} {name!r} is not a plain SQL name; use letters, digits and underscores, at most 63"
        )
    return name
