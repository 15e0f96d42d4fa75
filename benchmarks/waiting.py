"""What waiting and talking cost, beside DBOS where it does the same: ``python -m benchmarks.waiting``.

Between two processes: how long after it happens a message, an event, a result is known. In one process: a hundred
children fanned out and joined, two workflows that send to each other, and a crowd that waits. The systems take turns,
on an empty database each; nothing here fails because of a time: the report says what was reached.
"""

from __future__ import annotations

import argparse
import json
import os
import random
import subprocess
import sys
import time
from collections.abc import Sequence
from contextlib import ExitStack
from dataclasses import asdict, dataclass, field
from datetime import date
from pathlib import Path
from statistics import median
from typing import Any

from benchmarks.databases import DATABASES, Databases, opened
from benchmarks.report import machine, progress, spread
from benchmarks.talking import KINDS, ROOT, Kind, Worker


@dataclass(frozen=True)
class Plan:
    """How much of everything, in one round."""

    #: How often each kind of news is measured; the systems that poll once a second get fewer.
    news: int = 40
    polled: int = 6
    children: int = 100
    turns: int = 100
    polled_turns: int = 4
    #: How many wait at once: coroutines, and plain functions.
    crowd: int = 10_000
    threads: int = 1_000
    idle_seconds: float = 5.0


QUICK = Plan(news=3, polled=1, children=10, turns=5, polled_turns=1, crowd=50, threads=20, idle_seconds=0.2)


@dataclass(frozen=True)
class System:
    """One of those that are compared."""

    name: str
    module: str
    python: str

    def opened(self, stack: ExitStack, url: str) -> Worker:
        """A process of it."""
        return stack.enter_context(Worker(self.python, self.module, url))


@dataclass
class Case:
    """What was measured, in each round; and the load average when each began."""

    name: str
    unit: str
    target: str = ""
    #: System → a value of each round.
    values: dict[str, list[float]] = field(default_factory=dict)
    loads: list[float] = field(default_factory=list)

    def add(self, system: str, value: float) -> None:
        """One round's value."""
        self.values.setdefault(system, []).append(value)

    def ratios(self) -> list[float]:
        """Durably's value over DBOS's, within each round."""
        return [
            ours / theirs for ours, theirs in zip(self.values["Durably"], self.values.get("DBOS", ()), strict=False)
        ]

    def line(self) -> str:
        """One row of the table."""
        cells = [f"{name} {spread(values)} {self.unit}" for name, values in self.values.items()]
        if self.ratios():
            cells.append(f"ratio {spread(self.ratios())}")
        if self.target:
            cells.append(f"target {self.target}")
        loads = ", ".join(f"{load:.1f}" for load in self.loads)
        return f"  {self.name:<34} {' | '.join(cells)}   (load {loads})"


NEWS_TARGETS = {"postgres": "< 10 ms", "sqlite": "< 60 ms"}


def news(databases: Databases, systems: Sequence[System], plan: Plan, rounds: int) -> list[Case]:
    """How long after it happens in one process another one knows of it; each round's median."""
    cases = [Case(f"{kind}, from another process", "ms", NEWS_TARGETS[databases.name]) for kind in KINDS]
    for number in range(rounds):
        load = os.getloadavg()[0]
        for case in cases:
            case.loads.append(load)
        for system in systems[:: 1 if number % 2 == 0 else -1]:
            with ExitStack() as stack:
                url = databases.empty()
                here = system.opened(stack, url)
                here.call("version")  # the schema is there before another process looks
                there = system.opened(stack, url)
                there.call("version")
                for case, kind in zip(cases, KINDS, strict=True):
                    progress(f"{databases.name}: {case.name}, {system.name}")
                    count = plan.polled if _polls(system, databases, kind) else plan.news
                    seconds = [_one(here, there, kind) for _ in range(1 + count)]
                    case.add(system.name, median(seconds[1:]) * 1000)
    return cases


def _polls(system: System, databases: Databases, kind: Kind) -> bool:
    """Whether it looks once a second for this, so that each takes a second, and few are enough."""
    return system.name == "DBOS" and (databases.name == "sqlite" or kind == "result")


def _one(here: Worker, there: Worker, kind: Kind) -> float:
    """One piece of news: it happens there, while somebody waits here; seconds."""
    name = f"{kind}-{random.getrandbits(64):x}"
    there.call("prepare", kind, name)
    here.begin("wait", kind, name)
    # Until it waits for certain, and no two in the same phase of anybody's polling.
    time.sleep(0.03 + random.uniform(0, 0.05))
    there.call("tell", kind, name)
    return float(here.end()) / 1e9


