"""The shop on Tortoise ORM: its one command ends well, and does not if a number is off."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]


def run(**environment: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-W", "error", "-m", "examples.tortoise_shop"],
        cwd=ROOT,
        env={**os.environ, **environment},
        capture_output=True,
        text=True,
        timeout=100,
        check=False,
    )


def test_every_number_is_right() -> None:
    done = run()
    assert done.returncode == 0, done.stdout + done.stderr
    # The log's word of the order that could not be had, and nothing of Python's or the drivers'.
    assert re.fullmatch(r"workflow 'order-[45]' \(.*\) ended with OutOfStock\n", done.stderr), done.stderr
    lines = done.stdout.splitlines()
    orders = [line for line in lines if line.startswith("order-")]
    assert len(orders) == 7
    assert orders[6] == "order-1: 2 × duck: receipt-order-1"
    assert {re.match(r"order-\d", line).group() for line in orders} == {f"order-{n}" for n in range(1, 7)}  # type: ignore[union-attr]
    assert [line[9:] for line in orders if "were ordered" in line] == ["3 × mug were ordered, and there are 2"]
    assert lines[7:] == ["left: 0 ducks, 2 mugs", "5 purchases, 5 charges in 6 requests", "every number is right"]


def test_a_number_that_is_off_is_not_hidden(tmp_path: Path) -> None:
    """With a provider that forgets its keys, a card is charged twice, and the command fails."""
    (tmp_path / "sitecustomize.py").write_text(
        "import examples.tortoise_shop.payments as payments\n"
        "class Forgetful(dict):\n"
        "    def setdefault(self, key, value):\n"
        "        self[key, len(self)] = value\n"
        "payments.charges = Forgetful()\n"
    )
    done = run(PYTHONPATH=os.pathsep.join([str(tmp_path), str(ROOT)]))
    assert done.returncode == 1, done.stdout + done.stderr
    assert done.stdout.splitlines()[-1] == "off: the charges"
