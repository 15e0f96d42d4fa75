"""Where the demo's shop keeps its data: a SQLite file, or a database of its own on a PostgreSQL server."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager
from enum import Enum
from pathlib import Path
from typing import NamedTuple
from uuid import uuid4

from sqlalchemy import make_url

from durably import DatabaseUnavailableError
from durably.testing.postgres import PostgresServer, start_postgres

SERVER_VARIABLE = "DURABLY_DEMO_POSTGRES_URL"


class Kind(str, Enum):
    """The databases that the demo runs on."""

    SQLITE = "sqlite"
    POSTGRES = "postgres"


class Database(NamedTuple):
    """An empty database: its address, and where it is, in words."""

    url: str
    where: str


@contextmanager
def new_database(kind: Kind, folder: Path) -> Iterator[Database]:
    """An empty database for one run of the demo. What is there already is never touched."""
    if kind is Kind.SQLITE:
        file = folder / "shop.db"
        yield Database(f"sqlite:///{file}", f"SQLite: {file}, with Durably's shop.durably.db beside it")
    elif url := os.environ.get(SERVER_VARIABLE):
        server = PostgresServer(make_url(url).set(drivername="postgresql").render_as_string(hide_password=False))
        name = f"durably_demo_{uuid4().hex[:8]}"
        yield from _on(server, name, f"the server in {SERVER_VARIABLE}, dropped afterwards")
    else:
        with start_postgres(install=True) as server:
            yield from _on(server, "shop", f"a throw-away server, since {SERVER_VARIABLE} is not set")


def _on(server: PostgresServer, name: str, where: str) -> Iterator[Database]:
    try:
        created = server.create_database(name)
    except Exception as error:
        raise DatabaseUnavailableError(f"no database could be made on {where}: {error}") from error
    url = make_url(created).set(drivername="postgresql+psycopg")  # SQLAlchemy is to use psycopg 3
    try:
        yield Database(url.render_as_string(hide_password=False), f"PostgreSQL: database {name} on {where}")
    finally:
        server.drop_database(name)
