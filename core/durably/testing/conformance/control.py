"""The suite's own eyes and hands: a bare driver's connection to the application database, beside the ORM's.

It makes the tables, reads what is committed, and makes trouble from outside. Nothing of Durably or of the adapter under
test is in its way.
"""

from __future__ import annotations

import contextlib
import os
import sqlite3
from abc import ABC, abstractmethod
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any, ClassVar, NamedTuple
from urllib.parse import unquote, urlsplit

from durably.adapter import DialectName


class Recorded(NamedTuple):
    """A transaction's checkpoint as the database has it."""

    function_name: str
    output: str | None
    error: str | None


class Control(ABC):
    """What the suite does to one application database from outside. Every statement commits at once."""

    dialect: ClassVar[DialectName]
    #: What stands before the names of Durably's tables.
    prefix: ClassVar[str] = "durably_"
    #: The tables that a subject maps, as statements.
    tables: ClassVar[Sequence[str]]

    def __init__(self, url: str, colocated: bool) -> None:
        self.url = url
        self.colocated = colocated
        self._raw = self.connect()

    @abstractmethod
    def connect(self) -> Any:
        """Another connection of the bare driver's, in autocommit."""

    @abstractmethod
    def execute(self, sql: str) -> list[tuple[Any, ...]]:
        """Run one statement and commit it; its rows."""

    @abstractmethod
    def empty(self) -> None:
        """Have the tables as they were at first, and nobody else connected."""

    def close(self) -> None:
        """Close the connection."""
        self._raw.close()

    # -- what is committed ---------------------------------------------------------------------------------------

    def items(self) -> list[int]:
        """The committed rows."""
        return [row[0] for row in self.execute("SELECT n FROM conformance_item ORDER BY id")]

    def notes(self) -> list[str | None]:
        """Their notes."""
        return [row[0] for row in self.execute("SELECT note FROM conformance_item ORDER BY id")]

    def counter(self) -> int:
        """The committed counter."""
        return int(self.execute("SELECT n FROM conformance_counter WHERE id = 1")[0][0])

    def recorded(self) -> list[Recorded]:
        """The checkpoints where transactions write them, in the order of their function ids."""
        table = "operation_outputs" if self.colocated else "transaction_completion"
        rows = self.execute(f"SELECT function_name, output, error FROM {self.prefix}{table} ORDER BY function_id")
        return [Recorded(*row) for row in rows]

    # -- who is connected ----------------------------------------------------------------------------------------

    def connections(self) -> int:
        """How many connections to the database are open, beside this one and Durably's own."""
        return 0

    def open_transactions(self) -> list[str]:
        """What is in a transaction on other connections, described; empty when all is well."""
        return []

    def disconnect_others(self) -> None:
        """Close everybody else's connections from the server's side, beside Durably's own."""
        raise NotImplementedError("a file has no server that could do that")

    #: A query for the number of the connection that runs it.
    own_session: ClassVar[str] = ""

    def isolation_level(self, token: str) -> str:
        """A query for the level of isolation that is in force in the transaction that runs it.

        It gives no row while the server's view is older than the query itself, which a new ``token`` tells it.
        """
        raise NotImplementedError(f"a file has no levels ({token})")

    def kill(self, session: int) -> str:
        """The statement that closes the connection of that number."""
        raise NotImplementedError(f"a file has no server that could close {session}")


class PostgresqlControl(Control):
    """Through psycopg."""

    dialect = "postgresql"
    prefix = "durably."
    own_session = "SELECT pg_backend_pid()"
    tables = (
        "CREATE TABLE conformance_item"
        " (id serial PRIMARY KEY, n integer NOT NULL, note text, CONSTRAINT conformance_n UNIQUE (n))",
        "CREATE TABLE conformance_counter (id integer PRIMARY KEY, n integer NOT NULL)",
        "INSERT INTO conformance_counter VALUES (1, 0)",
    )
    # Durably's own connections carry the name "durably"; an ORM's do not.
    _OTHERS = (
        " FROM pg_stat_activity WHERE datname = current_database() AND pid <> pg_backend_pid()"
        " AND backend_type = 'client backend'"
    )
    _NOT_DURABLYS = " AND application_name <> 'durably'"

    def connect(self) -> Any:
        import psycopg

        return psycopg.connect(self.url, autocommit=True)

    def execute(self, sql: str) -> list[tuple[Any, ...]]:
        cursor = self._raw.execute(sql.encode())
        return list(cursor.fetchall()) if cursor.description else []

    def empty(self) -> None:
        self.execute("SELECT pg_terminate_backend(pid, 2000)" + self._OTHERS)
        names = self.execute("SELECT quote_ident(tablename) FROM pg_tables WHERE schemaname = 'durably'")
        durablys = "".join(f", durably.{name}" for (name,) in names if name != "migrations")
        self.execute(f"TRUNCATE conformance_item{durablys} RESTART IDENTITY")
        self.execute("UPDATE conformance_counter SET n = 0")

    def connections(self) -> int:
        return int(self.execute("SELECT count(*)" + self._OTHERS + self._NOT_DURABLYS)[0][0])

    def open_transactions(self) -> list[str]:
        rows = self.execute(
            "SELECT pid, state, query" + self._OTHERS + self._NOT_DURABLYS + " AND state LIKE 'idle in%'"
        )
        return [f"{state}: {query}" for _, state, query in rows]

    def disconnect_others(self) -> None:
        self.execute("SELECT pg_terminate_backend(pid, 2000)" + self._OTHERS + self._NOT_DURABLYS)

    def isolation_level(self, token: str) -> str:
        return f"SELECT current_setting('transaction_isolation') /* {token} */"

    def kill(self, session: int) -> str:
        return f"SELECT pg_terminate_backend({session})"


