"""What the demo shows: the bar while it runs, and the table at the end."""

from __future__ import annotations

from pathlib import Path

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, SpinnerColumn, TaskID, TextColumn, TimeElapsedColumn
from rich.table import Table
from rich.text import Text

from examples.shop import audit
from examples.shop.audit import Audit


class Bar:
    """The progress bar, with a line above it for each worker that starts or is killed."""

    def __init__(self, console: Console, total: int) -> None:
        self._progress = Progress(
            SpinnerColumn(),
            TextColumn("orders placed"),
            BarColumn(bar_width=32),
            MofNCompleteColumn(),
            TextColumn("[cyan]{task.fields[in_flight]} in flight"),
            TextColumn("[red]{task.fields[kills]}"),
            TimeElapsedColumn(),
            console=console,
        )
        self._task: TaskID = self._progress.add_task("", total=total, in_flight=0, kills="")

    def __enter__(self) -> Bar:
        self._progress.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._progress.stop()

    def moved(self, now: audit.Progress) -> None:
        """So many are done, and so many under way."""
        self._progress.update(self._task, completed=now.done, in_flight=now.in_flight)

    def started(self, number: int, pid: int) -> None:
        """A worker began."""
        what = "takes over" if number > 1 else "starts"
        self._progress.console.print(f"  [green]▶[/] worker {number} (pid {pid}) {what}")

    def killed(self, number: int, pid: int, left: audit.Progress) -> None:
        """A worker was killed."""
        self._progress.update(self._task, kills="✗" * number)
        self._progress.console.print(
            f"  [red]✗[/] SIGKILL to worker {number} (pid {pid}): {left.done} done, [cyan]{left.in_flight} in flight[/]"
        )


def conclude(
    console: Console, found: Audit, kills: int, kills_expected: int, seconds: float, trouble: str | None, log: Path
) -> None:
    """The table, and one sentence about it."""
    console.print()
    console.print(_table(found, kills, kills_expected))
    console.print()
    if trouble is not None:
        console.print(f"[bold red]{trouble}; the end of {log}:[/]")
        console.print("\n".join(log.read_text(errors="replace").splitlines()[-15:]), markup=False)
    for line in found.wrong_stock:
        console.print(f"[red]stock of {line}[/]")
    counts = f"{found.done} done, {found.lost} lost, {found.doubled} doubled, {kills} kills survived"
    console.print(f"[bold]{counts} in {seconds:.0f} s.[/]")
    console.print(f"The provider knew {found.repeated_requests} repeated requests by the step's key.")


def _table(found: Audit, kills: int, kills_expected: int) -> Table:
    """The audit's numbers, each beside what it should be."""
    shown = Table(box=None, padding=(0, 2), pad_edge=False)
    shown.add_column("")
    shown.add_column("expected", justify="right")
    shown.add_column("found", justify="right")
    shown.add_column("")
    for name, expected, is_found in (
        ("orders", found.orders_expected, found.orders_found),
        ("done", found.orders_expected, found.done),
        ("lost", 0, found.lost),
        ("doubled", 0, found.doubled),
        ("stock left", found.stock_expected, found.stock_found),
    ):
        shown.add_row(name, f"{expected:,}", f"{is_found:,}", _mark(expected == is_found))
    for name, cents in (
        ("money in the shop's books", found.money_in_books),
        ("money in the provider's ledger", found.money_at_provider),
    ):
        wanted = found.money_expected
        shown.add_row(name, f"{wanted / 100:,.2f}", f"{cents / 100:,.2f}", _mark(cents == wanted))
    shown.add_row("kills survived", str(kills_expected), str(kills), _mark(kills == kills_expected))
    return shown


def _mark(right: bool) -> Text:
    return Text("✓", style="green") if right else Text("✗ off", style="bold red")