def together(databases: Databases, systems: Sequence[System], plan: Plan, rounds: int) -> list[Case]:
    """Children and ping-pong, in one process; the median of three in each round."""
    children = Case(f"{plan.children} children, one by one", "ms", "< 10 % of DBOS's")
    at_once = Case(f"{plan.children} children, all at once", "ms", "< 10 % of DBOS's")
    turns = Case(f"ping-pong, {plan.turns} turns, each", "ms", "< 25 % of DBOS's")
    for number in range(rounds):
        for case in (children, at_once, turns):
            case.loads.append(os.getloadavg()[0])
        for system in systems[:: 1 if number % 2 == 0 else -1]:
            progress(f"{databases.name}: children and ping-pong, {system.name}")
            with ExitStack() as stack:
                worker = system.opened(stack, databases.empty())
                worker.call("fan_out", 5)
                worker.call("fan_out_at_once", 5)
                count = plan.polled_turns if _polls(system, databases, "message") else plan.turns
                worker.call("ping_pong", 1)
                children.add(system.name, median(worker.call("fan_out", plan.children) for _ in range(3)) * 1000)
                at_once.add(system.name, median(worker.call("fan_out_at_once", plan.children) for _ in range(3)) * 1000)
                played = median(worker.call("ping_pong", count) for _ in range(3))
                turns.add(system.name, played / count * 1000)
    return [children, at_once, turns]


CROWD_UNITS = {
    "kilobytes_each": "KB each",
    "threads": "threads in all",
    "more_threads": "threads more",
    "started_per_second": "starts/s",
    "cpu_percent": "% of a core, all waiting",
}


def crowds(databases: Databases, plan: Plan) -> list[Case]:
    """Workflows that wait at once in one process of Durably."""
    cases = []
    for form, count in (("async", plan.crowd), ("sync", plan.threads)):
        for what in ("asleep", "receiving"):
            progress(f"{databases.name}: {count} {what}, {form}")
            load = os.getloadavg()[0]
            arguments = [databases.empty(), what, form, str(count), str(plan.idle_seconds)]
            command = [sys.executable, "-m", "benchmarks.workers.crowd_worker", *arguments]
            ended = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=600, check=False)
            if ended.returncode or not ended.stdout:
                raise SystemExit(f"the crowd failed with status {ended.returncode}:\n{ended.stderr[-4000:]}")
            for name, value in json.loads(ended.stdout.splitlines()[-1]).items():
                case = Case(f"{count:,} {what}, {form}", CROWD_UNITS[name], loads=[load])
                case.add("Durably", value)
                cases.append(case)
    return cases


def main(arguments: Sequence[str] | None = None) -> None:
    """Measure as asked on the command line, print the table, and keep the raw figures if a file is named."""
    asked = _parser().parse_args(arguments)
    plan, rounds = (QUICK, asked.rounds or 1) if asked.quick else (Plan(), asked.rounds or 3)
    systems = [System("Durably", "talking_durably", sys.executable)]
    if not asked.alone:
        systems.append(System("DBOS", "talking_dbos", asked.dbos_python))
    kept: dict[str, Any] = {"date": date.today().isoformat(), "machine": machine(), "plan": asdict(plan)}
    for name in DATABASES if asked.database == "both" else (asked.database,):
        with opened(name) as databases:
            cases: list[Case] = []
            if "news" in asked.cases:
                cases += news(databases, systems, plan, rounds)
            if "together" in asked.cases:
                cases += together(databases, systems, plan, rounds)
            if "crowds" in asked.cases:
                cases += crowds(databases, plan)
            progress("")
            print(f"{databases.version} · {kept['date']} · {machine()} · {rounds} rounds: median [min-max]")
            print("\n".join(case.line() for case in cases), flush=True)
            if asked.quick:
                print("A smoke run: it shows that the benchmark works; its figures mean nothing.")
            kept[name] = [asdict(case) for case in cases]
    if asked.json is not None:
        asked.json.write_text(json.dumps(kept, indent=1) + "\n")


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.waiting", description=__doc__)
    parser.add_argument("--quick", action="store_true", help="a few seconds: shows that it works, measures nothing")
    parser.add_argument("--rounds", type=int, help="how many rounds (3)")
    parser.add_argument("--database", choices=(*DATABASES, "both"), default="both")
    parser.add_argument("--cases", nargs="+", choices=CASES, default=CASES, help="only some")
    parser.add_argument("--alone", action="store_true", help="leave out DBOS")
    parser.add_argument("--dbos-python", default=sys.executable, metavar="PATH", help="the Python that has DBOS")
    parser.add_argument("--json", type=Path, metavar="FILE", help="keep the raw figures")
    return parser


CASES = ("news", "together", "crowds")


if __name__ == "__main__":
    main()
