"""The page of conformance figures is the one that the figures give, and no figure in it is a failure."""

from __future__ import annotations

import json

from scripts.conformance_table import FIGURES, PAGE, page, summary


def test_the_page_is_written_from_the_figures() -> None:
    figures = json.loads(FIGURES.read_text(encoding="utf-8"))
    assert PAGE.read_text(encoding="utf-8") == page(figures)
    assert [one for one in figures if one["failed"]] == []


def test_nine_adapters_are_in_it() -> None:
    figures = json.loads(FIGURES.read_text(encoding="utf-8"))
    assert len({one["adapter"] for one in figures}) >= 9


def test_verdicts_are_counted_by_adapter_and_placement() -> None:
    scenario = {"subject": "orm", "placement": "sqlite-apart", "why": ""}
    verdicts = [{"verdict": "passed"}, {"verdict": "passed"}, {"verdict": "unsupported", "why": "it cannot"}]
    assert summary({"scenarios": [{**scenario, **one} for one in verdicts]}) == [
        {
            "adapter": "orm",
            "database": "sqlite",
            "system_database": "apart",
            "passed": 2,
            "failed": 0,
            "unsupported": 1,
            "declared": ["it cannot"],
        }
    ]
