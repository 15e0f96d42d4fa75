"""Rounds of Durably, DBOS and the bare driver, interleaved on one machine: ``python -m benchmarks.side_by_side``.

Each system runs in a process of its own, on an empty database of its own, and the order turns round from round to
round. Nothing here fails because of a time: the report says what was reached.
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from importlib.util import find_spec
from pathlib import Path
from typing import Any

from benchmarks import report
from benchmarks.databases import DATABASES, Databases, opened
from benchmarks.measure import QUICK, Plan

ROOT = Path(__file__).resolve().parent.parent
#: A worker that takes longer than this hangs.
WORKER_SECONDS = 180


@dataclass(frozen=True)
class System:
    """One of those that are compared, and what its process needs in its environment."""

    name: str
    module: str
    environment: Mapping[str, str] = field(default_factory=dict)

    def run(self, url: str, plan: Plan) -> dict[str, Any]:
        """One round of this system, in a new process: its version, and the figures of each case."""
        ended = subprocess.run(
            [sys.executable, "-m", f"benchmarks.workers.{self.module}", url, plan.to_json()],
            cwd=ROOT,
            env={**os.environ, **self.environment},
            capture_output=True,
            text=True,
            timeout=WORKER_SECONDS,
            check=False,
        )
        lines = ended.stdout.splitlines()
        if ended.returncode or not lines:
            raise SystemExit(f"{self.name} failed with status {ended.returncode}:\n{ended.stderr[-4000:]}")
        told: dict[str, Any] = json.loads(lines[-1])
        return told


DURABLY = System("Durably", "durably_worker")
DBOS = System("DBOS", "dbos_worker")
RAW = System("bare driver", "raw_worker")


def other_core(path: str) -> System:
    """Durably once more, from another source tree: to compare a change with what it changes."""
    return System(f"Durably of {path}", "durably_worker", {"PYTHONPATH": str(Path(path).resolve())})


def side_by_side(databases: Databases, systems: Sequence[System], plan: Plan, rounds: int) -> list[report.Round]:
    """All rounds on one kind of database."""
    return [_round(databases, systems[:: 1 if number % 2 == 0 else -1], plan) for number in range(rounds)]


def _round(databases: Databases, systems: Iterable[System], plan: Plan) -> report.Round:
    load = os.getloadavg()[0]
    results = {}
    for system in systems:
        report.progress(f"{databases.name}: {system.name}")
        results[system.name] = system.run(databases.empty(), plan)
    return report.Round(load, results)


def main(arguments: Sequence[str] | None = None) -> None:
    """Measure as asked on the command line, print the table, and keep the raw figures if a file is named."""
    asked = _parser().parse_args(arguments)
    plan = QUICK if asked.quick else Plan()
    systems = [DURABLY, DBOS, RAW]
    if asked.only:
        systems = [one for one in systems if one.module.removesuffix("_worker") in asked.only]
    systems += [other_core(path) for path in asked.against]
    if DBOS in systems and find_spec("dbos") is None:
        raise SystemExit("DBOS is not installed: pip install -e '.[bench]', or leave it out with --only durably raw")
    results = []
    for name in DATABASES if asked.database == "both" else (asked.database,):
        with opened(name) as databases:
            rounds = side_by_side(databases, systems, plan, asked.rounds or (1 if asked.quick else 3))
            results.append(report.Comparison(databases.name, databases.version, rounds))
    report.show(results, measured=not asked.quick)
    if asked.json is not None:
        asked.json.write_text(json.dumps(report.raw(results), indent=1) + "\n")


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.side_by_side", description=__doc__)
    parser.add_argument("--quick", action="store_true", help="a few seconds: shows that it works, measures nothing")
    parser.add_argument("--rounds", type=int, help="how many rounds (3)")
    parser.add_argument("--database", choices=(*DATABASES, "both"), default="both")
    parser.add_argument("--only", nargs="+", choices=("durably", "dbos", "raw"), help="leave out the other systems")
    parser.add_argument("--against", action="append", default=[], metavar="PATH", help="another tree of core/, too")
    parser.add_argument("--json", type=Path, metavar="FILE", help="keep the raw figures")
    return parser


if __name__ == "__main__":
    main()
