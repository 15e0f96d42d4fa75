"""What each subject passed at each placement: counted from pytest's reports, shown as a table and as JSON."""

from __future__ import annotations

import json
from collections import Counter
from typing import Any, Literal

import pytest

from durably.testing.conformance.scenario import NOT_APPLICABLE, UNSUPPORTED

Verdict = Literal["passed", "failed", "unsupported", "n/a", "skipped"]
VERDICTS: tuple[Verdict, ...] = ("passed", "failed", "unsupported", "n/a", "skipped")
#: Those that come with a reason, and how the summary calls them.
EXPLAINED: dict[Verdict, str] = {
    "unsupported": "declared unsupported",
    "n/a": "not applicable",
    "skipped": "skipped",
}


class Results:
    """The verdict of each scenario of each subject."""

    def __init__(self) -> None:
        #: By subject, placement and node.
        self._verdicts: dict[tuple[str, str, str], tuple[Verdict, str]] = {}

    def __bool__(self) -> bool:
        return bool(self._verdicts)

    def add(self, subject: str, placement: str, report: pytest.TestReport, properties: dict[str, Any]) -> None:
        """Count one phase of a test: set-up, call, or tear-down. The worst of them is the verdict."""
        key = (subject, placement, report.nodeid)
        if report.failed:
            self._verdicts[key] = ("failed", str(report.when))
        elif report.skipped:
            why = report.longrepr[2] if isinstance(report.longrepr, tuple) else str(report.longrepr)
            self._verdicts.setdefault(key, ("skipped", why))
        elif report.when == "call":
            declared, absent = str(properties.get(UNSUPPORTED, "")), str(properties.get(NOT_APPLICABLE, ""))
            verdict: Verdict = "unsupported" if declared else "n/a" if absent else "passed"
            self._verdicts.setdefault(key, (verdict, declared or absent))

    def lines(self) -> list[str]:
        """The table, and below it what was declared and why, and what was skipped."""
        counts: dict[tuple[str, str], Counter[Verdict]] = {}
        for (subject, placement, _), (verdict, _why) in self._verdicts.items():
            counts.setdefault((subject, placement), Counter())[verdict] += 1
        width = max(len("subject"), *(len(subject) for subject, _ in counts)) + 2
        head = f"{'subject':<{width}}{'placement':<18}" + "".join(f"{verdict:>13}" for verdict in VERDICTS)
        lines = [head]
        for (subject, placement), counted in sorted(counts.items()):
            lines.append(
                f"{subject:<{width}}{placement:<18}" + "".join(f"{counted[verdict]:>13}" for verdict in VERDICTS)
            )
        for verdict, title in EXPLAINED.items():
            whys = Counter(why for found, why in self._verdicts.values() if found == verdict)
            lines += [f"{title}: {why} ({count})" for why, count in sorted(whys.items())]
        return lines

    def json(self) -> str:
        """Every verdict, for a program to read."""
        scenarios = [
            {
                "subject": subject,
                "placement": placement,
                "scenario": node.rpartition("::")[2].partition("[")[0],
                "node": node,
                "verdict": verdict,
                "why": why,
            }
            for (subject, placement, node), (verdict, why) in sorted(self._verdicts.items())
        ]
        return json.dumps({"scenarios": scenarios}, indent=1) + "\n"
