"""Commands about the system database's tables."""

from __future__ import annotations

import logging
from enum import Enum
from typing import Annotated

import typer

from durably import schema
from durably.client import open_ledger
from durably.clock import SystemClock
from durably.config import redacted, resolve
from durably.errors import DurablyError


class Database(str, Enum):
    """The databases that can be a system database."""

    postgresql = "postgresql"
    sqlite = "sqlite"


def migrate(
    url: Annotated[
        str, typer.Argument(envvar="DURABLY_SYSTEM_DATABASE_URL", help="postgresql://… or sqlite:///file.db")
    ],
) -> None:
    """Bring a system database up to date, with a role that may create tables."""
    before = logging.getLogger("durably.ledger").getEffectiveLevel()
    logging.basicConfig(format="%(message)s")
    logging.getLogger("durably.ledger").setLevel(min(before, logging.INFO))
    try:
        settings = resolve("migrate", adapter_url=None, environment={}, system_database_url=url)
        open_ledger(settings, SystemClock()).close()
    except DurablyError as error:
        typer.secho(str(error), err=True, fg=typer.colors.RED)
        raise typer.Exit(1) from error
    typer.echo(f"{redacted(url)} is up to date")


def print_schema(
    database: Annotated[Database, typer.Argument(help="which dialect to print")] = Database.postgresql,
) -> None:
    """Print the whole schema as SQL, to be reviewed or run by hand."""
    typer.echo(schema.script(database.value))
