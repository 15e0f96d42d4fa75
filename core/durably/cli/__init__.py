"""The command line: ``durably``. One file for each group of commands."""

from __future__ import annotations

import typer

from durably._version import __version__
from durably.cli import schema

app = typer.Typer(help="Durable execution on the database that is already there.", no_args_is_help=True)
app.command()(schema.migrate)
app.command("schema")(schema.print_schema)


@app.command()
def version() -> None:
    """Print the version."""
    typer.echo(__version__)


def main() -> None:
    """The script ``durably``."""
    app()
