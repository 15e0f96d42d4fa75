"""The wheel has both source roots, their type information and their entry points, and nothing else."""

from __future__ import annotations

import subprocess
import sys
import zipfile
from collections.abc import Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
SOURCES = [ROOT / "core", ROOT / "adapters"]


@pytest.fixture(scope="module")
def wheel(tmp_path_factory: pytest.TempPathFactory) -> Iterator[zipfile.ZipFile]:
    folder = tmp_path_factory.mktemp("wheel")
    build = [sys.executable, "-m", "hatchling", "build", "-t", "wheel", "-d", str(folder)]
    run = subprocess.run(build, cwd=ROOT, capture_output=True, text=True, check=False)
    assert run.returncode == 0, run.stdout + run.stderr
    (path,) = folder.glob("durably-*.whl")
    with zipfile.ZipFile(path) as archive:
        yield archive


def packages() -> set[str]:
    return {package.parent.name for root in SOURCES for package in root.glob("*/__init__.py")}


def test_it_has_every_source_file(wheel: zipfile.ZipFile) -> None:
    files = {path.relative_to(root).as_posix() for root in SOURCES for path in root.rglob("*.py")}
    assert files <= set(wheel.namelist())


def test_it_has_the_packages_of_both_roots_and_nothing_else(wheel: zipfile.ZipFile) -> None:
    tops = {name.partition("/")[0] for name in wheel.namelist()}
    assert {"durably", "durably_sqlalchemy"} <= packages()
    assert {top for top in tops if not top.endswith(".dist-info")} == packages()


def test_every_package_is_typed(wheel: zipfile.ZipFile) -> None:
    assert {f"{package}/py.typed" for package in packages()} <= set(wheel.namelist())


def test_adapters_and_the_command_are_entry_points(wheel: zipfile.ZipFile) -> None:
    (path,) = (name for name in wheel.namelist() if name.endswith(".dist-info/entry_points.txt"))
    lines = wheel.read(path).decode().splitlines()
    assert "durably = durably.cli:main" in lines
    assert "sqlalchemy = durably_sqlalchemy:from_url" in lines
