"""The shop on psycopg: its one command ends well, on a database that it is given, more than once."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]


def run(**environment: str) -> str:
    done = subprocess.run(
        [sys.executable, "-W", "error", "-m", "examples.psycopg_shop"],
        cwd=ROOT,
        env={**{name: value for name, value in os.environ.items() if name != "DATABASE_URL"}, **environment},
        capture_output=True,
        text=True,
        timeout=100,
        check=False,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


def check(output: str) -> None:
    orders = re.findall(r"^order-\w{6}-(\d): (\d × \w+): (.*)$", output, re.MULTILINE)
    assert [order[:2] for order in orders] == [
        ("1", "2 × duck"),
        ("2", "4 × mug"),
        ("3", "1 × duck"),
        ("4", "3 × mug"),
        ("1", "2 × duck"),
    ]
    assert orders[4] == orders[0]
    assert orders[3][2] == "there are not 3 × mug"
    assert output.splitlines()[-3:] == [
        "left: 7 ducks, 1 mugs",
        "3 purchases, 3 charges in 4 requests",
        "every number is right",
    ]


def test_every_number_is_right_in_a_database_that_is_there(postgres_url: str) -> None:
    for _ in range(2):
        check(run(DATABASE_URL=postgres_url))


def test_without_a_database_it_starts_a_server() -> None:
    output = run()
    assert output.startswith("DATABASE_URL is not set")
    check(output)


def test_a_number_that_is_off_is_not_hidden(postgres_url: str, tmp_path: Path) -> None:
    """With a provider that forgets its keys, a card is charged twice, and the command fails."""
    (tmp_path / "sitecustomize.py").write_text(
        "import examples.psycopg_shop.payments as payments\n"
        "class Forgetful(dict):\n"
        "    def setdefault(self, key, value):\n"
        "        self[key, len(self)] = value\n"
        "payments.charges = Forgetful()\n"
    )
    done = subprocess.run(
        [sys.executable, "-m", "examples.psycopg_shop"],
        cwd=ROOT,
        env={**os.environ, "DATABASE_URL": postgres_url, "PYTHONPATH": os.pathsep.join([str(tmp_path), str(ROOT)])},
        capture_output=True,
        text=True,
        timeout=100,
        check=False,
    )
    assert done.returncode == 1, done.stdout + done.stderr
    assert done.stdout.splitlines()[-1] == "off: the charges"
