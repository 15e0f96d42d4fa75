"""The Django project that ``docs/django.md`` describes, made as the page says."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from pathlib import Path

PAGE = Path(__file__).resolve().parents[3] / "docs" / "django.md"
_BLOCK = re.compile(r"<!-- project: (append|write) (\S+) -->.*?\n```python\n(.*?)^```$", re.DOTALL | re.MULTILINE)


def make_project(folder: Path, *more_settings: str) -> Path:
    """``startproject``, ``startapp``, and the lines of the page; the folder with ``manage.py``."""
    run(folder, "-m", "django", "startproject", "mysite", ".")
    run(folder, "manage.py", "startapp", "shop")
    (folder / "shop" / "tests.py").unlink()
    blocks = _BLOCK.findall(PAGE.read_text(encoding="utf-8"))
    assert len(blocks) == 8, "the page shows the whole project"
    for how, name, text in blocks:
        file = folder / name
        before = file.read_text(encoding="utf-8") if how == "append" else ""
        file.write_text(before + text, encoding="utf-8")
    settings = folder / "mysite" / "settings.py"
    settings.write_text(settings.read_text() + "".join(f"{line}\n" for line in more_settings))
    return folder


def run(folder: Path, *arguments: str, code: int = 0, **environment: str) -> str:
    """Run a Python program there, with warnings as errors; what it printed."""
    done = subprocess.run(
        [sys.executable, "-W", "error", *arguments],
        cwd=folder,
        env={**clean_environment(), **environment},
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        timeout=100,
        check=False,
    )
    assert done.returncode == code, f"{' '.join(arguments)} ended with {done.returncode}:\n{done.stdout}"
    return done.stdout


def clean_environment() -> dict[str, str]:
    """The environment without what the tests' own run has set for Django and Durably."""
    drop = ("DURABLY_", "DJANGO_", "PYTEST_")
    return {key: value for key, value in os.environ.items() if not key.startswith(drop)}
