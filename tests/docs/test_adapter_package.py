"""What docs/writing-an-adapter.md builds is a package that passes the static checks, and is found by its name."""

from __future__ import annotations

import os
import subprocess
import sys
import zipfile
from pathlib import Path

import pytest

from tests.adapters.documentation import extracted

ROOT = Path(__file__).resolve().parents[2]


@pytest.fixture
def package(tmp_path: Path) -> Path:
    return extracted.write(tmp_path)


def run(folder: Path, *command: str, **environment: str) -> str:
    done = subprocess.run(
        [sys.executable, *command],
        cwd=folder,
        env={**os.environ, "MYPYPATH": str(folder), **environment},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


def test_its_code_passes_the_static_checks(package: Path) -> None:
    code = ["durably_piccolo", "subject.py", "test_conformance.py", "shop.py"]
    rules = ["--isolated", "--line-length=120", "--target-version=py310"]
    run(package, "-m", "ruff", "format", "--check", *rules, *code)
    run(package, "-m", "ruff", "check", "--extend-select=I,B,UP,SIM,RUF,PGH", *rules, *code)
    settings = f"--config-file={ROOT / 'pyproject.toml'}"
    run(package, "-m", "mypy", "--strict", settings, "--cache-dir=.mypy_cache", *code)


CONF = """
from piccolo.engine.sqlite import SQLiteEngine
DB = SQLiteEngine("app.db")
"""

PROGRAM = """
import asyncio, sys
from durably import ConfigurationError, Durably, transaction, workflow
from durably_piccolo import current_transaction

@transaction
async def where() -> str:
    return type(current_transaction()).__name__

@workflow
async def flow() -> str:
    return await where()

async def main() -> None:
    app = Durably("named", application_database_url=sys.argv[1], app_db_client="piccolo")
    try:
        async with app:
            print(await flow())
    except ConfigurationError as error:
        print(error)

asyncio.run(main())
"""


@pytest.mark.parametrize(
    ("conf", "url", "says"),
    [
        (CONF, "sqlite:///app.db", "GuardedSQLite\n"),
        (CONF, "sqlite:///other.db", "names another database than DB in piccolo_conf.py"),
        (CONF, "postgresql://localhost/app.db", "names another database than DB in piccolo_conf.py"),
        ("", "sqlite:///app.db", "needs the application's engine; define DB in piccolo_conf.py"),
    ],
)
def test_its_wheel_is_found_by_its_name(package: Path, tmp_path: Path, conf: str, url: str, says: str) -> None:
    run(package, "-m", "hatchling", "build", "-t", "wheel", "-d", "dist")
    installed = tmp_path / "installed"
    (wheel,) = (package / "dist").glob("durably_piccolo-*.whl")
    with zipfile.ZipFile(wheel) as archive:
        archive.extractall(installed)
    work = tmp_path / "work"
    work.mkdir()
    (work / "piccolo_conf.py").write_text(conf)
    (work / "program.py").write_text(PROGRAM)
    warnings = ["-W", "error"] if conf else []  # Piccolo itself warns of a module without an engine
    output = run(work, *warnings, "program.py", url, PYTHONPATH=str(installed), PICCOLO_CONF="piccolo_conf")
    assert says in output
