"""The shop on Peewee: one command places its orders, each exactly once, and its numbers are right."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]


def run(*arguments: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-m", "examples.peewee_shop", *arguments],
        cwd=ROOT,
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )


@pytest.mark.parametrize("given", [True, False], ids=["given folder", "temporary folder"])
def test_one_command_runs_the_shop(tmp_path: Path, given: bool) -> None:
    done = run(*([str(tmp_path)] if given else []))
    assert done.returncode == 0, done.stdout + done.stderr
    assert "Traceback" not in done.stderr
    orders = ["o-1: receipt-o-1", "o-2: receipt-o-2", "o-3: receipt-o-3", "o-4: receipt-o-4"]
    assert done.stdout.splitlines()[:4] == orders
    assert "11 × mug were ordered" in done.stdout
    assert "should be" not in done.stdout
    if given:
        assert (tmp_path / "shop.db").exists()


def test_numbers_that_are_off_are_told(tmp_path: Path) -> None:
    assert run(str(tmp_path)).returncode == 0
    # The books are there already, but the provider of this run knows of no charge.
    again = run(str(tmp_path))
    assert again.returncode == 1
    assert "charged: 0, and it should be 3870" in again.stdout
