"""The benchmark of waiting runs, and reports; what it measures is never asserted."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from benchmarks.waiting import Case, main


def test_command_line(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    kept = tmp_path / "figures.json"
    main(["--quick", "--alone", "--database", "sqlite", "--json", str(kept)])
    printed = capsys.readouterr().out
    assert "A smoke run" in printed
    cases = json.loads(kept.read_text())["sqlite"]
    names = {case["name"] for case in cases}
    assert {f"{kind}, from another process" for kind in ("message", "event", "result")} < names
    assert {"10 children, one by one", "10 children, all at once", "50 asleep, async", "20 receiving, sync"} < names
    assert all(value > 0 for case in cases for value in case["values"]["Durably"] if case["unit"] == "ms")


def test_ratios_are_taken_within_each_round() -> None:
    case = Case("children", "ms", "< 10 % of DBOS's", loads=[1.0, 2.0])
    for ours, theirs in ((1.0, 10.0), (4.0, 20.0)):
        case.add("Durably", ours)
        case.add("DBOS", theirs)
    assert case.ratios() == [0.1, 0.2]
    assert "ratio 0.15 [0.10-0.20]" in case.line()
    assert "(load 1.0, 2.0)" in case.line()
