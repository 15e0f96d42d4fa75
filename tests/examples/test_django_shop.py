"""The shop on Django: one command places its orders, each exactly once, and its numbers are right."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]


def run(module: str, *arguments: str, **environment: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-W", "error", "-m", module, *arguments],
        cwd=ROOT,
        env={"PATH": "", **environment},
        capture_output=True,
        text=True,
        timeout=100,
        check=False,
    )


@pytest.mark.parametrize("given", [True, False], ids=["given folder", "temporary folder"])
def test_one_command_runs_the_shop(tmp_path: Path, given: bool) -> None:
    done = run("examples.django_shop", *([str(tmp_path)] if given else []))
    assert done.returncode == 0, done.stdout + done.stderr
    assert done.stderr == ""
    lines = done.stdout.splitlines()
    assert lines[5:10] == [
        "o-1: sent, and answered 202",
        *(f"o-{n}: receipt-o-{n}" for n in (1, 2, 3)),
        "o-4: sold out",
    ]
    assert "the admin's page answers 200 and lists 5 orders" in lines
    assert lines[-6:] == [
        "mug left: 14",
        "pot left: 4",
        "orders paid: 4",
        "orders refused: 1",
        "cents charged: 8440",
        "charges: 4",
    ]
    assert (tmp_path / "shop.db").exists() == given


def test_numbers_that_are_off_are_told(tmp_path: Path) -> None:
    assert run("examples.django_shop", str(tmp_path)).returncode == 0
    # The orders are there already, but the provider of this run knows of no charge.
    again = run("examples.django_shop", str(tmp_path))
    assert again.returncode == 1, again.stdout + again.stderr
    assert "cents charged: 0, and it should be 8440" in again.stdout


def test_the_project_has_no_changes_without_a_migration(tmp_path: Path) -> None:
    checked = run("examples.django_shop.manage", "makemigrations", "--check", SHOP_FOLDER=str(tmp_path))
    assert checked.returncode == 0, checked.stdout + checked.stderr
