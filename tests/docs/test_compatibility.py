"""The table of versions in the docs is the one that tox.ini gives."""

from __future__ import annotations

from scripts.compatibility import PAGE, environments, page


def test_the_table_is_written_from_the_environments() -> None:
    assert PAGE.read_text(encoding="utf-8") == page()


def test_braces_are_multiplied_out() -> None:
    assert environments()["sqlalchemy", "2.1"] == ["3.11", "3.12", "3.13"]
