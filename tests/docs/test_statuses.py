"""The diagram of statuses in the docs is the one that the table of transitions gives."""

from __future__ import annotations

from scripts.status_diagram import PAGE, page


def test_the_diagram_is_drawn_from_the_table_of_transitions() -> None:
    assert PAGE.read_text(encoding="utf-8") == page()
