"""What the system database says, read past the engine."""

from __future__ import annotations

import sqlite3
from collections.abc import Sequence
from typing import Any


def rows(system_url: str, sql: str, params: Sequence[Any] = ()) -> list[tuple[Any, ...]]:
    """Rows of a query; tables are called ``durably.…``, parameters are ``?``."""
    if system_url.startswith("sqlite"):
        connection = sqlite3.connect(system_url.removeprefix("sqlite:///"), isolation_level=None)
        try:
            return connection.execute(sql.replace("durably.", "durably_"), params).fetchall()
        finally:
            connection.close()

    import psycopg

    with psycopg.connect(system_url, autocommit=True) as postgres:
        cursor = postgres.execute(sql.replace("?", "%s").encode(), params)
        return cursor.fetchall() if cursor.description else []


def checkpoints(system_url: str, workflow_id: str) -> list[str]:
    """The names of what a workflow has recorded, in the order of their places."""
    return [
        row[0]
        for row in rows(
            system_url,
            "SELECT function_name FROM durably.operation_outputs WHERE workflow_uuid = ? ORDER BY branch, function_id",
            (workflow_id,),
        )
    ]
