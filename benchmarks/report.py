"""What the rounds say: medians with their range, ratios within each round, and which targets were reached."""

from __future__ import annotations

import os
import platform
import sys
from collections.abc import Callable, Iterable, Sequence
from dataclasses import asdict, dataclass
from datetime import date
from statistics import median
from typing import Any

from rich.console import Console
from rich.table import Table
from rich.text import Text

from benchmarks.measure import Figures

WIDTH = 140


@dataclass(frozen=True)
class Round:
    """One round: the load average when it began, and what each system told."""

    load: float
    systems: dict[str, dict[str, Any]]

    def figures(self, system: str, case: str) -> Figures:
        """One case of one system."""
        found: Figures = self.systems[system]["cases"][case]
        return found


@dataclass(frozen=True)
class Comparison:
    """All rounds on one kind of database."""

    database: str
    version: str
    rounds: list[Round]

    @property
    def systems(self) -> list[str]:
        """The systems, Durably first and in the order of the first round."""
        return list(self.rounds[0].systems)

    @property
    def thread_cases(self) -> list[str]:
        """The names of the cases with threads."""
        return [case for case in self.rounds[0].systems[self.systems[0]]["cases"] if case.endswith(" threads")]

    def values(self, system: str, of: Measure) -> list[float]:
        """A figure of every round."""
        return [of(one, system) for one in self.rounds]

    def ratios(self, system: str, other: str, of: Measure) -> list[float]:
        """Durably's figure over another's, within each round."""
        return [of(one, system) / of(one, other) for one in self.rounds]


Measure = Callable[[Round, str], float]


def per_step(one: Round, system: str) -> float:
    """What a step costs: the slope between one step and ten."""
    ten, single = one.figures(system, "ten steps"), one.figures(system, "one step")
    return (ten["p50_ms"] - single["p50_ms"]) / 9


def _figure(case: str, name: str) -> Measure:
    return lambda one, system: float(one.figures(system, case)[name])  # type: ignore[literal-required]


def measures(thread_cases: Iterable[str]) -> list[tuple[str, Measure]]:
    """The rows of the table."""
    rows = [
        ("1 step: p50 ms", _figure("one step", "p50_ms")),
        ("1 step: p99 ms", _figure("one step", "p99_ms")),
        ("1 step: CPU ms", _figure("one step", "cpu_ms")),
        ("10 steps: p50 ms", _figure("ten steps", "p50_ms")),
        ("each further step: ms", per_step),
    ]
    for case in thread_cases:
        rows += [
            (f"{case}: workflows/s", _figure(case, "per_second")),
            (f"{case}: p50 ms", _figure(case, "p50_ms")),
            (f"{case}: p99 ms", _figure(case, "p99_ms")),
            (f"{case}: CPU ms each", _figure(case, "cpu_ms")),
        ]
    return rows


@dataclass(frozen=True)
class Target:
    """What Durably wants to reach against DBOS on the machine that the project measures on: a ratio."""

    what: str
    of: Measure
    at_least: float | None = None
    at_most: float | None = None

    def verdict(self, ratio: float) -> str:
        """Whether a ratio reaches it, in words."""
        reached = ratio >= self.at_least if self.at_least is not None else ratio <= (self.at_most or 0)
        wanted = f"at least {self.at_least:g}x" if self.at_least is not None else f"at most {self.at_most:.0%}"
        found = f"{ratio:.1f}x" if self.at_least is not None else f"{ratio:.0%}"
        return f"{self.what}: {found} of DBOS's (target: {wanted}): {'reached' if reached else 'NOT reached'}"


TARGETS: dict[str, tuple[Target, ...]] = {
    database: (
        Target("2-step workflows/s by 32 threads", _figure("32 threads", "per_second"), at_least=rate),
        Target("1-step latency, p50", _figure("one step", "p50_ms"), at_most=latency),
    )
    for database, rate, latency in (("postgres", 10, 0.45), ("sqlite", 20, 0.20))
}


def machine() -> str:
    """The machine and its Python, in a line."""
    return f"{os.cpu_count()} cores, {platform.system()} {platform.machine()}, Python {platform.python_version()}"


def progress(text: str) -> None:
    """Say what runs now, where somebody watches."""
    if sys.stderr.isatty():
        print(f"\r\x1b[K{text} …", end="", file=sys.stderr, flush=True)


def show(comparisons: Sequence[Comparison], *, measured: bool) -> None:
    """Print everything. ``measured`` False: a smoke run, whose figures mean nothing."""
    progress("")
    console = Console(width=None if sys.stdout.isatty() else WIDTH)
    for one in comparisons:
        console.print(_table(one))
        if not measured:
            console.print("A smoke run: it shows that the benchmark works; its figures mean nothing.")
        elif "DBOS" in one.systems and "Durably" in one.systems:
            for target in TARGETS[one.database]:
                console.print(target.verdict(median(one.ratios("Durably", "DBOS", target.of))))
        console.print()


def _table(one: Comparison) -> Table:
    loads = ", ".join(f"{each.load:.1f}" for each in one.rounds)
    versions = ", ".join(f"{name} {one.rounds[0].systems[name]['version']}" for name in one.systems)
    # Text, since rich takes brackets in a str for markup.
    title = Text(
        f"{one.version} · {date.today().isoformat()} · {machine()}\n{versions}\n"
        f"rounds: {len(one.rounds)}; median [min-max]; load average at the start of each: {loads}"
    )
    table = Table(title=title, caption="CPU: of the Python process. With threads, workflows have 2 steps.")
    table.add_column("", no_wrap=True)
    for name in one.systems:
        table.add_column(name, justify="right")
    others = [name for name in one.systems if name != "Durably"] if "Durably" in one.systems else []
    for name in others:
        table.add_column(f"ratio to {name}", justify="right")
    for label, of in measures(one.thread_cases):
        cells = [spread(one.values(name, of)) for name in one.systems]
        cells += [spread(one.ratios("Durably", name, of)) for name in others]
        table.add_row(label, *map(Text, cells))
    return table


def spread(values: Sequence[float]) -> str:
    """Median and range, with about three digits."""
    text = _short(median(values))
    return text if len(values) == 1 else f"{text} [{_short(min(values))}-{_short(max(values))}]"


def _short(value: float) -> str:
    return f"{value:,.0f}" if value >= 100 else f"{value:.1f}" if value >= 10 else f"{value:.2f}"


def raw(comparisons: Sequence[Comparison]) -> dict[str, Any]:
    """Everything that was measured, for ``--json``."""
    return {
        "date": date.today().isoformat(),
        "machine": machine(),
        "comparisons": [asdict(one) for one in comparisons],
    }
