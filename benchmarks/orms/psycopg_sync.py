"""psycopg's Connection, from a pool."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

from psycopg_pool import ConnectionPool

from benchmarks.orms import Orm
from durably_psycopg import Psycopg, connection

INSERT = "INSERT INTO item (n, note) VALUES (%s, %s)"


@contextmanager
def opened(url: str) -> Iterator[Orm]:
    """The driver on that database."""
    with ConnectionPool(url, open=True) as pool:

        def plain() -> None:
            with pool.connection() as c:
                c.execute(INSERT, (1, "plain"))

        def insert() -> None:
            connection().execute(INSERT, (1, "durable"))

        yield Orm("psycopg", "psycopg", Psycopg(pool), plain, insert)
