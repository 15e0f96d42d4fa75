"""Writes docs/figures/conformance.json and docs/conformance.md: `python scripts/conformance_table.py RESULTS`.

RESULTS is what `pytest --conformance-json RESULTS` has written: a verdict for each scenario. `make conformance` does
both.
"""

from __future__ import annotations

import json
import sys
from collections import Counter
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parents[1]
FIGURES = ROOT / "docs" / "figures" / "conformance.json"
PAGE = ROOT / "docs" / "conformance.md"
COUNTED = ("passed", "failed", "unsupported")


def summary(results: dict[str, Any]) -> list[dict[str, Any]]:
    """For each adapter and placement: how many scenarios passed, failed, and are declared unsupported, and why."""
    counts: dict[tuple[str, str], Counter[str]] = {}
    reasons: dict[tuple[str, str], set[str]] = {}
    for one in results["scenarios"]:
        key = one["subject"], one["placement"]
        counts.setdefault(key, Counter())[one["verdict"]] += 1
        if one["verdict"] == "unsupported":
            reasons.setdefault(key, set()).add(one["why"])
    return [
        {
            "adapter": adapter,
            "database": placement.partition("-")[0],
            "system_database": "apart" if placement.endswith("-apart") else "co-located",
            **{verdict: counted[verdict] for verdict in COUNTED},
            "declared": sorted(reasons.get((adapter, placement), ())),
        }
        for (adapter, placement), counted in sorted(counts.items())
    ]


def page(figures: list[dict[str, Any]]) -> str:
    """The page's whole text."""
    names = {"postgresql": "PostgreSQL", "sqlite": "SQLite", "mysql": "MariaDB"}
    declared = sorted({why for one in figures for why in one["declared"]})
    lines = [
        "# Conformance",
        "",
        "What every adapter keeps, as tests that are the same for all: `durably.testing.conformance`, the suite that",
        "the author of [an adapter for another ORM](writing-an-adapter.md) runs, too; that page's is among these.",
        "Written by `make conformance` from [figures/conformance.json](figures/conformance.json).",
        "",
        "| adapter | database | system database | passed | failed | declared unsupported |",
        "|---|---|---|---|---|---|",
        *(
            f"| {one['adapter']} | {names[one['database']]} | {one['system_database']} |"
            f" {one['passed']} | {one['failed']} | {one['unsupported']} |"
            for one in figures
        ),
        f"| all | | | {_sum(figures, 'passed')} | {_sum(figures, 'failed')} | {_sum(figures, 'unsupported')} |",
        "",
        "What an ORM cannot do is declared; where Durably can refuse it, the suite shows that it is refused clearly:",
        "",
        *(f"- {why}" for why in declared),
        "",
    ]
    return "\n".join(lines)


def _sum(figures: list[dict[str, Any]], verdict: str) -> int:
    return sum(one[verdict] for one in figures)


if __name__ == "__main__":
    found = summary(json.loads(Path(sys.argv[1]).read_text(encoding="utf-8")))
    FIGURES.write_text(json.dumps(found, indent=1) + "\n", encoding="utf-8")
    PAGE.write_text(page(found), encoding="utf-8")
