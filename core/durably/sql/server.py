"""What a MySQL or MariaDB server is asked once: how large a statement may be, and whether its isolation loses updates.

Their REPEATABLE READ reads from a snapshot but writes to the latest rows, without noticing that these differ; that of
PostgreSQL refuses the write. The level is the database's, and is not changed: whoever relies on more is told.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, NamedTuple

from durably.adapter import DialectName
from durably.sql.completion import Statement

# Absent variables are left out: MySQL has no snapshot isolation, and each server its own name for the level.
_LOOK = (
    "SHOW VARIABLES WHERE Variable_name IN"
    " ('transaction_isolation', 'tx_isolation', 'innodb_snapshot_isolation', 'max_allowed_packet')"
)
#: What a record's statement has beside its output: names, ids, the SQL itself.
_BESIDE_THE_OUTPUT = 64 * 1024
_ESCAPED = "\\'\"\0\n\r\x1a"


class Server(NamedTuple):
    """What was found out."""

    #: What to say about lost updates; None if none are lost.
    advice: str | None = None
    #: How many bytes a statement may have; None: there is no limit that counts.
    packet_bytes: int | None = None

    def takes(self, text: str) -> bool:
        """Whether a text may be recorded. A longer statement would cost the connection, in each further try again."""
        if self.packet_bytes is None:
            return True
        room = self.packet_bytes - _BESIDE_THE_OUTPUT
        return 5 * len(text) <= room or sent_bytes(text) <= room


def look(dialect: DialectName) -> Statement | None:
    """The query for ``read``; None where there is nothing to find out."""
    return (_LOOK, ()) if dialect == "mysql" else None


def read(rows: Sequence[tuple[Any, ...]]) -> Server:
    """Take in what the query gave."""
    found = {str(name).lower(): str(value).upper() for name, value in rows}
    packet = found.get("max_allowed_packet", "")
    return Server(_advice(found), int(packet) if packet.isdecimal() else None)


def sent_bytes(text: str) -> int:
    """How long a text is in a statement: drivers write it into the SQL, with a backslash before what needs one."""
    return len(text.encode("utf-8", "surrogatepass")) + sum(map(text.count, _ESCAPED))


def _advice(found: dict[str, str]) -> str | None:
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
