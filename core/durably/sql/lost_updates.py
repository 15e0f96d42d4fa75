"""MySQL and MariaDB: whether the default isolation level lets a plain read-modify-write lose updates.

Their REPEATABLE READ reads from a snapshot but writes to the latest rows, without noticing that these differ; that of
PostgreSQL refuses the write. The level is the database's, and is not changed: whoever relies on more is told.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from durably.adapter import DialectName
from durably.sql.completion import Statement

# Absent variables are left out: MySQL has no snapshot isolation, and each server its own name for the level.
_LOOK = "SHOW VARIABLES WHERE Variable_name IN ('transaction_isolation', 'tx_isolation', 'innodb_snapshot_isolation')"


def look(dialect: DialectName) -> Statement | None:
    """The query for ``advice``; None where there is nothing to warn of."""
    return (_LOOK, ()) if dialect == "mysql" else None


def advice(rows: Sequence[tuple[Any, ...]]) -> str | None:
    """What to say, from what the query gave; None if no update is lost."""
    found = {str(name).lower(): str(value).upper() for name, value in rows}
    level = (found.get("transaction_isolation") or found.get("tx_isolation") or "").replace("-", " ")
    snapshot = found.get("innodb_snapshot_isolation")
    repeatable = level == "REPEATABLE READ"
    if level in ("", "SERIALIZABLE") or (repeatable and snapshot == "ON"):
        return None
    setting = ", or have the server set innodb_snapshot_isolation=ON" if repeatable and snapshot is not None else ""
    return (
        f"transactions run at the database's default, {level}, where a value that is read and then written back can "
        "overwrite another transaction's update unnoticed; where that matters, declare "
        "@transaction(isolation_level='serializable') or lock what you read (SELECT ... FOR UPDATE, in SQLAlchemy "
        f"with_for_update){setting}"
    )
