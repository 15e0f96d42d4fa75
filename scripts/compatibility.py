"""Writes docs/compatibility.md from the environments in tox.ini: `python scripts/compatibility.py`."""

from __future__ import annotations

import configparser
import itertools
import re
from collections.abc import Iterator
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
PAGE = ROOT / "docs" / "compatibility.md"
NAMES = {
    "sqlalchemy": "SQLAlchemy",
    "django": "Django",
    "peewee": "Peewee",
    "tortoise": "Tortoise ORM",
    "psycopg": "psycopg",
}
_ENVIRONMENT = re.compile(r"py(\d)(\d+)-(\w+)-v([\d.]+)")  # a bare 3.1 would be a Python to tox


def environments() -> dict[tuple[str, str], list[str]]:
    """(ORM, its version): the Pythons it is tested on."""
    found: dict[tuple[str, str], list[str]] = {}
    for name in _env_list():
        match = _ENVIRONMENT.fullmatch(name)
        if match is not None:
            major, minor, orm, version = match.groups()
            found.setdefault((orm, version), []).append(f"{major}.{minor}")
    return found


def _env_list() -> Iterator[str]:
    """The names in ``env_list``, with tox's braces multiplied out."""
    parser = configparser.ConfigParser(interpolation=None)
    parser.read(ROOT / "tox.ini")
    for line in parser["tox"]["env_list"].split():
        parts = [part.split(",") for part in re.split(r"[{}]", line)]
        yield from map("".join, itertools.product(*parts))


def page() -> str:
    """The page's whole text."""
    tested = environments()
    pythons = sorted({python for on in tested.values() for python in on}, key=lambda one: int(one.partition(".")[2]))
    lines = [
        "# Which versions work together",
        "",
        "Each ✓ is an environment of `tox -m orm`: the built wheel with that ORM's extra alone, in the newest release",
        "of that version, through the adapter's tests and the conformance suite, on every database that it supports.",
        "Written from `tox.ini`; run `python scripts/compatibility.py` after a change.",
        "",
        f"| | {' | '.join(f'Python {python}' for python in pythons)} |",
        f"|---|{'---|' * len(pythons)}",
        *(
            f"| {NAMES[orm]} {version} | {' | '.join('✓' if python in on else '' for python in pythons)} |"
            for (orm, version), on in tested.items()
        ),
        "",
        "| database | as application database | as system database |",
        "|---|---|---|",
        "| PostgreSQL (tested on 15) | every adapter | yes |",
        "| SQLite, from 3.35 | every adapter but psycopg's | yes |",
        "| MariaDB (tested on 10.11) | every adapter but psycopg's | no: give it a `system_database_url` |",
        "| MySQL 8 (written for, and not tested) | as MariaDB | no |",
        "",
    ]
    return "\n".join(lines)


if __name__ == "__main__":
    PAGE.write_text(page(), encoding="utf-8")
