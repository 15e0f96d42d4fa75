"""The system database on PostgreSQL, through psycopg 3.

Every statement is prepared, and a batch of several kinds of command goes out as one pipeline; both can be turned off
for poolers that hand connections from one to another.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any, TypeVar

from durably.config import redacted
from durably.errors import ConfigurationError, DatabaseUnavailableError, missing_extra
from durably.ledger.backend import Observer
from durably.ledger.commands import Answer, Command
from durably.ledger.listening import PostgresListener
from durably.ledger.postgres_batch import Batch
from durably.ledger.postgres_connection import PostgresConnection, PostgresSession
from durably.sql.dialect import POSTGRESQL

if TYPE_CHECKING:
    import psycopg

T = TypeVar("T")

CONNECT_SECONDS = 10
#: On connections of our own: every statement is looked up by key, and a plan made while the tables were empty must
#: not become a scan of all rows for ever: the writer's few statements are such that they have one good plan only, and
#: the others are planned each time. Whoever waits for a lock must see what its holder has committed, whatever isolation
#: the database or the role has for its default.
_SETTINGS = (
    "SELECT set_config('enable_seqscan', 'off', false), set_config('enable_hashjoin', 'off', false),"
    " set_config('enable_mergejoin', 'off', false), set_config('plan_cache_mode', %s, false),"
    " set_config('jit', 'off', false), set_config('default_transaction_isolation', 'read committed', false)"
)


class PostgresBackend:
    """A system database on PostgreSQL. ``pooler``: no prepared statements, pipelines or session settings."""

    dialect = POSTGRESQL

    def __init__(self, url: str, *, pooler: bool = False) -> None:
        self.url = url
        self.pipelines = not pooler
        self._pooler = pooler
        self.observe: Observer | None = None
        self._writer = PostgresConnection(self, one_plan=True)
        self._idle: list[PostgresConnection] = []
        self._all: list[PostgresConnection] = [self._writer]
        self._mutex = threading.Lock()

    def connect(self, *, one_plan: bool = False) -> psycopg.Connection[Any]:
        """A new connection in autocommit, with the settings that our statements want."""
        try:
            import psycopg
        except ImportError as error:
            raise missing_extra("postgres", "psycopg") from error
        try:
            raw = psycopg.connect(
                self.url,
                autocommit=True,
                prepare_threshold=None if self._pooler else 0,
                connect_timeout=CONNECT_SECONDS,
                fallback_application_name="durably",
            )
        except psycopg.ProgrammingError:
            # Not chained: its message quotes the address, with the password.
            raise ConfigurationError(
                f"the database address {redacted(self.url)!r} is not one that PostgreSQL understands; it should look "
                "like postgresql://user:password@host:5432/name, with %40 for @, %2F for / and %25 for % in a password"
            ) from None
        if not self._pooler:
            raw.execute(_SETTINGS, ["force_generic_plan" if one_plan else "force_custom_plan"], prepare=False)
        return raw

    def open(self) -> None:
        if self._writer.read(lambda session: session.execute("SHOW transaction_read_only")) == [("on",)]:
            where = redacted(self.url)
            raise DatabaseUnavailableError(
                f"the system database {where} is read-only (a standby, or default_transaction_read_only is on); "
                "it must be writable",
                where=where,
            )

    def write(self, batch: Sequence[Command]) -> list[Answer]:
        return Batch(batch, self.observe).write(self._writer, self.read)

    def read(self, work: Callable[[PostgresSession], T]) -> T:
        connection = self._borrowed()
        try:
            return connection.read(work)
        finally:
            self._return(connection)

    def change(self, work: Callable[[PostgresSession], T]) -> T:
        connection = self._borrowed()
        try:
            return connection.change(work)
        finally:
            self._return(connection)

    def each(self, work: Callable[[PostgresSession], T]) -> T:
        return self.read(work)

    def connection(self) -> PostgresConnection:
        connection = PostgresConnection(self)
        with self._mutex:
            self._all.append(connection)
        return connection

    def listener(self) -> PostgresListener | None:
        # A pooler in transaction mode would hand the connection that listens to somebody else.
        return None if self._pooler else PostgresListener(self.connect, self._is_own)

    def _is_own(self, pid: int) -> bool:
        return any(connection.pid == pid for connection in list(self._all))

    def disconnect(self) -> None:
        with self._mutex:
            connections = list(self._all)
        for connection in connections:
            connection.close()

    def _borrowed(self) -> PostgresConnection:
        with self._mutex:
            if self._idle:
                return self._idle.pop()
        return self.connection()

    def _return(self, connection: PostgresConnection) -> None:
        with self._mutex:
            self._idle.append(connection)
