"""The demo: places every order of a CSV file, kills its own worker three times on the way, and audits the books."""

from __future__ import annotations

import shutil
import tempfile
import time
from pathlib import Path
from typing import Annotated

import typer
from rich.console import Console
from sqlalchemy import create_engine

from durably import DurablyError
from examples.shop import audit, models, payments, report
from examples.shop.databases import Database, Kind, new_database
from examples.shop.orders import SAMPLE, BadOrders, OrderLine, read_orders
from examples.shop.supervisor import Stuck, Supervisor

KILLS = 3
ORDERS_PER_KILL = 5  # in a file with fewer, there would be nothing in flight to be killed

console = Console(highlight=False)


def main(
    db: Annotated[Kind, typer.Option(help="The database of the shop.")] = Kind.SQLITE,
    orders: Annotated[
        Path,
        typer.Option(
            exists=True,
            dir_okay=False,
            show_default="a sample of 200",
            help="Orders as CSV: order_id, sku, quantity, unit_cents.",
        ),
    ] = SAMPLE,
    keep: Annotated[Path | None, typer.Option(help="A new or empty folder for all files, kept afterwards.")] = None,
) -> None:
    """Place every order while the worker is killed with SIGKILL three times, and show that the numbers are right."""
    try:
        lines = read_orders(orders)
        folder = _folder(keep)
    except (BadOrders, OSError) as error:
        raise _refused(error) from error
    right: bool | None = None
    try:
        with new_database(db, folder) as database:
            right = _run(lines, orders.resolve(), folder, database)
    except DurablyError as error:
        raise _refused(error) from error
    finally:
        if keep is None and right is not False:
            shutil.rmtree(folder)
        else:
            console.print(f"All files are in {folder}")
    raise typer.Exit(0 if right else 1)


def _refused(error: Exception) -> typer.Exit:
    console.print(str(error), style="red", markup=False)
    return typer.Exit(2)


def _folder(keep: Path | None) -> Path:
    if keep is None:
        return Path(tempfile.mkdtemp(prefix="durably-demo-"))
    keep.mkdir(parents=True, exist_ok=True)
    if any(keep.iterdir()):
        raise FileExistsError(f"{keep} is not empty; the demo begins with an empty folder")
    return keep.resolve()


def _run(orders: list[OrderLine], file: Path, folder: Path, database: Database) -> bool:
    """One run, from the opening of the shop to the audit; whether every number is right."""
    began = time.monotonic()
    kills = min(KILLS, len(orders) // ORDERS_PER_KILL)
    ledger, log = folder / "payments.db", folder / "worker.log"
    console.print(f"[bold]{len(orders)} orders to place, and {kills} × kill -9 for the worker on the way[/]")
    console.print(f"[dim]{database.where}[/]", soft_wrap=True)
    engine = create_engine(database.url)
    opening_stock = models.open_shop(engine, orders)
    with report.Bar(console, len(orders)) as bar:
        supervisor = Supervisor(
            file,
            {"SHOP_DATABASE_URL": database.url, payments.LEDGER_VARIABLE: str(ledger)},
            log,
            marks=[len(orders) * number // (kills + 1) for number in range(1, kills + 1)],
            progress=lambda: audit.progress(engine),
            on_progress=bar.moved,
            on_start=bar.started,
            on_kill=bar.killed,
        )
        trouble = _watched(supervisor)
    found = audit.audit(engine, ledger, orders, opening_stock)
    engine.dispose()
    report.conclude(console, found, supervisor.kills, kills, time.monotonic() - began, trouble, log)
    return found.is_right and supervisor.kills == kills and trouble is None


def _watched(supervisor: Supervisor) -> str | None:
    """Let the orders be placed; what went wrong, if something did."""
    try:
        supervisor.run()
    except Stuck as stuck:
        return str(stuck)
    return None


if __name__ == "__main__":
    typer.run(main)
