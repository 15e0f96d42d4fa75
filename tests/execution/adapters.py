"""An adapter over the standard library's sqlite3: the whole of the adapter protocol, and a way to make it fail."""

from __future__ import annotations

import sqlite3
import threading
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from durably.adapter import BeginPlan, DialectName, Parameter, ParamStyle, transaction_handle


def connection() -> sqlite3.Connection:
    """The open transaction's connection."""
    found: sqlite3.Connection = transaction_handle(asynchronous=False, accessor="connection")
    return found


class SqliteAdapter:
    """One connection per transaction."""

    dialect: DialectName = "sqlite"
    paramstyle: ParamStyle = "qmark"

    def __init__(self, path: Path) -> None:
        self._path = path
        #: While it is set, nothing can be begun: the file is locked, as by another process.
        self.locked = threading.Event()

    def ambient(self) -> sqlite3.Connection | None:
        return None

    @contextmanager
    def begin(self, plan: BeginPlan) -> Iterator[sqlite3.Connection]:
        if self.locked.is_set():
            raise self._locked_error()
        raw = sqlite3.connect(self._path, isolation_level=None)
        try:
            raw.execute(plan.begin)
            yield raw
            raw.execute("COMMIT")
        except BaseException:
            if raw.in_transaction:
                raw.execute("ROLLBACK")
            raise
        finally:
            raw.close()

    def execute(self, handle: sqlite3.Connection, sql: str, params: Sequence[Parameter] = ()) -> list[tuple[Any, ...]]:
        return handle.execute(sql, params).fetchall()

    def _locked_error(self) -> sqlite3.Error:
        """What the driver itself raises for a locked file."""
        first, second = (sqlite3.connect(self._path, isolation_level=None, timeout=0) for _ in range(2))
        try:
            first.execute("BEGIN IMMEDIATE")
            second.execute("BEGIN IMMEDIATE")
        except sqlite3.OperationalError as error:
            return error
        finally:
            first.close()
            second.close()
        raise AssertionError("two writers in one file")
