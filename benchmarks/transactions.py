"""What a durable transaction costs beside the ORM's own: ``python -m benchmarks.transactions``.

Both begin, insert one row through the ORM, and commit; Durably's also records its checkpoint, co-located on PostgreSQL.
They run by turns in one process, so that what slows one down slows down the other; the ratio is that of the medians.
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
from collections.abc import Iterator, Sequence
from contextlib import closing
from pathlib import Path
from statistics import median
from typing import Any, NamedTuple

from rich.console import Console
from rich.table import Table

from benchmarks import report
from benchmarks.databases import opened
from benchmarks.measure import percentile
from benchmarks.orms import ORMS, TABLE

ROOT = Path(__file__).resolve().parent.parent
WORKER_SECONDS = 300
#: What the project set itself: so many times the plain transaction, at most.
TARGET = 1.6


class Round(NamedTuple):
    """One ORM in one round; milliseconds."""

    module: str
    name: str
    version: str
    load: float
    plain: float
    durable: float
    plain_p95: float
    durable_p95: float

    @property
    def ratio(self) -> float:
        """Of the medians."""
        return self.durable / self.plain


def measure(orms: Sequence[str], pairs: int, rounds: int, *, asynchronous_commit: bool) -> Iterator[Round]:
    """All rounds; the order of the ORMs turns round from one to the next."""
    with opened("postgres") as databases:
        for number in range(rounds):
            for module in orms[:: 1 if number % 2 == 0 else -1]:
                report.progress(f"round {number + 1} of {rounds}: {module}")
                yield _round(module, _prepared(databases, asynchronous_commit), pairs)


def _prepared(databases: Any, asynchronous_commit: bool) -> str:
    import psycopg

    url: str = databases.empty()
    with closing(psycopg.connect(url, autocommit=True)) as connection:
        connection.execute(TABLE)
        if asynchronous_commit:
            name = url.rpartition("/")[2]
            connection.execute(f"ALTER DATABASE {name} SET synchronous_commit = off".encode())
    return url


def _round(module: str, url: str, pairs: int) -> Round:
    load = os.getloadavg()[0]
    ended = subprocess.run(
        [sys.executable, "-m", "benchmarks.workers.transactions_worker", module, url, str(pairs)],
        cwd=ROOT,
        capture_output=True,
        text=True,
        timeout=WORKER_SECONDS,
        check=False,
    )
    lines = ended.stdout.splitlines()
    if ended.returncode or not lines:
        raise SystemExit(f"{module} failed with status {ended.returncode}:\n{ended.stderr[-4000:]}")
    told = json.loads(lines[-1])
    plain, durable = (sorted(1000 * one for one in told[kind]) for kind in ("plain", "durable"))
    return Round(
        module,
        told["name"],
        told["version"],
        load,
        median(plain),
        median(durable),
        percentile(plain, 0.95),
        percentile(durable, 0.95),
    )


def show(rounds: Sequence[Round], commit: str, *, measured: bool) -> None:
    """The table: medians over the rounds, the ratio with its range."""
    table = Table(title=f"one ORM insert, co-located on PostgreSQL, {commit}" + ("" if measured else " (not measured)"))
    for heading in ("ORM", "plain ms", "durable ms", "p95 ms", "ratio", f"at most {TARGET}"):
        table.add_column(heading, justify="left" if heading == "ORM" else "right")
    for module in dict.fromkeys(one.module for one in rounds):
        mine = [one for one in rounds if one.module == module]
        ratios = sorted(one.ratio for one in mine)
        table.add_row(
            f"{mine[0].name} {mine[0].version}",
            f"{median(one.plain for one in mine):.2f}",
            f"{median(one.durable for one in mine):.2f}",
            f"{median(one.plain_p95 for one in mine):.2f} / {median(one.durable_p95 for one in mine):.2f}",
            f"{median(ratios):.2f} [{ratios[0]:.2f}-{ratios[-1]:.2f}]",
            "yes" if median(ratios) <= TARGET else "no",
        )
    console = Console(width=report.WIDTH)
    console.print(table)
    console.print(f"load average at the starts: {', '.join(f'{one.load:.1f}' for one in rounds)}")


def main(arguments: Sequence[str] | None = None) -> None:
    """Measure as asked on the command line, and print the table."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.transactions", description=__doc__)
    parser.add_argument("--quick", action="store_true", help="shows that it works, measures nothing")
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--pairs", type=int, default=1000, help="transactions of each kind in a round")
    parser.add_argument("--only", nargs="+", choices=ORMS, default=ORMS)
    parser.add_argument(
        "--asynchronous-commit",
        action="store_true",
        help="PostgreSQL with synchronous_commit = off: both commits cost nearly nothing, and what is left is the code",
    )
    parser.add_argument("--json", type=Path, metavar="FILE", help="keep the figures")
    asked = parser.parse_args(arguments)
    rounds = list(
        measure(
            asked.only,
            20 if asked.quick else asked.pairs,
            1 if asked.quick else asked.rounds,
            asynchronous_commit=asked.asynchronous_commit,
        )
    )
    commit = "synchronous_commit " + ("off" if asked.asynchronous_commit else "on")
    show(rounds, commit, measured=not asked.quick)
    if asked.json is not None:
        asked.json.write_text(json.dumps([one._asdict() for one in rounds], indent=1) + "\n")


if __name__ == "__main__":
    main()
