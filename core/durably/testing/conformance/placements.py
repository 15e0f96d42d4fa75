"""Where a scenario runs: on which database, and whether the system database is the application's own."""

from __future__ import annotations

from dataclasses import dataclass

from durably.adapter import DialectName


@dataclass(frozen=True)
class Placement:
    """One column of the table of results."""

    database: DialectName
    colocated: bool

    def __str__(self) -> str:
        return self.database if self.colocated else f"{self.database}-apart"


#: Apart, the system database is an SQLite file. None of Durably's own is on MySQL or MariaDB.
PLACEMENTS = (
    Placement("postgresql", True),
    Placement("postgresql", False),
    Placement("sqlite", True),
    Placement("sqlite", False),
    Placement("mysql", False),
)