class MysqlControl(Control):
    """Through PyMySQL, for MySQL and MariaDB."""

    dialect = "mysql"
    own_session = "SELECT CONNECTION_ID()"
    tables = (
        "CREATE TABLE conformance_item (id integer PRIMARY KEY AUTO_INCREMENT, n integer NOT NULL,"
        " note longtext, UNIQUE KEY conformance_n (n)) ENGINE = InnoDB CHARACTER SET utf8mb4",
        "CREATE TABLE conformance_counter (id integer PRIMARY KEY, n integer NOT NULL) ENGINE = InnoDB",
        "INSERT INTO conformance_counter VALUES (1, 0)",
    )

    def connect(self) -> Any:
        import pymysql

        parts = urlsplit(self.url)
        return pymysql.connect(
            host=parts.hostname or "127.0.0.1",
            port=parts.port or 3306,
            user=unquote(parts.username or "root"),
            password=unquote(parts.password or ""),
            database=unquote(parts.path.lstrip("/")),
            charset="utf8mb4",
            autocommit=True,
        )

    def execute(self, sql: str) -> list[tuple[Any, ...]]:
        with self._raw.cursor() as cursor:
            cursor.execute(sql)
            return list(cursor.fetchall()) if cursor.description else []

    def empty(self) -> None:
        self.disconnect_others()
        # Deleted rows would stay in the unique index for a while, and a row that takes the place of one locks the gaps
        # beside it, too.
        self.execute("TRUNCATE conformance_item")
        if self.execute("SHOW TABLES LIKE 'durably\\_transaction\\_completion'"):
            self.execute("DELETE FROM durably_transaction_completion")
        self.execute("UPDATE conformance_counter SET n = 0")

    _OTHERS = (
        " FROM information_schema.processlist p WHERE p.db = DATABASE() AND p.id <> CONNECTION_ID()"
        " AND p.command <> 'Killed'"
    )

    def connections(self) -> int:
        return int(self.execute("SELECT count(*)" + self._OTHERS)[0][0])

    def open_transactions(self) -> list[str]:
        rows = self.execute(
            "SELECT t.trx_state, t.trx_query FROM information_schema.innodb_trx t JOIN"
            " information_schema.processlist p ON p.id = t.trx_mysql_thread_id"
            " WHERE p.db = DATABASE() AND p.id <> CONNECTION_ID()"
        )
        return [f"{state}: {query}" for state, query in rows]

    def disconnect_others(self) -> None:
        import pymysql

        for (session,) in self.execute("SELECT p.id" + self._OTHERS):
            with contextlib.suppress(pymysql.err.OperationalError):  # gone by itself meanwhile
                self.execute(self.kill(session))

    def isolation_level(self, token: str) -> str:
        # The session's variable does not tell what SET TRANSACTION has asked for. InnoDB's view does; it is made anew
        # when nobody has looked at it for a tenth of a second, and shows each transaction's statement of that moment.
        return (
            "SELECT lower(trx_isolation_level) FROM information_schema.innodb_trx"
            f" WHERE trx_mysql_thread_id = CONNECTION_ID() AND locate('{token}', trx_query) > 0"
        )

    def kill(self, session: int) -> str:
        return f"KILL {session}"


class SqliteControl(Control):
    """Through the standard library."""

    dialect = "sqlite"
    tables = (
        "CREATE TABLE conformance_item (id integer PRIMARY KEY, n integer NOT NULL UNIQUE, note text)",
        "CREATE TABLE conformance_counter (id integer PRIMARY KEY, n integer NOT NULL)",
        "INSERT INTO conformance_counter VALUES (1, 0)",
    )

    @property
    def path(self) -> str:
        """The file."""
        return self.url.removeprefix("sqlite:///")

    def connect(self) -> Any:
        return self._connect(timeout=5.0)

    def _connect(self, timeout: float) -> Any:
        return sqlite3.connect(self.path, isolation_level=None, check_same_thread=False, timeout=timeout)

    def execute(self, sql: str) -> list[tuple[Any, ...]]:
        with contextlib.closing(self._raw.cursor()) as cursor:
            return list(cursor.execute(sql).fetchall())

    def empty(self) -> None:
        """Each test has a file of its own."""

    def connections(self) -> int:
        # Co-located, Durably's own are among them. Linux tells; elsewhere it is not looked at.
        descriptors = Path("/proc/self/fd")
        if self.colocated or not descriptors.is_dir():
            return 0
        names = []
        for one in descriptors.iterdir():
            with contextlib.suppress(OSError):  # closed meanwhile
                names.append(os.readlink(one))
        return names.count(os.path.realpath(self.path)) - 1

    def open_transactions(self) -> list[str]:
        # Nobody may read or write while a lock is exclusive. Asked at once, since whoever asks does so again.
        with contextlib.closing(self._connect(timeout=0.0)) as other:
            try:
                other.execute("BEGIN EXCLUSIVE")
            except sqlite3.OperationalError as error:
                return [f"somebody holds a lock on the file: {error}"]
            other.execute("ROLLBACK")
        return []


CONTROLS: dict[DialectName, Callable[[str, bool], Control]] = {
    "postgresql": PostgresqlControl,
    "sqlite": SqliteControl,
    "mysql": MysqlControl,
}


@contextlib.contextmanager
def control_of(dialect: DialectName, url: str, colocated: bool) -> Iterator[Control]:
    """A control that is closed at the end."""
    control = CONTROLS[dialect](url, colocated)
    try:
        yield control
    finally:
        control.close()
