"""The configurations of the crash matrix: which adapters are tested on which databases, and how much of each."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Literal

Database = Literal["postgresql", "sqlite", "mysql"]
#: Around the commit all get the same kills. ``whole``: at every other point, too. ``quarter``: there with a quarter of
#: the kills. ``commit``: nowhere else, but for the echo. ``-``: the ORM has no such database.
Extent = Literal["whole", "quarter", "commit", "-"]

_PLACES: tuple[tuple[Database, bool], ...] = (
    ("postgresql", True),
    ("postgresql", False),
    ("sqlite", True),
    ("sqlite", False),
    ("mysql", False),  # the system database is on PostgreSQL then: there is none on MariaDB
)
#: What is above the adapter is the same for all, so that SQLAlchemy stands for the others at the points up there.
_TABLE: Mapping[str, tuple[Extent, Extent, Extent, Extent, Extent]] = {
    #                     PostgreSQL             SQLite                 MariaDB
    #                     co-located  apart      co-located  apart      apart
    "sqlalchemy":        ("whole",    "whole",   "whole",    "whole",   "commit"),
    "sqlalchemy async":  ("quarter",  "commit",  "commit",   "quarter", "commit"),
    "django":            ("commit",   "commit",  "commit",   "commit",  "commit"),
    "peewee":            ("commit",   "commit",  "commit",   "commit",  "commit"),
    "peewee async":      ("commit",   "commit",  "commit",   "commit",  "commit"),
    "tortoise async":    ("commit",   "commit",  "commit",   "commit",  "commit"),
    "psycopg":           ("commit",   "commit",  "-",        "-",       "-"),
    "psycopg async":     ("commit",   "commit",  "-",        "-",       "-"),
}  # fmt: skip


@dataclass(frozen=True)
class Configuration:
    """One cell of the table. ``colocated``: the system database is the application's own."""

    orm: str
    asynchronous: bool
    database: Database
    colocated: bool
    extent: Extent

    def share_of(self, kills: int) -> int:
        """How many kills each point gets that is about the engine, whose code all adapters share."""
        return kills if self.extent == "whole" else max(kills // 4, 2)

    def __str__(self) -> str:
        half = " async" if self.asynchronous else ""
        database = "mariadb" if self.database == "mysql" else self.database
        return f"{self.orm}{half} {database} {'co-located' if self.colocated else 'apart'}"


def _configurations() -> Iterator[Configuration]:
    for name, extents in _TABLE.items():
        orm, _, half = name.partition(" ")
        for (database, colocated), extent in zip(_PLACES, extents, strict=True):
            if extent != "-":
                yield Configuration(orm, half == "async", database, colocated, extent)


#: All.
CONFIGURATIONS = tuple(_configurations())
#: Those at every point of which the engine is killed.
EVERYWHERE = tuple(one for one in CONFIGURATIONS if one.extent in ("whole", "quarter"))
#: SQLAlchemy's blocking half where the system database may be: for all that is about the engine rather than an adapter.
BLOCKING = tuple(one for one in EVERYWHERE if not one.asynchronous)


def configuration(name: str) -> Configuration:
    """One of them, by what it is called."""
    [found] = [one for one in CONFIGURATIONS if str(one) == name]
    return found
