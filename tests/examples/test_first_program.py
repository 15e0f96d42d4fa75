"""The first program runs, and run again it does nothing a second time."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

PROGRAM = Path(__file__).resolve().parents[2] / "examples" / "first_program.py"


def run(folder: Path) -> str:
    done = subprocess.run(
        [sys.executable, PROGRAM], cwd=folder, capture_output=True, text=True, timeout=60, check=False
    )
    assert done.returncode == 0, done.stderr
    assert done.stderr == ""
    return done.stdout


def test_the_second_run_gets_the_first_outcome(tmp_path: Path) -> None:
    first = run(tmp_path).splitlines()
    assert first[0] == "reserved 2 × widget, 8 are left"
    assert first[1].startswith("charged 19.80 for order-1, with the key ")
    assert first[2:] == ["order-1 is done: receipt for order-1"]
    assert {file.name for file in tmp_path.iterdir()} == {"shop.db", "shop.durably.db"}

    assert run(tmp_path).splitlines() == first[2:]
