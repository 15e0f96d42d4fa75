"""One ORM in one file: its own plain transaction, and the same insert for a transaction of Durably's.

Each module has ``opened(url)``, a context manager (asynchronous for an asynchronous ORM) that gives an ``Orm``.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, NamedTuple

#: The table that both transactions write one row to.
TABLE = "CREATE TABLE item (id serial PRIMARY KEY, n integer NOT NULL, note text)"

#: The modules, in the order of the report.
ORMS = (
    "psycopg_sync",
    "psycopg_async",
    "peewee_sync",
    "peewee_async",
    "django_sync",
    "tortoise_async",
    "sqlalchemy_sync",
    "sqlalchemy_async",
)


class Orm(NamedTuple):
    """An application of an ORM on a database that has the table ``item``."""

    #: How the report calls it, with its driver.
    name: str
    #: The package whose version the report gives.
    package: str
    adapter: Any
    #: Begin, insert one row through the ORM, commit; as the ORM's documentation does it.
    plain: Callable[[], Any]
    #: The same insert inside a transaction of Durably's.
    insert: Callable[[], Any]
