"""Draws docs/statuses.md from the table of legal status transitions: `python scripts/status_diagram.py`."""

from __future__ import annotations

from pathlib import Path

from durably.model import TRANSITIONS, Status

PAGE = Path(__file__).resolve().parents[1] / "docs" / "statuses.md"


def page() -> str:
    """The page's whole text."""
    lines = [
        "# The statuses of a workflow",
        "",
        "Drawn from the table `TRANSITIONS` in `durably.model`; run `python scripts/status_diagram.py` after a change.",
        "",
        "```mermaid",
        "stateDiagram-v2",
        "    [*] --> PENDING: started here",
        "    [*] --> ENQUEUED: left for an executor",
        *(f"    {before} --> {after}: {why}" for (before, after), why in TRANSITIONS.items()),
        *(f"    {status} --> [*]" for status in Status if status.is_final),
        "```",
        "",
    ]
    return "\n".join(lines)


if __name__ == "__main__":
    PAGE.write_text(page(), encoding="utf-8")
